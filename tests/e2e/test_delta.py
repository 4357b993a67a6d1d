"""Delta pushes on the embedded stack: what the project holds is copied inside the store, not sent."""

import json
import random
import struct
import uuid

import pytest

from tests.e2e.served import until

pytestmark = pytest.mark.real

MIB = 1024**2


def model(seed, tensors):
    """A safetensors file: `tensors` maps names to (bytes, seed of its content)."""
    header, data, offset = {}, [], 0
    for name, (size, own) in tensors.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [offset, offset + size]}
        data.append(random.Random(own + seed).randbytes(size))
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(data)


def layers(**changed):
    """Three large tensors, a small one after each, and a head; `changed` gives other contents."""
    found = {}
    for i in range(3):
        found[f"layer.{i}.weight"] = (40 * MIB, changed.get(f"w{i}", i))
        found[f"layer.{i}.bias"] = (4096, 100 + i)
    found["head.weight"] = (3 * MIB, changed.get("head", 1000))
    return found


def fresh(pushed, content):
    """The bytes that were not found in the store: what is sent, but for repeats after a lost answer."""
    missing = len(content) - pushed["reused_bytes"]
    assert pushed["sent_bytes"] >= missing
    return missing


@pytest.fixture
def project():
    """A project name nobody else uses."""
    return f"d{uuid.uuid4().hex[:8]}"


def test_only_what_changed_is_sent_and_all_of_it_comes_back(person, project):
    """Head-only, renamed and reordered: a fraction is sent, and each version pulls back whole."""
    name, seed = f"{project}/net", random.randrange(10**6)
    first = layers()
    head = layers(head=2000)
    renamed = {f"model.{k}": v for k, v in head.items()}
    reordered = dict(sorted(renamed.items(), reverse=True))
    sent = []
    contents = [model(seed, tensors) for tensors in (first, head, renamed, reordered)]
    for content in contents:
        (person.home / "model.safetensors").write_bytes(content)
        pushed = person.json("push", name, "model.safetensors")
        sent.append(fresh(pushed, content))
    assert sent[0] == len(contents[0])
    assert sent[1] <= 3 * MIB + 12 * MIB
    assert sent[2] <= 12 * MIB
    assert sent[3] < len(contents[3]) / 2
    again = person.json("push", name, "model.safetensors")
    assert (again["sent_bytes"], again["reused_bytes"]) == (0, len(contents[3]))
    for number, content in enumerate(contents, 1):
        person.ok("pull", f"{name}@{number}", "--to", f"out{number}")
        assert (person.home / f"out{number}" / "model.safetensors").read_bytes() == content
    until(lambda: "U8" in person.ok("show", f"{name}@4").out)
    print("sent", [round(n / MIB, 1) for n in sent], "MiB of", round(len(contents[0]) / MIB, 1))


def test_first_pieces_of_moved_tensors_are_copied_and_changed_ones_sent(person, project):
    """A large tensor that stood behind small ones is found whole where nothing small stands before it;
    if its first bytes changed, the store's copy of the old ones is noticed, and they are sent."""
    name, seed = f"{project}/net", random.randrange(10**6)
    first = layers()
    apart = {n: first[n] for n in sorted(first, key=lambda n: (-first[n][0], n))}
    moved = model(seed, apart)
    changed = bytearray(moved)
    changed[len(moved) - sum(size for size, _ in apart.values()) + 80 * MIB + 5] ^= 1
    # The header and the first tensor's first 5 MiB; the small tensors, which have another order.
    bound = 5 * MIB + 4096 + 3 * MIB + 3 * 4096
    contents = [model(seed, first), moved, bytes(changed)]
    sent = []
    for content in contents:
        (person.home / "model.safetensors").write_bytes(content)
        pushed = person.json("push", name, "model.safetensors")
        sent.append(fresh(pushed, content))
    assert sent[1] <= bound
    assert sent[2] == 5 * MIB
    for number, content in enumerate(contents, 1):
        person.ok("pull", f"{name}@{number}", "--to", f"out{number}")
        assert (person.home / f"out{number}" / "model.safetensors").read_bytes() == content


def test_nothing_is_copied_from_another_project(person, project):
    """The same bytes in another project are sent again: nothing crosses the boundary."""
    content = model(random.randrange(10**6), layers())
    (person.home / "model.safetensors").write_bytes(content)
    person.ok("push", f"{project}/net", "model.safetensors")
    other = person.json("push", f"{project}x/net", "model.safetensors")
    assert other["sent_bytes"] == len(content)
