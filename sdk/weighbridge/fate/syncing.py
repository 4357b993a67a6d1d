"""A worker's directory and the registry, kept in step while it trains.

A checkpoint is complete when its marker is there and its hashes are right. The model's version is opened
at its first checkpoint and published when the model itself is complete. Whatever was done is read back
from the registry, so a killed sync goes on where it was.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from weighbridge.contract import names, references
from weighbridge.contract.errors import (
    FileChanged,
    Gone,
    InvalidName,
    InvalidRequest,
    NotFound,
    RegistryError,
    Throttled,
    TransferError,
    Unavailable,
)
from weighbridge.fate import digests, importing, layout, markers
from weighbridge.fate.layout import Step, Tree
from weighbridge.fate.remote import Key, Remote
from weighbridge.fate.reports import StepReport, SyncReport, TreeReport
from weighbridge.fate.steps import ENDING, Looked
from weighbridge.registry import Registry
from weighbridge.sources import PathLike, Source
from weighbridge.transfer.progress import Watcher

MOST_KEPT = 1000
PASSING = (TransferError, Throttled, Unavailable)
Told = Callable[[TreeReport], object]
Signature = tuple[tuple[str, int, int], ...]


def sync(
    registry: Registry,
    folder: PathLike,
    project: str,
    *,
    model: str = "",
    label: str = "",
    max_to_keep: int | None = None,
    dry_run: bool = False,
    progress: Watcher | None = None,
) -> SyncReport:
    """Sends what is complete below `folder` and not yet in the registry; see `Syncing`."""
    syncing = Syncing(
        registry, folder, project, model=model, label=label, max_to_keep=max_to_keep,
        dry_run=dry_run, progress=progress,
    )  # fmt: skip
    return syncing.once()


def checked_max(max_to_keep: int | None) -> int | None:
    """How many checkpoints are kept: None for all, else 1 to 1,000."""
    if max_to_keep is None:
        return None
    if isinstance(max_to_keep, bool) or not isinstance(max_to_keep, int):
        raise TypeError(f"max_to_keep is a whole number, not {max_to_keep!r}")
    if not 1 <= max_to_keep <= MOST_KEPT:
        raise ValueError(f"max_to_keep is from 1 to {MOST_KEPT}, not {max_to_keep}")
    return max_to_keep


@dataclass(slots=True)
class _Known:
    """What this process knows of one tree."""

    remote: Remote
    looked: bool = False
    done: dict[Key, int] = field(default_factory=dict)
    """Checkpoints that are alike on both sides, by the time of their marker."""
    signature: Signature = ()
    files: TreeReport | None = None
    said: TreeReport | None = None


class Syncing:
    """Keeps the trees below a folder in step with the registry: a cache, a party model's or a version's
    folder, or (with `model` and `label`) any folder that holds `checkpoint/`, or is it."""

    def __init__(
        self,
        registry: Registry,
        folder: PathLike,
        project: str,
        *,
        model: str = "",
        label: str = "",
        max_to_keep: int | None = None,
        dry_run: bool = False,
        told: Told | None = None,
        progress: Watcher | None = None,
    ) -> None:
        markers.yaml_needed()
        self.registry = registry
        self.project = names.project_name(project)
        self.max_to_keep = checked_max(max_to_keep)
        self._folder = Path(folder)
        self._named = (model, label)
        self._dry_run = dry_run
        self._told = told
        self._progress = progress
        self._known: dict[Path, _Known] = {}
        if bool(model) != bool(label):
            raise InvalidRequest("a tree with a name of its own needs both model and label")
        if model:
            names.model_name(model)
            names.label(label)
        elif not self._folder.is_dir():
            raise InvalidRequest(f"{folder} is no folder")

    def trees(self) -> tuple[list[Tree], list[str]]:
        """The trees as they are now, and what is none."""
        if self._named[0]:
            root = self._folder.absolute()
            root = root.parent if root.name == layout.CHECKPOINTS else root
            return [Tree(*self._named, root)], []
        found = list(layout.trees(self._folder))
        return [t for t in found if isinstance(t, Tree)], [t for t in found if isinstance(t, str)]

    def reference(self, tree: Tree) -> str | None:
        """The version of a tree, `PROJECT/MODEL@number`; None if the registry has none."""
        remote = Remote.of(self.registry, self.project, tree.model, tree.label, None)
        remote.look()
        return remote.reference or None

    def once(self, settle: bool = False) -> SyncReport:
        """One look at everything. With `settle` a model is published only if it is as it was at the
        look before: a training may still be writing it."""
        trees, problems = self.trees()
        reports = []
        for tree in trees:
            known = self._known.get(tree.root)
            if known is None:
                remote = Remote.of(
                    self.registry, self.project, tree.model, tree.label, self.max_to_keep,
                    self._progress,
                )  # fmt: skip
                known = self._known[tree.root] = _Known(remote)
            report = self._tree(tree, known, settle)
            self._known[tree.root].said, before = report, known.said
            reports.append(report)
            if self._told is not None and report != before and _news(report, before):
                self._told(report)
        return SyncReport(tuple(reports), tuple(problems), self._dry_run)

    def watch(
        self,
        interval: float = 2.0,
        stop: threading.Event | None = None,
        failed: Callable[[RegistryError], object] | None = None,
    ) -> SyncReport:
        """Looks again every `interval` seconds until the one version meant is published, or `stop` is
        set (a whole cache is watched until then). What passes by itself, such as a server that is down,
        is told to `failed` and tried again."""
        stop = stop or threading.Event()
        whole = not self._named[0] and layout.version_of(self._folder.absolute()) is None
        report = SyncReport(())
        while True:
            try:
                report = self.once(settle=True)
                if report.published and not whole:
                    return report
            except PASSING as error:
                if failed is not None:
                    failed(error)
            if stop.wait(interval):
                return report

    def _tree(self, tree: Tree, known: _Known, settle: bool) -> TreeReport:
        try:
            try:
                return self._look(tree, known, settle)
            except (Gone, NotFound):
                if not known.remote.version:
                    raise
                # It was deleted, or given up by the sweep: begin anew, as any other tree.
                self._known[tree.root] = _Known(known.remote)
                known.remote.version = None
                return self._look(tree, self._known[tree.root], settle)
        except FileChanged as error:
            return TreeReport(tree.model, tree.label, "failed", problems=(error.message,))
        except ENDING:
            raise
        except RegistryError as error:
            known.looked = False
            return TreeReport(tree.model, tree.label, "failed", problems=(error.message,))
        except OSError as error:
            return TreeReport(tree.model, tree.label, "failed", problems=(str(error),))

    def _look(self, tree: Tree, known: _Known, settle: bool) -> TreeReport:
        remote = known.remote
        if not known.looked:
            remote.look()
            if not self._dry_run:
                remote.keep()
            known.looked = True
        marks = {step.key: _marked(step) for step in tree.steps()[0]}
        same = [key for key, at in known.done.items() if marks.get(key) == at]
        steps = Looked(tree, remote, self.max_to_keep, self._dry_run, unfinished=False).run(same)
        for step in steps:
            key = (step.component, step.step, step.name)
            if step.outcome in ("pushed", "same") and key in marks and not self._dry_run:
                known.done[key] = marks[key]
        shown = [StepReport(*key, "same") for key in same] + steps
        shown.sort(key=lambda step: (step.component, step.step, step.name))
        return self._files(tree, known, tuple(shown), settle)

    def _files(
        self, tree: Tree, known: _Known, steps: tuple[StepReport, ...], settle: bool
    ) -> TreeReport:
        """The model's own files, once they are all there."""
        remote = known.remote
        sent = sum(step.sent_bytes for step in steps)
        sources = _present(tree)
        signature = _signature(sources)
        still = signature == known.signature and bool(signature)
        known.signature = signature
        report = TreeReport(
            tree.model, tree.label, "open", remote.reference, steps=steps, sent_bytes=sent,
            state=remote.state,
        )  # fmt: skip
        if known.files is not None and still:
            found = known.files
        elif (settle and not still) or tree.problems(sources):
            return report
        elif remote.version is None or remote.state == "open":
            if self._dry_run:
                size = sum(source.path.stat().st_size for source in sources)
                found = TreeReport(tree.model, tree.label, "published", "", len(sources), size)
            else:
                found = importing.publish_tree(tree, remote, sources)
                sent += found.sent_bytes
                known.files = found
        else:
            found = known.files = _compared(tree, remote, sources)
        return TreeReport(
            tree.model, tree.label, found.outcome, remote.reference, found.files, found.size, sent,
            steps, found.problems, remote.state,
        )  # fmt: skip


