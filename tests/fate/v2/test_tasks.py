"""Outputs of tasks: queried as JSON, downloaded as tars, deleted; saved and fetched by workers."""

import io
import json
import tarfile

import pytest

from chalicelib.fate.v2 import tars, tasks
from tests.fate.v2.conftest import LR, TREE, archive, members, output, tar
from tests.registry_world import upload
from weighbridge.contract import digests

TAR = "application/x-tar"


@pytest.fixture
def full(flow):
    """A client whose server holds a model of two parties."""
    flow.import_zip(archive(TREE))
    return flow


def save(flow, file, **fields):
    """What a worker sends."""
    given = {
        "model_id": "job", "model_version": "0", "execution_id": "e1", "output_key": "output_model",
        "type_name": "json_model", **fields,
    }  # fmt: skip
    return flow.form("/worker/model/save", file, **given)


def test_a_model_is_queried_as_json(full):
    """By output key."""
    found = full.get("/output/model/query", **full.task())
    assert found["data"] == {"output_model": {"weights": [1, 2]}}


def test_models_that_are_numbered_come_as_a_list(flow):
    """In the order of their index; what is no JSON is left out, as the reference does."""
    parts = {}
    for index, model in ((2, "two"), (0, "zero"), (1, b"\x00no json")):
        parts |= members(model, index=index, stem=f"m{index}")
    flow.import_zip(archive({"a/b/guest/9999/lr_0/k": tar(parts)}))
    assert flow.get("/output/model/query", **flow.task())["data"] == {"k": ["zero", "two"]}
    flow.import_zip(archive({"a/b/guest/9999/nn_0/k": output(b"\x80weights")}))
    assert flow.get("/output/model/query", **flow.task("nn_0"))["data"] == {"k": []}


def test_a_model_that_is_too_large_for_an_answer_says_so(flow):
    """It can be downloaded."""
    large = output(b'"' + b"x" * tars.MAX_MODELS + b'"')
    flow.import_zip(archive({"a/b/guest/9999/lr_0/k": large}))
    found = flow.get("/output/model/query", **flow.task())
    assert (found["code"], "download" in found["message"]) == (6000, True)
    assert flow.followed("/output/model/download", **flow.task()) == (200, TAR, large)


def test_a_tar_is_downloaded_as_it_was(full):
    """With the type that the client wants, exactly; the API does not carry its bytes."""
    status, _, _ = full.raw("GET", "/output/model/download?" + "&".join(
        f"{k}={v}" for k, v in full.task().items()
    ))  # fmt: skip
    assert status == 302
    assert full.followed("/output/model/download", **full.task()) == (200, TAR, LR)


def test_several_outputs_of_a_task_are_joined(flow, monkeypatch):
    """Each in a folder of its key; too large together, one must be named."""
    second = output({"b": 2}, stem="other")
    tree = {"a/b/guest/9999/lr_0/one": LR, "a/b/guest/9999/lr_0/two": second}
    flow.import_zip(archive(tree))
    status, kind, body = flow.followed("/output/model/download", **flow.task())
    assert (status, kind) == (200, TAR)
    with tarfile.open(fileobj=io.BytesIO(body)) as joined:
        assert set(joined.getnames()) == {
            "one/model", "one/model.meta.yaml", "two/other", "two/other.meta.yaml",
        }  # fmt: skip
    monkeypatch.setattr(tasks, "MAX_JOINED", 100)
    assert flow.get("/output/model/download", **flow.task())["code"] == 5001
    one = flow.followed("/output/model/download", **flow.task(), output_key="two")
    assert one == (200, TAR, second)


@pytest.mark.parametrize(
    "other", [{"job_id": "x"}, {"role": "host"}, {"party_id": "1"}, {"task_name": "x"}]
)
def test_an_unknown_task_is_2000(full, other):
    """As JSON, also where a tar was asked for; with the values."""
    given = {**full.task(), **other}
    [(field, value)] = other.items()
    for found in (
        full.get("/output/model/query", **given),
        full.get("/output/model/download", **given),
        full.post("/output/model/delete", **given),
    ):
        assert found["code"] == 2000
        assert f"{field}[{value}]" in found["message"]
    assert full.get("/output/model/query", **{**given, "role": "king"})["code"] == 5001


def test_the_outputs_of_a_task_are_deleted(full):
    """Those of other tasks stay."""
    assert full.post("/output/model/delete", **full.task())["code"] == 0
    assert full.post("/output/model/delete", **full.task())["code"] == 2000
    assert full.get("/output/model/query", **full.task("psi_0"))["code"] == 0


def test_a_job_means_its_usual_version_or_the_latest(flow):
    """There is no other way to name one."""
    for version, model in (("3", "three"), ("5", "five")):
        flow.import_zip(archive({"a/b/guest/9999/lr_0/k": output(model)}), model_version=version)
    assert flow.get("/output/model/query", **flow.task())["data"] == {"k": "five"}
    flow.import_zip(archive({"a/b/guest/9999/lr_0/k": output("zero")}))
    assert flow.get("/output/model/query", **flow.task())["data"] == {"k": "zero"}
    flow.post("/output/model/delete", **flow.task())
    assert flow.get("/output/model/query", **flow.task())["data"] == {"k": "five"}


