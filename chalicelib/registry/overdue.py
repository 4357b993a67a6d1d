"""The sweep's part of retention: what became too old, and what a changed rule no longer keeps.

A note says which version (or every version of a model) is to be looked at, and from when. One call
does a bounded part and leaves in the note where to go on.
"""

from contextlib import suppress

from chalicelib.registry import keys, models, projects, pruning, retention, versions
from chalicelib.registry.ports import ConditionFailed, Delete, Equal, Item, Put, Update
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.errors import Gone, NotFound, Unavailable

PASSES = 20
"""Looks per note and sweep."""
VERSIONS = 500
"""Versions of a model that one sweep notes."""
_KINDS = (keys.OPEN, keys.HELD, keys.READY)


def apply(stores: Stores, project_id: str, note: Item) -> int:
    """Does what a note asks for; answers how many checkpoints were evicted."""
    _, model_id, number = note.key.sk.split("#")
    if not int(number):
        _each_version(stores, project_id, model_id, note)
        return 0
    found = _version(stores, project_id, model_id, int(number))
    if found is None:
        stores.table.write(Delete(note.key))
        return 0
    return _one_version(stores, found, note)


def _version(stores: Stores, project_id: str, model_id: str, number: int) -> VersionRecord | None:
    project = projects.by_id(stores, project_id)
    name = models.name_of(stores, project_id, model_id)
    if project is None or name is None:
        return None
    try:
        record = models.within(stores, project_id, project.name, name)
        return versions.numbered(stores, record, number)
    except (NotFound, Gone):
        return None


def _one_version(stores: Stores, found: VersionRecord, note: Item) -> int:
    """Looks on from where the note says. Numbers follow time, so the first checkpoint that only its
    age keeps ends the look: it is the next to be due, and all behind it are younger."""
    policy = pruning.state(stores, found).retention
    after: str | None = note.doc.get("after")
    evicted = 0
    for _ in range(PASSES):
        if not retention.has_rules(policy):
            break
        try:
            done = pruning.look(stores, found, after, act=True, account=False)
        except Unavailable:  # others are at it: the next sweep goes on from here
            _go_on(stores, note, int(stores.now()), after)
            return evicted
        evicted += sum(not verdict.keep for verdict in done.judged)
        for verdict, point in zip(done.judged, done.points, strict=True):
            if verdict.reason == "max_age":
                # Not for each one by itself: the look at those that rules keep is not free.
                soon = stores.now() + policy.max_age // 100
                due = int(max(retention.expiry(point, policy), soon)) + 1
                _go_on(stores, note, due, None)
                return evicted
        after = done.after
        if after is None:
            break
    else:
        _go_on(stores, note, int(stores.now()), after)
        return evicted
    _done(stores, note)
    return evicted


def _go_on(stores: Stores, note: Item, until: int, after: str | None) -> None:
    doc = {} if after is None else {"after": after}
    change = Update(
        note.key, set={"until": until}, doc=doc, condition=(Equal("ref", note.attrs["ref"]),)
    )
    with suppress(ConditionFailed):  # written anew meanwhile: the next sweep begins at the front
        stores.table.write(change)


def _done(stores: Stores, note: Item) -> None:
    with suppress(ConditionFailed):
        stores.table.write(Delete(note.key, (Equal("ref", note.attrs["ref"]),)))


def _each_version(stores: Stores, project_id: str, model_id: str, note: Item) -> None:
    """Notes the versions of a model that have not ended, some at a time, in the order that a version
    goes from key to key: one that moves meanwhile is met once more, and none is missed."""
    after = str(note.doc.get("after", f"{keys.OPEN}#"))
    left = VERSIONS
    for kind in _KINDS[_KINDS.index(after[0]) :]:
        low, high = keys.prefix(f"{kind}#")
        following: str | None = after if after.startswith(low) else low
        while following is not None:
            if left <= 0:
                _go_on(stores, note, int(stores.now()), following)
                return
            part = stores.table.query(
                keys.of_model(model_id), low, high, after=following, limit=left
            )
            noted: list[Put] = [
                retention.note(stores, project_id, model_id, int(item.key.sk[2:]))
                for item in part.items
            ]
            stores.table.write_many(noted)
            left -= max(1, len(part.items))
            following = part.next
    _done(stores, note)
