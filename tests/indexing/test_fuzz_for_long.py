"""Damaged files of every format for ten minutes of processor time each (`make test-long GROUP=indexing`).

A failure names seed and number; `FUZZ_SEED` and `FUZZ_FROM` bring that file again at once.
"""

import os
import random
import signal
import time
from contextlib import contextmanager

import pytest

from chalicelib.indexing.formats import FIRST, INDEXERS
from tests.indexing import damage, mutations, test_damage, test_fuzz_pickles
from tests.indexing.table import rows

SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
FROM = int(os.environ.get("FUZZ_FROM", "0"))
MEMORY = 256 * 1024**2
HANGS = 10.0
LARGEST = 3_000_000
IMPORTS = "imports of pickles"
TARGETS = sorted({*test_damage.FORMATS, *test_fuzz_pickles.KINDS, IMPORTS})
MUTATORS = (mutations.damaged, damage.mutant, test_fuzz_pickles.damage)


class Hang(BaseException):
    """One file took so long that it may never end. Not an Exception: no indexer takes it for its own."""


@contextmanager
def limited(seconds):
    """Ends the block by an exception once it used so much processor time."""

    def ring(*_):
        raise Hang(f"more than {seconds} s of processor time for one file")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def sources(target, made):
    """Files of the format, small ones, each with the indexer that reads it."""
    found = [made(row) for row in rows() if row.format == target]
    files = [path.read_bytes() for path in found if path.stat().st_size < LARGEST]
    files += test_fuzz_pickles.targets().get(target, [])
    assert files, "no real file to damage"
    return [(data, _reader(data)) for data in files]


def _reader(data):
    return next(read for sniff, read in INDEXERS if sniff(data[:FIRST], len(data)))


def fuzz(target, files, seconds, seed, first=0):
    """Damages them for so much processor time; answers how many there were, and how many were a problem."""
    before, end = damage.resident(), time.process_time() + seconds
    tried = problems = 0
    while tried < damage.LEAST or time.process_time() < end:
        number = first + tried
        rng = random.Random(f"{seed} {target} {number}")
        data, read = rng.choice(files)
        broken = rng.choice(MUTATORS)(data, rng)
        try:
            with limited(HANGS):
                problems += bool(damage.checked(broken).problem)
                test_damage.examine(broken, read)
            tried += 1
            assert damage.resident() - before < MEMORY
        except BaseException as error:
            error.add_note(f"FUZZ_SEED={seed} FUZZ_FROM={number}, {target}: {broken[:500]!r}")
            raise
    return tried, problems


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_damage_for_long(target, made, record_property):
    """No exception, no hang, no blow-up; and no import that the real loader sees and we do not."""
    seed = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(10**9))
    record_property("seed", seed)
    record_property("fuzzed_seconds", SECONDS)
    if target == IMPORTS:
        tried, imports = test_fuzz_pickles.fuzz_imports(SECONDS, 4000, seed)
        record_property("imports", imports)
    else:
        tried, problems = fuzz(target, sources(target, made), SECONDS, seed, FROM)
        record_property("problems", problems)
    record_property("files", tried)


def test_what_is_found_for_long_would_be_found():
    """A hang, a crash and a blow-up end the search and name the file."""

    def hangs(*_):
        while True:
            pass

    def crashes(*_):
        raise ZeroDivisionError

    for read, error in ((hangs, Hang), (crashes, ZeroDivisionError)):
        with pytest.raises(error) as caught, limited(0.2):
            test_damage.examine(b"x", read)
        assert caught.value
    with pytest.raises(ZeroDivisionError) as caught:
        fuzz("test", [(b"some bytes", crashes)], 0, 1)
    assert "FUZZ_SEED=1 FUZZ_FROM=0" in caught.value.__notes__[0]


def test_every_indexer_is_fuzzed(made):
    """Each indexer reads the files of at least one target."""
    read = {_reader(data) for data in test_fuzz_pickles.targets()["pickle"]}
    for row in rows():
        with made(row).open("rb") as file:
            first = file.read(FIRST)
        size = made(row).stat().st_size
        read.add(next(read for sniff, read in INDEXERS if sniff(first, size)))
    assert {read for _, read in INDEXERS} <= read