def _compared(tree: Tree, remote: Remote, sources: tuple[Source, ...]) -> TreeReport:
    local = digests.of(sources)
    found = digests.shortened(remote.differences(local))
    size = sum(digest.size for digest in local.values())
    return TreeReport(
        tree.model, tree.label, "failed" if found else "same", remote.reference, len(local), size,
        problems=tuple(found),
    )  # fmt: skip


def _present(tree: Tree) -> tuple[Source, ...]:
    try:
        return tree.sources()
    except FileNotFoundError:
        return ()  # something went away while we looked


def _signature(sources: tuple[Source, ...]) -> Signature:
    found = []
    for source in sources:
        try:
            status = source.path.stat()
        except FileNotFoundError:
            return ()
        found.append((source.name, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _marked(step: Step) -> int:
    try:
        return (step.folder / markers.MARKER).stat().st_mtime_ns
    except OSError:
        return 0


def _news(report: TreeReport, before: TreeReport | None) -> bool:
    """Whether there is something to say that was not said before."""
    if before is None or any(step.outcome == "pushed" for step in report.steps):
        return True
    told = {step for step in before.steps if step.outcome == "failed"}
    failed = {step for step in report.steps if step.outcome == "failed"}
    return bool(failed - told) or report.outcome != before.outcome


def named(ref: str) -> tuple[str, str, str]:
    """Project, model and label of `PROJECT/MODEL@=LABEL`."""
    found = references.parse(ref)
    if found.version is None or found.version.kind != "label" or found.checkpoint is not None:
        raise InvalidName(f"{ref!r} names no labelled version; write PROJECT/MODEL@=LABEL")
    return found.project, found.model, found.version.value
