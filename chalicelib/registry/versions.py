"""Reading versions: by number, alias, label or the latest; lists; the best by a metric."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.registry import keys, labels, models, newer, paging
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.ports import Item
from chalicelib.registry.stores import Stores
from weighbridge.contract import codec, manifests, names, references
from weighbridge.contract.errors import Gone, InvalidRequest, NotFound
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import Direction, Version, VersionPage

COMMITTED = ("ready", "checking", "blocked")
"""The states of a version whose files will not change any more."""
_LATER_FIRST = (keys.READY, keys.ENDED, keys.HELD, keys.OPEN)


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A version with its model."""

    model: ModelRecord
    version: Version
    rest: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What a later version of this code keeps in the item (`newer.py`)."""

    @property
    def number(self) -> int:
        """The version's number."""
        return self.version.number

    @property
    def holder(self) -> str:
        """Its name in the references to blobs."""
        return keys.holder(self.model.id, self.number)

    @property
    def reference(self) -> str:
        """`project/model@7`."""
        return f"{self.model.name}@{self.number}"


def decoded(item: Item, record: ModelRecord) -> Version:
    """The version an item holds, with the aliases that point to it."""
    version = codec.decode(Version, dict(item.doc))
    aliases = tuple(sorted(a for a, n in record.model.aliases.items() if n == version.number))
    return replace(version, aliases=aliases, revision=int(item.attrs.get("rev", 0)))


def _found(item: Item, record: ModelRecord) -> VersionRecord:
    return VersionRecord(record, decoded(item, record), newer.rest(item.doc, Version))


def document(version: Version) -> dict[str, object]:
    """What is stored of a version; aliases and revision live elsewhere."""
    doc: dict[str, object] = codec.encode(version)
    doc.pop("aliases")
    doc.pop("revision")
    return doc


def resolve(
    stores: Stores, project: str, model: str, selector: VersionSelector, *, ended: bool = False
) -> VersionRecord:
    """The version that `selector` means. One that is open or held back only by number or label.

    `Gone` for a number that was deleted or aborted, unless `ended` asks for those too.
    """
    return of_model(stores, models.find(stores, project, model), selector, ended=ended)


def of_model(
    stores: Stores, record: ModelRecord, selector: VersionSelector, *, ended: bool = False
) -> VersionRecord:
    """The version of a known model that `selector` means."""
    if selector.kind == "latest":
        found = stores.table.query(
            keys.of_model(record.id), *keys.prefix("V#"), limit=1, reverse=True
        )
        if not found.items:
            raise NotFound(f"the model {record.name} has no version yet")
        return _found(found.items[0], record)
    if selector.kind == "alias":
        number = record.model.aliases.get(selector.value, 0)
        if not number:
            raise NotFound(f"the model {record.name} has no alias {selector.value!r}")
    elif selector.kind == "label":
        number = labels.number_of(stores, record, selector.value)
        if not number:
            raise NotFound(f"the model {record.name} has no version labelled {selector.value!r}")
    else:
        number = selector.number
    return numbered(stores, record, number, ended=ended)


def numbered(
    stores: Stores,
    record: ModelRecord,
    number: int,
    *,
    ended: bool = False,
    likely: str = keys.READY,
) -> VersionRecord:
    """The version of that number in whatever state it is. One read if its kind is the `likely` one, else
    five."""
    item = stores.table.get(keys.version(record.id, likely, number))
    if item is None:
        # A version moves from key to key: what moves while we read may seem to be nowhere, or twice.
        wanted = [keys.version(record.id, kind, number) for kind in _LATER_FIRST]
        found = stores.table.get_many(wanted) or stores.table.get_many(wanted)
        item = next((found[key] for key in wanted if key in found), None)
        if item is None:
            raise NotFound(f"the model {record.name} has no version {number}")
    held = _found(item, record)
    state = held.version.state
    if state in ("deleted", "aborted") and not ended:
        raise Gone(f"{record.name}@{number} was {state}; its number is never used again")
    return held


def listing(
    stores: Stores,
    record: ModelRecord,
    *,
    state: str = "ready",
    newest: bool = True,
    limit: int = 100,
    page: str | None = None,
) -> VersionPage:
    """Ready versions of a model by number; or those that are open, or held back by their verdict."""
    kinds = {"ready": keys.READY, "open": keys.OPEN, "held": keys.HELD}
    if state not in kinds:
        raise InvalidRequest(f"state must be ready, open or held, not {state!r}")
    items, following = paging.page_of(
        stores.table, f"versions/{record.id}/{state}/{newest}", keys.of_model(record.id),
        keys.prefix(f"{kinds[state]}#"), lambda item: decoded(item, record),
        size=limit, page=page, reverse=newest,
    )  # fmt: skip
    return VersionPage(items, following)


