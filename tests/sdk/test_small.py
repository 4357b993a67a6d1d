"""Small files of a push: one read, kept until they are sent, within bounds."""

import json
import os
import struct
import threading

import pytest

from weighbridge.contract import digests, errors
from weighbridge.transfer import hashing, small, upload
from weighbridge.transfer.small import Small
from weighbridge.turns import SMALL


def test_a_small_file_is_read_as_any_other_and_kept_until_it_is_forgotten(tmp_path):
    """Digests and stamp are those of `hash_file`."""
    path = tmp_path / "a"
    path.write_bytes(os.urandom(SMALL))
    found = Small()
    file = found.read(path)
    assert file == hashing.hash_file(path)
    assert bytes(found.data(file)) == path.read_bytes()
    found.forget(file)
    found.forget(file)
    assert found.data(file) is None


def test_no_more_is_kept_than_there_is_room(tmp_path):
    """What does not fit is read all the same; what is forgotten makes room."""
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(os.urandom(40))
    found = Small(100)
    first, second, third = [found.read(path) for path in paths]
    assert [found.data(file) is not None for file in (first, second, third)] == [True, True, False]
    found.forget(third)
    found.forget(first)
    again = found.read(paths[2])
    assert again == third
    assert found.data(again) is not None
    assert found.read(paths[2]) == third  # not counted twice
    found.forget(second)
    found.forget(third)
    assert Small(100)._room == found._room


@pytest.mark.parametrize("kind", ["large", "safetensors", "gguf"])
def test_other_files_are_left_to_others(tmp_path, kind):
    """Above the limit, and where tensors are to be looked at."""
    path = tmp_path / "a"
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    path.write_bytes(
        {
            "large": bytes(SMALL + 1),
            "safetensors": struct.pack("<Q", len(header)) + header + b"x",
            "gguf": b"GGUF" + bytes(20),
        }[kind]
    )
    assert Small().read(path) is None


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    """Its stamp after the reading is another."""
    path = tmp_path / "a"
    path.write_bytes(b"one")
    stamps = []
    real = hashing.stamp

    def stamp(stream):
        if stamps:
            path.write_bytes(b"two")
            os.utime(path, ns=(1, 1))
        stamps.append(real(stream))
        return stamps[-1]

    monkeypatch.setattr(hashing, "stamp", stamp)
    with pytest.raises(errors.FileChanged):
        Small().read(path)


@pytest.mark.parametrize("room", [0, 300, small.ROOM])
def test_many_small_files_and_a_few_others_arrive(registry, state, tmp_path, monkeypatch, room):
    """With and without room to keep them; equal ones are sent once."""
    monkeypatch.setattr("weighbridge.transfer.upload.Small", lambda: Small(room))
    folder = tmp_path / "files"
    folder.mkdir()
    content = {f"{n:03d}": b"%d" % (n // 2) * 10 for n in range(100)}
    content |= {"large": os.urandom(SMALL + 1), "parts": os.urandom(33 * 1024**2), "none": b""}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    pushed = registry.push("p/m", folder)
    assert {entry.path for entry in pushed.entries} == set(content)
    stored = set(state.objects.values())
    assert all(data in stored for data in content.values())
    assert pushed.parts_sent == 50 + 1 + 1 + 3  # halves of the small ones, the empty one, parts


def test_a_group_is_given_up_when_it_is_told_to(tmp_path):
    """Between two files of it, and not only at its end."""
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(b"x")
    read, stop = [], threading.Event()

    def reading(path, stopping):
        read.append(path)
        stop.set()
        return hashing.hash_file(path)

    group = [upload.Source(path, path.name) for path in paths]
    with pytest.raises(upload.Interrupted):
        upload._read_group(group, reading, stop.is_set)
    assert read == paths[:1]


def test_what_is_no_blob_id_is_not_remembered():
    """Of what strangers send nothing stays."""
    before = digests._parsed.cache_info().currsize
    for text in ("s-" + "0" * 5000, "c1-" + "f" * 98, 7):
        with pytest.raises(errors.InvalidRequest):
            digests.parse_blob(text)
    assert digests._parsed.cache_info().currsize == before
