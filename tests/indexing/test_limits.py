"""What indexing costs: huge files by their headers, and files made to be expensive."""

import json
import struct
import time
import tracemalloc

import pytest

from chalicelib.indexing.formats import describe
from chalicelib.indexing.formats.bounds import MAX_TENSORS, bounded
from tests.indexing.table import described, ranged
from tests.indexing.test_zips import built
from weighbridge.contract.types import Facts, Tensor

GB = 10**9
MB = 10**6


def sparse(path, head, size):
    """A file with this beginning and this size, most of it a hole."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    assert path.stat().st_blocks * 512 < 100 * MB, "no sparse files here"
    return path


def _safetensors(count, size):
    each = (size // count) // 4 * 4
    header, at = {}, 0
    for number in range(count):
        end = at + each
        header[f"model.layers.{number}.mlp.weight"] = {
            "dtype": "F32", "shape": [each // 4], "data_offsets": [at, end],
        }  # fmt: skip
        at = end
    data = json.dumps(header).encode()
    return len(data).to_bytes(8, "little") + data, 8 + len(data) + at


def _text(value):
    return struct.pack("<Q", len(value)) + value


def _gguf(count, size, words=0):
    each = size // count // 32 * 32
    keys = _text(b"general.architecture") + struct.pack("<I", 8) + _text(b"llama")
    keys += _text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, words)
    keys += b"".join(_text(b"token %d" % n) for n in range(words))
    head = b"GGUF" + struct.pack("<IQQ", 3, count, 2) + keys
    for number in range(count):
        head += _text(b"blk.%d.weight" % number) + struct.pack(
            "<IQIQ", 1, each // 4, 0, number * each
        )
    head = head.ljust(-(-len(head) // 32) * 32, b"\0")
    return head, len(head) + count * each


@pytest.mark.parametrize(("build", "most"), [
    (lambda: _safetensors(1000, 10 * GB), 200_000),
    (lambda: _safetensors(60_000, 10 * GB), 8 * MB),
    (lambda: _gguf(1000, 10 * GB), 1_200_000),
    (lambda: _gguf(1000, 10 * GB, words=500_000), 12 * MB),
], ids=["safetensors", "safetensors, 60,000 tensors", "gguf", "gguf, 500,000 tokens"])  # fmt: skip
def test_ten_gigabytes_are_indexed_from_less_than_twenty_megabytes(build, most, tmp_path):
    """Only the header is fetched, in a few requests."""
    head, size = build()
    started = time.process_time()
    facts = described(sparse(tmp_path / "model", head, size))
    assert (facts.problem, size > 9 * GB) == ("", True)
    assert facts.parameters > 2 * GB
    assert facts.read_bytes <= most < 20 * MB
    assert facts.requests <= 15
    assert time.process_time() - started < 10  # 1 s on a quiet machine


def _nested_lists(count):
    data = b'{"a":' + b"[" * count
    return len(data).to_bytes(8, "little") + data


def _tiny_values():
    data = b'{"a":[' + b"[]," * 5_000_000 + b"1]}"
    return len(data).to_bytes(8, "little") + data


def _gguf_of_empty_strings():
    keys = _text(b"k") + struct.pack("<IIQ", 9, 8, 3_900_000) + bytes(8 * 3_900_000)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + keys


def _gguf_of_tensors():
    entries = b"".join(
        _text(b"%06d" % n) + struct.pack("<IIQ", 0, 0, 4 * n) for n in range(100_000)
    )
    return b"GGUF" + struct.pack("<IQQ", 3, 100_000, 0) + entries + bytes(400_100)


def _onnx_of_nodes():
    body = b"\x0a\x00" * 3_000_000
    length, size = len(body), b""
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return b"\x08\x08\x3a" + size + bytes([length]) + body


def _tflite_of_one_table():
    # A vtable whose every field leads to one vector, which holds one table 900,000 times: operators,
    # subgraphs and tensors are all the same.
    fields, count = 8, 900_000
    vtable = struct.pack("<HH", 4 + 2 * fields, 8) + struct.pack("<H", 4) * fields
    root = 8 + len(vtable)
    vector = root + 8
    inner = vector + 4 + 4 * count + len(vtable)
    items = b"".join(struct.pack("<I", inner - (vector + 4 + 4 * n)) for n in range(count))
    data = struct.pack("<I", root) + b"TFL3" + vtable + struct.pack("<iI", len(vtable), 4)
    data += struct.pack("<I", 999) + items + vtable + struct.pack("<iI", len(vtable), 4)
    return data + struct.pack("<I", 0)


def _xml():
    return (
        b'<?xml version="1.0"?>\n<net name="m"><layers>'
        + b"<layer a='b'/>" * 390_000
        + b"</layers></net>"
    )


def _hdf5(links):
    # A version 2 object header whose links all lead back to it.
    name = b"".join(
        struct.pack("<BHB", 6, 11 + len(b"%06d" % n), 0) + b"\x01\x00" + bytes([6]) + b"%06d" % n
        + struct.pack("<Q", 48) for n in range(links)
    )  # fmt: skip
    head = (
        b"\x89HDF\r\n\x1a\n"
        + bytes([2, 8, 8, 0])
        + struct.pack("<QQQQ", 0, 2**64 - 1, 0, 48)
        + bytes(4)
    )
    return head + b"OHDR" + bytes([2, 2]) + struct.pack("<I", len(name)) + name + bytes(100)


def _zip_of_zeros():
    return built({"config.json": bytes(200_000_000)})


def _npz_of_many():
    return built({f"{n}.npy": b"" for n in range(60_000)})


def _npy_of_brackets():
    head = b"{'descr': " + b"[" * 900_000 + b"}"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(head)) + head


EXPENSIVE = {
    "safetensors: nested lists": lambda: _nested_lists(900_000),
    "safetensors: empty lists": _tiny_values,
    "gguf: empty strings": _gguf_of_empty_strings,
    "gguf: a hundred thousand tensors": _gguf_of_tensors,
    "onnx: three million nodes": _onnx_of_nodes,
    "tflite: one table a thousand times": _tflite_of_one_table,
    "openvino: 390,000 layers": _xml,
    "hdf5: a group within itself": lambda: _hdf5(4000),
    "keras: 200 MB of zeros": _zip_of_zeros,
    "npz: 60,000 members": _npz_of_many,
    "npy: brackets": _npy_of_brackets,
}


@pytest.mark.parametrize("name", EXPENSIVE)
def test_files_made_to_be_expensive_are_not(name):
    """Two seconds of work and 256 MiB at most, whatever is claimed or repeated."""
    data = EXPENSIVE[name]()
    started = time.process_time()
    facts = describe(ranged(data))
    took = time.process_time() - started
    assert facts.format != "file", "the file did not reach its indexer"
    del facts
    tracemalloc.start()
    describe(ranged(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < 2, f"it took {took:.1f} s"
    assert peak < 256 * 1024 * 1024, f"it took {peak / 2**20:.0f} MiB"


def test_more_tensors_than_are_kept_are_said():
    """The list ends at a hundred thousand, and says so."""
    facts = bounded(Facts("x", tensors=(Tensor("t", "F32", (1,), 4),) * (MAX_TENSORS + 1)))
    assert len(facts.tensors) == MAX_TENSORS
    assert facts.findings == ("the first 100000 of 100001 tensors are listed",)


@pytest.mark.parametrize("data", [b"", b"\0", b"plain text", b"{}", b"PK\x03"])
def test_an_unknown_file_has_a_plain_entry(data):
    """No facts, no problem, no verdict."""
    facts = described(data)
    assert (facts.format, facts.problem, facts.verdict, facts.tensors) == ("file", "", "", ())
