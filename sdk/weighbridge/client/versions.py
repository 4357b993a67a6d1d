"""Versions: open, add files, commit; read, approve, delete, compare."""

from collections.abc import Iterable, Iterator
from typing import Any

from weighbridge.client.session import PAGE, Session, VersionLike, version_text
from weighbridge.contract import types
from weighbridge.contract.manifests import FileEntry


class Versions(Session):
    """The routes under `…/models/{model}/versions`."""

    def versions(
        self,
        project: str,
        model: str,
        state: str = "ready",
        order: str = "newest",
        limit: int = 100,
        page: str | None = None,
    ) -> types.VersionPage:
        """A page of versions; `state` is `ready`, `open` or `held` (back by their verdict), `order`
        `newest` or `oldest`."""
        query = {"state": state, "order": order, "limit": limit, "page": page}
        at = ("projects", project, "models", model, "versions")
        return self.call(types.VersionPage, "GET", *at, query=query)

    def iter_versions(
        self, project: str, model: str, state: str = "ready", order: str = "newest"
    ) -> Iterator[types.Version]:
        """All versions of a model."""
        return self._pages(lambda page: self.versions(project, model, state, order, PAGE, page))

    def begin_version(
        self,
        project: str,
        model: str,
        key: str,
        label: str = "",
        retention: types.Retention | None = None,
        create: bool = False,
    ) -> types.Version:
        """Opens a version. The same `key` opens one version, however often it is asked.

        `retention` is for its checkpoints, instead of the model's. With `create`, a model and a
        project that are missing are made.
        """
        at = ("projects", project, "models", model, "versions")
        new = types.NewVersion(key, label, retention, create)
        return self.call(types.Version, "POST", *at, body=new)

    def version(self, project: str, model: str, version: VersionLike = "latest") -> types.Version:
        """One version."""
        return self.call(types.Version, "GET", *_at(project, model, version))

    def best_version(self, project: str, model: str, metric: str = "") -> types.Version:
        """The best version by `metric`, or by the model's main metric."""
        at = ("projects", project, "models", model, "best")
        return self.call(types.Version, "GET", *at, query={"metric": metric})

    def change_version(
        self,
        project: str,
        model: str,
        version: VersionLike,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        metrics: dict[str, float] | None = None,
        params: dict[str, Any] | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> types.Version:
        """Changes what is given; a tag with an empty value is removed. Files never change."""
        body = types.VersionChanges(description, tags, metrics, params, attributes)
        return self.call(types.Version, "PATCH", *_at(project, model, version), body=body)

    def package(self, project: str, identifier: str) -> types.Version:
        """The version that clients of edge registries know by this id."""
        return self.call(types.Version, "GET", "projects", project, "packages", identifier)

    def delete_version(self, project: str, model: str, version: VersionLike) -> types.Deleted:
        """Deletes a version (an open one is aborted); `InUse` while something refers to it."""
        return self.call(types.Deleted, "DELETE", *_at(project, model, version))

    def add_files(
        self, project: str, model: str, version: VersionLike, files: Iterable[FileEntry]
    ) -> types.Version:
        """Adds up to 1,000 files to an open version."""
        body = types.FilePage(tuple(files))
        return self.call(types.Version, "POST", *_at(project, model, version), "files", body=body)

    def add_claims(
        self, project: str, model: str, version: VersionLike, claims: types.ClaimsPage
    ) -> types.StoredPage:
        """Stores claims about tensors ahead of a commit of the version, or of its checkpoint."""
        at = (*_at(project, model, version), "claims")
        return self.call(types.StoredPage, "POST", *at, body=claims)

    def commit_version(
        self, project: str, model: str, version: VersionLike, commit: types.VersionCommit
    ) -> types.Version:
        """Publishes an open version as a whole. The same commit twice is one commit."""
        at = (*_at(project, model, version), "commit")
        return self.call(types.Version, "POST", *at, body=commit)

    def abort_version(self, project: str, model: str, version: VersionLike) -> types.Version:
        """Gives an open version up."""
        return self.call(types.Version, "POST", *_at(project, model, version), "abort", body={})

    def approve(
        self,
        project: str,
        model: str,
        version: VersionLike,
        state: types.ApprovalState = "approved",
        comment: str = "",
    ) -> types.Version:
        """Signs a version off, or rejects it."""
        body = types.ApprovalChange(state, comment)
        at = (*_at(project, model, version), "approval")
        return self.call(types.Version, "POST", *at, body=body)

    def version_files(
        self,
        project: str,
        model: str,
        version: VersionLike,
        limit: int = PAGE,
        page: str | None = None,
    ) -> types.FileList:
        """A page of the version's files by path."""
        query = {"limit": limit, "page": page}
        return self.call(types.FileList, "GET", *_at(project, model, version), "files", query=query)

    def iter_version_files(
        self, project: str, model: str, version: VersionLike
    ) -> Iterator[FileEntry]:
        """All files of a version by path."""
        return self._pages(lambda page: self.version_files(project, model, version, PAGE, page))

    def version_downloads(
        self, project: str, model: str, version: VersionLike, blobs: Iterable[str]
    ) -> types.Downloads:
        """Signed downloads of up to 1,000 of the version's blobs, in the order asked."""
        body = types.DownloadRequest(tuple(blobs))
        at = (*_at(project, model, version), "downloads")
        return self.call(types.Downloads, "POST", *at, body=body)

    def version_bundle(self, project: str, model: str, version: VersionLike) -> types.Bundle:
        """A version, its files and signed downloads of its blobs in one answer."""
        return self.call(types.Bundle, "GET", *_at(project, model, version), "bundle")

    def version_facts(self, project: str, model: str, version: VersionLike) -> types.VersionFacts:
        """What indexing found in the version's files."""
        return self.call(types.VersionFacts, "GET", *_at(project, model, version), "facts")

    def compare(self, *refs: str) -> types.Comparison:
        """Two to six versions (`project/model@selector`) and checkpoints (`…:selector`) side by side,
        differences only."""
        return self.call(types.Comparison, "GET", "compare", query={"ref": refs})


def _at(project: str, model: str, version: VersionLike) -> tuple[str, ...]:
    return ("projects", project, "models", model, "versions", version_text(version))
