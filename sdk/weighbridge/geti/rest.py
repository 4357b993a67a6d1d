"""Geti 2.x by its REST API, over the standard library: timeouts, retries, certificates verified.

Redirects are not followed: the token is for one server.
"""

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

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
)
from weighbridge.contract.geti import Found, Group, Project, Trained
from weighbridge.contract.geti_access import Access
from weighbridge.geti.source import MAX_PACKAGE
from weighbridge.http import Broken, Interrupted, Pool, Response, Unreachable
from weighbridge.transfer import plan

T = TypeVar("T")
ATTEMPTS = 4
AT_ONCE = 4
"""Models whose details are asked for at the same time."""
PAGE = 50
MOST_PROJECTS = 10_000
_BLOCK = 1024 * 1024
_ERROR = 64 * 1024


class RestSource:
    """A Geti server. `seconds` is how long all that is asked of it may take, retries included."""

    def __init__(self, access: Access, *, seconds: float | None = None) -> None:
        if access.missing:
            raise InvalidRequest(f"no Geti server is configured: set {', '.join(access.missing)}")
        self._access, self._base = access, access.address
        self._pool = Pool(access.ca_file, verify=access.verify)
        self._until = None if seconds is None else time.monotonic() + seconds
        self._place = ""

    def __repr__(self) -> str:
        return f"RestSource({self._access.host!r})"

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()

    def list_projects(self) -> list[Project]:
        """Every project with its groups and optimised models."""
        found: list[Any] = []
        while True:
            answer = self._get(f"{self._workspace()}/projects?limit={PAGE}&skip={len(found)}")
            page = answer.get("projects")
            if not isinstance(page, list):
                raise TransferError(f"{self._access.host} sends no list of projects")
            found += page
            if len(found) > MOST_PROJECTS:
                raise TransferError(
                    f"{self._access.host} lists more than {MOST_PROJECTS} projects; ask for one"
                )
            total = answer.get("project_counts")
            if not page or (isinstance(total, int) and len(found) >= total):
                return self._filled([geti.project(one) for one in found])

    def get_project(self, identifier: str) -> Project:
        """One project."""
        path = f"{self._workspace()}/projects/{quote(identifier, safe='')}"
        return self._filled([geti.project(self._get(path))])[0]

    def fetch_package(self, found: Found, target: BinaryIO, most: int = MAX_PACKAGE) -> int:
        """Writes the deployment package of a model; answers its size."""
        body = {"package_type": "geti_sdk", "models": [
            {"model_id": found.model.id, "model_group_id": found.group.id},
        ]}  # fmt: skip
        path = f"{self._workspace()}/projects/{found.project.id}/deployment_package:download"
        return self._ask("POST", path, partial(_saved, target, most), body)

    def _filled(self, projects: list[Project]) -> list[Project]:
        """The projects with their groups; their models are asked for side by side."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            listed = list(pool.map(self._groups, projects))
            wanted = [
                (project, group, model)
                for project, groups in zip(projects, listed, strict=True)
                for group, models in groups
                for model in models
            ]
            try:
                details = iter(list(pool.map(self._detail, wanted)))
            except RegistryError:
                pool.shutdown(cancel_futures=True)
                raise
        return [
            Project(
                one.id, one.name, one.created, one.tasks,
                tuple(
                    Group(group.id, group.name, group.task, tuple(next(details) for _ in models))
                    for group, models in groups
                ),
            )
            for one, groups in zip(projects, listed, strict=True)
        ]  # fmt: skip

    def _groups(self, project: Project) -> list[tuple[Group, list[str]]]:
        answer = self._get(f"{self._workspace()}/projects/{project.id}/model_groups")
        groups = answer.get("model_groups")
        if not isinstance(groups, list):
            raise TransferError(f"{self._access.host} sends no list of model groups")
        return [(geti.group(one), [geti.identifier(m) for m in _summaries(one)]) for one in groups]

    def _detail(self, wanted: tuple[Project, Group, str]) -> Trained:
        project, group, model = wanted
        path = f"projects/{project.id}/model_groups/{group.id}/models/{model}"
        return geti.trained(self._get(f"{self._workspace()}/{path}"))

    def _workspace(self) -> str:
        """Organisation and workspace: those that were named, else those that the token sees."""
        if not self._place:
            own = self._access.organization or self._organization()
            place = f"/organizations/{quote(own, safe='')}"
            chosen = self._access.workspace or self._only_workspace(place)
            self._place = f"{place}/workspaces/{quote(chosen, safe='')}"
        return self._place

    def _organization(self) -> str:
        answer = self._get("/personal_access_tokens/organization")
        if isinstance(answer.get("organizationId"), str):
            return str(answer["organizationId"])
        listed = answer.get("organizations")
        known = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        named = [one for one in known if isinstance(one.get("organizationId"), str)]
        if not named:
            raise TransferError(
                f"{self._access.host} names no organisation of the token; set GETI_ORGANIZATION_ID"
            )
        return str(min(named, key=lambda o: str(o.get("organizationCreatedAt")))["organizationId"])

    def _only_workspace(self, place: str) -> str:
        listed = self._get(f"{place}/workspaces").get("workspaces")
        if not isinstance(listed, list) or not listed:
            raise Forbidden(f"the token sees no workspace of {self._access.host}")
        if len(listed) > 1:
            names = ", ".join(f"{one.get('id')} ({one.get('name')})" for one in listed[:10])
            raise InvalidRequest(
                f"the token sees {len(listed)} workspaces; set GETI_WORKSPACE_ID to one of {names}"
            )
        return geti.identifier(listed[0])

    def _get(self, path: str) -> dict[str, Any]:
        return self._ask("GET", path, self._json)

    def _json(self, answer: Response) -> dict[str, Any]:
        try:
            found = json.loads(answer.read())
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise TransferError(f"{self._access.host} answers with something else than JSON")
        return found

    def _ask(self, method: str, path: str, take: Callable[[Response], T], body: object = None) -> T:
        """What `take` makes of the answer. All calls only read, so each may be sent again."""
        headers = {"x-api-key": self._access.token, "Accept": "*/*"}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers |= {"Content-Type": "application/json", "x-geti-csrf-protection": "1"}
        attempt = 0
        while True:
            attempt += 1
            delay: float | None
            try:
                self._in_time(0.0)
                with self._pool.open(method, self._base + path, headers, data) as answer:
                    if answer.status == 200:
                        return take(answer)
                    after = answer.headers.get("retry-after", "")
                    error = self._refused(answer, path)
                delay = plan.retry_answer(
                    answer.status, attempt, ATTEMPTS, random.random(),  # noqa: S311
                    retry_after=after, now=time.time(),
                )  # fmt: skip
            except (Unreachable, Broken) as broken:
                error = broken
                delay = plan.retry_delay(attempt, ATTEMPTS, random.random())  # noqa: S311
            if delay is None:
                raise error
            self._in_time(delay)
            self._pool.pause(delay)

    def _in_time(self, delay: float) -> None:
        if self._until is not None and time.monotonic() + delay >= self._until:
            raise Unavailable(f"{self._access.host} takes too long to answer")

    def _refused(self, answer: Response, path: str) -> RegistryError:
        status, said = answer.status, ""
        try:
            sent = json.loads(answer.read(_ERROR))
            said = str(sent.get("message") or "")[:300] if isinstance(sent, dict) else ""
        except (ValueError, RecursionError, Broken, Interrupted):
            pass
        said = "".join(c for c in said if c.isprintable()).replace(self._access.token, "***")
        what = f"{self._access.host} answers {status}" + (f": {said}" if said else "")
        if status == 401:
            return Unauthenticated(f"{what}; GETI_TOKEN is wrong or has expired")
        if status == 403:
            return Forbidden(f"{what}; the token does not allow {path.partition('?')[0]}")
        if status == 404:
            return NotFound(what)
        if status in (301, 302, 303, 307, 308):
            return TransferError(f"{what}: a redirect, which is not followed; correct GETI_HOST")
        return Unavailable(what) if status >= 500 or status == 429 else TransferError(what)


def _summaries(sent: Any) -> list[Any]:
    listed = sent.get("models") if isinstance(sent, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _saved(target: BinaryIO, most: int, answer: Response) -> int:
    """Writes a body from its start, however much of it an earlier attempt has left."""
    target.seek(0)
    target.truncate()
    view, size = memoryview(bytearray(_BLOCK)), 0
    while count := answer.readinto(view):
        size += count
        if size > most:
            raise TooLarge(f"the package is longer than {most} bytes", limit=most)
        target.write(view[:count])
    promised = answer.headers.get("content-length", "")
    if promised.isdigit() and int(promised) != size:
        raise Broken(f"the package ended after {size} of {promised} bytes")
    return size
