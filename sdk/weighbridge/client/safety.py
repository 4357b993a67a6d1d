"""Safety verdicts, and letting through what they hold back."""

from weighbridge.client.session import Session, checkpoint_text, version_text
from weighbridge.contract import references, types
from weighbridge.contract.references import Reference


class Verdicts(Session):
    """The routes `…/verdict` and `…/release` of versions and checkpoints, and `…/reindex`."""

    def verdict(self, ref: Reference) -> types.VerdictReport:
        """The verdict on a version or checkpoint, and the files that are not safe."""
        return self.call(types.VerdictReport, "GET", *_at(ref), "verdict")

    def reindex(
        self,
        project: str,
        model: str = "",
        version: int = 0,
        everything: bool = False,
        dry_run: bool = False,
    ) -> types.ReindexJob:
        """Has stored files looked at again by the server's present indexer (administrators)."""
        body = types.ReindexRequest(model, version, everything, dry_run)
        at = ("projects", project, "reindex")
        return self.call(types.ReindexJob, "POST", *at, body=body, repeatable=False)

    def reindex_job(self, project: str) -> types.ReindexJob:
        """How far the newest reindexing job of a project came."""
        return self.call(types.ReindexJob, "GET", "projects", project, "reindex")

    def release_version(self, ref: Reference, comment: str) -> types.Version:
        """Lets a version through although its verdict is not safe (administrators)."""
        body = types.ReleaseRequest(comment)
        return self.call(types.Version, "POST", *_at(ref), "release", body=body)

    def release_checkpoint(self, ref: Reference, comment: str) -> types.Checkpoint:
        """Lets a checkpoint through although its verdict is not safe (administrators)."""
        body = types.ReleaseRequest(comment)
        return self.call(types.Checkpoint, "POST", *_at(ref), "release", body=body)


def _at(ref: Reference) -> tuple[str, ...]:
    version = version_text(ref.version or references.LATEST)
    at = ("projects", ref.project, "models", ref.model, "versions", version)
    if ref.checkpoint is None:
        return at
    return (*at, "checkpoints", checkpoint_text(ref.checkpoint))
