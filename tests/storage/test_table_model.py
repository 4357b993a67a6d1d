"""Any sequence of operations on any engine answers as a dictionary would."""

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chalicelib.registry.ports import (
    LAST,
    Absent,
    Check,
    Condition,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Key,
    Less,
    Missing,
    Present,
    Put,
    Scalar,
    Update,
    Write,
)
from tests.storage.places import Opened, all_of

PARTITIONS = ["p", "q"]
SORTS = ["a", "a\x00", "aa", "b", "é", "\uffff", "\U00010000"]
NUMBERS = [0, 1, -1, 10, 2**53 + 1, -(2**62)]
TEXTS = ["", "a", "b", "\uffff", "\U00010000"]

numbers = st.sampled_from(NUMBERS)
texts = st.sampled_from(TEXTS)
numbered = st.sampled_from(["rev", "n", "until", "ttl"])
named = st.sampled_from(["state", "ref"])
attributes = st.builds(
    lambda a, b: {**a, **b},
    st.dictionaries(numbered, numbers, max_size=2),
    st.dictionaries(named, texts, max_size=2),
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.lists(st.integers(), max_size=2),
)
documents = st.dictionaries(st.sampled_from(["", "a", "é"]), values, max_size=2)
pairs = st.one_of(st.tuples(numbered, numbers), st.tuples(named, texts))
predicates = st.one_of(
    st.builds(Absent),
    st.builds(Present),
    pairs.map(lambda p: Equal(*p)),
    pairs.map(lambda p: Less(*p)),
    st.one_of(numbered, named).map(Missing),
)
# Conditions of two predicates seldom hold; most writes should go through.
conditions: st.SearchStrategy[Condition] = st.one_of(
    st.just(()), st.just(()), st.tuples(predicates), st.tuples(predicates, predicates)
)
keys = st.tuples(st.sampled_from(PARTITIONS), st.sampled_from(SORTS))


@st.composite
def updates(draw: st.DrawFn) -> dict[str, Any]:
    """The parts of an update, each attribute in at most one of them."""
    roles = draw(st.dictionaries(st.one_of(numbered, named), st.sampled_from("sar"), max_size=4))
    parts: dict[str, Any] = {"set": {}, "add": {}, "remove": ()}
    for name, role in roles.items():
        if role == "r":
            parts["remove"] += (name,)
        elif role == "a" and name not in ("state", "ref"):
            parts["add"][name] = draw(st.sampled_from([0, 1, -1, 7]))
        else:
            parts["set"][name] = draw(texts if name in ("state", "ref") else numbers)
    return {**parts, "doc": draw(st.one_of(st.none(), documents))}


@st.composite
def writes(draw: st.DrawFn, kinds: str) -> Any:
    """A function from a real key to a write: machines put their keys into a space of their own."""
    kind = draw(st.sampled_from(kinds))
    condition = draw(conditions)
    if kind == "p":
        attrs, doc = draw(attributes), draw(documents)
        return lambda key: Put(Item(key, attrs, doc), condition)
    if kind == "u":
        parts = draw(updates())
        return lambda key: Update(key, condition=condition, **parts)
    if kind == "d":
        return lambda key: Delete(key, condition)
    return lambda key: Check(key, condition)


def holds(condition: Condition, item: Item | None) -> bool:
    attrs: Any = item.attrs if item else {}
    for p in condition:
        ok = {
            Absent: lambda p: item is None,
            Present: lambda p: item is not None,
            Missing: lambda p: p.attr not in attrs,
            Equal: lambda p: p.attr in attrs and attrs[p.attr] == p.value,
            Less: lambda p: p.attr in attrs and attrs[p.attr] < p.value,
        }[type(p)](p)
        if not ok:
            return False
    return True


def applied(write: Write, old: Item | None) -> Item | None:
    if isinstance(write, Put):
        return write.item
    if isinstance(write, Delete):
        return None
    if isinstance(write, Check):
        return old
    attrs: dict[str, Any] = {**(old.attrs if old else {}), **write.set}
    attrs.update({name: attrs.get(name, 0) + amount for name, amount in write.add.items()})
    kept: dict[str, Scalar] = {n: v for n, v in attrs.items() if n not in write.remove}
    doc = write.doc if write.doc is not None else old.doc if old else {}
    return Item(write.key, kept, doc)


