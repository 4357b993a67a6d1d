"""A whole reference cache into the registry: every party, version and checkpoint; repeatable."""

import json
from collections.abc import Callable
from pathlib import Path

from weighbridge.contract.errors import Conflict, FileChanged, RegistryError
from weighbridge.fate import digests, layout, markers
from weighbridge.fate.layout import Tree
from weighbridge.fate.remote import Remote
from weighbridge.fate.reports import ImportReport, TreeReport
from weighbridge.fate.steps import ENDING, Looked
from weighbridge.registry import Registry
from weighbridge.sources import PathLike, Source
from weighbridge.transfer.progress import Watcher

Told = Callable[[TreeReport], object]
_LONGEST_RECORD = 64 * 1024 * 1024


def import_cache(
    registry: Registry,
    folder: PathLike,
    project: str,
    *,
    dry_run: bool = False,
    told: Told | None = None,
    progress: Watcher | None = None,
) -> ImportReport:
    """Imports all complete models below a folder: a `model_local_cache`, what holds one, or the folder
    of one party's model or version.

    What is there and equal is left alone; what differs is an error of that model that names the file,
    and nothing is overwritten. A broken tree is an error of its own, the others go on. What the server
    refuses to everybody (no right, not reachable) ends the import; running it again goes on. `told` is
    shown each report as it is known.
    """
    markers.yaml_needed()
    found: list[TreeReport] = []
    problems: list[str] = []
    for tree in layout.trees(Path(folder)):
        if isinstance(tree, str):
            problems.append(tree)
            continue
        report = _one(registry, project, tree, dry_run, progress)
        found.append(report)
        if told is not None:
            told(report)
    return ImportReport(tuple(found), tuple(problems), dry_run)


def _one(
    registry: Registry, project: str, tree: Tree, dry_run: bool, progress: Watcher | None
) -> TreeReport:
    try:
        sources = tree.sources()
        if missing := tree.problems(sources):
            missing.append(
                "the model is not complete, so nothing of it is imported; `weighbridge fate sync` "
                "takes the checkpoints of a training that is to go on"
            )
            return TreeReport(tree.model, tree.label, "failed", problems=tuple(missing))
        remote = Remote.of(registry, project, tree.model, tree.label, None, progress)
        remote.look()
        return _complete(tree, remote, sources, dry_run)
    except FileChanged as error:
        return TreeReport(tree.model, tree.label, "failed", problems=(error.message,))
    except ENDING:
        raise
    except RegistryError as error:
        return TreeReport(tree.model, tree.label, "failed", problems=(error.message,))
    except OSError as error:
        return TreeReport(tree.model, tree.label, "failed", problems=(str(error),))


def _complete(tree: Tree, remote: Remote, sources: tuple[Source, ...], dry_run: bool) -> TreeReport:
    local = digests.of(sources)
    size = sum(digest.size for digest in local.values())
    sent, problems = 0, list[str]()
    fresh = remote.version is None or remote.state == "open"
    if not fresh and (found := remote.differences(local)):
        problems = digests.shortened(found)
    # Checkpoints first: while the version is open, nobody takes it for whole.
    steps = [] if problems else Looked(tree, remote, None, dry_run).run()
    if fresh and not dry_run:
        sent = remote.publish(sources, local, framework(sources)).sent_bytes
    if remote.state in ("checking", "blocked"):
        problems.append(
            f"{remote.reference} is {remote.state}: the project's safety policy holds it back; "
            f"`weighbridge verdict {remote.reference!r}` says why"
        )
    return TreeReport(
        tree.model, tree.label, "failed" if problems else "published" if fresh else "same",
        remote.reference, len(local), size, sent + sum(step.sent_bytes for step in steps),
        tuple(steps), tuple(problems), remote.state,
    )  # fmt: skip


def framework(sources: tuple[Source, ...]) -> str:
    """What trained the model, as its pipeline record says: `FATE 1.11.2`, or `FATE`."""
    record = next((s for s in sources if s.name == f"{layout.PIPELINE}.json"), None)
    if record is None or record.path.stat().st_size > _LONGEST_RECORD:
        return "FATE"
    try:
        said = json.loads(record.path.read_bytes())
    except (ValueError, RecursionError):
        return "FATE"
    version = said.get("fateVersion") if isinstance(said, dict) else None
    return f"FATE {version}" if isinstance(version, str) and version[:40].isprintable() else "FATE"


def publish_tree(tree: Tree, remote: Remote, sources: tuple[Source, ...]) -> TreeReport:
    """Publishes the files of a complete tree whose version is open (or new)."""
    if remote.version is not None and remote.state != "open":
        raise Conflict(f"{remote.reference} is {remote.state} already")
    local = digests.of(sources)
    sent = remote.publish(sources, local, framework(sources))
    size = sum(digest.size for digest in local.values())
    return TreeReport(
        tree.model, tree.label, "published", remote.reference, len(local), size, sent.sent_bytes,
        state=remote.state,
    )  # fmt: skip
