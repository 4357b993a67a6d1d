"""The part of the facade that is about checkpoints: find, resume, promote, pin, keep and prune."""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from weighbridge import reading, verdicts
from weighbridge.client import Client
from weighbridge.contract import names, references, types
from weighbridge.contract.errors import InvalidName, NotFound
from weighbridge.contract.references import CheckpointSelector, Reference, VersionSelector
from weighbridge.results import Resumed
from weighbridge.sources import PathLike
from weighbridge.transfer.progress import Watcher
from weighbridge.values import tags_of
from weighbridge.writing import Clock, move_aliases

_EVICTED = 3
"""How often a checkpoint may be evicted between its lookup and its download, by newer ones."""


class Series:
    """Checkpoints of a version. `ref` names the version (without `@`: the latest)."""

    client: Client

    def checkpoints(
        self,
        ref: str,
        component: str = "",
        order: str = "",
        *,
        name: str = "",
        steps: str = "",
        by: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> Iterator[types.Checkpoint]:
        """The checkpoints of a version, newest first; `order` is `newest`, `oldest` or `step`.

        With a metric in `by`, from its `max` or `min` on (`order`; the better end by itself).
        `component` `-` means those without one; `steps` is `100..200`, `100..` or `..200`.
        """
        return self.client.iter_checkpoints(*_version(ref), component, order, name, steps, by, tags)

    def checkpoint(self, ref: str) -> types.Checkpoint:
        """One checkpoint (`p/m@3:12`, `:best`; the last unless named)."""
        chosen = references.parse(ref).checkpoint or CheckpointSelector("last")
        return self.client.checkpoint(*_version(ref), chosen)

    def best_checkpoint(
        self, ref: str, metric: str, mode: str = "", component: str = ""
    ) -> types.Checkpoint | None:
        """The best by a metric (`mode` `max` or `min`; by itself what the model says), or None."""
        found = self.checkpoints(ref, component, mode, by=metric)
        return next(found, None)

    def last_checkpoint(self, ref: str, component: str = "") -> types.Checkpoint | None:
        """The last one committed (of a component), or None if there is none."""
        return next(self.checkpoints(ref, component, "newest"), None)

    def resume(
        self,
        ref: str,
        component: str = "",
        to: PathLike | None = None,
        *,
        force: bool = True,
        progress: Watcher | None = None,
    ) -> Resumed | None:
        """Pulls the last complete checkpoint of a version, open or ready; None if there is none.

        `component` limits it to one (`-`: those without). Files under `to` that differ are replaced,
        unless `force` is false.
        """
        clock = Clock(self.client)
        for attempt in range(_EVICTED):
            last = self.last_checkpoint(ref, component)
            if last is None:
                return None
            chosen = _reference(last)
            try:
                pulled = reading.pull(
                    self.client,
                    chosen,
                    last.manifest,
                    Path(to) if to is not None else None,
                    reading.Choice(),
                    force=force,
                    progress=progress,
                    clock=clock,
                )
            except NotFound:  # a newer one took its place: that is the one to go on from
                if attempt == _EVICTED - 1:
                    raise
                continue
            return Resumed(str(chosen), last.step, last, pulled)
        return None

    def promote(
        self,
        ref: str,
        label: str = "",
        alias: str | Iterable[str] = (),
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> types.Version:
        """Makes a checkpoint (`p/m@3:best`) the next version of its model, without copying bytes.

        The version has the checkpoint's metrics and says where it comes from (`source`); what becomes
        of the checkpoint does not matter to it. Each `alias` is moved to it afterwards. Where the
        project's safety policy blocks, its verdict is waited for, as at a push.
        """
        wanted = _checkpoint(ref)
        aliases = (alias,) if isinstance(alias, str) else tuple(alias)
        for one in aliases:
            names.alias_name(one)
        promotion = types.Promotion(secrets.token_hex(16), label, description, tags_of(tags))
        made = self.client.promote_checkpoint(*_version(ref), wanted, promotion)
        made = verdicts.version(self.client, made)
        parsed = references.parse(ref)
        move_aliases(self.client, Reference(parsed.project, parsed.model), made.number, aliases)
        return made

    def pin(self, ref: str, pinned: bool = True) -> types.Checkpoint:
        """Keeps a checkpoint whatever the retention says; `pinned=False` gives it back."""
        at = (*_version(ref), _checkpoint(ref))
        return self.client.pin_checkpoint(*at) if pinned else self.client.unpin_checkpoint(*at)

    def retention(self, ref: str) -> types.RetentionState:
        """Which checkpoints a version keeps (`p/m@3`), or those of a model (`p/m`)."""
        wanted = references.parse(ref)
        if wanted.version is not None:
            return self.client.retention(*_version(ref))
        settings = self.client.model(wanted.project, wanted.model).settings
        none = settings.retention == types.Retention()
        return types.RetentionState(settings.retention, "none" if none else "model")

    def set_retention(self, ref: str, retention: types.Retention | None) -> types.RetentionState:
        """Says which checkpoints a version (`p/m@3`), or each version of a model (`p/m`), keeps.

        None takes it back: a version goes by its model's then, a model's versions keep all.
        """
        wanted = references.parse(ref)
        if wanted.version is not None:
            if retention is None:
                return self.client.clear_retention(*_version(ref))
            return self.client.set_retention(*_version(ref), retention)
        at = (wanted.project, wanted.model)
        old = self.client.model(*at).settings
        new = replace(old, retention=retention or types.Retention())
        self.client.change_model(*at, settings=new)
        return self.retention(ref)

    def prune(self, ref: str, dry_run: bool = False) -> types.Pruned:
        """Applies the retention to all checkpoints of a version now, or says what that would do."""
        items: list[types.Judged] = []
        total = types.Pruned(())
        page: str | None = None
        while True:
            part = self.client.prune(*_version(ref), dry_run, page)
            items += part.items
            total = types.Pruned(
                tuple(items),
                total.evicted + part.evicted,
                total.freed_blobs + part.freed_blobs,
                total.freed_bytes + part.freed_bytes,
                total.shared_bytes + part.shared_bytes,
                dry_run,
            )
            page = part.next
            if not page:
                return total


def _version(ref: str) -> tuple[str, str, VersionSelector]:
    parsed = references.parse(ref)
    return parsed.project, parsed.model, parsed.version or references.LATEST


def _checkpoint(ref: str) -> CheckpointSelector:
    found = references.parse(ref).checkpoint
    if found is None:
        raise InvalidName(f"{ref!r} names no checkpoint; write PROJECT/MODEL@VERSION:CHECKPOINT")
    return found


def _reference(point: types.Checkpoint) -> Reference:
    return Reference(
        names.project_name(point.project),
        names.model_name(point.model),
        VersionSelector("number", str(point.version)),
        CheckpointSelector("number", str(point.number)),
    )
