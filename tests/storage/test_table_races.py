"""Many writers at once, and writers that die: threads, processes, forks and kills."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from chalicelib.registry.ports import (
    Absent,
    ConditionFailed,
    Equal,
    Item,
    Key,
    Put,
    Update,
)
from chalicelib.storage.sqlite import SqliteTable
from tests.stack import AWS_ENV, ROOT
from tests.storage import places
from tests.storage.places import COUNTER, Opened, Place, all_of
from weighbridge.contract.errors import Unavailable

PATIENCE = 60
T = TypeVar("T")


def together(threads: int, work: Callable[[int], T]) -> list[T]:
    """What `work(0)`, `work(1)`, … answer when they start at the same moment."""
    start = threading.Barrier(threads)

    def run(number: int) -> T:
        start.wait(PATIENCE)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return [f.result(PATIENCE) for f in [pool.submit(run, i) for i in range(threads)]]


def process(place: Place, job: str, argument: object) -> "subprocess.Popen[str]":
    """Another process that works on the same table."""
    command = [sys.executable, "-m", "tests.storage.places"]
    command += [place.engine, place.name, place.endpoint, job, str(argument)]
    env = {**os.environ, **AWS_ENV, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}"}
    return subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE)


# Not on moto: it has no locks, so threads in one process undo each other's writes there.


@pytest.mark.parametrize("attempt", range(3))
def test_64_threads_count_to_64(shared_table: Opened, attempt: int) -> None:
    """Every concurrent increment of one counter gets a number of its own."""
    numbers = together(64, lambda _: places.count(shared_table, 1)[0])
    assert sorted(numbers) == list(range(1, 65))


def test_8_processes_count_to_64(shared_place: Place, shared_table: Opened) -> None:
    """The same over process boundaries, 8 increments each."""
    workers = [process(shared_place, "count", 8) for _ in range(8)]
    numbers = [int(n) for w in workers for n in w.communicate(timeout=PATIENCE)[0].split()]
    assert [w.returncode for w in workers] == [0] * 8
    assert sorted(numbers) == list(range(1, 65))
    assert shared_table.get(COUNTER) == Item(COUNTER, {"n": 64})


def test_one_of_16_threads_creates_an_item(shared_table: Opened) -> None:
    """Of many writers who all want the item to be new, one succeeds; the others see the winner."""
    key = Key("name", "taken")

    def create(number: int) -> int | Item | None:
        try:
            shared_table.write(Put(Item(key, {"n": number}), (Absent(),)))
        except ConditionFailed as failed:
            return failed.existing
        return number

    answers = together(16, create)
    (winner,) = [a for a in answers if isinstance(a, int)]
    assert shared_table.get(key) == Item(key, {"n": winner})
    assert Counter(map(repr, answers)) == {repr(winner): 1, repr(shared_table.get(key)): 15}


def test_transactions_of_16_threads_are_all_or_nothing(shared_table: Opened) -> None:
    """Transfers between accounts, read first and written under a condition, lose nothing."""
    accounts = [Key("account", str(i)) for i in range(4)]
    for key in accounts:
        shared_table.write(Put(Item(key, {"n": 100, "rev": 0})))

    def transfer(number: int) -> int:
        chance = random.Random(number)
        failures = 0
        for _ in range(3):
            while True:
                source, target = chance.sample(accounts, 2)
                found = shared_table.get_many([source, target])
                amount = chance.randint(1, 20)
                try:
                    shared_table.transact(
                        [
                            Update(key, add={"n": change, "rev": 1}, condition=(seen,))
                            for key, change in ((source, -amount), (target, amount))
                            for seen in [Equal("rev", found[key].attrs["rev"])]
                        ]
                        + [Put(Item(Key("log", f"{number}-{chance.random()}")), (Absent(),))]
                    )
                except ConditionFailed:
                    failures += 1
                else:
                    break
        return failures

    failures = together(16, transfer)
    held = shared_table.get_many(accounts).values()
    assert sum(int(item.attrs["n"]) for item in held) == 400
    assert sum(int(item.attrs["rev"]) for item in held) == 2 * 16 * 3
    assert len(shared_table.query("log").items) == 16 * 3
    assert sum(failures) > 0, "there was no race"


@pytest.mark.parametrize("round_", range(3))
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, round_: int) -> None:
    """Writers killed in the middle leave every acknowledged transaction, whole, and no half."""
    place = Place("sqlite", str(tmp_path / "catalog.db"))
    workers = {name: process(place, "pairs", name) for name in ("one", "two", "three")}
    acknowledged: dict[str, list[str]] = {name: [] for name in workers}
    chance = random.Random(round_)
    for name, worker in workers.items():
        assert worker.stdout
        for _ in range(chance.randint(20, 150)):
            acknowledged[name].append(worker.stdout.readline())
    for worker in workers.values():
        os.kill(worker.pid, signal.SIGKILL)
    for name, worker in workers.items():
        with worker:
            assert worker.stdout
            acknowledged[name] += [line for line in worker.stdout if "\n" in line]
        assert worker.returncode == -signal.SIGKILL

    table = SqliteTable(place.name)
    for name, lines in acknowledged.items():
        numbers = [int(line) for line in lines]
        assert numbers == list(range(len(numbers)))
        sides = [all_of(table, f"{name}-{side}", limit=10_000) for side in "ab"]
        assert sides[0] == sides[1]
        stored = list(map(int, sides[0]))
        assert stored[: len(numbers)] == numbers
        assert len(stored) <= len(numbers) + 1
    assert places.count(table, 1) == [1]
    table.close()
    with sqlite3.connect(place.name) as check:
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


def in_child(work: Callable[[], bool]) -> int:
    """Forks; the exit status of the child is 0 if `work` answered true in it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_works_on_its_own(shared_table: Opened) -> None:
    """A table that was in use before a fork works in parent and child, at the same time."""
    assert places.count(shared_table, 3) == [1, 2, 3]
    answers: list[list[int]] = []
    busy = threading.Thread(target=lambda: answers.append(places.count(shared_table, 40)))
    busy.start()
    statuses = [in_child(lambda: len(set(places.count(shared_table, 10))) == 10) for _ in range(3)]
    busy.join()
    assert statuses == [0, 0, 0]
    assert len(answers[0]) == 40
    assert places.count(shared_table, 1) == [3 + 40 + 30 + 1]


