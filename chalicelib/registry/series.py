"""Ordered views of a version's checkpoints: by number, step or metric, as a whole or per component.

Index items are written before their checkpoint is visible and removed after it is gone. So each row
is held against the checkpoint itself: one that a lost race left, or whose checkpoint was evicted, is
passed over. What a verdict holds back has no rows; it gets them just before it is let through.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from chalicelib.registry import keys, paging
from chalicelib.registry.ports import LAST, Condition, Equal, Item, Key, Missing, Put, Table
from weighbridge.contract import codec, names
from weighbridge.contract.errors import InvalidRequest, TooLarge
from weighbridge.contract.types import Checkpoint, Direction, Retention

MAX_METRICS = 500
SCAN = 500
"""Rows that one page of a filtered list looks at; the next page goes on from there."""
CHUNK = 64
"""Rows that a filtered list reads at once."""
PINNED = "pinned"
MAX_STEP = 2**53
NO_COMPONENT = "-"
"""How the empty component is written where an empty text would mean any."""
_POINTS = (f"{keys.POINT}#", f"{keys.HELD}#")


@dataclass(frozen=True, slots=True)
class Series:
    """The counter of a version's checkpoints: the last number, and a revision that every deletion
    and every change of the retention bumps. What was decided on it holds only while it stands."""

    last: int
    revision: int
    retention: Retention | None

    @property
    def unchanged(self) -> Condition:
        """Holds while nothing was committed, deleted or decided otherwise since."""
        return (
            Equal("n", self.last) if self.last else Missing("n"),
            Equal("rev", self.revision) if self.revision else Missing("rev"),
        )


def counted(table: Table, pk: str) -> Series:
    """The counter of a version's checkpoints."""
    item = table.get(keys.counter(pk))
    if item is None:
        return Series(0, 0, None)
    own = item.doc.get("retention")
    return Series(
        int(item.attrs.get("n", 0)), int(item.attrs.get("rev", 0)),
        None if own is None else codec.decode(Retention, own),
    )  # fmt: skip


def decoded(item: Item) -> Checkpoint:
    """The checkpoint an item holds."""
    found = codec.decode(Checkpoint, dict(item.doc))
    return replace(found, pinned=item.attrs.get("state") == PINNED)


def document(point: Checkpoint) -> dict[str, object]:
    """What is stored of a checkpoint; the pin is a flat attribute, because conditions test it."""
    doc: dict[str, object] = codec.encode(point)
    doc.pop("pinned")
    return doc


def index_keys(pk: str, point: Checkpoint) -> list[Key]:
    """All index rows of a checkpoint. Metrics that are no finite number are kept but not ranked."""
    if len(point.metrics) > MAX_METRICS:
        raise TooLarge(f"{len(point.metrics)} metrics; {MAX_METRICS} at most", limit=MAX_METRICS)
    found = [keys.recent(pk, point.component, point.number)]
    for name, value in point.metrics.items():
        names.key("metric name", name)
        if value - value == 0:  # finite
            found.append(keys.metric(pk, name, value, point.number))
            found.append(keys.ranked(pk, point.component, name, value, point.number))
    return found


