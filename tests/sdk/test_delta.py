"""Pushing what is mostly there: parts are copied inside the store, and only new ones are sent."""

import json
import os
import random

import pytest

from tests.sdk.fake_server import MIB
from tests.unit.test_contract_gguf import build
from weighbridge.contract import digests, errors
from weighbridge.contract.digests import parse_blob
from weighbridge.transfer import hashing, statcache
from weighbridge.transfer.memory import Memory

BIG = {
    "a.weight": 20 * MIB,
    "b.bias": 4096,
    "c.weight": 30 * MIB,
    "d.norm": 8,
    "e.weight": 12 * MIB,
}


@pytest.fixture
def tensors(tmp_path):
    """Writes a safetensors file: names in order, each with bytes that depend on `seeds` alone."""

    def make(file, names, seeds=None, rename="{}"):
        header, offset = {}, 0
        for name in names:
            end = offset + BIG[name]
            header[rename.format(name)] = {
                "dtype": "U8", "shape": [BIG[name]], "data_offsets": [offset, end],
            }  # fmt: skip
            offset = end
        text = json.dumps(header).encode()
        path = tmp_path / file
        with path.open("wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                chance = random.Random((seeds or {}).get(name, name))
                stream.write(chance.randbytes(BIG[name]))
        return path

    return make


def _stored(state, path):
    """Whether the newest object is the very file."""
    return list(state.objects.values())[-1] == path.read_bytes()


def _api(state, start, end):
    return sum(path.startswith("/api/") and path.endswith(end) for _, path, _ in state.seen[start:])


def test_unchanged_large_file_creates_nothing(registry, state, content):
    """An unchanged file of many parts opens no upload, sends nothing, and needs few questions."""
    path = content("w", 200 * MIB)
    registry.push("p/m", path)
    uploads, start = len(state.uploads), len(state.seen)
    pushed = registry.push("p/m", path)
    assert (pushed.sent_bytes, pushed.reused_bytes) == (0, 200 * MIB)
    assert len(state.uploads) == uploads
    assert _api(state, start, "/look") <= 2
    assert not state.copied


def test_changed_byte_sends_one_part(registry, state, content):
    """One changed byte sends the part that holds it; the others are copied inside the store."""
    path = content("w", 100 * MIB)
    registry.push("p/m", path)
    with path.open("r+b") as stream:
        stream.seek(70 * MIB)
        stream.write(b"!")
    pushed = registry.push("p/m", path)
    assert (pushed.sent_bytes, pushed.reused_bytes) == (16 * MIB, 84 * MIB)
    assert sum(state.copied.values()) == 6
    assert _stored(state, path)


def test_parts_are_not_copied_between_projects(registry, state, content):
    """The same bytes in another project are sent: what another project holds is never asked for."""
    path = content("w", 40 * MIB)
    registry.push("p/m", path)
    pushed = registry.push("other/m", path)
    assert pushed.sent_bytes == 40 * MIB
    assert not state.copied


def test_head_only_fine_tune_sends_the_head(registry, state, tensors, tmp_path):
    """With one tensor changed, its bytes and at most 12 MiB are sent; the pull is the very file."""
    registry.push("p/m", tensors("a.safetensors", BIG))
    tuned = tensors("b.safetensors", BIG, {"e.weight": 7})
    pushed = registry.push("p/m", tuned)
    assert BIG["e.weight"] <= pushed.sent_bytes <= BIG["e.weight"] + 12 * MIB
    assert parse_blob(pushed.entries[0].blob).scheme == 2
    assert _stored(state, tuned)
    registry.pull("p/m@2", tmp_path / "out")
    assert (tmp_path / "out" / "b.safetensors").read_bytes() == tuned.read_bytes()


def test_renamed_and_reordered_tensors_are_found(registry, state, tensors):
    """New names send at most 12 MiB; another order the small tensors and 5 MiB per run of them."""
    registry.push("p/m", tensors("a.safetensors", BIG))
    renamed = tensors("b.safetensors", BIG, rename="model.{}.of.another.length")
    assert registry.push("p/m", renamed).sent_bytes <= 12 * MIB
    assert _stored(state, renamed)
    moved = tensors("c.safetensors", ["d.norm", "e.weight", "c.weight", "b.bias", "a.weight"])
    # What stands before the first tensor is a run of its own; `c.weight` has nothing before it.
    assert registry.push("p/m", moved).sent_bytes <= 4104 + 4096 + 2 * 5 * MIB
    assert _stored(state, moved)


def test_every_first_piece_is_found_wherever_batches_end(registry, state, tensors, monkeypatch):
    """First and second piece of a tensor are asked after together, in whatever batches."""
    monkeypatch.setattr("weighbridge.transfer.stream.BATCH", 1)
    monkeypatch.setattr("weighbridge.transfer.stream.LARGE_BATCH", 1)
    monkeypatch.setattr("weighbridge.transfer.plan.SIGN_PARTS", 1)
    registry.push("p/m", tensors("a.safetensors", BIG))
    moved = tensors("c.safetensors", ["b.bias", "a.weight", "e.weight", "c.weight", "d.norm"])
    assert registry.push("p/m", moved).sent_bytes <= 8192 + 8 + 5 * MIB
    assert _stored(state, moved)


def test_a_first_piece_that_changed_is_sent_after_the_guess_failed(registry, state, tensors):
    """The store copies other bytes than were meant, says so in its answer, and gets the right ones."""
    registry.push("p/m", tensors("a.safetensors", BIG))
    path = tensors("c.safetensors", ["b.bias", "a.weight", "c.weight", "e.weight", "d.norm"])
    with path.open("r+b") as stream:
        stream.seek(-(BIG["e.weight"] + BIG["c.weight"] + 8), os.SEEK_END)
        stream.write(b"!")
    pushed = registry.push("p/m", path)
    assert 10 * MIB < pushed.sent_bytes <= 8192 + 2 * 5 * MIB
    assert pushed.sent_bytes + pushed.reused_bytes == path.stat().st_size
    assert _stored(state, path)
    assert registry.push("p/m", path).sent_bytes == 0


def test_gguf_is_cut_at_its_tensors(registry, state, tmp_path):
    """A large GGUF file is cut by scheme 2; a damaged one by scheme 1."""
    data, _ = build([30 * MIB, 64, 12 * MIB], data=random.Random(1).randbytes(42 * MIB + 64))
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    assert registry.push("p/m", path).entries[0].blob.startswith("c2-")
    assert _stored(state, path)
    path.write_bytes(b"GGUF" + b"\xff" * 28 + data[32:])
    assert registry.push("p/m", path).entries[0].blob.startswith("c1-")


@pytest.mark.parametrize("size", [40 * MIB, 150 * MIB])
def test_source_that_vanished_is_sent_instead(registry, state, content, size):
    """When the object that parts should be copied from is gone, they are sent."""
    path = content("w", size)
    registry.push("p/m", path)
    state.objects.clear()
    with path.open("r+b") as stream:
        stream.write(b"!")
    pushed = registry.push("p/m", path)
    assert pushed.sent_bytes == size
    assert _stored(state, path)


@pytest.mark.parametrize("fault", ["late", "other", "gone", "expired", "503", "drop", "reset"])
@pytest.mark.parametrize("size", [50 * MIB, 90 * MIB])
def test_copies_that_fail_end_right(registry, state, content, fault, size):
    """An error in the body of a 200, another checksum, 404, an expired address, a lost connection:
    the part is copied or sent in the end, and the object is the file."""
    path = content("w", size)
    registry.push("p/m", path)
    with path.open("r+b") as stream:
        stream.write(b"!")
    state.inject("copy", "ok", fault, fault)
    pushed = registry.push("p/m", path)
    assert _stored(state, path)
    resent = 2 if fault in ("late", "other", "gone") else 0
    assert 16 * MIB <= pushed.sent_bytes <= (1 + resent) * 16 * MIB
    assert pushed.sent_bytes + pushed.reused_bytes == size
    assert not state.faults["copy"]


def test_copies_that_are_always_refused_are_sent(registry, state, content):
    """A store that refuses every copy with 403 gets the bytes."""
    path = content("w", 50 * MIB)
    registry.push("p/m", path)
    with path.open("r+b") as stream:
        stream.write(b"!")
    state.inject("copy", *["expired"] * 100)
    assert registry.push("p/m", path).sent_bytes == 50 * MIB
    assert _stored(state, path)


def test_many_large_files_share_few_buffers(registry, state, content, monkeypatch):
    """Large files read at the same time never wait for each other's buffers for ever."""
    monkeypatch.setattr("weighbridge.transfer.upload._HASHERS", 4)
    for number in range(5):
        folder = content(f"m/{number}", 50 * MIB, seed=number).parent
    monkeypatch.setattr(Memory.__init__, "__defaults__", (2,))
    pushed = registry.push("p/m", folder)
    assert pushed.sent_bytes == 250 * MIB
    for path in folder.iterdir():
        assert path.read_bytes() in state.objects.values()


def test_upload_that_vanished_while_the_file_is_read_begins_anew(registry, state, content):
    """When an opened upload is forgotten under way, the file is sent under another one."""

    def forget(kind, path):
        if kind == "part" and not forgotten:
            forgotten.append(1)
            state.uploads.clear()

    forgotten: list[int] = []
    state.before = forget
    path = content("w", 150 * MIB)
    registry.push("p/m", path)
    assert _stored(state, path)


def test_file_that_changes_while_it_is_sent(registry, state, content):
    """A file that is written to while its first parts are sent is `FileChanged`; the next try
    continues the upload that was opened, and publishes the same version."""

    def change(kind, url):
        if kind == "part" and not changed:
            changed.append(1)
            with path.open("r+b") as stream:
                stream.seek(149 * MIB)
                stream.write(b"!")

    changed: list[int] = []
    path = content("w", 150 * MIB)
    state.before = change
    with pytest.raises(errors.FileChanged):
        registry.push("p/m", path)
    assert state.ready() == []
    (opened,) = state.uploads
    pushed = registry.push("p/m", path)
    assert pushed.version == 1
    assert list(state.uploads) == [opened]
    assert _stored(state, path)


def test_unchanged_file_is_not_read_again(registry, state, content, monkeypatch):
    """A file that was at rest when it was pushed, and did not change since, is not read again;
    with any other size, time, inode or with the switch in the environment, it is."""
    monkeypatch.setattr(statcache, "REST", -(10**12))
    path = content("w", 40 * MIB)
    first = registry.push("p/m", path)
    with monkeypatch.context() as patch:
        patch.setattr("weighbridge.transfer.upload.Stream", None)
        pushed = registry.push("p/m", path)
        assert (pushed.sent_bytes, pushed.manifest) == (0, first.manifest)
        patch.setenv("WEIGHBRIDGE_NO_STAT_CACHE", "1")
        with pytest.raises(TypeError):
            registry.push("p/m", path)
    before = path.stat()
    with path.open("r+b") as stream:
        stream.write(b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert registry.push("p/m", path).sent_bytes == 16 * MIB
    assert _stored(state, path)


def test_file_that_was_just_written_is_read_again(home, registry, content, monkeypatch):
    """A file that changed just before it was read is not remembered."""
    monkeypatch.setattr("weighbridge.transfer.statcache.REST_FINE", 10**12)
    registry.push("p/m", content("w", 20 * MIB))
    assert not list((home / "cache").glob("stats/*"))


def test_remembered_file_whose_blob_is_gone_is_sent(registry, state, content, monkeypatch):
    """What the client remembers is only digests: a blob that the server lost is sent again."""
    monkeypatch.setattr(statcache, "REST", -(10**12))
    path = content("w", 40 * MIB)
    registry.push("p/m", path)
    state.blobs.clear()
    state.objects.clear()
    state.known.clear()
    assert registry.push("p/m", path).sent_bytes == 40 * MIB
    assert _stored(state, path)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"\xff", b'{"path": 5}', "sizes", "digest"])
