"""Damaged and hostile files: what indexing makes of each, and what it may cost."""

import json
import random
import re
import time
from pathlib import Path

from chalicelib.indexing import formats
from tests.indexing.table import described
from weighbridge.contract import codec

MOST_SECONDS = 2
LEAST = 30
_VALUES = (b"\0", b"\xff", b"\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff" * 8, b"\x7f" + b"\xff" * 7,
           b'"', b"{", b"[", b"}", b"]", b"\\", b"../", b"\n", b",", b":", b"9" * 12, b"-1", b"PK\3\4")  # fmt: skip


def mutant(data, random):
    """`data` with a few changes of the kinds that parsers trip over."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        if not changed:
            break
        at = random.randrange(len(changed))
        length = random.choice((1, 2, 4, 8, 64, 512))
        kind = random.randrange(7)
        if kind == 0:
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            value = random.choice(_VALUES)
            changed[at : at + len(value)] = value
        elif kind == 2:
            changed[at:at] = random.choice(_VALUES) * random.choice((1, 1, 50))
        elif kind == 3:
            del changed[at : at + length]
        elif kind == 4:
            changed[at:at] = changed[at : at + length]
        elif kind == 5:
            other = random.randrange(len(changed))
            changed[at : at + length] = changed[other : other + length]
        else:
            del changed[at if random.random() < 0.2 else max(at, len(changed) - 64) :]
    return bytes(changed)


def checked(data):
    """The facts of `data`, which must come in time and be fit for every store."""
    began = time.process_time()
    facts = described(data)
    took = time.process_time() - began
    assert took <= MOST_SECONDS, f"{took:.1f} s"
    text = json.dumps(codec.encode(facts), ensure_ascii=False)
    assert text.encode()
    assert len(text) < 400_000 or facts.tensors
    assert facts.indexer == formats.INDEXER
    assert facts.verdict in ("", "safe", "unsafe", "unknown")
    assert len(facts.findings) <= 100
    assert len(facts.metadata) <= 100
    return facts


def _memory(name):
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024


def resident():
    """The memory that this process has now, in bytes."""
    return _memory("VmRSS")


def peak(data):
    """How much memory describing `data` took beyond what the process had, at its highest."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = _memory("VmRSS")
    described(data)
    return _memory("VmHWM") - before


def fuzz(data, seconds, seed):
    """Mutants of a file for so many seconds of work; answers how many there were and how many were a problem."""
    rng = random.Random(seed)
    tried = problems = 0
    end = time.process_time() + seconds
    while tried < LEAST or time.process_time() < end:
        changed = mutant(data, rng)
        try:
            facts = checked(changed)
        except Exception as error:
            error.add_note(f"seed {seed}, mutant {tried}: {changed[:2000]!r}")
            raise
        tried += 1
        problems += bool(facts.problem)
    return tried, problems
