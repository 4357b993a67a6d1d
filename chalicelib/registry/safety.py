"""Verdicts on versions and checkpoints: gathered from their files' facts, and what a policy makes of them.
Their formats are gathered on the way, and written wherever the verdict is.

Under the policy `warn` a verdict is only shown. Under `block` a version or checkpoint is held back at
commit (`checking`) until every file was looked at; then it becomes `ready`, or `blocked` for good, which
only a release lifts. The policy in force at commit decides, so it does not matter what is changed when.

Who is not decided at commit leaves one note at the blob it waits for: the last in the manifest that
nobody has looked at. The indexer writes facts, then looks for notes; whoever leaves a note looks at the
facts again after it. So one of them sees the other, whatever is repeated, late or reordered; a note that
both missed because a process died is taken up by the sweep. A note moves on from blob to blob towards
the first file, so each file's facts are read about once per version, however many events come.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.registry import blobs, facts, keys, outbox, series, versions
from chalicelib.registry.ports import (
    Absent,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Key,
    Missing,
    Present,
    Put,
    Update,
    Write,
)
from chalicelib.registry.stores import Stores, iso
from weighbridge.contract.errors import Conflict, HeldBack, NotFound, Unavailable
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Release, Safety, SafetyPolicy, Version

BATCH = 100
RACES = 12
WAIT_SECONDS = 900
"""After so long the sweep looks what became of the file that is waited for."""
MAX_FORMATS = 16
NO_FORMAT = "file"
"""What indexers call a file of no format they know."""
_RANK: dict[Safety, int] = {"safe": 0, "unknown": 1, "unsafe": 2, "pending": 3}


def worse(one: Safety, other: Safety) -> Safety:
    """The worse of two verdicts."""
    return max(one, other, key=_RANK.__getitem__)


@dataclass(frozen=True, slots=True)
class Look:
    """A look through files from the last to the first: `at` of them are not yet known, `worst` is the
    verdict on the others and `seen` are their formats. `blob` is the one to wait for, at `path`; empty at
    the end."""

    at: int
    worst: Safety = "safe"
    blob: str = ""
    path: str = ""
    seen: tuple[str, ...] = ()

    @property
    def verdict(self) -> Safety:
        """The verdict on all files."""
        return "pending" if self.blob else self.worst

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of all files; empty while one was not looked at."""
        return () if self.blob else self.seen


def _with_format(seen: tuple[str, ...], found: str) -> tuple[str, ...]:
    # The first by name, so that the order in which files are looked at makes no difference.
    if not found or found == NO_FORMAT or found in seen:
        return seen
    return tuple(sorted((*seen, found)))[:MAX_FORMATS]


def look(
    stores: Stores, project_id: str, files: Sequence[FileEntry], since: Look | None = None
) -> Look:
    """Goes on from `since` until a file that nobody has looked at, or the end."""
    start = since or Look(len(files))
    at, worst, seen = start.at, start.worst, start.seen
    while at > 0:
        batch = files[max(0, at - BATCH) : at]
        known = facts.verdicts(stores, project_id, [entry.blob for entry in batch])
        for entry in reversed(batch):
            found = known.get(entry.blob)
            if found is None:
                return Look(at, worst, entry.blob, entry.path, seen)
            worst = worse(worst, found[0])
            seen = _with_format(seen, found[1])
            at -= 1
    return Look(0, worst, seen=seen)


def state_of(policy: SafetyPolicy, verdict: Safety) -> str:
    """The state that a commit leads to."""
    if policy == "warn" or verdict == "safe":
        return "ready"
    return "checking" if verdict == "pending" else "blocked"


def trusted(version: Version) -> bool:
    """Whether a protected alias may point to it, as far as safety goes."""
    return version.verdict == "safe" or bool(version.release.by)


def refuse_held(reference: str, state: str, verdict: Safety) -> None:
    """Raises `HeldBack` if it is not for everybody."""
    if state == "checking":
        raise HeldBack(
            f"{reference} is being checked: not every file was looked at yet; try again soon",
            state=state, verdict=verdict,
        )  # fmt: skip
    if state == "blocked":
        raise HeldBack(
            f"{reference} is blocked: its safety verdict is {verdict}. `weighbridge verdict "
            f"{reference}` says why; an administrator can let it through with `weighbridge release`",
            state=state, verdict=verdict,
        )  # fmt: skip


# Notes


def _note(stores: Stores, project_id: str, holder: str, manifest: str, found: Look) -> Put:
    until: dict[str, str | int] = {"until": int(stores.now()) + WAIT_SECONDS}
    doc = {"manifest": manifest, "at": found.at, "worst": found.worst, "path": found.path,
           "seen": list(found.seen)}  # fmt: skip
    return Put(Item(keys.waiting(project_id, found.blob, holder), until, doc))


