"""The command line as a person uses it, on the embedded stack and on emulated AWS."""

import hashlib
import json
import struct
import uuid

import pytest

from tests.e2e.served import Person, until

pytestmark = pytest.mark.real


def safetensors(**tensors):
    """A safetensors file of float32 zeros (shape) with a marker byte per value."""
    header, data, offset = {}, b"", 0
    for name, (shape, fill) in tensors.items():
        size = 4
        for n in shape:
            size *= n
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        data += bytes([fill]) * size
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture(params=["embedded", "aws"])
def person(request, tmp_path):
    """Somebody with the administrator's token of either stack."""
    served = request.getfixturevalue(request.param)
    return Person(tmp_path, served.url, served.token)


@pytest.fixture
def project():
    """A project name nobody else uses."""
    return f"p{uuid.uuid4().hex[:8]}"


def test_a_model_from_its_first_push_to_its_deletion(person, project):
    """Push, list, show, compare, alias, approve, tag, pull, history, delete: all by hand."""
    home, model = person.home, f"{project}/classifier"
    one = safetensors(**{"layer.weight": ([4, 8], 1), "head.bias": ([8], 1)})
    two = safetensors(**{"layer.weight": ([4, 16], 1), "head.bias": ([8], 1), "new": ([2], 1)})
    (home / "model.safetensors").write_bytes(one)
    (home / "config.json").write_text("{}")
    first = person.json(
        "push", model, "model.safetensors", "config.json", "--metric", "accuracy=0.9", "--param",
        "lr=0.1", "--tag", "team=vision", "--label", "1.0", "--alias", "stage",
    )  # fmt: skip
    assert first["version"] == 1
    assert first["sent_bytes"] == len(one) + 2
    (home / "model.safetensors").write_bytes(two)
    second = person.json("push", model, "model.safetensors", "config.json",
                         "--metric", "accuracy=0.95", "--param", "lr=0.2")  # fmt: skip
    assert (second["version"], second["reused_bytes"]) == (2, 2)
    listed = person.json("ls", model)
    assert [v["number"] for v in listed["items"]] == [2, 1]
    until(lambda: "F32" in person.ok("show", f"{model}@2").out)
    compared = person.run("diff", f"{model}@1", f"{model}@2")
    assert compared.code == 1
    for word in ("layer.weight", "reshaped", "new", "added", "accuracy", "lr"):
        assert word in compared.out
    person.ok("model", "set", model, "--main-metric", "accuracy", "--direction", "accuracy=max",
              "--protect", "production")  # fmt: skip
    refused = person.run("alias", f"{model}@2", "production")
    assert refused.code == 3
    assert "approve" in refused.err
    person.ok("approve", f"{model}@2", "--comment", "good")
    until(lambda: person.json("verdict", f"{model}@2")["verdict"] == "safe", 60)
    person.ok("alias", f"{model}@2", "production")
    person.ok("tag", f"{model}@2", "stage=final")
    pulled = home / "out"
    person.ok("pull", f"{model}@production", "--to", "out")
    assert (pulled / "model.safetensors").read_bytes() == two
    again = person.json("pull", f"{model}@=1.0", "--to", "out1", "--file", "*.json")
    assert [p.name for p in (home / "out1").rglob("*") if p.is_file()] == ["config.json"]
    assert (again["received_bytes"], again["reused_bytes"]) == (0, 2)  # from this machine's cache
    refused = person.run("rm", f"{model}@2", "--yes")
    assert refused.code == 5
    assert "production" in refused.err
    person.ok("alias", f"{model}@1", "stage")
    person.ok("alias", "--rm", model, "stage")
    person.ok("rm", f"{model}@1", "--yes")
    assert person.run("show", f"{model}@1").code == 4
    assert person.json("push", model, "config.json")["version"] == 3
    history = person.json("history", f"{model}@production")
    assert [move["version"] for move in history["items"]] == [2]
    kinds = {event["kind"] for event in person.json("history", model)["items"]}
    assert {"version.published", "version.deleted", "alias.moved", "version.approved"} <= kinds


def test_checkpoints_are_pushed_listed_and_pulled(person, project):
    """Checkpoints of a version come back by number, last and best."""
    model = f"{project}/net"
    (person.home / "w").write_bytes(b"final")
    person.ok("push", model, "w")
    person.ok("model", "set", model, "--main-metric", "loss", "--direction", "loss=min")
    for step, loss in ((0, 0.5), (10, 0.1), (20, 0.3)):
        (person.home / "ck").write_bytes(f"step {step}".encode())
        person.ok("checkpoint", "push", f"{model}@1", "ck", "--step", step, "--metric",
                  f"loss={loss}")  # fmt: skip
    listed = person.json("checkpoint", "ls", f"{model}@1")
    assert sorted(c["step"] for c in listed["items"]) == [0, 10, 20]
    for selector, content in (("best", "step 10"), ("last", "step 20"), ("1", "step 0")):
        person.ok("checkpoint", "pull", f"{model}@1:{selector}", "--to", selector)
        assert (person.home / selector / "ck").read_text() == content


def test_scoped_tokens_limit_what_a_person_can_do(person, project, tmp_path):
    """A reader's token lists and pulls, and nothing else; revoked, it does nothing."""
    (person.home / "w").write_bytes(b"data")
    person.ok("push", f"{project}/m", "w")
    made = person.json("token", "create", "reader", "--verb", "read", "--project", project)
    reader = Person(tmp_path / "reader", person.url, made["secret"])
    reader.home.mkdir()
    reader.ok("pull", f"{project}/m", "--to", "x")
    (reader.home / "w").write_bytes(b"other")
    assert reader.run("push", f"{project}/m", "w").code == 3
    assert reader.run("token", "ls").code == 3
    person.ok("token", "revoke", made["token"]["id"])
    assert reader.run("pull", f"{project}/m", "--to", "y").code == 3


BAD = {
    "empty.safetensors": struct.pack("<Q", 0),
    "huge.safetensors": struct.pack("<Q", 2**63) + b"{}",
    "cut.safetensors": safetensors(w=([64], 1))[:-40],
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_files_leave_nothing_visible(person, project, name):
    """A damaged safetensors file is refused with the integrity error, and no version appears."""
    (person.home / name).write_bytes(BAD[name])
    outcome = person.run("push", f"{project}/m", name)
    assert outcome.code == 6, outcome
    assert name in outcome.err
    shown = person.run("show", f"{project}/m@latest")
    assert shown.code == 4


def test_serve_remembers_itself_for_the_other_commands(embedded):
    """After `serve`, commands on the same machine find address and token by themselves."""
    home = Person(embedded.data.parent)
    assert home.json("whoami")["principal"] == "token:admin"


def test_pulled_bytes_are_those_pushed(person, project):
    """A file of several parts comes back bit by bit."""
    data = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(1_200_000))
    (person.home / "big.bin").write_bytes(data)
    pushed = person.json("push", f"{project}/big", "big.bin")
    assert pushed["sent_bytes"] == len(data)
    person.ok("pull", f"{project}/big", "--to", "back")
    assert (person.home / "back" / "big.bin").read_bytes() == data
    again = person.json("push", f"{project}/big", "big.bin")
    assert (again["sent_bytes"], again["reused_bytes"]) == (0, len(data))
