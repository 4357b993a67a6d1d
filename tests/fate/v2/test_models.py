"""2.x models: imported, exported, replaced, narrowed down, deleted; and seen by everybody else."""

import io
import tarfile
import zipfile

import pytest

from chalicelib.fate.v2 import archives
from chalicelib.registry import changing, projects
from tests.fate.v2.conftest import LR, PSI, TREE, archive, form, output, tar
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import ProjectChanges


@pytest.fixture
def full(flow):
    """A client whose server holds a model of two parties."""
    assert flow.import_zip(archive(TREE)) == {"code": 0, "message": "success"}
    return flow


def guest_of(tree, model_id="job", model_version="0"):
    """The members that an export of the guest has."""
    start = "job/0/guest/"
    return {
        f"{model_id}/{model_version}/guest/{path.removeprefix(start)}": data
        for path, data in tree.items()
        if path.startswith(start)
    }


def test_what_is_imported_is_exported(full):
    """Member by member, for the party that is asked for; the first two levels are the request's ids."""
    assert full.exported() == guest_of(TREE)
    data = full.export()["data"]
    assert set(data) == {"url", "file", "sha256", "size"}
    assert data["file"] == "job_0_guest_9999.zip"


def test_an_export_imported_under_other_ids_is_the_same_again(full):
    """This is how a model is copied or renamed."""
    data = archive(full.exported())
    assert full.import_zip(data, "other", "7")["code"] == 0
    assert full.exported(model_id="other", model_version="7") == guest_of(TREE, "other", "7")


def test_the_same_import_again_changes_nothing_and_another_replaces(full):
    """Silently; what was there before is freed once the new one is complete."""
    full.import_zip(archive(TREE))
    api = full.api
    base = "/api/projects/models/models/guest%239999%23job/versions/=0/checkpoints"
    assert [p["step"] for p in api.ok("GET", base)["items"]] == [0, 0]
    changed = output({"weights": [9]})
    full.import_zip(archive({"x/y/guest/9999/lr_0/output_model": changed}))
    assert full.exported()["job/0/guest/9999/lr_0/output_model"] == changed
    points = api.ok("GET", base)["items"]
    assert {(p["component"], p["name"], p["step"]) for p in points} == {
        ("lr_0", "output_model", 1), ("psi_0", "output_model", 0),
    }  # fmt: skip
    full.import_zip(archive(TREE))
    assert full.exported() == guest_of(TREE)


