"""Aliases: names that always point to a ready version, with every move kept."""

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase

from chalicelib.registry import keys, models, outbox, paging, safety, versions
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.ports import Item, Put, Write
from chalicelib.registry.stores import Stores, epoch, event_id, event_time, iso
from weighbridge.contract import names, references
from weighbridge.contract.errors import Conflict, Forbidden, InvalidRequest, NotFound, TooLarge
from weighbridge.contract.types import AliasHistory, AliasMove, AliasTarget, Model

MAX_ALIASES = 100


def current(stores: Stores, project: str, model: str, alias: str) -> AliasMove:
    """Where the alias points now: its last move."""
    names.alias_name(alias)
    record = models.find(stores, project, model)
    if alias not in record.model.aliases:
        raise NotFound(f"the model {record.name} has no alias {alias!r}")
    moves = _moves(stores, record, alias, limit=1, page=None)
    return moves.items[0]


def move(
    stores: Stores, by: str, project: str, model: str, alias: str, target: AliasTarget
) -> AliasMove:
    """Points the alias to a version, under the model's revision. Moving it to where it is, is no move.

    With `expected`, only from that number (0: the alias must be new).
    """
    names.alias_name(alias)
    selector = references.parse_version(target.version)

    def choose(record: ModelRecord) -> int:
        found = versions.of_model(stores, record, selector)
        safety.refuse_held(found.reference, found.version.state, found.version.verdict)
        if found.version.state != "ready":
            raise Conflict(
                f"{found.reference} is {found.version.state}; an alias needs a ready one"
            )
        if alias not in record.model.aliases and len(record.model.aliases) >= MAX_ALIASES:
            raise TooLarge(f"a model has {MAX_ALIASES} aliases at most", limit=MAX_ALIASES)
        if _protected(record, alias) and found.version.approval.state != "approved":
            raise Forbidden(
                f"the alias {alias!r} is protected and {found.reference} is "
                f"{found.version.approval.state}: have it approved first "
                f"(`weighbridge approve {found.reference}`)"
            )
        if _protected(record, alias) and not safety.trusted(found.version):
            raise Forbidden(
                f"the alias {alias!r} is protected and the safety verdict on {found.reference} is "
                f"{found.version.verdict}: it must be safe, or an administrator must release it "
                f"(`weighbridge release {found.reference} --comment WHY`)"
            )
        return found.number

    return _change(stores, by, project, model, alias, target.expected, choose)


def remove(stores: Stores, by: str, project: str, model: str, alias: str) -> AliasMove:
    """Removes the alias; its history stays."""
    names.alias_name(alias)
    return _change(stores, by, project, model, alias, None, lambda record: 0)


def _protected(record: ModelRecord, alias: str) -> bool:
    return any(fnmatchcase(alias, p) for p in record.model.settings.protected_aliases)


class _Unchanged(Exception):
    """The alias points there already."""


def _change(
    stores: Stores,
    by: str,
    project: str,
    model: str,
    alias: str,
    expected: int | None,
    choose: Callable[[ModelRecord], int],
) -> AliasMove:
    done: list[AliasMove] = []

    def decide(record: ModelRecord) -> tuple[Model, list[Write]]:
        previous = record.model.aliases.get(alias, 0)
        if expected is not None and previous != expected:
            raise Conflict(
                f"the alias {alias!r} points to {previous or 'nothing'}, not to "
                f"{expected or 'nothing'}; look, then decide",
                current=previous,
            )
        number = choose(record)
        if number == previous:
            raise (
                _Unchanged
                if number
                else NotFound(f"the model {record.name} has no alias {alias!r}")
            )
        event = outbox.entry(
            stores, record.project_id, "alias.moved" if number else "alias.removed", by,
            model=model, subject=alias, versions=[n for n in (previous, number) if n],
            details={"version": number, "previous": previous}, order=record.model.revision,
        )  # fmt: skip
        identifier = outbox.identifier(event)
        moved = AliasMove(alias, number, previous, iso(event_time(identifier)), by)
        doc = {"previous": previous, "by": by}
        history = Put(Item(keys.alias_move(record.id, alias, identifier), {"n": number}, doc))
        pointers = {a: n for a, n in record.model.aliases.items() if a != alias}
        if number:
            pointers[alias] = number
        done[:] = [moved]
        return replace(record.model, aliases=pointers), [history, event]

    record = models.find(stores, project, model)
    try:
        models.revise(stores, record, decide)
    except _Unchanged:
        return current(stores, project, model, alias)
    return done[0]


def _moves(
    stores: Stores,
    record: ModelRecord,
    alias: str,
    *,
    limit: int,
    page: str | None,
    until: float | None = None,
) -> AliasHistory:
    low, high = keys.prefix(f"H#{alias}#")
    if until is not None:
        high = keys.alias_move(record.id, alias, event_id(until + 0.001, "")).sk

    def decoded(item: Item) -> AliasMove:
        at = iso(event_time(item.key.sk.rsplit("#", 1)[1]))
        doc = item.doc
        return AliasMove(alias, int(item.attrs["n"]), int(doc["previous"]), at, str(doc["by"]))

    items, following = paging.page_of(
        stores.table, f"alias/{record.id}/{alias}", keys.of_model(record.id), (low, high),
        decoded, size=limit, page=page, reverse=True,
    )  # fmt: skip
    return AliasHistory(items, following)


def history(
    stores: Stores,
    project: str,
    model: str,
    alias: str,
    *,
    at: str = "",
    limit: int = 100,
    page: str | None = None,
) -> AliasHistory:
    """The moves of an alias, newest first; with `at`, only the move in force at that time."""
    names.alias_name(alias)
    record = models.find(stores, project, model)
    if not at:
        return _moves(stores, record, alias, limit=limit, page=page)
    try:
        moment = epoch(at)
    except ValueError:
        raise InvalidRequest(
            f"{at[:60]!r} is no time: write 2026-11-21 or 2026-11-21T09:10:00Z"
        ) from None
    found = _moves(stores, record, alias, limit=1, page=None, until=moment)
    return AliasHistory(found.items)
