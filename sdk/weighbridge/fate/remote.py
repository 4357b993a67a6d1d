"""What the registry holds of one tree, and bringing there what it lacks."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from weighbridge import reading, verdicts
from weighbridge.contract import names, types
from weighbridge.contract.errors import AlreadyExists, HeldBack, IntegrityError
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import CheckpointSelector, Reference, VersionSelector
from weighbridge.fate import digests
from weighbridge.fate.digests import Digests
from weighbridge.fate.layout import Step
from weighbridge.registry import Registry
from weighbridge.sources import Source
from weighbridge.training import resuming
from weighbridge.transfer.journal import open_journal
from weighbridge.transfer.notes import NOTHING
from weighbridge.transfer.progress import Watcher, watching
from weighbridge.transfer.upload import Sent, Uploader
from weighbridge.writing import (
    Draft,
    begin,
    checkpoint_draft,
    commit_sent,
    journal_folder,
    send_checkpoint,
    stat_cache,
)

Key = tuple[str, int, str]


@dataclass(slots=True)
class Remote:
    """One version of a party's model, found by its label. Nothing is asked before it is needed."""

    registry: Registry
    model: Reference
    label: str
    retention: types.Retention | None = None
    progress: Watcher | None = None
    version: types.Version | None = None
    known: dict[Key, types.Checkpoint] = field(default_factory=dict)

    @classmethod
    def of(
        cls, registry: Registry, project: str, model: str, label: str, max_to_keep: int | None,
        progress: Watcher | None = None,
    ) -> "Remote":  # fmt: skip
        """For the model of that name in a project."""
        ref = Reference(names.project_name(project), names.model_name(model))
        keep = types.Retention(keep_last=max_to_keep) if max_to_keep else None
        return cls(registry, ref, names.label(label), keep, progress)

    @property
    def reference(self) -> str:
        """`project/model@number`; empty while there is no such version."""
        return f"{self.model}@{self.version.number}" if self.version else ""

    @property
    def state(self) -> str:
        """The version's state; empty while there is none."""
        return self.version.state if self.version else ""

    def look(self) -> None:
        """Finds the version and its checkpoints, those that are held back included."""
        self.version = resuming.labelled(self.registry, self.model, self.label)
        self.known = {}
        if self.version is None:
            return
        at = (self.model.project, self.model.model, self.version.number)
        for state in ("ready", "held"):
            for point in self.registry.client.iter_checkpoints(*at, state=state):
                self.known[point.component, point.step, point.name] = point

    def open(self) -> VersionSelector:
        """The version, opened if there is none."""
        if self.version is None:
            client = self.registry.client
            key = secrets.token_hex(16)
            try:
                self.version = begin(client, self.model, key, self.label, True, self.retention)
            except AlreadyExists:  # somebody else opened it just now
                self.look()
                if self.version is None:
                    raise
        return VersionSelector("number", str(self.version.number))

    def keep(self) -> None:
        """Gives an open version the retention that is wanted, if it has another."""
        if self.retention is None or self.version is None or self.version.state != "open":
            return
        at = (self.model.project, self.model.model, self.version.number)
        if self.registry.client.retention(*at).retention != self.retention:
            self.registry.client.set_retention(*at, self.retention)

    # Checkpoints

    def step_differences(self, step: Step, local: Digests) -> list[str]:
        """How a checkpoint that the registry has differs from the one on this disk."""
        point = self.known[step.key]
        at = Reference(
            self.model.project, self.model.model, VersionSelector("number", str(point.version)),
            CheckpointSelector("number", str(point.number)),
        )  # fmt: skip
        try:
            entries = reading.files(self.registry.client, at)[0]
        except HeldBack:
            return _held_differences(point.files, point.size, local)
        return digests.differences(local, entries, f"checkpoint {point.number} of {self.reference}")

    def push_step(self, step: Step, local: Digests) -> int:
        """Sends a checkpoint; answers the bytes sent. What is published is what was checked."""
        selector = self.open()
        sources = [Source(step.folder / name, name) for name in local]
        draft = checkpoint_draft(step.index, step.component, step.name)

        def unchanged(entries: Sequence[FileEntry]) -> None:
            _unchanged(local, entries, step.shown)

        made, sent = send_checkpoint(
            self.registry.client, self.model, selector, sources, draft, self.progress, NOTHING,
            unchanged,
        )  # fmt: skip
        self.known[step.key] = made
        return sent.sent_bytes

    # The model itself

    def differences(self, local: Digests) -> list[str]:
        """How the published version differs from the files on this disk."""
        assert self.version is not None
        if self.version.state in ("checking", "blocked"):
            return _held_differences(self.version.files, self.version.size, local)
        entries = self.registry.files(self.reference)
        return digests.differences(local, entries, self.reference)

    def publish(self, sources: Sequence[Source], local: Digests, framework: str) -> Sent:
        """Sends the model's files and publishes the version; then compares what the registry lists."""
        selector = self.open()
        client = self.registry.client
        draft = Draft.of(label=self.label, provenance=types.Provenance(framework=framework))
        journal = open_journal(journal_folder(), "fate", client.url, str(self.model), self.label)
        try:
            uploader = Uploader(
                client, self.model.project, journal, watching(self.progress), stats=stat_cache(),
                wanted=NOTHING,
            )  # fmt: skip
            sent = uploader.send(sources, f"{self.model}@{selector.value}")
            _unchanged(local, sent.entries, self.reference)
            made, sent = commit_sent(
                client, self.model, selector.number, draft, sent, uploader, sources
            )
            journal.finish()
        finally:
            journal.close()
        self.version = verdicts.version(client, made, 0.0)
        if found := self.differences(local):
            raise IntegrityError("; ".join(digests.shortened(found)))
        return sent


def _unchanged(local: Digests, entries: Sequence[FileEntry], what: str) -> None:
    found = digests.differences(local, entries, "what was just read")
    if found:
        raise IntegrityError(f"{what} changed while it was sent: {'; '.join(found[:3])}")


def _held_differences(files: int, size: int, local: Digests) -> list[str]:
    """Files that are held back cannot be listed, only counted."""
    total = sum(digest.size for digest in local.values())
    if (files, size) == (len(local), total):
        return []
    return [f"{len(local)} files of {total} bytes here, {files} of {size} bytes there"]
