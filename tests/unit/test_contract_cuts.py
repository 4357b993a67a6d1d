"""Cuts: they cover a file exactly, fit the store's limits, and find moved tensors again."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.contract import cuts
from weighbridge.contract.errors import IntegrityError, InvalidRequest, TooLarge
from weighbridge.contract.manifests import MAX_SIZE
from weighbridge.contract.types import Part

MIB = cuts.MIB
SMALL = st.integers(1, 10 * MIB - 1)
LENGTHS = st.lists(
    st.one_of(SMALL, st.integers(1, 4096), st.integers(10 * MIB, 90 * MIB)), max_size=40
)


def _tensors(header, lengths, gap=0):
    position, found = header, []
    for length in lengths:
        found.append((position, length))
        position += length + gap
    return position, found


@settings(deadline=None)
@given(st.integers(8, 12 * MIB), LENGTHS, st.sampled_from([0, 1, 6 * MIB]))
def test_tensor_cuts_cover_the_file_exactly(header, lengths, gap):
    """Parts follow each other without gap, all but the last have 5 MiB, none more than 21 MiB."""
    size, tensors = _tensors(header, lengths, gap)
    spans = cuts.tensor_cuts(size, tensors)
    assert spans == cuts.tensor_cuts(size, iter(tensors))
    if size <= 16 * MIB:
        assert spans == ()
        return
    position = 0
    for number, span in enumerate(spans, 1):
        assert (span.number, span.offset) == (number, position)
        position += span.size
    assert position == size
    assert len(spans) >= 2
    assert all(span.size >= 5 * MIB for span in spans[:-1])
    assert all(0 < span.size <= 21 * MIB for span in spans)


@settings(deadline=None)
@given(st.integers(1, 13), st.integers(0, MAX_SIZE), st.booleans())
def test_tensor_cuts_of_huge_files_fit_the_stores_limits(pieces, size, small):
    """Up to the largest file there are 10,000 parts at most, each of 5 MiB to 5 GiB."""
    lengths = [size // pieces] * pieces
    if small and size <= 4000 * 1024 * MIB:
        lengths = [7 * MIB] * (size // (7 * MIB))
    end, tensors = _tensors(0, lengths)
    spans = cuts.tensor_cuts(end, tensors)
    assert len(spans) <= cuts.MAX_PARTS
    assert sum(span.size for span in spans) == (end if end > 16 * MIB else 0)
    assert all(span.size >= 5 * MIB for span in spans[:-1])
    assert all(span.size <= cuts.MAX_PART for span in spans)


@settings(deadline=None)
@given(st.data(), LENGTHS, st.integers(8, 3 * MIB), st.integers(8, 3 * MIB))
def test_interior_of_large_tensors_is_found_wherever_it_moved(data, lengths, before, after):
    """After any reordering and another header, every part of a large tensor but its first 5 MiB is
    cut out of the same bytes of that tensor."""
    numbered = list(enumerate(lengths))
    moved = data.draw(st.permutations(numbered))
    first, second = _inside(before, numbered), _inside(after, moved)
    if sum(lengths) <= 16 * MIB:
        return
    assert first == second
    for number, length in numbered:
        if length >= 10 * MIB:
            found = sorted(span[1:] for span in first if span[0] == number)
            assert found[0][0] == 5 * MIB
            assert sum(size for _, size in found) == length - 5 * MIB


def _inside(header, numbered):
    """(tensor, offset in it, size) of the parts that lie in one large tensor, behind its start."""
    size, tensors = _tensors(header, [length for _, length in numbered])
    found = set()
    for span in cuts.tensor_cuts(size, tensors):
        for (number, length), (offset, _) in zip(numbered, tensors, strict=True):
            inside = offset < span.offset and span.offset + span.size <= offset + length
            if length >= 10 * MIB and inside:
                found.add((number, span.offset - offset, span.size))
    return found


def gpt2_medium():
    """Names and byte lengths of GPT-2 medium's tensors in float32, as published."""
    width, found = 1024, []
    for block in range(24):
        for name, shape in {
            "ln_1.weight": width, "ln_1.bias": width, "attn.bias": width * width,
            "attn.c_attn.weight": 3 * width * width, "attn.c_attn.bias": 3 * width,
            "attn.c_proj.weight": width * width, "attn.c_proj.bias": width,
            "ln_2.weight": width, "ln_2.bias": width,
            "mlp.c_fc.weight": 4 * width * width, "mlp.c_fc.bias": 4 * width,
            "mlp.c_proj.weight": 4 * width * width, "mlp.c_proj.bias": width,
        }.items():  # fmt: skip
            found.append((f"h.{block}.{name}", 4 * shape))
    top = [("wte.weight", 4 * 50257 * width), ("wpe.weight", 4 * 1024 * width)]
    return sorted([*top, *found, ("ln_f.weight", 4 * width), ("ln_f.bias", 4 * width)])