def test_damaged_note_is_ignored(home, registry, content, monkeypatch, damage):
    """A note that is not what was written is as good as none."""
    monkeypatch.setattr(statcache, "REST", -(10**12))
    path = content("w", 40 * MIB)
    first = registry.push("p/m", path)
    (note,) = (home / "cache" / "stats").iterdir()
    if isinstance(damage, str):
        document = json.loads(note.read_bytes())
        document["parts"][0] = ["0" * 64, 5] if damage == "digest" else [*document["parts"][0], 1]
        damage = json.dumps(document).encode()
    note.write_bytes(damage)
    assert registry.push("p/m", path).manifest == first.manifest


@pytest.mark.parametrize(
    ("modified", "changed", "rested", "noted"),
    [
        (10**18 + 123_456_789, 10**18 + 123_456_789, 300_000_000, True),
        (10**18 + 123_456_789, 10**18 + 123_456_789, 100_000_000, False),
        (10**18, 10**18, 1_900_000_000, False),
        (10**18, 10**18 + 123_456_789, 1_700_000_000, False),
        (10**18, 10**18, 2_100_000_000, True),
    ],
    ids=["fine", "fine, too soon", "coarse", "half coarse", "coarse, at rest"],
)
def test_a_file_is_remembered_once_its_times_would_tell(tmp_path, modified, changed, rested, noted):
    """How long a file must have rested depends on how fine its times are."""
    stamp = hashing.Stamp(2 * MIB, modified, 1, 1, changed)
    digest = digests.sha256_of(b"x")
    file = hashing.hashed(tmp_path / "f", stamp, digest, (), 1)
    statcache.StatCache(tmp_path / "notes").note(file, max(modified, changed) + rested)
    assert (tmp_path / "notes").exists() == noted
