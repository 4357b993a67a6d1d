"""Damaged files: no exception, no long work, and no import that a real loader sees and we do not."""

import codecs
import contextlib
import functools
import io
import os
import pickle
import random
import time

import pytest

from chalicelib.indexing.formats import describe
from chalicelib.indexing.formats.pickled import machine, source
from chalicelib.indexing.formats.ranged import Ranged
from tests.indexing import corpus
from tests.indexing.test_pickles import ZOO

SEED = int(os.environ.get("FUZZ_SEED", "20261121"))
PLAIN = [pickle.dumps(value, protocol) for value in ZOO.values() for protocol in range(6)]


KINDS = ("gzip", "joblib", "pickle", "pytorch", "tar", "torchscript", "zip")
PARTS = (corpus.opcodes, corpus.streams, corpus.packed, corpus.archives, corpus.harmless)


@functools.cache
def targets():
    """Small files to damage, by the indexer that reads them."""
    found = {kind: [] for kind in KINDS}
    found["pickle"] = [data for data in PLAIN if len(data) < 20_000]
    for part in PARTS:
        for _, _, data in part():
            if len(data) < 20_000:
                ranged = Ranged(lambda s, n, d=data: d[s : s + n], len(data))
                found.setdefault(describe(ranged).format, []).append(data)
    return found


def damage(data, chance):
    """A few bytes changed, removed, doubled or put from elsewhere."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(out) + 1)
        match chance.randrange(5):
            case 0:
                out[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del out[at : at + chance.randint(1, 20)]
            case 2:
                out[at:at] = out[at : at + chance.randint(1, 40)]
            case 3:
                out[at : at + 4] = chance.choice([b"\xff" * 4, bytes(4), b"\0\0\0\x80", b"R.cob"])
            case 4:
                piece = chance.choice(PLAIN)
                start = chance.randrange(len(piece))
                out[at:at] = piece[start : start + chance.randint(1, 30)]
    return bytes(out)


def turns(seconds, least, chance):
    """Counts until the time is over, but not before it reached `least`."""
    end, turn = time.process_time() + seconds, 0
    while turn < least or time.process_time() < end:
        turn += 1
        yield chance


def fuzz_facts(kind, seconds, least):
    """Describes damaged files of that format."""
    chance = random.Random(f"{SEED} {kind}")
    for _ in turns(seconds, least, chance):
        data = damage(chance.choice(targets()[kind]), chance)
        start = time.process_time()
        facts = describe(Ranged(lambda s, n, d=data: d[s : s + n], len(data), "x.pkl"))
        assert facts.verdict, data
        assert time.process_time() - start < 2, data


class Watched(pickle._Unpickler):
    """The standard library's loader, with everything that it imports replaced by a record of it."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.seen = []

    def find_class(self, module, name):
        """Notes the import and gives something that can be called, built and filled."""
        if module and name:  # at the end of a stream both may be empty: nothing is called that
            self.seen.append(f"{module}.{name}")
        # This one is called for good: a text that it cannot encode ends the loading.
        return codecs.encode if (module, name) == ("_codecs", "encode") else Stand

    def persistent_load(self, pid):
        """Anything."""
        return Stand()

    def get_extension(self, code):
        """No registry."""
        raise pickle.UnpicklingError("no extensions")


class Stand:
    """Takes whatever is done to it."""

    def __new__(cls, *arguments, **named):
        """Any arguments."""
        return super().__new__(cls)

    def __init__(self, *arguments, **named):
        """Any arguments."""

    def __setstate__(self, state):
        """Any state."""

    def __setitem__(self, key, value):
        """Any item."""

    def append(self, value):
        """Any item."""

    def extend(self, values):
        """Any items."""

    def add(self, value):
        """Any item."""


def fuzz_imports(seconds, least, seed=SEED):
    """Compares with what the real loader imports, up to where either of them stops; answers how many
    files, and how many imports of theirs, there were."""
    chance = random.Random(f"{seed} imports")
    files = imports = 0
    for _ in turns(seconds, least, chance):
        files += 1
        data = damage(chance.choice(targets()["pickle"]), chance)
        loader = Watched(data)
        with contextlib.suppress(Exception):  # whatever damage leads to
            loader.load()
        notes = machine.Notes()
        walk = machine.walk(source.Memory(data), 0, source.Limits(), notes, machine.Mode())
        ours = {
            text.split(" ")[1].split(",")[0].rstrip(":")
            for text in notes.found
            if text.startswith("imports ")
        }
        missing = {name for name in loader.seen if _noted(name) not in ours}
        assert not missing or walk.unclear or len(ours) > 40, (missing, data)
        if missing and walk.unclear:
            assert notes.verdict != "safe", data
        imports += len(loader.seen)
    assert imports > least / 2
    return files, imports


def _noted(name):
    """An import as a finding names it."""
    text = f"imports {name}".encode("ascii", "backslashreplace").decode()[:200]
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text.split(" ")[1].split(",")[0].rstrip(":")


def test_long_names_are_compared_as_they_are_noted():
    """What cannot be printed is spelt out after the text was cut, so that it may be longer."""
    name = "torch.utils._rebu" + "\0" * 45 + "ild_parameter"
    notes = machine.Notes()
    data = b"\x80\x04ctorch.utils\n" + name.removeprefix("torch.utils.").encode() + b"\n."
    machine.walk(source.Memory(data), 0, source.Limits(), notes, machine.Mode())
    assert [text.removeprefix("imports ") for text in notes.found] == [_noted(name)]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_have_a_verdict(kind):
    """Every indexer of this family, a few hundred seeded files."""
    fuzz_facts(kind, 0, 400)


def test_no_import_of_a_real_loader_is_missed():
    """The standard library's own loader never imports what the machine did not see."""
    fuzz_imports(0, 4000)
