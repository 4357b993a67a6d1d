"""Writers that wait for each other share a commit, and nothing else."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.registry.ports import Absent, ConditionFailed, Item, Key, Put
from chalicelib.storage.sqlite import SqliteTable
from weighbridge.contract.errors import Unavailable


@pytest.fixture
def table(tmp_path):
    """A table on a file."""
    made = SqliteTable(str(tmp_path / "catalog.sqlite"))
    made.write(Put(Item(Key("p", "first"), {"n": 0})))
    yield made
    made.close()


def put(table, name, condition=()):
    """One write; what it raised, if it did."""
    try:
        table.write(Put(Item(Key("p", name), {"n": 1}), condition))
    except (ConditionFailed, Unavailable) as error:
        return error
    return None


class Watched:
    """The connection that writes, with each statement noted; `meanwhile` runs before a commit."""

    def __init__(self, inner, meanwhile=lambda: None):
        self.inner, self.meanwhile, self.said = inner, meanwhile, []

    def execute(self, statement, *values):
        self.said.append(statement.split()[0])
        if statement == "COMMIT":
            self.meanwhile()
        return self.inner.execute(statement, *values)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def together(table, names, condition=()):
    """What became of writes that all wait while somebody has the turn."""
    connections = table._connections
    with ThreadPoolExecutor(len(names)) as pool:
        with connections._writer:
            found = [pool.submit(put, table, name, condition) for name in names]
            while connections._waiting < len(names):
                threading.Event().wait(0.001)
        return [one.result(30) for one in found]


def test_those_who_wait_share_one_commit(table):
    """Thirty-two writes, one flush of the disk."""
    watched = table._connections._writing = Watched(table._connections._writing)
    names = [f"n{i}" for i in range(32)]
    assert together(table, names) == [None] * 32
    assert watched.said.count("COMMIT") == 1
    assert {item.key.sk for item in table.query("p").items} >= set(names)


def test_more_than_a_batch_take_several(table):
    """Nobody waits for ever because others keep coming."""
    watched = table._connections._writing = Watched(table._connections._writing)
    assert together(table, [f"n{i}" for i in range(70)]) == [None] * 70
    assert watched.said.count("COMMIT") == 2


def test_one_that_is_refused_undoes_its_own_writes_only(table):
    """The others of its commit are there."""
    found = together(table, ["a", "first", "b"], condition=(Absent(),))
    assert [type(one) for one in found] == [type(None), ConditionFailed, type(None)]
    assert {item.key.sk for item in table.query("p").items} == {"a", "b", "first"}
    assert table.get(Key("p", "first")).attrs["n"] == 0


def test_a_commit_that_fails_fails_for_all(table):
    """Who was refused because of what is not there now is told the same. Then all goes on."""

    def full():
        watched.meanwhile = lambda: None
        raise sqlite3.OperationalError("database or disk is full")

    watched = table._connections._writing = Watched(table._connections._writing, full)
    found = together(table, ["a", "b", "first"], condition=(Absent(),))
    assert [type(one) for one in found] == [Unavailable] * 3
    assert "full" in found[0].message
    assert [item.key.sk for item in table.query("p").items] == ["first"]
    assert put(table, "a") is None


def test_a_transaction_that_sqlite_gave_up_is_nobodys_success(table):
    """A full disk amid the writes undoes all of them."""
    connections = table._connections

    class Full(Watched):
        def execute(self, statement, *values):
            if statement.startswith("INSERT") and values[0][1] == "b":
                self.inner.execute("ROLLBACK")
                raise sqlite3.OperationalError("database or disk is full")
            return self.inner.execute(statement, *values)

    connections._writing = Full(connections._writing)
    found = together(table, ["a", "b"])
    connections._writing = connections._writing.inner
    there = {item.key.sk for item in table.query("p").items}
    for name, error in zip(["a", "b"], found, strict=True):
        assert (error is None) == (name in there)
    assert isinstance(found[1], Unavailable)


def test_nobody_waits_for_one_who_went_away(table):
    """Whoever was interrupted while waiting was to commit, and does not."""
    table._connections._waiting += 1
    assert put(table, "a") is None
    table._connections._waiting -= 1
    assert table.get(Key("p", "a"))
