"""Labels of versions: unique as they are written, or, where a model orders them, as versions.

With `label_order` `none`, a label is locked when its version is opened. With `pep440`, every version
has a label that PEP 440 can parse, kept in canonical form; what counts is the parsed version, so `1.0`
equals `1.0.0`. One item, the mark, holds the greatest label that was ever committed. A commit moves it
in its own transaction, under the condition that nobody moved it meanwhile: so each published version is
strictly greater than all before it, whoever races. Opening promises nothing: of many open versions
with one label, one is published, and a forgotten one is in nobody's way. Deleting a version leaves the
mark: like its number, its label is never used again. Turning the order off drops the mark; turning it
on makes it anew of what is committed.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chalicelib.registry import keys
from chalicelib.registry.ports import (
    Absent,
    Condition,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Key,
    Put,
    Update,
    Write,
)
from chalicelib.registry.stores import Stores
from weighbridge.contract import pep440
from weighbridge.contract.errors import AlreadyExists, Conflict, InvalidName, InvalidRequest
from weighbridge.contract.types import Model

if TYPE_CHECKING:
    from chalicelib.registry.models import ModelRecord

_COMMITTED = (keys.READY, keys.HELD)
OPEN_LOOK = 100
"""Open versions, from the newest, among which a label that is not committed is looked for."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The greatest label committed so far; empty if there is none. `unchanged` holds while it stands."""

    label: str
    number: int
    unchanged: Condition


def ordered(model: Model) -> bool:
    """Whether the model's labels are versions in order."""
    return model.settings.label_order == "pep440"


def said(record: "ModelRecord", label: str) -> str:
    """The label as the model keeps it, or `InvalidName` or `InvalidRequest`."""
    if not ordered(record.model):
        return label
    if not label:
        raise InvalidRequest(
            f"{record.name} orders its labels (pep440): give the version a label such as 1.4.2"
        )
    return pep440.parse(label).text


def number_of(stores: Stores, record: "ModelRecord", label: str) -> int:
    """The number of the version with that label; 0 if there is none."""
    if not ordered(record.model):
        found = stores.table.get(keys.label(record.id, label))
        return int(found.attrs["n"]) if found else 0
    locks = _locks(record, label)
    items = stores.table.get_many(locks)
    for key in locks:
        if key in items:
            return int(items[key].attrs["n"])
    try:
        wanted = pep440.parse(label)
    except InvalidName:
        return 0
    opened = stores.table.query(
        keys.of_model(record.id), *keys.prefix(f"{keys.OPEN}#"), limit=OPEN_LOOK, reverse=True
    )
    equal = [item for item in opened.items if _parsed(item) == wanted]
    return int(equal[0].doc["number"]) if equal else 0


def _parsed(item: Item) -> pep440.Version | None:
    try:
        return pep440.parse(item.doc.get("label", ""))
    except InvalidName:
        return None


def mark(stores: Stores, record: "ModelRecord") -> Mark:
    """The model's mark; made of the versions there are, where it was dropped or never made."""
    key = keys.label_mark(record.id)
    item = stores.table.get(key)
    if item is None:
        item = _built(stores, record)
    if item is None:
        return Mark("", 0, (Absent(),))
    return Mark(
        str(item.attrs["ref"]), int(item.attrs["n"]), (Equal("rev", int(item.attrs["rev"])),)
    )


def _built(stores: Stores, record: "ModelRecord") -> Item | None:
    best: tuple[pep440.Version, int] | None = None
    for kind in _COMMITTED:
        after: str | None = None
        while True:
            part = stores.table.query(
                keys.of_model(record.id), *keys.prefix(f"{kind}#"), after=after, limit=1000
            )
            for item in part.items:
                found = _parsed(item)
                if found is not None and (best is None or found > best[0]):
                    best = found, int(item.doc["number"])
            after = part.next
            if after is None:
                break
    if best is None:
        return None
    made = Item(keys.label_mark(record.id), {"n": best[1], "ref": best[0].text, "rev": 1})
    try:
        stores.table.write(Put(made, (Absent(),)))
    except ConditionFailed as failed:
        return failed.existing
    return made


def check(record: "ModelRecord", found: Mark, label: str) -> None:
    """Refuses a label that is not greater than the mark."""
    if not found.label:
        return
    wanted, greatest = pep440.parse(label), pep440.parse(found.label)
    if wanted > greatest:
        return
    if wanted == greatest:
        raise AlreadyExists(
            f"the label {label!r} is taken: {record.name}@{found.number} is {found.label}; "
            "choose a greater one",
            label=label, greatest=found.label, version=found.number,
        )  # fmt: skip
    raise Conflict(
        f"the label {label!r} is not greater than {found.label} ({record.name}@{found.number}), and "
        f"{record.name} orders its labels (pep440)",
        label=label, greatest=found.label, version=found.number,
    )  # fmt: skip


def moves(stores: Stores, record: "ModelRecord", label: str, number: int) -> list[Write]:
    """The writes of a commit that move the mark, and lock the label."""
    found = mark(stores, record)
    if (
        found.number != number
    ):  # else a twin of this commit was faster, which its transaction will see
        check(record, found, label)
    moved = Item(
        keys.label_mark(record.id), {"n": number, "ref": label, "rev": 1},
    )  # fmt: skip
    first: Write = Put(moved, found.unchanged)
    if found.label:
        first = Update(
            moved.key, set={"n": number, "ref": label}, add={"rev": 1}, condition=found.unchanged
        )
    return [first, *(Put(Item(key, {"n": number})) for key in _locks(record, label))]


def freed(stores: Stores, record: "ModelRecord", label: str, number: int) -> list[Write]:
    """The writes that give up what locks the label of an ended version, if it has the lock."""
    locks = _locks(record, label)
    items = stores.table.get_many(locks) if locks else {}
    own = (Equal("n", number),)
    return [Delete(key, own) for key in locks if key in items and items[key].attrs["n"] == number]


def _locks(record: "ModelRecord", label: str) -> list[Key]:
    """Where a label may be locked: as it is written, and in the form that all its equals share. An
    ordered label has both, so it is still found where the order is turned off."""
    if not label:
        return []
    forms = [label]
    with suppress(InvalidName):
        forms.append(pep440.parse(label).normal)
    return [keys.label(record.id, form) for form in dict.fromkeys(forms)]


def turned(stores: Stores, record: "ModelRecord") -> list[Write]:
    """The writes of a change of the order itself; refused while versions are open, because those were
    opened under the other rule."""
    opened = stores.table.query(
        keys.of_model(record.id), *keys.prefix(f"{keys.OPEN}#"), limit=3
    ).items
    if opened:
        named = ", ".join(f"{record.name}@{item.doc['number']}" for item in opened)
        raise Conflict(
            f"{named} {'is' if len(opened) == 1 else 'are'} still open: publish or abort them, then "
            "change how labels are ordered"
        )
    return [Delete(keys.label_mark(record.id))]


def with_greatest(stores: Stores, models: Iterable[Model]) -> tuple[Model, ...]:
    """The models, those that order their labels with the greatest."""
    given = tuple(models)
    wanted = {keys.label_mark(m.id): m.id for m in given if ordered(m)}
    found = stores.table.get_many(wanted) if wanted else {}
    greatest = {wanted[key]: str(item.attrs["ref"]) for key, item in found.items()}
    return tuple(replace(m, greatest=greatest.get(m.id, "")) for m in given)
