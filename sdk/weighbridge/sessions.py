"""A version that is filled while training runs: `with registry.version("p/m") as v: ...`."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from weighbridge import claiming, reading, verdicts
from weighbridge.client import Client
from weighbridge.contract import manifests, names, types
from weighbridge.contract.errors import Conflict, InvalidRequest, NotFound, RegistryError
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import CheckpointSelector, Reference, VersionSelector
from weighbridge.results import PushResult
from weighbridge.sources import PathLike, collect
from weighbridge.transfer.fingerprints import Wanted
from weighbridge.transfer.journal import Journal, open_journal
from weighbridge.transfer.progress import Watcher, watching
from weighbridge.transfer.upload import Sent, Uploader
from weighbridge.values import metrics_of, params_of, tags_of
from weighbridge.writing import (
    Clock,
    Draft,
    begin,
    checkpoint_draft,
    commit_version,
    journal_folder,
    move_aliases,
    send_checkpoint,
    stat_cache,
)


class VersionSession:
    """An open version. Files and checkpoints are sent as they are given; the version itself becomes
    visible when the block ends, with everything that was logged until then."""

    def __init__(
        self,
        client: Client,
        model: Reference,
        draft: Draft,
        *,
        resume: bool = False,
        retention: types.Retention | None = None,
        progress: Watcher | None = None,
        create: bool = True,
        wanted: Wanted | None = None,
    ) -> None:
        if resume and not draft.label:
            raise InvalidRequest("a version is resumed by its label: give one")
        self.result: PushResult | None = None
        """What was published; None before the end of the block."""
        self._client = client
        self._model = model
        self._draft = draft
        self._resume = resume
        self._retention = retention
        self._steps: dict[str, int] = {}
        self._progress = watching(progress)
        self._create = create
        self._wanted = wanted or Wanted.of()
        self._claims: dict[str, Sequence[types.TensorClaim]] = {}
        self._warnings: list[str] = []
        self._number = 0
        self._keep = False
        self._entries: dict[str, FileEntry] = {}
        self._sent = Sent((), 0, 0, 0)
        self._journal = Journal(None, None, [])
        self._clock = Clock(client)

    @property
    def number(self) -> int:
        """The version's number, known from the start of the block."""
        if not self._number:
            raise Conflict("the version is not open: use it in a `with` block")
        return self._number

    @property
    def reference(self) -> str:
        """`project/model@number`."""
        return f"{self._model}@{self.number}"

    def log_metrics(self, metrics: Mapping[str, float] | None = None, **more: float) -> None:
        """Sets metrics of the version; the last value of a name counts."""
        self._draft.metrics |= metrics_of({**(metrics or {}), **more})

    def log_params(self, params: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Sets parameters of the version."""
        self._draft.params |= params_of({**(params or {}), **more})

    def tag(self, tags: Mapping[str, str] | None = None, **more: str) -> None:
        """Sets tags of the version."""
        self._draft.tags |= tags_of({**(tags or {}), **more})

    def describe(self, description: str) -> None:
        """Sets the version's description."""
        self._draft.description = description

    def add(
        self, paths: PathLike | Iterable[PathLike], as_name: str | None = None
    ) -> tuple[FileEntry, ...]:
        """Sends files now; they belong to the version when it is published. A path that was added
        before is replaced."""
        number = self.number
        sources = collect(paths, as_name)
        names.check_paths({*self._entries, *(source.name for source in sources)})
        uploader = Uploader(
            self._client,
            self._model.project,
            self._journal,
            self._progress,
            stats=stat_cache(),
            wanted=self._wanted,
        )
        sent = uploader.send(sources, f"{self._model}@{number}")
        self._entries |= {entry.path: entry for entry in sent.entries}
        for entry in sent.entries:
            self._claims[entry.path] = sent.claims.get(entry.path, ())
        self._count(sent)
        return sent.entries

    def add_checkpoint(self, number: int, pick: Iterable[str] = ()) -> tuple[FileEntry, ...]:
        """The files of a checkpoint of this version, or those that match a pattern of `pick`, belong
        to the version when it is published. Nothing is sent."""
        at = Reference(
            self._model.project,
            self._model.model,
            VersionSelector("number", str(self.number)),
            CheckpointSelector("number", str(number)),
        )
        entries = reading.Choice(tuple(pick)).of(reading.files(self._client, at)[0], at)
        names.check_paths({*self._entries, *(entry.path for entry in entries)})
        self._entries |= {entry.path: entry for entry in entries}
        self._count(Sent((), 0, sum(entry.size for entry in entries), 0))
        return entries

    def last_step(self, component: str = "") -> int | None:
        """The step of a component's last checkpoint, those of an earlier run included and those that
        their verdict holds back; None if it has none."""
        at = (self._model.project, self._model.model, self.number, component or "-", "newest")
        if component not in self._steps:
            last = [
                found
                for state in ("ready", "held")
                if (found := next(self._client.iter_checkpoints(*at, state=state), None))
            ]
            if not last:
                return None
            self._steps[component] = max(last, key=lambda point: point.number).step
        return self._steps[component]

    def checkpoint(
        self,
        *,
        step: int | None = None,
        files: PathLike | Iterable[PathLike],
        component: str = "",
        name: str = "",
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        as_name: str | None = None,
    ) -> types.Checkpoint:
        """Publishes files as a checkpoint of this version, at once. The same content under the same
        (component, step, name) twice is one checkpoint.

        Without a `step` it is the one after the component's last, from 1 on; a version that was
        resumed goes on counting where the earlier run ended.
        """
        if step is None:
            last = self.last_step(component)
            step = 1 if last is None else last + 1
        selector = VersionSelector("number", str(self.number))
        ref = Reference(self._model.project, self._model.model, selector)
        draft = checkpoint_draft(step, component, name, metrics, tags)
        sources = collect(files, as_name)
        done, sent = send_checkpoint(
            self._client, ref, selector, sources, draft, self._progress, self._wanted
        )
        self._keep = True
        number = f"checkpoint {done.number}"
        self._warnings += [f"{number}: {text}" for text in claiming.warnings(sent.claims)]
        self._steps[component] = done.step
        self._count(sent)
        return done

    def __enter__(self) -> "VersionSession":
        if self._number:
            raise Conflict("the version was opened before")
        self._clock = Clock(self._client)
        found = self._found() if self._resume else None
        if found is None:
            found = begin(
                self._client,
                self._model,
                secrets.token_hex(16),
                self._draft.label,
                self._create,
                self._retention,
            )
        else:
            # It may have checkpoints of the earlier run: it is never given up by itself.
            self._keep = True
            self._retain(found.number)
        self._number = found.number
        self._journal = open_journal(
            journal_folder(), "session", self._client.url, str(self._model), self._draft.label
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._publish()
                self._journal.finish()
            else:
                self._leave(error)
        finally:
            self._journal.close()

    def _publish(self) -> None:
        entries = manifests.checked(self._entries.values())
        sent = self._sent
        everything = Sent(
            entries, sent.sent_bytes, sent.reused_bytes, sent.parts_sent, self._claims
        )
        try:
            done = commit_version(self._client, self._model, self._number, self._draft, everything)
        except RegistryError as error:
            self._leave(error)
            raise
        if self._draft.aliases:  # they need a version that is ready
            done = verdicts.version(self._client, done)
        move_aliases(self._client, self._model, self._number, self._draft.aliases)
        result = self._clock.result(self.reference, everything, self._number, judged=done)
        self.result = replace(result, warnings=(*self._warnings, *result.warnings))

    def _leave(self, error: BaseException) -> None:
        if self._keep:
            how = (
                f"registry.version({str(self._model)!r}, label={self._draft.label!r}, resume=True)"
                if self._draft.label
                else "a label, had it one: give versions with checkpoints a label"
            )
            error.add_note(
                f"{self.reference} stays open with its checkpoints; it is continued by {how}"
            )
            return
        selector = VersionSelector("number", str(self._number))
        try:
            self._client.abort_version(self._model.project, self._model.model, selector)
        except RegistryError as second:
            error.add_note(
                f"{self.reference} could not be given up ({second.message}); it is swept later"
            )

    def _found(self) -> types.Version | None:
        """The open version with our label, if there is one."""
        try:
            for version in self._client.iter_versions(
                self._model.project, self._model.model, state="open"
            ):
                if version.label == self._draft.label:
                    return version
        except NotFound:
            if not self._create:
                raise
        return None

    def _retain(self, number: int) -> None:
        """A version that is continued comes under the rules that are wanted now."""
        at = (self._model.project, self._model.model, number)
        wanted = self._retention
        if wanted is not None and self._client.retention(*at).retention != wanted:
            self._client.set_retention(*at, wanted)

    def _count(self, sent: Sent) -> None:
        total = self._sent
        self._sent = Sent(
            (),
            total.sent_bytes + sent.sent_bytes,
            total.reused_bytes + sent.reused_bytes,
            total.parts_sent + sent.parts_sent,
        )
