"""No file, however damaged, is an exception, or costs more than two seconds or 256 MiB.

Each indexer is given damaged copies of its real files; test_fuzz_for_long.py goes on for ten minutes each.
"""

import json
import random
import resource
import time
from itertools import count

import pytest

from chalicelib.indexing.formats import FIRST, INDEXERS, OverBudget, describe
from chalicelib.indexing.formats.bounds import bounded
from tests.indexing.mutations import damaged
from tests.indexing.table import ranged, rows
from weighbridge.contract import codec

SECONDS = 2.0
MEMORY = 256 * 1024 * 1024
FORMATS = sorted({row.format for row in rows()})


def examine(data, read):
    """One file through its indexer and through `describe`; what is found can be stored."""
    started = time.process_time()
    source = ranged(data)
    source.read(0, min(FIRST, len(data)))
    try:
        facts = bounded(read(source))
    except OverBudget:
        facts = None
    for found in (facts, describe(ranged(data))):
        if found:
            text = json.dumps(codec.encode(found), ensure_ascii=False, allow_nan=False)
            text.encode("utf-8")
            assert codec.decode(type(found), json.loads(text)) == found
            assert found.parameters <= 2**62
    took = time.process_time() - started
    assert took < 2 * SECONDS, f"it took {took:.1f} s"


def memory():
    """The most that this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(wanted, made, seconds, seed):
    """Damaged copies of the format's smaller files, until the time is over."""
    sources = []
    for row in rows():
        if row.format == wanted and made(row).stat().st_size < 3_000_000:
            data = made(row).read_bytes()
            read = next(read for sniff, read in INDEXERS if sniff(data[:FIRST], len(data)))
            sources.append((row.file, data, read))
    assert sources, "no real file to damage"
    before, end = memory(), time.monotonic() + seconds
    for number in count():
        if number >= 20 and time.monotonic() > end:
            break
        name, data, read = sources[number % len(sources)]
        broken = damaged(data, random.Random(f"{seed} {wanted} {number}"))
        try:
            examine(broken, read)
        except BaseException as error:
            error.add_note(f"{wanted}, {name}, seed {seed}, number {number}")
            raise
    assert memory() - before < MEMORY


@pytest.mark.parametrize("wanted", FORMATS)
def test_damaged_files_have_facts_or_a_problem(wanted, made):
    """Half a second of damage for each format, the same in every run."""
    fuzz(wanted, made, 0.5, 4)


@pytest.mark.parametrize(
    "indexer", INDEXERS, ids=lambda pair: pair[1].__module__.rpartition(".")[2]
)
def test_noise_is_a_problem_for_every_indexer(indexer):
    """Bytes without any meaning, and every real file of every other format, are no exception."""
    rng = random.Random(7)
    for length in (0, 1, 8, 9, 10, 22, 100, 5000):
        for data in (bytes(length), b"\xff" * length, rng.randbytes(length), b'{"' * (length // 2)):
            examine(data, indexer[1])


def test_files_of_one_format_are_no_exception_for_another(made):
    """An indexer that is misled by a sniff says so."""
    for row in {row.format: row for row in rows()}.values():
        path = made(row)
        if path.stat().st_size < 1_200_000:
            data = path.read_bytes()
            for _, read in INDEXERS:
                examine(data, read)