def index_items(pk: str, point: Checkpoint) -> list[Put]:
    """All index items of a checkpoint."""
    return [Put(Item(key)) for key in index_keys(pk, point)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which checkpoints a list shows. `component` is None for any, `-` for the empty one; `steps`
    are the first and the last."""

    component: str | None = None
    name: str | None = None
    steps: tuple[int, int] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def accepts(self, point: Checkpoint) -> bool:
        """Whether the checkpoint is one of them."""
        if self.component is not None and point.component != self.component:
            return False
        if self.name is not None and point.name != self.name:
            return False
        if self.steps is not None and not self.steps[0] <= point.step <= self.steps[1]:
            return False
        return all(point.tags.get(name) == value for name, value in self.tags.items())


def component_of(text: str | None) -> str | None:
    """The component a query means: `-` is the empty one."""
    return "" if text == NO_COMPONENT else None if text is None else names.component(text)


def steps_of(text: str) -> tuple[int, int] | None:
    """`100..200`, `100..`, `..200` or `100` as a range of steps; None of an empty text."""
    if not text:
        return None
    low, dots, high = text.partition("..")
    bounds = (low or ("0" if dots else "")), (high if dots else low) or str(MAX_STEP - 1)
    if not all(bound.isascii() and bound.isdigit() and len(bound) < 17 for bound in bounds):
        raise InvalidRequest(f"{text[:60]!r} is no range of steps: write 100..200, 100.. or ..200")
    found = int(bounds[0]), int(bounds[1])
    if found[0] > found[1]:
        raise InvalidRequest(f"the range of steps {text!r} is empty: it ends before it begins")
    return found


@dataclass(frozen=True, slots=True)
class Order:
    """Rows of a version's partition: which, and from which end."""

    pk: str
    low: str
    high: str
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of any order; `point` where it is the checkpoint itself."""

    sk: str
    number: int
    point: Checkpoint | None = None


def by_number(
    pk: str, component: str | None = None, *, newest: bool = True, kind: str = keys.POINT
) -> Order:
    """All checkpoints of a kind, or a component's that are ready, by number."""
    start = f"{kind}#" if component is None else f"A#{keys.text(component)}#"
    return Order(pk, *keys.prefix(start), reverse=newest)


def by_step(pk: str, component: str | None, steps: tuple[int, int] | None) -> Order:
    """By component and step; with a component only the steps asked for are read."""
    if component is None:
        return Order(pk, *keys.prefix("S#"))
    start = f"S#{keys.text(component)}#"
    if steps is None:
        return Order(pk, *keys.prefix(start))
    return Order(pk, f"{start}{steps[0]:020d}#", f"{start}{steps[1]:020d}#{LAST}")


def by_metric(pk: str, metric: str, best: Direction, component: str | None = None) -> Order:
    """By the values of a metric, the best first."""
    among = "Q#" if component is None else f"R#{keys.text(component)}#"
    return Order(pk, *keys.prefix(f"{among}{keys.text(metric)}#"), reverse=best == "max")


def row_of(item: Item) -> Row:
    """The row that an item of any order is."""
    sk = item.key.sk
    if sk.startswith(_POINTS):
        point = decoded(item)
        return Row(sk, point.number, point)
    if sk.startswith("S#"):
        return Row(sk, int(item.attrs["n"]))
    return Row(sk, int(sk.rpartition("#")[2]))


def _is_true(row: Row, point: Checkpoint) -> bool:
    """Whether the checkpoint has what a row says of it."""
    kind, *parts = row.sk.split("#")
    if kind in "AR" and keys.untext(parts[0]) != point.component:
        return False
    if kind not in "QR":
        return True
    value = point.metrics.get(keys.untext(parts[-3]))
    return value is not None and value - value == 0 and keys.ordered(value) == parts[-2]


def points(table: Table, pk: str, rows: Sequence[Row]) -> Iterator[tuple[Row, Checkpoint]]:
    """The checkpoints of those rows that are true, in their order."""
    wanted = [Key(pk, f"C#{row.number:010d}") for row in rows if row.point is None]
    items = table.get_many(dict.fromkeys(wanted)) if wanted else {}
    for row in rows:
        point = row.point
        if point is None and (item := items.get(Key(pk, f"C#{row.number:010d}"))) is not None:
            point = decoded(item)
        if point is not None and _is_true(row, point):
            yield row, point


def page_of(
    table: Table,
    order: Order,
    accepts: Callable[[Checkpoint], bool] | None,
    *,
    query: str,
    size: int,
    page: str | None,
) -> tuple[tuple[Checkpoint, ...], str | None]:
    """One page of an order, filtered, at a bounded cost: it may be short, even empty, and go on."""
    size = paging.limit(size)
    after = paging.after(query, page)
    found: list[Checkpoint] = []
    scanned, most = 0, max(size, SCAN)
    while True:
        chunk = size - len(found) if accepts is None else max(size - len(found), CHUNK)
        part = table.query(
            order.pk, order.low, order.high, after=after, limit=min(chunk, most - scanned),
            reverse=order.reverse,
        )  # fmt: skip
        rows = [row_of(item) for item in part.items]
        scanned += max(1, len(rows))
        after = part.next
        for row, point in points(table, order.pk, rows):
            if accepts is None or accepts(point):
                found.append(point)
            if len(found) == size:
                after = part.next if row is rows[-1] else row.sk
                break
        if after is None or len(found) >= size or scanned >= most:
            break
    return tuple(found), None if after is None else paging.token(query, after)


def last_step(table: Table, pk: str, component: str, name: str) -> int | None:
    """The highest step of a component's checkpoints of that name, in whatever state; None without any."""
    low, high = keys.prefix(f"S#{keys.text(component)}#")
    after: str | None = None
    while True:
        found = table.query(pk, low, high, after=after, limit=100, reverse=True)
        for item in found.items:
            step, _, own = item.key.sk.removeprefix(low).partition("#")
            if keys.untext(own) == name:
                return int(step)
        if found.next is None:
            return None
        after = found.next


def recent(table: Table, pk: str, component: str | None, count: int) -> list[Checkpoint]:
    """The newest checkpoints (of a component), newest first."""
    return list(islice(_walk(table, by_number(pk, component), count), count))


def ranked(
    table: Table, pk: str, metric: str, best: Direction, count: int, component: str | None = None
) -> list[Checkpoint]:
    """The best checkpoints by a metric, best first; of equal values the newest first."""
    order = by_metric(pk, metric, best, component)
    walk = _walk if best == "max" else _walk_up
    return list(islice(walk(table, order, count), count))


def _walk(table: Table, order: Order, chunk: int) -> Iterator[Checkpoint]:
    """The checkpoints of an order, one after the other, `chunk` rows at a time."""
    after: str | None = None
    while True:
        part = table.query(
            order.pk, order.low, order.high, after=after, limit=min(chunk, SCAN),
            reverse=order.reverse,
        )  # fmt: skip
        for _, point in points(table, order.pk, [row_of(item) for item in part.items]):
            yield point
        if part.next is None:
            return
        after = part.next


def _walk_up(table: Table, order: Order, chunk: int) -> Iterator[Checkpoint]:
    """As `_walk`, from the smallest value up: rows of one value come by number and are wanted the
    other way round, so a value whose rows may go on is read again from its end."""
    after: str | None = None
    while True:
        part = table.query(order.pk, order.low, order.high, after=after, limit=min(chunk, SCAN))
        values: dict[str, list[Row]] = {}
        for row in map(row_of, part.items):
            values.setdefault(row.sk.rpartition("#")[0], []).append(row)
        last = next(reversed(values), "") if part.next is not None else ""
        whole = [row for value in values if value != last for row in reversed(values[value])]
        for _, point in points(table, order.pk, whole):
            yield point
        if last:
            yield from _walk(table, Order(order.pk, *keys.prefix(f"{last}#"), True), chunk)
            after = f"{last}#{LAST}"
        elif part.next is None:
            return
        else:
            after = part.next


def ranged(table: Table, pk: str, first: int, last: int) -> list[Checkpoint]:
    """The checkpoints that are ready with `first <= number <= last`, oldest first."""
    low, high = f"{keys.POINT}#{first:010d}", f"{keys.POINT}#{last:010d}"
    found = paging.collect(table, pk, (low, high), limit=last - first + 1)
    return [decoded(item) for item in found]


def around(table: Table, pk: str, number: int) -> tuple[int, int]:
    """The numbers of the nearest checkpoints that are ready before and after a number; 0: none."""
    low, high = keys.prefix(f"{keys.POINT}#")
    before = table.query(pk, low, f"{keys.POINT}#{number - 1:010d}", limit=1, reverse=True).items
    after = table.query(pk, f"{keys.POINT}#{number + 1:010d}", high, limit=1).items
    return (
        decoded(before[0]).number if before else 0, decoded(after[0]).number if after else 0,
    )  # fmt: skip