def leave_note(
    stores: Stores, project_id: str, holder: str, manifest: str, found: Look
) -> Key | None:
    """Before a commit: notes the blob that is waited for, if any."""
    if not found.blob:
        return None
    put = _note(stores, project_id, holder, manifest, found)
    stores.table.write(put)
    return put.key


def _follow(
    stores: Stores, project_id: str, holder: str, manifest: str, found: Look, note: Key
) -> tuple[Look, Key]:
    """Moves the note until it stands at a blob that nobody has looked at, or all are known."""
    files = versions.files(stores, project_id, manifest)
    while found.blob:
        put = _note(stores, project_id, holder, manifest, found)
        if put.key != note:
            stores.table.write(put)
            stores.table.write(Delete(note))
            note = put.key
        again = look(stores, project_id, files, found)
        if again.blob == found.blob:
            _ask_again(stores, project_id, found.blob)
            return again, note
        found = again
    return found, note


def _ask_again(stores: Stores, project_id: str, blob: str) -> None:
    """No event will come for a blob that only an older indexer has looked at: ask for one."""
    if facts.indexed(stores, project_id, blob) == 0:
        return
    with suppress(Unavailable, NotFound):
        key = blobs.object_keys(stores, project_id, [blob])[blob]
        stores.queue.send("index", {"detail": {"object": {"key": key}}})


def of_blob(stores: Stores, project_id: str, blob: str) -> list[Item]:
    """The notes that wait for a blob."""
    found: list[Item] = []
    after: str | None = None
    while True:
        page = stores.table.query(
            keys.of_candidates(project_id), *keys.prefix(f"W#{blob}#"), after=after, limit=1000
        )
        found += page.items
        if page.next is None:
            return found
        after = page.next


def arrived(stores: Stores, project_id: str, blob: str) -> None:
    """The facts of a blob are there: decides, or moves on, whoever waits for them."""
    for note in of_blob(stores, project_id, blob):
        advance(stores, project_id, note)


def doubt(stores: Stores, project_id: str, blob: str) -> None:
    """Before the verdict on a blob changes: has all that hold it wait for it once more."""
    notes = []
    for reference in blobs.references(stores, project_id, blob):
        key = keys.waiting(project_id, blob, reference.sk.removeprefix("R#"))
        notes.append(Put(Item(key, {"until": int(stores.now())})))
    stores.table.write_many(notes)


def advance(stores: Stores, project_id: str, note: Item) -> None:
    """Follows one note as far as facts are there. A holder that is not committed keeps its note."""
    blob, holder = keys.parse_waiting(note.key.sk)
    for _ in range(RACES):
        found = committed(stores, holder)
        if found is None:
            return
        manifest = str(found.doc["manifest"])
        files = versions.files(stores, project_id, manifest)
        since = None
        if note.doc.get("manifest") == manifest:
            seen = tuple(note.doc.get("seen", ()))
            since = Look(int(note.doc["at"]), note.doc["worst"], blob, seen=seen)
        reached = look(stores, project_id, files, since)
        if reached.blob:
            reached, at = _follow(stores, project_id, holder, manifest, reached, note.key)
            if reached.blob:
                return
            note = Item(at, note.attrs, note.doc)
        try:
            decide(stores, project_id, found, reached)
        except ConditionFailed:
            note = Item(note.key)  # changed meanwhile: look at everything anew
            continue
        stores.table.write(Delete(note.key))
        return
    raise Unavailable(f"too many others changed {holder} at once; try again")


def recheck(stores: Stores, project_id: str, note: Key | None) -> bool:
    """After a commit: looks whether the facts came between look and note. Answers whether they did."""
    item = stores.table.get(note) if note else None
    if item is None:
        return note is not None  # the indexer was faster
    blob, _ = keys.parse_waiting(item.key.sk)
    if not facts.verdicts(stores, project_id, [blob]):
        _ask_again(stores, project_id, blob)
        return False
    advance(stores, project_id, item)
    return True


# Decisions


def committed(stores: Stores, holder: str) -> Item | None:
    """The version or checkpoint, if it was committed and not deleted since."""
    found = stores.table.get_many(keys.committed(holder))
    return next(iter(found.values()), None)


def unchanged(item: Item) -> tuple[Equal | Missing | Present, ...]:
    """The condition that an item is as it was read."""
    if "rev" in item.attrs:
        return (Equal("rev", item.attrs["rev"]),)
    return (Present(), Missing("rev"))