def test_a_worker_saves_and_another_fetches(flow):
    """Whose it is says the YAML; type and execution are kept."""
    assert save(flow, LR)["code"] == 0
    where = {"model_id": "job", "model_version": "0", "role": "guest", "party_id": "9999",
             "task_name": "lr_0", "output_key": "output_model"}  # fmt: skip
    assert flow.followed("/worker/model/download", **where) == (200, TAR, LR)
    base = "/api/projects/models/models/guest%239999%23job/versions/=0/checkpoints/last"
    assert flow.api.ok("GET", base)["tags"] == {
        "fate": "2", "type_name": "json_model", "execution_id": "e1",
    }  # fmt: skip
    for name in where:
        found = flow.get(
            "/worker/model/download", **{**where, name: "host" if name == "role" else "x"}
        )
        assert found["code"] == 2005


def test_a_worker_may_say_whose_it_is(flow):
    """Where the YAML does not; without either, the fields are named."""
    bare = tar({"model": b"{}", "model.meta.yaml": b"model_key: model"})
    found = save(flow, bare)
    assert found["code"] == 5001
    assert set(found["data"]["form"]) == {"role", "party_id", "task_name"}
    whose = {"role": "host", "party_id": "10000", "task_name": "nn_0"}
    assert save(flow, bare, **whose)["code"] == 0
    given = flow.task("nn_0", role="host", party_id="10000")
    assert flow.get("/output/model/query", **given)["data"] == {"output_model": {}}
    strange = output({}, task_id="other_lr_0")
    assert set(save(flow, strange)["data"]["form"]) == {"task_name"}


@pytest.mark.parametrize("file", [b"", b"x" * 600, tar({"a": b"x"})])
def test_a_worker_that_saves_no_tar_of_a_model_is_told(flow, file):
    """And nothing is stored."""
    assert save(flow, file)["code"] == 6000
    assert flow.api("GET", "/api/projects/models")[0] == 404


def test_a_worker_that_saves_nothing_is_told(flow):
    """The file is missing, or a field."""
    assert save(flow, None)["code"] == 5007
    assert flow.form("/worker/model/save", LR)["data"]["form"].keys() == {
        "model_id", "model_version", "execution_id", "output_key", "type_name",
    }  # fmt: skip


@pytest.mark.parametrize("field", ["model_version", "output_key", "task_name", "party_id"])
def test_names_that_cannot_be_are_refused(flow, field):
    """They could not be told apart in an archive."""
    assert save(flow, LR, **{field: "a/b"})["code"] == 5001


def test_a_large_output_is_pushed_as_a_checkpoint(full):
    """What came in through our own API is there for 2.x clients."""
    api = full.api
    large = output({"large": True}, task_id="job_big_0")
    [entry] = upload(api.stores, "models", {"model.tar": large})
    base = "/api/projects/models/models/guest%239999%23job/versions/=0/checkpoints"
    file = {"path": entry.path, "size": entry.size, "sha256": entry.sha256, "blob": entry.blob}
    from weighbridge.contract import manifests

    api.ok("POST", base, {
        "manifest": manifests.digest([entry]), "files": [file], "step": 3, "component": "big_0",
        "name": "output_model",
    })  # fmt: skip
    assert full.get("/output/model/query", **full.task("big_0"))["data"] == {
        "output_model": {"large": True}
    }
    exported = full.exported()
    assert exported["job/0/guest/9999/big_0/output_model"] == large
    assert len(exported) == 3


def test_a_checkpoint_that_is_no_output_is_left_alone(full):
    """It has no tar."""
    api = full.api
    [entry] = upload(api.stores, "models", {"weights.bin": b"x"})
    from weighbridge.contract import manifests

    base = "/api/projects/models/models/guest%239999%23job/versions/=0/checkpoints"
    file = {"path": entry.path, "size": entry.size, "sha256": entry.sha256, "blob": entry.blob}
    api.ok("POST", base, {
        "manifest": manifests.digest([entry]), "files": [file], "step": 1, "component": "c",
        "name": "n",
    })  # fmt: skip
    assert len(full.exported()) == 2
    assert full.get("/output/model/download", **full.task("c"))["code"] == 2000
    assert full.get("/output/model/query", **full.task("c"))["data"] == {}


def test_a_tar_is_read_by_ranges_within_a_budget():
    """However large it is, and whatever its headers claim."""
    weights = bytes(6 * 1024**2)
    data = tar({"weights.bin": weights, **members({"a": 1})})
    read = []

    def fetch(start, length):
        read.append(length)
        return data[start : start + length]

    found = tars.read(fetch, len(data), "it")
    assert found.models() == {"a": 1}
    assert sum(read) < 400_000
    header = bytearray(tar({"x": b""})[:512])
    header[156:157] = b"x"
    header[124:136] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    huge = bytes(header)
    with pytest.raises(Exception, match="too large") as caught:
        tars.read(lambda start, length: (huge + bytes(length))[start:][:length], 2**40, "it")
    assert caught.value.code == "too_large"


def test_the_same_bytes_are_stored_once(full):
    """Whatever task they are of."""
    full.import_zip(archive({"a/b/guest/9999/copy_0/k": LR}))
    stores = full.api.stores
    keys = [h.key for h in stores.blobs.list("blobs/").heads]
    held = [digests.sha256_of(stores.blobs.read(key)) for key in keys]
    assert len(held) == len(set(held)) == 3


def test_a_joined_answer_is_json_when_it_fails(full):
    """Never half a tar."""
    status, kind, body = full.followed("/output/model/download", **full.task("nobody"))
    assert (status, kind, json.loads(body)["code"]) == (200, "application/json", 2000)
