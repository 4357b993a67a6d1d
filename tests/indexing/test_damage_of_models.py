"""Damaged, lying and hostile files: facts all the same, in time and in bounded memory."""

import bz2
import gzip
import io
import json
import struct
import tarfile
import zipfile

import pytest

from tests.indexing import damage, test_archives, test_huggingface, test_skops, test_trees

ROWS_HERE = [
    *test_trees.ROWS, *test_huggingface.ROWS, *test_skops.ROWS, *test_archives.ROWS,
]  # fmt: skip
SECONDS = 0.5
MEMORY = 256 * 1024 * 1024


@pytest.mark.parametrize("row", ROWS_HERE, ids=lambda row: row.file)
def test_changed_files_are_described_without_an_exception(row, made):
    """Seeded changes of real files: no exception, two seconds each at most, storable facts."""
    tried, problems = damage.fuzz(made(row).read_bytes(), SECONDS, seed=4)
    assert tried >= damage.LEAST
    assert problems, "no change was noticed: the changes reach nothing that is looked at"


def _ubj(body):
    return b"{L\0\0\0\0\0\0\0\x07learner{" + body


def _key(name):
    return b"L" + struct.pack(">q", len(name)) + name


def _cbm(table):
    return b"CBM1" + struct.pack("<I", len(table)) + table


def _tar(kind, data, count=1):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for n in range(count):
            info = tarfile.TarInfo(f"m{n}")
            info.type, info.size = kind, len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _schema(text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", text)
    return out.getvalue()


MANY = 2_000_000
TOKENIZER = b'{"version": "1.0", "truncation": null, "added_tokens": [], "model": {"vocab": '
LEARNER = b'{"learner": {"attributes": {'
HOSTILE = {
    "json, deep": b'{"model_type": ' + b"[" * MANY,
    "json, deep objects": b'{"model_type": ' + b'{"a":' * 700_000,
    "json, empty lists": b'{"model_type": "a", "x": [' + b"[]," * 1_300_000 + b"[]]}",
    "json, digits": b'{"model_type": ' + b"9" * 4_000_000 + b"}",
    "json, escapes": b'{"model_type": "' + b"\\u0041" * 600_000 + b'"}',
    "tokenizer, many": TOKENIZER + b"{" + b'"a":1,' * 7_000_000,
    "tokenizer, nested": TOKENIZER + b"[" + b"[[[]]]," * 6_000_000,
    "tokenizer, one string": TOKENIZER + b'"' + b"\\" * 40_000_000,
    "tokenizer, many names": TOKENIZER[:-9] + b",".join(b'"%d":0' % n for n in range(1_500_000)),
    "xgboost, attributes": LEARNER + b",".join(b'"%d":"x"' % n for n in range(300_000)) + b"}}}",
    "xgboost, deep": LEARNER + b'"a":' + b"[" * 4_000_000,
    "xgboost, pairs": LEARNER + b'"a":[' + b"[[0]]," * 600_000,
    "ubj, deep": _ubj(_key(b"attributes") + b"[" * MANY),
    "ubj, deep elsewhere": _ubj(_key(b"x") + b"[" * MANY),
    "ubj, huge count": _ubj(_key(b"attributes") + b"[#L" + struct.pack(">q", 2**62)),
    "ubj, count of nothing": _ubj(_key(b"attributes") + b"[$Z#L" + struct.pack(">q", 2**62)),
    "ubj, nested typed": _ubj(_key(b"attributes") + b"[$[#l\x7f\xff\xff\xff" * 100_000),
    "ubj, negative": _ubj(b"L" + struct.pack(">q", -5) + b"x" * 100),
    "ubj, long name": _ubj(b"L" + struct.pack(">q", 2**40) + b"x" * 100),
    "ubj, many": _ubj(_key(b"x") + b"[" + b"Z" * 4_000_000),
    "ubj, no-ops": _ubj(_key(b"x") + b"[" + b"N" * 4_000_000),
    "ubj, many names": _ubj(b"".join(_key(b"%06d" % n) + b"Z" for n in range(200_000))),
    "lightgbm, no end": b"tree\nversion=v4\n" + b"x" * 9_000_000,
    "lightgbm, sizes": b"tree\nversion=v4\nmax_feature_idx=1\nfeature_names=a b\ntree_sizes="
    + b"1 " * 3_500_000 + b"\n\nTree=0\n",
    "lightgbm, names": b"tree\nversion=v4\nmax_feature_idx=1\nfeature_names=" + b" " * 7_000_000
    + b"\n\nTree=0\nend of trees\n",
    "lightgbm, lines": b"tree\nversion=v4\n" + b"a=\n" * 2_500_000 + b"\nTree=0\n",
    "catboost, empty": _cbm(b""),
    "catboost, self": _cbm(struct.pack("<I", 0) + bytes(100)),
    "catboost, far": _cbm(struct.pack("<I", 2**32 - 1) + bytes(100)),
    "catboost, long": b"CBM1\xff\xff\xff\xff" + bytes(100),
    "skops, deep": _schema(b'{"__loader__": ' * 300_000),
    "skops, lists": _schema(b'{"__loader__": "ListNode", "content": [' + b"[]," * 2_000_000 + b"[]]}"),
    "skops, nodes": _schema(json.dumps({
        "__loader__": "ListNode", "__class__": "list", "__module__": "builtins", "protocol": 2,
        "content": [{"__loader__": "TypeNode", "__class__": f"t{n}", "__module__": "m"}
                    for n in range(100_000)]})),
    "tar, pax size": _tar(b"x", b"22 size=99999999999999\n"),
    "tar, pax lies": _tar(b"x", b"999999 path=a\n"),
    "tar, pax nothing": _tar(b"x", b"0 path=a\n"),
    "tar, names": _tar(b"L", b"a/" * 30_000, 300),
    "tar, many": _tar(b"0", b"", 40_000),
    "gzip of gzips": gzip.compress(b"") * 100_000,
    "gzip, empty tail": gzip.compress(b"x") + b"\1" * 4_000_000,
    "bzip2 of bzip2s": bz2.compress(b"") * 100_000,
    "bzip2, random": bz2.compress(bytes(range(256)) * 4000)[:-20] + b"\xff" * 4_000_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_little(name):
    """Depths, counts and lengths that are made to hurt."""
    facts = damage.checked(HOSTILE[name])
    assert facts.problem or facts.verdict != "safe"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_take_bounded_memory(name):
    """Of the whole process, as the kernel counts it."""
    most = damage.peak(HOSTILE[name])
    assert most <= MEMORY, f"{most / 2**20:.0f} MiB"


@pytest.mark.parametrize("row", ROWS_HERE, ids=lambda row: row.file)
def test_every_beginning_of_a_file_is_described(row, made):
    """Two hundred places to be cut at."""
    data = made(row).read_bytes()
    for length in range(0, len(data), max(1, len(data) // 200)):
        damage.checked(data[:length])
