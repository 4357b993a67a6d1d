"""Federated models: which parties hold a part of which version."""

from collections.abc import Iterator

from weighbridge.client.session import PAGE, Session
from weighbridge.contract import types


class Federated(Session):
    """The routes under `…/federated`."""

    def federated(
        self, project: str, model_id: str = "", limit: int = 100, page: str | None = None
    ) -> types.FederatedPage:
        """A page of federated versions, each with all its parties; `limit` counts parties' versions, so
        a page may be shorter."""
        query = {"model_id": model_id, "limit": limit, "page": page}
        return self.call(types.FederatedPage, "GET", "projects", project, "federated", query=query)

    def iter_federated(self, project: str, model_id: str = "") -> Iterator[types.FederatedVersion]:
        """All federated versions of a project, or of one model id."""
        return self._pages(lambda page: self.federated(project, model_id, PAGE, page))

    def federated_version(self, project: str, model_id: str, label: str) -> types.FederatedVersion:
        """One federated version: who has a part of it, and who is missing."""
        query = {"model_id": model_id, "label": label}
        at = ("projects", project, "federated", "version")
        return self.call(types.FederatedVersion, "GET", *at, query=query)

    def park_archive(self, project: str, model: str, label: str, blob: str) -> types.WaitingArchive:
        """Names an uploaded blob as the archive of a party's model, which a restore takes in."""
        at = ("projects", project, "federated", "archives")
        new = types.NewArchive(model, label, blob)
        return self.call(types.WaitingArchive, "POST", *at, body=new)