def test_a_file_can_be_closed_and_used_again(tmp_path: Path) -> None:
    """Closing ends every thread's connection, loses nothing, and the next call opens anew."""
    table = SqliteTable(str(tmp_path / "catalog.db"))
    together(8, lambda number: places.count(table, number))
    table.close()
    table.close()
    assert places.count(table, 1) == [sum(range(8)) + 1]
    table.close()
    assert [p.name for p in tmp_path.iterdir()] == ["catalog.db"]


def test_threads_that_ended_hold_no_connection(tmp_path: Path) -> None:
    """A server that starts a thread per request does not run out of files."""
    table = SqliteTable(str(tmp_path / "catalog.db"))
    for _ in range(20):
        together(4, lambda _: places.count(table, 1))
    # SQLite keeps some files of closed connections open, to use them again.
    held = [fd.resolve() for fd in Path("/proc/self/fd").iterdir()]
    assert held.count(tmp_path / "catalog.db") < 20
    table.close()


def test_processes_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    """Whoever comes first makes the file; all the others find it made."""
    place = Place("sqlite", str(tmp_path / "catalog.db"))
    workers = [process(place, "count", 1) for _ in range(8)]
    numbers = [int(w.communicate(timeout=PATIENCE)[0]) for w in workers]
    assert sorted(numbers) == list(range(1, 9))


def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """A missing folder is an outage with the reason in the message, not a crash."""
    table = SqliteTable(str(tmp_path / "missing" / "catalog.db"))
    with pytest.raises(Unavailable, match="unable to open"):
        table.ping()
    table.close()


def test_expired_items_are_purged(tmp_path: Path) -> None:
    """Only items whose ttl has passed go, the oldest first, so many at a time."""
    table = SqliteTable(str(tmp_path / "catalog.db"))
    for i in range(10):
        table.write(Put(Item(Key("p", str(i)), {"ttl": 100 - i})))
    table.write(Put(Item(Key("p", "kept"))))
    assert table.purge_expired(98, limit=3) == 3
    assert table.purge_expired(98, limit=100) == 4
    assert table.purge_expired(98) == 0
    assert [i.key.sk for i in table.query("p").items] == ["0", "1", "2", "kept"]
    table.close()
