"""Geti 2.x through Intel's own `geti-sdk` (the extra `geti`, some 790 MB): for the command line, never for
a function. What it answers is read as the REST API's answers are."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

from weighbridge.contract import geti
from weighbridge.contract.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    RegistryError,
    TooLarge,
    TransferError,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from weighbridge.contract.geti import Found, Group, Project, Trained
from weighbridge.contract.geti_access import Access
from weighbridge.geti.source import MAX_PACKAGE
from weighbridge.http import CONNECT_TIMEOUT, IDLE_TIMEOUT

_BLOCK = 1024 * 1024


class SdkSource:
    """A Geti server as `geti-sdk` reaches it. Retries are the SDK's own."""

    def __init__(self, access: Access) -> None:
        if access.missing:
            raise InvalidRequest(f"no Geti server is configured: set {', '.join(access.missing)}")
        if access.api_version != "v1":
            raise InvalidRequest("geti-sdk speaks v1 only: unset GETI_SERVER_API_VERSION")
        access.address  # noqa: B018  (refuses what is no address before the SDK takes it for one)
        if not logging.root.handlers:  # else the SDK makes it write to where our output goes
            logging.root.addHandler(logging.NullHandler())
        try:
            from geti_sdk import Geti
        except ImportError as error:
            raise Unsupported(
                f"geti-sdk is not installed ({error}): pip install 'weighbridge[geti]', or leave out --sdk"
            ) from None
        self._access = access
        with self._told():
            self._geti = Geti(
                host=access.host, token=access.token, workspace_id=access.workspace or None,
                verify_certificate=access.ca_file or access.verify,
            )  # fmt: skip
            session = self._geti.session
            session.request = partial(session.request, timeout=(CONNECT_TIMEOUT, IDLE_TIMEOUT))
            own = session.organization_id
        if access.organization not in ("", own):
            raise InvalidRequest(f"the token belongs to {own}, not to GETI_ORGANIZATION_ID")

    def __repr__(self) -> str:
        return f"SdkSource({self._access.host!r})"

    def close(self) -> None:
        """Closes the session."""
        self._geti.session.close()

    def list_projects(self) -> list[Project]:
        """Every project with its groups and optimised models."""
        with self._told():
            listed = self._geti.project_client.get_all_projects(get_project_details=False)
            return [self._filled(one) for one in listed]

    def get_project(self, identifier: str) -> Project:
        """One project."""
        with self._told():
            return self._filled(self._geti.project_client.get_project_by_id(identifier))

    def fetch_package(self, found: Found, target: BinaryIO, most: int = MAX_PACKAGE) -> int:
        """Writes the deployment package of a model; answers its size."""
        place = f"workspaces/{self._geti.workspace_id}/projects/{found.project.id}"
        wanted = {"model_id": found.model.id, "model_group_id": found.group.id}
        with self._told():
            answer = self._geti.session.get_rest_response(
                url=f"{place}/deployment_package:download", method="POST",
                data={"package_type": "geti_sdk", "models": [wanted]},
            )  # fmt: skip
            if isinstance(answer, (dict, list)):
                raise TransferError(f"{self._access.host} sends JSON for a package")
            target.seek(0)
            target.truncate()
            size = 0
            with answer:
                for block in answer.iter_content(_BLOCK):
                    size += len(block)
                    if size > most:
                        raise TooLarge(f"the package is longer than {most} bytes", limit=most)
                    target.write(block)
        promised = answer.headers.get("content-length", "")
        if promised.isdigit() and int(promised) != size:
            raise TransferError(f"the package ended after {size} of {promised} bytes")
        return size

    def _filled(self, project: Any) -> Project:
        from geti_sdk.rest_clients import ModelClient

        read = geti.project(project.to_dict())
        client = ModelClient(
            workspace_id=self._geti.workspace_id, project=project, session=self._geti.session
        )
        groups = tuple(self._group(client, one) for one in client.get_all_model_groups())
        return Project(read.id, read.name, read.created, read.tasks, groups)

    def _group(self, client: Any, group: Any) -> Group:
        models: list[Trained] = [
            geti.trained(client.update_model_detail(summary).to_dict()) for summary in group.models
        ]
        sent = {"id": group.id, "name": group.name, "task_id": group.task_id}
        return geti.group(sent, tuple(models))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The SDK's exceptions as ours."""
        try:
            yield
        except RegistryError:
            raise
        except Exception as error:
            raise self._ours(error) from None

    def _ours(self, error: Exception) -> RegistryError:
        said = str(error).replace(self._access.token, "***")[:500]
        what = f"{self._access.host}: {said}"
        kind = type(error).__name__
        if kind == "MultipleWorkspacesException":
            return InvalidRequest(f"{what} Set GETI_WORKSPACE_ID.")
        if kind == "GetiRequestException":
            status = int(getattr(error, "status_code", 0))
            known = {401: Unauthenticated, 403: Forbidden, 404: NotFound, 429: Unavailable}
            return known.get(status, Unavailable if status >= 500 else TransferError)(what)
        if isinstance(error, ValueError) and "token has failed" in said:
            return Unauthenticated(f"{what} GETI_TOKEN is wrong or has expired.")
        if isinstance(error, OSError):  # all of requests' own are
            return TransferError(f"cannot be reached: {what}")
        return TransferError(f"geti-sdk fails: {kind}: {what}")