def _event(stores: Stores, project_id: str, doc: dict[str, Any], what: str, by: str,
           details: dict[str, Any] | None = None) -> Put:  # fmt: skip
    """An event about what a document describes; `~` before `what` keeps it out of the history."""
    point = "step" in doc
    quiet, what = what[:1] == "~", what.removeprefix("~")
    number = doc["version"] if point else doc["number"]
    subject = f"{doc['model']}@{number}" + (f":{doc['number']}" if point else "")
    if point:
        details = {"component": doc["component"], "step": doc["step"], "name": doc["name"],
                   **(details or {})}  # fmt: skip
    kind = f"{'~' if quiet else ''}{'checkpoint' if point else 'version'}.{what}"
    return outbox.entry(
        stores, project_id, kind, by, model=doc["model"], subject=subject, versions=[number],
        details=details,
    )  # fmt: skip


def decide(stores: Stores, project_id: str, item: Item, looked: Look) -> None:
    """Writes verdict and formats, and makes what was being checked ready or blocked, all at once.

    What is ready stays so, and what is blocked too: a later verdict is only shown. Raises
    `ConditionFailed` if the item was changed since it was read.
    """
    verdict, formats = looked.verdict, list(looked.formats)
    doc: dict[str, Any] = {**item.doc, "verdict": verdict, "formats": formats}
    before: Safety = item.doc.get("verdict", "pending")
    details = {"verdict": verdict, "before": before}
    writes: list[Write]
    if item.doc.get("state", "ready") == "checking":
        doc["state"] = state_of("block", verdict)
        if doc["state"] == "ready":
            writes = [*_let_through(stores, item, doc),
                      _event(stores, project_id, doc, "published", "indexer", details)]  # fmt: skip
        else:
            writes = [_changed(item, doc),
                      _event(stores, project_id, doc, "blocked", "indexer", details)]  # fmt: skip
    elif before == verdict and item.doc.get("formats", []) == formats:
        # Writing the same once more makes others that read less than we did look again.
        stores.table.write(_changed(item, doc))
        return
    else:
        quiet = before == verdict or (before, verdict) == ("pending", "safe")
        told = "~verdict" if quiet else "verdict"
        writes = [_changed(item, doc), _event(stores, project_id, doc, told, "indexer", details)]
    stores.table.transact(writes)
    outbox.wake(stores, project_id)


def _changed(item: Item, doc: dict[str, Any]) -> Update:
    # A checkpoint's flat state is its pin.
    state = {"state": doc["state"]} if "state" in item.attrs and "step" not in doc else {}
    return Update(item.key, set=state, add={"rev": 1}, doc=doc, condition=unchanged(item))


def _let_through(stores: Stores, item: Item, doc: dict[str, Any]) -> list[Write]:
    """Moves what was held back to where everybody sees it. A checkpoint's index rows are written now,
    as at a commit: while it is held back, or if it never moves, readers pass them over."""
    point = "step" in doc
    kind = keys.POINT if point else keys.READY
    if point:
        stores.table.write_many(series.index_items(item.key.pk, series.decoded(item)))
    if "published" in doc:
        doc["published"] = iso(stores.now())
    key = Key(item.key.pk, kind + item.key.sk.removeprefix(keys.HELD))
    attrs: dict[str, str | int] = {**item.attrs, "rev": int(item.attrs.get("rev", 0)) + 1}
    if "state" in attrs and not point:
        attrs["state"] = "ready"
    return [Delete(item.key, unchanged(item)), Put(Item(key, attrs, doc), (Absent(),))]


def release(
    stores: Stores, by: str, project_id: str, holder: str, reference: str, why: str
) -> None:
    """Lets through what a verdict holds back, under the name of who answers for it. A repeat changes
    nothing; what is ready and safe needs no release."""
    for _ in range(RACES):
        item = committed(stores, holder)
        if item is None:
            raise NotFound(f"{reference} is not committed, or was deleted")
        held = item.doc.get("state", "ready") != "ready"
        if item.doc.get("release", {}).get("by") and not held:
            return
        verdict: Safety = item.doc.get("verdict", "pending")
        if not held and verdict == "safe":
            raise Conflict(f"nothing holds {reference} back: its verdict is safe")
        signed = Release(by, iso(stores.now()), why)
        doc: dict[str, Any] = {**item.doc, "state": "ready"}
        doc["release"] = {"by": signed.by, "at": signed.at, "comment": signed.comment}
        writes = _let_through(stores, item, doc) if held else [_changed(item, doc)]
        event = _event(
            stores, project_id, doc, "released", by, {"comment": why, "verdict": verdict}
        )
        try:
            stores.table.transact([*writes, event])
        except ConditionFailed:
            continue
        outbox.wake(stores, project_id)
        return
    raise Unavailable(f"too many others changed {reference} at once; try again")
