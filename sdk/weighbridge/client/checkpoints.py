"""Checkpoints of a version."""

from collections.abc import Iterable, Iterator

from weighbridge.client.session import (
    PAGE,
    CheckpointLike,
    Session,
    VersionLike,
    checkpoint_text,
    version_text,
)
from weighbridge.contract import types
from weighbridge.contract.manifests import FileEntry


class Checkpoints(Session):
    """The routes under `…/versions/{version}/checkpoints`."""

    def checkpoints(
        self,
        project: str,
        model: str,
        version: VersionLike,
        component: str = "",
        order: str = "newest",
        limit: int = 100,
        page: str | None = None,
        state: str = "",
    ) -> types.CheckpointPage:
        """A page of checkpoints; `order` is `newest`, `oldest` or `step`, `state` `ready` (the
        default) or `held` (back by their verdict)."""
        query = {
            "component": component, "order": order, "state": state, "limit": limit, "page": page
        }  # fmt: skip
        at = _series(project, model, version)
        return self.call(types.CheckpointPage, "GET", *at, query=query)

    def iter_checkpoints(
        self,
        project: str,
        model: str,
        version: VersionLike,
        component: str = "",
        order: str = "newest",
    ) -> Iterator[types.Checkpoint]:
        """All checkpoints of a version."""
        return self._pages(
            lambda page: self.checkpoints(project, model, version, component, order, PAGE, page)
        )

    def commit_checkpoint(
        self, project: str, model: str, version: VersionLike, commit: types.CheckpointCommit
    ) -> types.Checkpoint:
        """Publishes a checkpoint whose blobs are stored. Equal content twice is one checkpoint."""
        at = _series(project, model, version)
        return self.call(types.Checkpoint, "POST", *at, body=commit)

    def checkpoint(
        self, project: str, model: str, version: VersionLike, checkpoint: CheckpointLike = "last"
    ) -> types.Checkpoint:
        """One checkpoint."""
        return self.call(types.Checkpoint, "GET", *_at(project, model, version, checkpoint))

    def delete_checkpoint(
        self, project: str, model: str, version: VersionLike, checkpoint: CheckpointLike
    ) -> types.Deleted:
        """Deletes a checkpoint."""
        return self.call(types.Deleted, "DELETE", *_at(project, model, version, checkpoint))

    def checkpoint_files(
        self,
        project: str,
        model: str,
        version: VersionLike,
        checkpoint: CheckpointLike,
        limit: int = PAGE,
        page: str | None = None,
    ) -> types.FileList:
        """A page of the checkpoint's files by path."""
        at = (*_at(project, model, version, checkpoint), "files")
        return self.call(types.FileList, "GET", *at, query={"limit": limit, "page": page})

    def iter_checkpoint_files(
        self, project: str, model: str, version: VersionLike, checkpoint: CheckpointLike
    ) -> Iterator[FileEntry]:
        """All files of a checkpoint by path."""
        return self._pages(
            lambda page: self.checkpoint_files(project, model, version, checkpoint, PAGE, page)
        )

    def checkpoint_downloads(
        self,
        project: str,
        model: str,
        version: VersionLike,
        checkpoint: CheckpointLike,
        blobs: Iterable[str],
    ) -> types.Downloads:
        """Signed downloads of up to 1,000 of the checkpoint's blobs, in the order asked."""
        at = (*_at(project, model, version, checkpoint), "downloads")
        return self.call(types.Downloads, "POST", *at, body=types.DownloadRequest(tuple(blobs)))

    def checkpoint_facts(
        self, project: str, model: str, version: VersionLike, checkpoint: CheckpointLike
    ) -> types.VersionFacts:
        """What indexing found in the checkpoint's files."""
        at = (*_at(project, model, version, checkpoint), "facts")
        return self.call(types.VersionFacts, "GET", *at)


def _series(project: str, model: str, version: VersionLike) -> tuple[str, ...]:
    return (
        "projects", project, "models", model, "versions", version_text(version), "checkpoints",
    )  # fmt: skip


def _at(
    project: str, model: str, version: VersionLike, checkpoint: CheckpointLike
) -> tuple[str, ...]:
    return (*_series(project, model, version), checkpoint_text(checkpoint))