def ranged(stores: Stores, record: ModelRecord, first: int, last: int) -> tuple[Version, ...]:
    """The ready versions with `first <= number <= last`, newest first."""
    low, high = (keys.version(record.id, keys.READY, n).sk for n in (first, last))
    found = paging.collect(
        stores.table, keys.of_model(record.id), (low, high), limit=last - first + 1, reverse=True
    )
    return tuple(decoded(item, record) for item in found)


def every(
    stores: Stores, record: ModelRecord, after: int | None = None, reverse: bool = False
) -> Iterator[Version]:
    """The ready versions of a model behind a number, read as they are asked for."""
    place = None if after is None else keys.version(record.id, keys.READY, after).sk
    bounds = keys.prefix(f"{keys.READY}#")
    for item in paging.walk(stores.table, keys.of_model(record.id), bounds, place, reverse):
        yield decoded(item, record)


def newest(
    stores: Stores, record: ModelRecord, limit: int, kind: str = keys.READY
) -> tuple[Version, ...]:
    """The newest versions of a kind, newest first."""
    found = paging.collect(
        stores.table, keys.of_model(record.id), keys.prefix(f"{kind}#"), limit=limit, reverse=True
    )
    return tuple(decoded(item, record) for item in found)


def issued(stores: Stores, record: ModelRecord) -> int:
    """The highest number ever given out."""
    item = stores.table.get(keys.counter(keys.of_model(record.id)))
    return int(item.attrs.get("n", 0)) if item else 0


def direction(record: ModelRecord, metric: str) -> Direction:
    """Whether larger or smaller is better, as the model's settings declare."""
    found = record.model.settings.directions.get(metric)
    if found is None:
        raise InvalidRequest(
            f"{record.name} does not say whether a larger or a smaller {metric!r} is better: run "
            f"`weighbridge model set {record.name} --direction {metric}=max` (or min)",
            metric=metric,
        )
    return found


def metric_of(record: ModelRecord, metric: str) -> str:
    """The metric named, else the model's main metric."""
    chosen = metric or record.model.settings.main_metric
    if not chosen:
        raise InvalidRequest(
            f"{record.name} has no main metric: name one, or run "
            f"`weighbridge model set {record.name} --main-metric METRIC`"
        )
    return names.key("metric name", chosen)


def ranking(
    stores: Stores, pk: str, metric: str, best: Direction, limit: int = 20
) -> Iterator[int]:
    """Numbers of a partition by a metric, best first; of equal values the newest first. What is held
    back is among them, so they are read on as far as they are asked for."""
    low, high = keys.prefix(f"Q#{keys.text(metric)}#")
    if best == "max":
        yield from _numbers(stores, pk, (low, high), limit)
        return
    while lowest := stores.table.query(pk, low, high, limit=1).items:
        equal = keys.prefix(lowest[0].key.sk.rpartition("#")[0] + "#")
        yield from _numbers(stores, pk, equal, limit)
        low = equal[1]


def _numbers(stores: Stores, pk: str, bounds: tuple[str, str], limit: int) -> Iterator[int]:
    """The numbers at the end of sort keys, from the last on."""
    after: str | None = None
    while True:
        found = stores.table.query(pk, *bounds, after=after, limit=limit, reverse=True)
        for item in found.items:
            yield int(item.key.sk.rpartition("#")[2])
        if found.next is None:
            return
        after = found.next


def best(stores: Stores, record: ModelRecord, metric: str) -> VersionRecord:
    """The ready version with the best value of a metric (the main one if none is named)."""
    chosen = metric_of(record, metric)
    pk = keys.of_model(record.id)
    for number in ranking(stores, pk, chosen, direction(record, chosen)):
        item = stores.table.get(keys.version(record.id, keys.READY, number))
        if item is not None:  # an open or deleted version may leave its metrics a while
            chosen_version = _found(item, record)
            if chosen in chosen_version.version.metrics:
                return chosen_version
    raise NotFound(f"no version of {record.name} has the metric {chosen!r}")


def files(stores: Stores, project_id: str, manifest: str) -> tuple[FileEntry, ...]:
    """The files a manifest lists."""
    return manifests.decode(stores.blobs.read(keys.manifest_object(project_id, manifest)))


def children(stores: Stores, record: VersionRecord) -> list[str]:
    """References of the committed versions that name this one as a parent."""
    low, high = keys.prefix(f"D#{record.number:010d}#")
    found = stores.table.query(keys.of_model(record.model.id), low, high, limit=100)
    alive = []
    for item in found.items:
        child = references.parse(str(item.doc["child"]))
        if child.version is None:
            continue
        try:
            other = resolve(stores, child.project, child.model, child.version)
        except (NotFound, Gone):
            continue  # its commit failed, or it was deleted since
        if other.version.state in COMMITTED and record.reference in other.version.parents:
            alive.append(str(child))
    return alive