def test_what_comes_in_is_a_model_like_any_other(full):
    """With a version of that label and a checkpoint per output; federated pages see both parties."""
    api = full.api
    models = {m["name"] for m in api.ok("GET", "/api/projects/models/models")["items"]}
    assert models == {"guest#9999#job", "host#10000#job"}
    version = api.ok("GET", "/api/projects/models/models/guest%239999%23job/versions/=0")
    assert (version["state"], version["files"], version["tags"]) == ("ready", 0, {"fate": "2"})
    base = "/api/projects/models/models/guest%239999%23job/versions/=0/checkpoints/last/files"
    assert [f["path"] for f in api.ok("GET", base)["items"]] == ["model.tar"]
    shared = api.ok("GET", "/api/projects/models/federated/version", model_id="job", label="0")
    assert [(s["role"], s["party_id"]) for s in shared["shards"]] == [
        ("guest", "9999"), ("host", "10000"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("narrower", "left", "count"),
    [
        ({}, set(), 3),
        ({"role": "host"}, {"lr_0", "psi_0"}, 1),
        ({"role": "guest", "party_id": "9999"}, set(), 2),
        ({"party_id": 9999, "task_name": "lr_0"}, {"psi_0"}, 1),
        ({"task_name": "lr_0", "output_key": "output_model"}, {"psi_0"}, 2),
        ({"role": "guest", "output_key": "output_model"}, set(), 2),
    ],
)
def test_deleting_is_narrowed(full, narrower, left, count):
    """By role, party, task and key; `left` are the guest's tasks afterwards."""
    found = full.post("/model/delete", {"model_id": "job", "model_version": "0", **narrower})
    assert found["data"] == {"count": True, "deleted": count}
    after = full.export()
    if left:
        assert {path.split("/")[4] for path in full.exported()} == left
    else:
        assert after["code"] == 2005
        names = [m["name"] for m in full.api.ok("GET", "/api/projects/models/models")["items"]]
        assert "guest#9999#job" in names
        base = "/api/projects/models/models/guest%239999%23job/versions"
        assert full.api.ok("GET", base)["items"] == []


@pytest.mark.parametrize(
    "more",
    [
        {"model_id": "nobody"}, {"model_version": "9"}, {"role": "arbiter"}, {"party_id": "1"},
        {"task_name": "x"}, {"output_key": "x"}, {"model_id": "guest-9999#model"},
    ],
)  # fmt: skip
def test_nothing_matches(full, more):
    """Code 2005 with the values; nothing was deleted."""
    found = full.post("/model/delete", {"model_id": "job", "model_version": "0", **more})
    assert (found["code"], "data" in found) == (2005, False)
    [(field, value)] = more.items()
    assert f"{field}[{value}]" in found["message"]
    assert len(full.exported()) == 2


def test_a_deleted_model_can_be_imported_again(full):
    """Under the same ids."""
    for _ in range(2):
        full.post("/model/delete", model_id="job", model_version="0")
        assert full.import_zip(archive(TREE))["code"] == 0
        assert full.exported() == guest_of(TREE)


def test_what_is_referred_to_is_not_deleted(full):
    """An alias keeps a version, and nothing of it goes."""
    at = "/api/projects/models/models/guest%239999%23job/aliases/production"
    full.api.ok("PUT", at, {"version": "=0"})
    found = full.post("/model/delete", model_id="job", model_version="0", role="guest")
    assert found["code"] == 6000
    assert "production" in found["message"]
    assert len(full.exported()) == 2


def test_missing_and_wrong_fields_are_named(flow):
    """All of them, by the part of the request, in the shape that the reference has."""
    found = flow.post("/model/export", model_id=7, role="guest", extra=1)
    assert found["code"] == 5001
    assert found["data"] == {
        "json": {
            "model_id": ["Not a valid string."],
            "model_version": ["Missing data for required field."],
            "party_id": ["Missing data for required field."],
        }
    }
    assert flow.form("/model/import", b"x", model_id="a")["data"] == {
        "form": {"model_version": ["Missing data for required field."]}
    }
    assert flow.get("/output/model/query", job_id="a")["data"]["querystring"].keys() == {
        "role", "party_id", "task_name",
    }  # fmt: skip
    for body in (b"no json", b"[1]", b"[" * 100_000):
        assert flow.answer("POST", "/model/delete", body)["code"] == 5001


def test_a_body_is_json_whatever_its_type_says(flow):
    """As the reference reads it."""
    kind = {"content-type": "text/plain"}
    body = b'{"model_id": "a", "model_version": "0"}'
    assert flow.answer("POST", "/model/delete", body, kind)["code"] == 2005


def test_an_import_without_a_file(flow):
    """Has its own code; a plain field of that name is no file."""
    kind, body = form({"model_id": "a", "model_version": "0", "file": "/x.zip"})
    assert flow.answer("POST", "/model/import", body, {"content-type": kind})["code"] == 5007


def bomb():
    """A small zip that claims to hold much."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as found:
        for n in range(3):
            found.writestr(f"a/b/guest/1/t/{n}", bytes(60 * 1024**2))
    return data.getvalue()


def link():
    """A zip with a symbolic link."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as found:
        info = zipfile.ZipInfo("a/b/guest/1/lr_0/k")
        info.external_attr = 0o120777 << 16
        found.writestr(info, "/etc/passwd")
    return data.getvalue()


def linked_tar(kind):
    """A tar with a member that is no file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as found:
        info = tarfile.TarInfo("model")
        info.type, info.linkname = kind, "/etc/passwd"
        found.addfile(info)
    return data.getvalue()


def cut(data, count):
    """The beginning of it."""
    return data[:count]


GOOD = "a/b/guest/1/lr_0/k"
BAD = [
    b"", b"no zip", archive({}), archive({"a/b/guest/1/lr_0": LR}), archive({f"{GOOD}/more": LR}),
    archive({"/" + GOOD: LR}), archive({"../b/guest/1/lr_0/k": LR}), archive({GOOD: LR, "x": LR}),
    archive({"a/b/guest/../lr_0/k": LR}), archive({"a/b/king/1/lr_0/k": LR}),
    archive({"a/b/guest/1/lr_0\\x/k": LR, GOOD: b"junk"}), archive({GOOD: b"no tar"}),
    archive({GOOD: b""}), archive({GOOD: LR, GOOD.replace("a/", "c/", 1): PSI}), bomb(), link(),
    archive({GOOD: cut(LR, 700)}), archive({GOOD: tar({"a": b"x"})}),
    archive({GOOD: tar({"../a.yaml": b"a: 1"})}), archive({GOOD: tar({"/a.yaml": b"a: 1"})}),
    archive({GOOD: tar({"a.yaml": b"- list"})}), archive({GOOD: tar({"a.yaml": b"a: [&x"})}),
    archive({GOOD: tar({"a.yaml": b"a: " + b"x" * 2**20})}),
    *(archive({GOOD: linked_tar(kind)}) for kind in
      (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)),
    cut(archive({GOOD: LR}), 900),
]  # fmt: skip


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_a_bad_archive_is_refused_whole(flow, data):
    """With code 6000 and a reason; nothing is stored, not even the project."""
    found = flow.import_zip(data)
    assert found["code"] == 6000, found
    assert flow.api("GET", "/api/projects/models")[0] == 404


def test_a_form_that_is_cut_short_is_refused(flow):
    """Or that is none."""
    kind, body = form({"model_id": "a", "model_version": "0"}, archive(TREE))
    for bad in (body[:-40], b"", b"--b0undary--\r\n"):
        assert flow.answer("POST", "/model/import", bad, {"content-type": kind})["code"] == 5001
    assert flow.answer("POST", "/model/import", body)["code"] == 5001


def test_what_is_not_supported_says_so(flow):
    """And never that it succeeded."""
    for path in ("/model/load", "/model/migrate"):
        found = flow.post(path)
        assert found["code"] == 6001
        assert "not supported" in found["message"]


def test_an_export_that_takes_long_is_asked_for_again(full, monkeypatch):
    """The job goes on behind the answer."""
    full.api.stores.queue.idle = True
    monkeypatch.setattr(archives.export, "__defaults__", (0.01,))
    found = full.export()
    assert found["code"] == 6000
    assert found["data"]["job_id"]
    again = full.export()
    assert again["data"] == found["data"]
    full.api.stores.queue.idle = False
    from chalicelib.registry import jobs

    project_id = projects.find(full.api.stores, "models").id
    jobs.work(full.api.stores, project_id, found["data"]["job_id"])
    assert full.export()["code"] == 0


def test_what_is_held_back_is_not_given_out(flow):
    """Under a policy that blocks, until the indexer has looked; the old output stays until then."""
    from tests.registry_world import index_all

    flow.import_zip(archive(TREE))
    stores = flow.api.stores
    projects.change(stores, "ann", "models", ProjectChanges(safety="block"))
    changed = output({"weights": [9]})
    flow.import_zip(archive({"x/y/guest/9999/lr_0/output_model": changed}))
    assert flow.exported()["job/0/guest/9999/lr_0/output_model"] == LR
    flow.import_zip(archive({"x/y/guest/9999/new_0/output_model": PSI}))
    for path in ("/output/model/query", "/output/model/download"):
        found = flow.get(path, **flow.task("new_0"))
        assert (found["code"], "being checked" in found["message"]) == (5005, True)
    index_all(stores, "models")
    assert flow.exported()["job/0/guest/9999/lr_0/output_model"] == changed
    assert flow.get("/output/model/query", **flow.task("new_0"))["code"] == 0


def test_a_model_that_is_deleted_elsewhere_is_gone_here(full):
    """There is one truth."""
    stores = full.api.stores
    changing.delete(stores, "ann", "models", "guest#9999#job", VersionSelector("number", "1"))
    assert full.export()["code"] == 2005
