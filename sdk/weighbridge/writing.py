"""Publishing versions and checkpoints: open, send, commit; and continue what was interrupted."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from weighbridge import claiming, config, provenance, verdicts
from weighbridge.client import Client
from weighbridge.client.session import version_text
from weighbridge.contract import manifests, names, references, types
from weighbridge.contract.errors import (
    Gone,
    InvalidManifest,
    InvalidRequest,
    RegistryError,
)
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import Reference, VersionSelector
from weighbridge.results import PushResult
from weighbridge.sources import Source
from weighbridge.transfer import plan
from weighbridge.transfer.fingerprints import Wanted
from weighbridge.transfer.journal import open_journal
from weighbridge.transfer.progress import Progress, Watcher, Whole, watching
from weighbridge.transfer.statcache import StatCache
from weighbridge.transfer.upload import Sent, Uploader, hash_all
from weighbridge.values import metrics_of, params_of, plain, tags_of


@dataclass(slots=True)
class Draft:
    """What is said of a version besides its files; checked before anything is sent."""

    label: str = ""
    description: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    provenance: types.Provenance | None = None
    package: str = ""

    @classmethod
    def of(
        cls,
        *,
        label: str = "",
        description: str = "",
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        aliases: Iterable[str] = (),
        parents: Iterable[str] = (),
        provenance: types.Provenance | None = None,
        package: str = "",
    ) -> "Draft":
        """A draft of legal names and values, or `InvalidName` or `InvalidRequest`."""
        if label:
            names.label(label)
        parents = tuple([parents] if isinstance(parents, str) else parents)
        for parent in parents:
            references.parse(parent)
        return cls(
            label=label,
            description=description,
            metrics=metrics_of(metrics),
            params=params_of(params),
            tags=tags_of(tags),
            attributes=params_of(attributes),
            aliases=tuple(names.alias_name(alias) for alias in aliases),
            parents=parents,
            provenance=provenance,
            package=package,
        )

    def commit(self, sent: Sent, claims: types.Claims | None = None) -> types.VersionCommit:
        """The request that publishes the version; its files only where they fit in it."""
        return types.VersionCommit(
            manifest=sent.manifest,
            files=sent.entries if len(sent.entries) <= plan.PAGE else (),
            description=self.description,
            metrics=self.metrics,
            params=self.params,
            tags=self.tags,
            attributes=self.attributes,
            provenance=self.provenance or provenance.collect(),
            parents=self.parents,
            claims=claims,
            package=self.package,
        )


def publish_version(
    client: Client,
    model: Reference,
    sources: Sequence[Source],
    draft: Draft,
    *,
    progress: Watcher | None = None,
    dry_run: bool = False,
    create: bool = True,
    wanted: Wanted | None = None,
    wait: float | None = None,
) -> PushResult:
    """See `Registry.push`."""
    wanted = wanted or Wanted.of()
    clock = Clock(client)
    if dry_run:
        return clock.result(str(model), hashed(sources, progress), 0, dry_run=True)
    draft = replace(draft, provenance=draft.provenance or provenance.collect())
    where = [f"{source.name}={source.path.absolute()}" for source in sources]
    shown = Whole(watching(progress))
    journal = open_journal(journal_folder(), "push", client.url, str(model), draft.label, *where)
    try:
        opened = begin(client, model, journal.key, draft.label, create)
        if opened.state not in ("open", *plan.COMMITTED):
            journal.new_key()
            opened = begin(client, model, journal.key, draft.label, create)
        uploader = Uploader(
            client, model.project, journal, shown, stats=stat_cache(), wanted=wanted
        )
        sent = uploader.send(sources, str(model))
        shown.phase("publish")
        step = plan.resume(opened.state, opened.manifest, sent.manifest)
        if step == "begin":
            journal.new_key()
            opened = begin(client, model, journal.key, draft.label, create)
        if step != "finished":
            opened, sent = commit_sent(client, model, opened.number, draft, sent, uploader, sources)
        journal.finish()
    finally:
        journal.close()
        shown.close()
    done = verdicts.version(client, opened, wait)
    move_aliases(client, model, done.number, draft.aliases)
    return clock.result(f"{model}@{done.number}", sent, done.number, judged=done)


def publish_checkpoint(
    client: Client,
    ref: Reference,
    sources: Sequence[Source],
    *,
    step: int,
    component: str = "",
    name: str = "",
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Watcher | None = None,
    dry_run: bool = False,
    wanted: Wanted | None = None,
    wait: float | None = 0.0,
) -> PushResult:
    """See `Registry.push_checkpoint`."""
    clock = Clock(client)
    if ref.checkpoint is not None:
        raise InvalidRequest(f"{ref} names a checkpoint; name the version that it belongs to")
    if ref.version is None:
        raise InvalidRequest(f"{ref} names no version; write PROJECT/MODEL@VERSION")
    draft = checkpoint_draft(step, component, name, metrics, tags)
    if dry_run:
        return clock.result(str(ref), hashed(sources, progress), 0, dry_run=True)
    made, sent = send_checkpoint(client, ref, ref.version, sources, draft, progress, wanted)
    done = verdicts.checkpoint(client, made, wait)
    reference = f"{ref.project}/{ref.model}@{done.version}:{done.number}"
    return clock.result(reference, sent, done.version, checkpoint=done.number, judged=done)


def checkpoint_draft(
    step: int,
    component: str = "",
    name: str = "",
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> types.CheckpointCommit:
    """What is said of a checkpoint besides its files, checked."""
    names.component(component)
    names.step_name(name)
    number = plain("the step", step)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidRequest(f"a step is a whole number, not {step!r}")
    return types.CheckpointCommit(
        "", (), number, component, name, metrics_of(metrics), tags_of(tags)
    )


def send_checkpoint(
    client: Client,
    ref: Reference,
    version: VersionSelector,
    sources: Sequence[Source],
    draft: types.CheckpointCommit,
    progress: Watcher | None,
    wanted: Wanted | None = None,
    check: Callable[[Sequence[FileEntry]], None] | None = None,
) -> tuple[types.Checkpoint, Sent]:
    """Sends files and publishes them as the checkpoint that `draft` describes. `check` is shown what
    was sent, and may raise what keeps it from being published."""
    where = f"{ref.project}/{ref.model}@{version_text(version)}"
    identity = (draft.component, str(draft.step), draft.name)
    shown = Whole(watching(progress))
    wanted = wanted or Wanted.of()
    journal = open_journal(journal_folder(), "checkpoint", client.url, where, *identity)
    try:
        uploader = Uploader(client, ref.project, journal, shown, stats=stat_cache(), wanted=wanted)
        sent = uploader.send(sources, where)
        if check is not None:
            check(sent.entries)
        shown.phase("publish")
        commit = replace(
            draft,
            manifest=sent.manifest,
            files=sent.entries,
            claims=claiming.store(client, ref, version, sent.claims),
        )
        done = client.commit_checkpoint(ref.project, ref.model, version, commit)
        journal.finish()
    finally:
        journal.close()
        shown.close()
    return done, sent


def begin(
    client: Client, model: Reference, key: str, label: str, create: bool,
    retention: types.Retention | None = None,
) -> types.Version:  # fmt: skip
    """Opens a version, and with it what it belongs to where that is missing and wanted."""
    try:
        return client.begin_version(model.project, model.model, key, label, retention, create)
    except Gone:
        return types.Version(model.project, model.model, 0, "aborted")


def move_aliases(client: Client, model: Reference, number: int, aliases: Iterable[str]) -> None:
    """Points aliases to a version that was just published; an error says that it was."""
    for alias in aliases:
        try:
            client.move_alias(model.project, model.model, alias, number)
        except RegistryError as error:
            error.message = (
                f"{model}@{number} was published, but the alias {alias!r} was not moved: "
                f"{error.message}"
            )
            error.args = (error.message,)
            raise


def commit_version(
    client: Client, model: Reference, number: int, draft: Draft, sent: Sent
) -> types.Version:
    """Publishes an open version; many files, and claims about many tensors, are added page by page
    first."""
    entries = sent.entries
    selector = VersionSelector("number", str(number))
    if len(entries) > plan.PAGE:
        for batch in plan.pages(entries):
            client.add_files(model.project, model.model, selector, batch)
    commit = draft.commit(sent, claiming.store(client, model, selector, sent.claims))
    return client.commit_version(model.project, model.model, selector, commit)


def commit_sent(
    client: Client,
    model: Reference,
    number: int,
    draft: Draft,
    sent: Sent,
    uploader: Uploader,
    sources: Sequence[Source],
) -> tuple[types.Version, Sent]:
    """Publishes what an uploader sent; what was swept since then is sent once more."""
    try:
        return commit_version(client, model, number, draft, sent), sent
    except InvalidManifest as error:
        if "blob" not in error.details:
            raise
    # A blob was swept between its upload and this commit: bring what is absent, once more.
    more = uploader.send(sources, str(model))
    made = commit_version(client, model, number, draft, more)
    return made, Sent(
        more.entries,
        sent.sent_bytes + more.sent_bytes,
        max(0, sent.reused_bytes - more.sent_bytes),
        sent.parts_sent + more.parts_sent,
        more.claims,
    )


def hashed(sources: Sequence[Source], progress: Watcher | None) -> Sent:
    """What a push would publish: every file hashed, nothing sent."""
    observer: Progress = watching(progress)
    observer.start(sum(source.path.stat().st_size for source in sources), "dry run")
    try:
        entries = []
        for source, file in hash_all(sources):
            entries.append(FileEntry(source.name, file.size, file.sha256, file.blob))
            observer.advance(0, file.size)
    finally:
        observer.finish()
    return Sent(manifests.checked(entries), 0, 0, 0)


def stat_cache() -> StatCache:
    """What earlier pushes of this user know of unchanged files; nothing if that is not wanted."""
    wanted = os.environ.get("WEIGHBRIDGE_NO_STAT_CACHE", "") in ("", "0")
    return StatCache(config.cache_folder() / "stats" if wanted else None)


def journal_folder() -> Path:
    """Where the journals of this user are."""
    return config.cache_folder() / "journal"


class Clock:
    """Measures a push or pull from its beginning."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._started = time.monotonic()
        self._requests = client.pool.requests

    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    def requests(self) -> int:
        """HTTP requests since the beginning."""
        return self._client.pool.requests - self._requests

    def result(
        self,
        reference: str,
        sent: Sent,
        version: int,
        *,
        checkpoint: int = 0,
        dry_run: bool = False,
        judged: types.Version | types.Checkpoint | None = None,
    ) -> PushResult:
        """The push's result, as of now."""
        return PushResult(
            reference=reference,
            version=version,
            sent_bytes=sent.sent_bytes,
            reused_bytes=sent.reused_bytes,
            files=len(sent.entries),
            seconds=self.seconds(),
            requests=self.requests(),
            parts_sent=sent.parts_sent,
            manifest=sent.manifest,
            checkpoint=checkpoint,
            entries=sent.entries,
            dry_run=dry_run,
            warnings=claiming.warnings(sent.claims),
            sampled=claiming.sampled(sent.claims.values()),
            state=judged.state if judged else "",
            verdict=judged.verdict if judged else "pending",
        )
