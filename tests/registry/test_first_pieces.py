"""First pieces of moved tensors: copied from where they probably lie, and sent where that was wrong."""

import hashlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chalicelib.registry import blobs, parts, projects, uploads
from chalicelib.registry.ports import Item, Key
from tests.registry.test_parts import actions, known
from tests.registry.test_uploads import MIB
from tests.registry_world import setup_model
from weighbridge.contract import cuts, digests
from weighbridge.contract.errors import IntegrityError
from weighbridge.contract.types import NewUpload, Part, UploadComplete

LENGTHS = st.lists(
    st.one_of(st.integers(1, 10 * MIB - 1), st.integers(1, 4096), st.integers(10 * MIB, 60 * MIB)),
    min_size=1, max_size=20,
)  # fmt: skip


def pieces(header, tensors):
    """The parts of a file of (name, length), and what each is made of: (name, from, to)."""
    stretches = [(("header", header), header), *tensors]
    placed, at = [], 0
    for _, length in stretches:
        placed.append((at, length))
        at += length
    found = []
    for span in cuts.tensor_cuts(at, placed[1:]):
        content = tuple(
            (name, max(start, span.offset) - start, min(start + length, span.offset + span.size) - start)
            for (name, _), (start, length) in zip(stretches, placed, strict=True)
            if max(start, span.offset) < min(start + length, span.offset + span.size)
        )  # fmt: skip
        digest = hashlib.sha256(repr(content).encode()).hexdigest()
        found.append((Part(span.number, digest, span.size), span.offset, content))
    return found


def at(found, offset, size):
    """What a range of a file is made of, if no more than one stretch."""
    for _, start, content in found:
        for name, begin, end in content:
            if start <= offset and offset + size <= start + end - begin:
                return ((name, begin + offset - start, begin + offset - start + size),)
            start += end - begin
    return ()


def sent(old, new):
    """The bytes of the new file that are neither known nor rightly guessed, and how many guesses
    were wrong."""
    index = {(p.sha256, p.size): Item(Key("", ""), {}, {"offset": o}) for p, o, _ in old}
    wanted = [part for part, _, _ in new]
    guessed = parts.before(cuts.TENSORS, wanted, index)
    total = wrong = 0
    for part, _, content in new:
        if (part.sha256, part.size) in index:
            assert part.number not in guessed
            continue
        item = guessed.get(part.number)
        right = item is not None and at(old, item.doc["offset"], part.size) == content
        wrong += item is not None and not right
        total += 0 if right else part.size
    return total, wrong


def runs(tensors):
    """How many runs of small tensors there are; the header is one."""
    small = [True, *(length < 10 * MIB for _, length in tensors)]
    return sum(here and not before for before, here in zip([False, *small], small, strict=False))


@settings(deadline=None)
@given(st.data(), LENGTHS, st.integers(8, 3 * MIB), st.integers(8, 3 * MIB))
def test_reordered_tensors_send_the_small_ones_and_5_mib_per_run_of_them(data, lengths, one, other):
    """Whatever the order was and is, no more is sent; and no guess is wrong. (A file of one piece has no
    known parts.)"""
    assume(min(one, other) + sum(lengths) > cuts.SINGLE_PUT)
    tensors = list(enumerate(lengths))
    moved = data.draw(st.permutations(tensors))
    small = sum(length for length in lengths if length < 10 * MIB)
    total, wrong = sent(pieces(one, tensors), pieces(other, moved))
    assert total <= small + other + 5 * MIB * runs(moved)
    assert wrong == 0


@settings(deadline=None)
@given(st.data(), LENGTHS, st.integers(8, 3 * MIB))
def test_changed_tensors_cost_few_wrong_guesses(data, lengths, header):
    """New contents are no reason to guess: a piece of them has no known one behind it, but by chance
    at the end of a tensor."""
    tensors = list(enumerate(lengths))
    changed = set(data.draw(st.lists(st.sampled_from(tensors), unique=True)))
    new = [(f"new {name}" if (name, n) in changed else name, n) for name, n in tensors]
    total, wrong = sent(pieces(header, tensors), pieces(header, new))
    size = sum(length for _, length in changed)
    assert wrong <= sum(length >= 10 * MIB for _, length in changed)
    assert total <= size + (1 + len(changed)) * 21 * MIB


