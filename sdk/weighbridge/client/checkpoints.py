"""Checkpoints of a version."""

from collections.abc import Iterable, Iterator, Mapping

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
        order: str = "",
        limit: int = 100,
        page: str | None = None,
        name: str = "",
        steps: str = "",
        by: str = "",
        tags: Mapping[str, str] | None = None,
        state: str = "",
    ) -> types.CheckpointPage:
        """A page of checkpoints, newest first; `order` is `newest`, `oldest` or `step`, or `max` or
        `min` where a metric is named in `by`.

        `component` `-` means the empty one; `steps` is `100..200`, `100..` or `..200`. `state`
        is `ready` (the default) or `held` (back by their verdict; newest or oldest first). A filtered
        page may be short, even empty, while `next` goes on.
        """
        query: dict[str, object] = {
            "component": component,
            "order": order,
            "state": state,
            "limit": limit,
            "page": page,
            "name": name,
            "steps": steps,
            "by": by,
            "tag": [f"{key}={value}" for key, value in (tags or {}).items()],
        }
        at = _series(project, model, version)
        return self.call(types.CheckpointPage, "GET", *at, query=query)

    def iter_checkpoints(
        self,
        project: str,
        model: str,
        version: VersionLike,
        component: str = "",
        order: str = "",
        name: str = "",
        steps: str = "",
        by: str = "",
        tags: Mapping[str, str] | None = None,
        state: str = "",
    ) -> Iterator[types.Checkpoint]:
        """All checkpoints of a version that are asked for."""
        return self._pages(
            lambda page: self.checkpoints(
                project, model, version, component, order, PAGE, page, name, steps, by, tags, state
            )
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

    def checkpoint_bundle(
        self, project: str, model: str, version: VersionLike, checkpoint: CheckpointLike
    ) -> types.Bundle:
        """A checkpoint, its files and signed downloads of its blobs in one answer."""
        at = (*_at(project, model, version, checkpoint), "bundle")
        return self.call(types.Bundle, "GET", *at)

    def stage(
        self,
        project: str,
        model: str,
        version: VersionLike,
        files: Iterable[FileEntry] = (),
        done: Iterable[types.PutDone] = (),
        names: Iterable[str] = (),
    ) -> types.Staged:
        """Announces files for a checkpoint that another may commit; says how to store those that are
        missing, and answers the files that were announced under `names`."""
        body = types.StageRequest(tuple(files), tuple(done), tuple(names))
        at = (*_series(project, model, version)[:-1], "staged")
        return self.call(types.Staged, "POST", *at, body=body)

    def checkpoint_facts(
        self, project: str, model: str, version: VersionLike, checkpoint: CheckpointLike
    ) -> types.VersionFacts:
        """What indexing found in the checkpoint's files."""
        at = (*_at(project, model, version, checkpoint), "facts")
        return self.call(types.VersionFacts, "GET", *at)

    def pin_checkpoint(
        self, project: str, model: str, version: VersionLike, checkpoint: CheckpointLike
    ) -> types.Checkpoint:
        """Keeps a checkpoint whatever the retention says."""
        at = (*_at(project, model, version, checkpoint), "pin")
        return self.call(types.Checkpoint, "PUT", *at)

    def unpin_checkpoint(
        self, project: str, model: str, version: VersionLike, checkpoint: CheckpointLike
    ) -> types.Checkpoint:
        """Gives a pinned checkpoint back to the retention."""
        at = (*_at(project, model, version, checkpoint), "pin")
        return self.call(types.Checkpoint, "DELETE", *at)

    def promote_checkpoint(
        self,
        project: str,
        model: str,
        version: VersionLike,
        checkpoint: CheckpointLike,
        promotion: types.Promotion,
    ) -> types.Version:
        """The next version, of the checkpoint's files. The same `key` makes one version."""
        at = (*_at(project, model, version, checkpoint), "promotion")
        return self.call(types.Version, "POST", *at, body=promotion)

    def retention(self, project: str, model: str, version: VersionLike) -> types.RetentionState:
        """The retention in force for a version's checkpoints, and who says so."""
        at = (*_series(project, model, version)[:-1], "retention")
        return self.call(types.RetentionState, "GET", *at)

    def set_retention(
        self, project: str, model: str, version: VersionLike, retention: types.Retention
    ) -> types.RetentionState:
        """Gives a version a retention of its own, instead of the model's."""
        at = (*_series(project, model, version)[:-1], "retention")
        return self.call(types.RetentionState, "PUT", *at, body=retention)

    def clear_retention(
        self, project: str, model: str, version: VersionLike
    ) -> types.RetentionState:
        """Gives a version the model's retention again."""
        at = (*_series(project, model, version)[:-1], "retention")
        return self.call(types.RetentionState, "DELETE", *at)

    def prune(
        self,
        project: str,
        model: str,
        version: VersionLike,
        dry_run: bool = False,
        page: str | None = None,
    ) -> types.Pruned:
        """Applies the retention to the next checkpoints by number; `next` of the answer goes on."""
        at = (*_series(project, model, version)[:-1], "prune")
        return self.call(types.Pruned, "POST", *at, body=types.PruneRequest(dry_run, page))


def _series(project: str, model: str, version: VersionLike) -> tuple[str, ...]:
    return (
        "projects", project, "models", model, "versions", version_text(version), "checkpoints",
    )  # fmt: skip


def _at(
    project: str, model: str, version: VersionLike, checkpoint: CheckpointLike
) -> tuple[str, ...]:
    return (*_series(project, model, version), checkpoint_text(checkpoint))