class Machine(RuleBasedStateMachine):
    """A table beside a dictionary, in partitions that no other run uses."""

    def __init__(self, table: Opened) -> None:
        super().__init__()
        self.table = table
        self.space = uuid.uuid4().hex[:8]
        self.model: dict[Key, Item] = {}

    def key(self, short: tuple[str, str]) -> Key:
        return Key(f"{self.space}-{short[0]}", short[1])

    def attempt(self, batch: list[Write], call: Any) -> None:
        """Does `call`; it must fail exactly where the dictionary says, or else take effect."""
        failing = [
            (i, w.key, self.model.get(w.key))
            for i, w in enumerate(batch)
            if not holds(w.condition, self.model.get(w.key))
        ]
        if failing:
            with pytest.raises(ConditionFailed) as caught:
                call()
            error = caught.value
            assert (error.index, error.key, error.existing) == failing[0]
            return
        answer = call()
        for write in batch:
            new = applied(write, self.model.pop(write.key, None))
            if new:
                self.model[write.key] = new
        if len(batch) == 1 and not isinstance(answer, str):
            assert answer == self.model.get(batch[0].key)

    @rule(key=keys, make=writes("puud"))
    def write(self, key: tuple[str, str], make: Any) -> None:
        """One write."""
        write = make(self.key(key))
        self.attempt([write], lambda: self.table.write(write))

    @rule(made=st.dictionaries(keys, writes("puudc"), min_size=1, max_size=5))
    def transact(self, made: dict[tuple[str, str], Any]) -> None:
        """Several writes together."""
        batch = [make(self.key(key)) for key, make in made.items()]
        self.attempt(batch, lambda: str(self.table.transact(batch)))

    @rule(puts=st.dictionaries(keys, attributes, max_size=5), deletes=st.lists(keys, max_size=3))
    def write_many(self, puts: dict[tuple[str, str], Any], deletes: list[tuple[str, str]]) -> None:
        """A batch, in which a later delete takes back an earlier put."""
        stored = {self.key(key): Item(self.key(key), attrs) for key, attrs in puts.items()}
        gone = [self.key(key) for key in deletes]
        self.table.write_many([*map(Put, stored.values()), *map(Delete, gone)])
        self.model |= stored
        for key in gone:
            self.model.pop(key, None)

    @rule(short=keys)
    def get(self, short: tuple[str, str]) -> None:
        """One read."""
        assert self.table.get(self.key(short)) == self.model.get(self.key(short))

    @rule(
        pk=st.sampled_from(PARTITIONS),
        low=st.sampled_from(["", *SORTS]),
        high=st.sampled_from([*SORTS, LAST]),
        after=st.sampled_from([None, *SORTS]),
        limit=st.integers(1, 8),
        reverse=st.booleans(),
    )
    def query(
        self, pk: str, low: str, high: str, after: str | None, limit: int, reverse: bool
    ) -> None:
        """All pages of a range, from any start, in either direction."""
        full = f"{self.space}-{pk}"
        expected = [
            sk
            for sk in sorted((k.sk for k in self.model if k.pk == full), reverse=reverse)
            if low <= sk <= high and (after is None or (sk < after if reverse else sk > after))
        ]
        options = {"low": low, "high": high, "after": after, "limit": limit, "reverse": reverse}
        assert all_of(self.table, full, **options) == expected
        page = self.table.query(full, low, high, after=after, limit=limit, reverse=reverse)
        assert page.items == tuple(self.model[Key(full, sk)] for sk in expected[:limit])

    @invariant()
    def same(self) -> None:
        """Everything is as in the dictionary, documents to the type of their numbers."""
        found = self.table.get_many([self.key((pk, sk)) for pk in PARTITIONS for sk in SORTS])
        assert found == self.model
        assert {k: repr(dict(i.doc)) for k, i in found.items()} == {
            k: repr(dict(i.doc)) for k, i in self.model.items()
        }


def test_any_sequence_of_operations_answers_as_a_dictionary_would(table: Opened) -> None:
    """Writes, transactions, batches, reads and queries in any order agree with the model."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Machine(table),
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