def digests(header, tensors):
    """What stands for the digest of each part: the bytes it is made of, by tensor and offset."""
    name, length = header
    stretches = [(f"header {name}", length), *tensors]
    size, placed = _tensors(0, [length for _, length in stretches])
    found = {}
    for span in cuts.tensor_cuts(size, placed[1:]):
        content = []
        for (key, length), (offset, _) in zip(stretches, placed, strict=True):
            start, end = max(offset, span.offset), min(offset + length, span.offset + span.size)
            if start < end:
                content.append((key, start - offset, end - offset))
        found[tuple(content)] = span.size
    return found


def sent(old, new):
    """The bytes of the parts that only the new file has."""
    before = digests(*old)
    return sum(size for key, size in digests(*new).items() if key not in before)


@pytest.mark.parametrize("changed", ["wte.weight", "ln_f.weight", "h.23.mlp.c_proj.weight"])
def test_head_only_fine_tune_sends_little_more_than_what_changed(changed):
    """One changed tensor costs its own bytes and at most 12 MiB."""
    model = gpt2_medium()
    tuned = [(f"{name}*" if name == changed else name, length) for name, length in model]
    size = dict(model)[changed]
    cost = sent((("a", 36_000), model), (("a", 36_000), tuned))
    assert size <= cost <= size + 12 * MIB


@pytest.mark.parametrize("header", [36_000, 36_001, 60_000])
def test_renamed_tensors_send_the_header_and_its_neighbour(header):
    """Another header, however long, costs at most 12 MiB."""
    model = gpt2_medium()
    assert 0 < sent((("a", 36_000), model), (("b", header), model)) <= 12 * MIB


def _runs(tensors):
    """How many runs of small tensors there are, the header's included."""
    small = [True, *(length < 10 * MIB for _, length in tensors)]
    return sum(here and not before for before, here in zip([False, *small], small, strict=False))


ORDERS = {
    "reversed": lambda model: model[::-1],
    "rotated": lambda model: model[77:] + model[:77],
    "by block number": lambda model: sorted(model, key=lambda t: (len(t[0].split(".")[1]), t[0])),
    "by kind": lambda model: sorted(model, key=lambda t: (t[0].split(".")[2:], t[0])),
    "by size": lambda model: sorted(model, key=lambda t: (t[1], t[0])),
}


@pytest.mark.parametrize("order", list(ORDERS))
def test_reordered_tensors_send_the_small_ones_and_5_mib_per_run(order):
    """Any order costs at most the bytes of tensors under 10 MiB, the header, and 5 MiB per run of
    them. Where an order has fewer runs, those that vanished count: a large tensor that lost the
    small ones before it has another first part."""
    model = gpt2_medium()
    moved = ORDERS[order](model)
    assert sorted(moved) == model
    small = sum(length for _, length in model if length < 10 * MIB)
    cost = sent((("a", 36_000), model), (("b", 36_000), moved))
    runs = max(_runs(model), _runs(moved))
    assert 0 < cost <= small + 36_000 + 5 * MIB * runs, (cost / MIB, small / MIB, runs)


@pytest.mark.parametrize(
    "tensors",
    [[(0, 20 * MIB), (5, 1)], [(0, 21 * MIB)], [(7, -1)], [(10, 5), (5, 5)], [(-1, 5)]],
)
def test_impossible_tensors_are_refused(tensors):
    """Tensors that overlap, leave the file or run backwards cannot be cut at."""
    with pytest.raises(InvalidRequest):
        cuts.tensor_cuts(20 * MIB, tensors)


def test_file_above_the_stores_limit_is_refused():
    """A file that S3 could not hold is refused by both schemes."""
    with pytest.raises(TooLarge):
        cuts.tensor_cuts(MAX_SIZE + 1, [])


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, cuts.MAX_PART)),
                min_size=1, max_size=20))  # fmt: skip
def test_part_list_comes_back_as_it_was(rows):
    """`decode(encode(parts)) == parts`, and equal parts are equal bytes."""
    parts = tuple(Part(n, digest.hex(), size) for n, (digest, size) in enumerate(rows, 1))
    data = cuts.encode(parts)
    assert cuts.decode(data) == parts
    assert cuts.encode(list(parts)) == data


GOOD = ["0" * 64, 5]


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 100_000, {"parts": [GOOD]}, {"parts": [], "schema": 1},
        {"parts": [GOOD], "schema": 2}, {"parts": 5, "schema": 1}, {"parts": [5], "schema": 1},
        {"parts": [["0" * 63, 5]], "schema": 1}, {"parts": [["0" * 64, 0]], "schema": 1},
        {"parts": [["0" * 64, True]], "schema": 1}, {"parts": [["0" * 64, 1.0]], "schema": 1},
        {"parts": [GOOD] * 10_001, "schema": 1}, {"parts": [[*GOOD, 1]], "schema": 1},
        {"parts": [["0" * 64, 2**60]], "schema": 1},
    ],
)  # fmt: skip
def test_damaged_part_list_is_an_integrity_error(document):
    """Anything but a part list is one clear error."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(IntegrityError):
        cuts.decode(data)