def test_nothing_is_guessed_of_fixed_cuts_and_of_what_is_known():
    """A changed part of a file of fixed cuts has a known one behind it, and was another before."""
    wanted = [Part(1, "a" * 64, 5 * MIB), Part(2, "b" * 64, 9 * MIB)]
    behind = {("b" * 64, 9 * MIB): Item(Key("", ""), {}, {"offset": 7 * MIB})}
    assert parts.before(cuts.FIXED, wanted, behind) == {}
    assert parts.before(cuts.TENSORS, wanted, behind)[1].doc["offset"] == 2 * MIB
    assert parts.before(cuts.TENSORS, [wanted[1]], behind) == {}
    early = {("b" * 64, 9 * MIB): Item(Key("", ""), {}, {"offset": 5 * MIB - 1})}
    assert parts.before(cuts.TENSORS, wanted, early) == {}
    other = [Part(1, "a" * 64, 6 * MIB), wanted[1]]
    assert parts.before(cuts.TENSORS, other, behind) == {}
    apart = [wanted[0], Part(3, "b" * 64, 9 * MIB)]
    assert parts.before(cuts.TENSORS, apart, behind) == {}


RUN, HEAD, REST, END = b"r" * MIB, b"h" * 5 * MIB, b"t" * 5 * MIB, b"end"
OLD = [RUN + HEAD, REST, b"old end"]
NEW = [HEAD, REST, END]


def opened(stores, content):
    """An upload for tensor cuts of a content."""
    size = sum(len(data) for data in content)
    return uploads.start(stores, "ann", "vision", NewUpload(size, cuts.TENSORS)).upload


def completed(stores, upload, content):
    """Completes it as what `content` is; answers the object."""
    found = [digests.sha256_of(data) for data in content]
    size = sum(len(data) for data in content)
    blob = digests.composite_blob(digests.composite(found), len(content), size, cuts.TENSORS)
    uploads.complete(stores, "vision", upload, UploadComplete(blob))
    project_id = projects.find(stores, "vision").id
    return stores.blobs.read(blobs.object_keys(stores, project_id, [blob])[blob])


def old_model(stores):
    """Stores a file in which small tensors stand before a large one."""
    upload = opened(stores, OLD)
    for plan, data in zip(actions(stores, upload, OLD), OLD, strict=True):
        stores.blobs.execute(plan.request, data)
    completed(stores, upload, OLD)


def test_a_first_piece_that_was_no_part_is_copied(stores):
    """The store's answer has the digest that was wanted, and the object is the file."""
    old_model(stores)
    assert known(stores, NEW) == (False, True, False)
    upload = opened(stores, NEW)
    plans = actions(stores, upload, NEW)
    assert [plan.action for plan in plans] == ["copy", "copy", "send"]
    answer = stores.blobs.execute(plans[0].request)
    assert digests.to_base64(digests.sha256_of(HEAD)).encode() in answer.body
    for plan, data in zip(plans[1:], (b"", END), strict=True):
        assert stores.blobs.execute(plan.request, data).status == 200
    assert completed(stores, upload, NEW) == b"".join(NEW)


def test_a_wrong_guess_is_seen_in_the_answer_and_spoils_nothing(stores):
    """Whoever asks for a digest that is not there gets a copy of other bytes, whose answer says so; the
    upload is not joined with them, and what is sent instead counts."""
    old_model(stores)
    content = [b"x" * 5 * MIB, REST, END]
    upload = opened(stores, content)
    plans = actions(stores, upload, content)
    answer = stores.blobs.execute(plans[0].request)
    assert digests.to_base64(digests.sha256_of(content[0])).encode() not in answer.body
    assert known(stores, content) == (False, True, False)
    again = actions(stores, upload, content, sendonly=True)
    assert [plan.action for plan in again] == ["send", "send", "send"]
    for plan, data in zip(again, content, strict=True):
        assert stores.blobs.execute(plan.request, data).status == 200
    assert completed(stores, upload, content) == b"".join(content)


def test_a_wrong_guess_that_is_not_repaired_is_refused(stores):
    """Parts that were copied by a false digest make no blob of the name that was claimed."""
    old_model(stores)
    content = [b"x" * 5 * MIB, REST, END]
    upload = opened(stores, content)
    for plan, data in zip(actions(stores, upload, content), (b"", b"", END), strict=True):
        stores.blobs.execute(plan.request, data)
    with pytest.raises(IntegrityError):
        completed(stores, upload, content)


def test_no_guess_leaves_the_project(stores):
    """Another project's second pieces are not known, so nothing before them is offered."""
    old_model(stores)
    setup_model(stores, "other", "m")
    size = sum(len(data) for data in NEW)
    upload = uploads.start(stores, "ann", "other", NewUpload(size, cuts.TENSORS)).upload
    assert {plan.action for plan in actions(stores, upload, NEW, "other")} == {"send"}
