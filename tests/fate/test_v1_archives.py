"""Models go in and out as archives: what went in comes out, and what is wrong changes nothing."""

import hashlib
import io
import zipfile

import pytest

from chalicelib.fate import layout, pipeline
from chalicelib.registry import models as registry_models
from chalicelib.registry import versions
from tests.fate import models
from weighbridge.contract.errors import NotFound
from weighbridge.contract.references import VersionSelector

GUEST = ("guest", 9999)
POINTS = (
    ("hetero_lr_0", 0, "step_name"),
    ("hetero_lr_0", 1, "step_name"),
    ("hetero_lr_0", 10, "x"),
)


def described(training, party=GUEST, **more):
    """The fields of an import."""
    return {**training.describe(*party), "force_update": 0, **more}


def labelled(flow, training, label, party=GUEST):
    """Our version of that label."""
    record = registry_models.find(flow.stores, "models", training.name(*party))
    return versions.of_model(flow.stores, record, VersionSelector("label", label)).version


def test_what_is_imported_is_exported(flow):
    """Every member as it was, checkpoints included; locks stay out, the description is made anew."""
    training = models.federated(checkpoints=POINTS)
    status, answer = flow.take_in(training.archive(*GUEST), described(training))
    assert status == 200
    assert answer["retcode"] == 0
    assert answer["data"] == {
        "job_id": answer["data"]["job_id"], "role": "guest", "party_id": "9999",
        "model_id": training.model_id, "model_version": training.model_version,
    }  # fmt: skip
    assert len(answer["data"]["job_id"]) >= 21
    found, name = flow.fetch(described(training))
    assert name == f"guest#9999#{training.model_id}_{training.model_version}.zip"
    described_again = found.pop("import_model.json")
    assert b'"force_update": false' in described_again
    assert found == training.tree(*GUEST)


def test_a_model_is_copied_by_importing_it_under_another_version(flow):
    """Only the record knows the new name; importing that again changes nothing any more."""
    training = models.federated(checkpoints=POINTS)
    flow.add(training, [GUEST])
    first, _ = flow.fetch(described(training))
    again = models.packed(first)
    fields = described(training, model_version="copy")
    assert flow.take_in(again, fields)[1]["retcode"] == 0
    second, _ = flow.fetch(fields)
    different = {path for path in first | second if first.get(path) != second.get(path)}
    assert different == {layout.PIPELINE, layout.PIPELINE_JSON, "import_model.json"}
    record = pipeline.from_json(second[layout.PIPELINE_JSON])
    assert record == pipeline.from_protobuf(second[layout.PIPELINE])
    assert record.text("modelVersion") == "copy"
    common = record.document("trainRuntimeConf")["job_parameters"]["common"]
    assert common["model_version"] == "copy"
    assert record.document("runtimeConfOnParty")["job_parameters"]["model_version"] == "copy"
    assert flow.take_in(models.packed(second), {**fields, "model_version": "twice"})[0] == 200
    third, _ = flow.fetch({**fields, "model_version": "twice"})
    back = flow.take_in(models.packed(third), {**fields, "force_update": 1})
    assert back[1]["retcode"] == 0
    assert flow.fetch(fields)[0] == second


def test_the_version_is_one_of_ours(flow):
    """With a label, the files of the layout, and attributes that a query needs."""
    training = models.federated(checkpoints=POINTS)
    flow.add(training, [GUEST])
    version = labelled(flow, training, training.model_version)
    assert version.state == "ready"
    assert version.attributes["fate.roles"] == training.roles
    assert version.attributes["fate.imported"] == 1
    archive = training.archive(*GUEST)
    assert version.attributes["fate.archive_sha256"] == hashlib.sha256(archive).hexdigest()
    files = versions.files(flow.stores, _project(flow), version.manifest)
    assert {e.path for e in files} == {
        path for path in training.tree(*GUEST) if not path.startswith("checkpoint/")
    }


def _project(flow):
    from chalicelib.registry import projects

    return projects.find(flow.stores, "models").id


def test_a_model_without_its_json_record_is_read_from_protobuf(flow):
    """As older models are; the JSON form is written beside it."""
    training = models.federated(json_record=False, fate_version="1.6.0")
    flow.add(training, [GUEST])
    found, _ = flow.fetch(described(training))
    assert pipeline.from_json(found[layout.PIPELINE_JSON]).roles == training.roles


def test_a_taken_version_is_refused(flow):
    """409, and nothing changes."""
    training = flow.add(models.federated(), [GUEST])
    status, answer = flow.take_in(training.archive(*GUEST), described(training))
    assert (status, answer["retcode"]) == (409, 409)
    assert labelled(flow, training, training.model_version).number == 1


def test_force_update_replaces_a_version(flow):
    """The label is the new one's; the old one stays without a label."""
    training = flow.add(models.federated(), [GUEST])
    other = models.federated(weight=2)
    status, answer = flow.take_in(other.archive(*GUEST), described(other, force_update=1))
    assert (status, answer["retcode"]) == (200, 0)
    assert labelled(flow, training, training.model_version).number == 2
    found, _ = flow.fetch(described(training))
    assert len(found["variables/data/hetero_lr_0/model/HeteroLRParam"]) == 2048
    record = registry_models.find(flow.stores, "models", training.name(*GUEST))
    old = versions.numbered(flow.stores, record, 1).version
    assert (old.state, old.label) == ("ready", "")
    assert len(flow.ok("model/query", {"model_version": training.model_version})) == 1


@pytest.mark.parametrize("damage", ["marker", "zip", "party", "record"])
def test_a_failed_replacement_keeps_the_old_version(flow, damage):
    """Whatever is wrong with the new one."""
    training = flow.add(models.federated(checkpoints=POINTS), [GUEST])
    files = training.tree(*GUEST)
    fields = described(training, force_update=1)
    archive = models.packed(files)
    if damage == "marker":
        files["checkpoint/hetero_lr_0/1#step_name/HeteroLRParam.pb"] = b"other bytes"
        archive = models.packed(files)
    elif damage == "zip":
        archive = archive[: len(archive) // 2]
    elif damage == "record":
        files[layout.PIPELINE_JSON] = b'{"trainDsl": 7}'
        archive = models.packed(files)
    else:
        flow.add(training, [("host", 10000)])
        fields = {**training.describe("host", 10000), "force_update": 1}
        files = models.federated(roles={"guest": [1], "host": [2]}, initiator=("guest", 1))
        archive = files.archive("host", 2)
    status, answer = flow.take_in(archive, fields)
    assert status in (400, 422), answer
    party = ("host", 10000) if damage == "party" else GUEST
    assert labelled(flow, training, training.model_version, party).number == 1
    record = registry_models.find(flow.stores, "models", training.name(*party))
    assert [v.number for v in versions.newest(flow.stores, record, 10)] == [1]
    assert flow.fetch(training.describe(*party))[0].keys() >= training.tree(*party).keys()


def test_a_hash_must_be_that_of_the_file(flow):
    """Else retcode 100, and nothing is made."""
    training = models.federated()
    archive = training.archive(*GUEST)
    status, answer = flow.take_in(archive, described(training, hash="0" * 64))
    assert (status, answer["retcode"]) == (200, 100)
    with pytest.raises(NotFound):
        labelled(flow, training, training.model_version)
    good = hashlib.sha256(archive).hexdigest()
    assert flow.take_in(archive, described(training, hash=good))[1]["retcode"] == 0


def test_a_party_that_did_not_train_the_model_is_refused(flow):
    """400, and no model is left behind."""
    training = models.federated()
    fields = described(training, party_id=7)
    status, answer = flow.take_in(training.archive(*GUEST), fields)
    assert (status, answer["retcode"]) == (400, 400)
    assert "guest 7" in answer["retmsg"]
    with pytest.raises(NotFound):
        registry_models.find(flow.stores, "models", f"guest#7#{training.model_id}")


def test_a_form_without_a_file_is_refused(flow):
    """The client also sends a field called `file`, which is none."""
    training = models.federated()
    assert flow.take_in(None, described(training))[0] == 400
    fields = described(training)
    del fields["role"]
    status, answer = flow.take_in(training.archive(*GUEST), fields)
    assert status == 400
    assert "role" in answer["retmsg"]


def _zip(*members, **more):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members:
            archive.writestr(name, data, **more)
    return out.getvalue()


@pytest.mark.parametrize(
    "extra",
    [
        ("../outside", b"x"),
        ("/absolute", b"x"),
        ("a\\b", b"x"),
        ("checkpoint/hetero_lr_0/1#a/database.yaml", b"step_index: 1\nstep_name: a\nmodels: {}\n"),
        ("checkpoint/hetero_lr_0/1#a/database.yaml", b"step_index: 2\nstep_name: a\n"),
        ("checkpoint/hetero_lr_0/1#a/database.yaml", b"&a [*a]"),
        ("checkpoint/hetero_lr_0/1#a/database.yaml",
         b"step_index: 1\nstep_name: a\nmodels: {M: {sha1: x, buffer_name: y}}\n"),
        ("define/define_meta.yaml", b"component_define: [1]"),
        ("define/define_meta.yaml", b"!!python/object/apply:os.system ['true']"),
        ("bomb", b"\0" * 100_000_000),
    ],
    ids=lambda extra: extra[0][:30] + str(len(extra[1])),
)  # fmt: skip
def test_a_hostile_archive_is_refused(flow, extra):
    """With a clear error; nothing is made of it."""
    training = models.federated()
    files = {k: v for k, v in training.tree(*GUEST).items() if k != extra[0]}
    archive = _zip(*files.items(), extra, compress_type=zipfile.ZIP_DEFLATED)
    status, answer = flow.take_in(archive, described(training))
    assert status in (400, 413), answer
    assert answer["retcode"] == status
    with pytest.raises(NotFound):
        labelled(flow, training, training.model_version)


def test_checkpoints_without_a_marker_do_not_exist(flow):
    """As for every reader of the reference."""
    training = models.federated(checkpoints=POINTS)
    files = training.tree(*GUEST)
    del files["checkpoint/hetero_lr_0/1#step_name/database.yaml"]
    assert flow.take_in(models.packed(files), described(training))[0] == 200
    found, _ = flow.fetch(described(training))
    assert not [path for path in found if path.startswith("checkpoint/hetero_lr_0/1#")]
    assert "checkpoint/hetero_lr_0/10#x/database.yaml" in found


@pytest.mark.parametrize("how", ["GET", "POST", "query"])
def test_an_export_is_asked_for_in_three_ways(flow, how):
    """GET with a JSON body as the client does; POST, and query fields, where a gateway drops it."""
    training = flow.add(models.federated(), [GUEST])
    path = "model/export"
    body = training.describe(*GUEST)
    if how == "query":
        from urllib.parse import urlencode

        path, body = f"{path}?{urlencode(body)}", None
    status, headers, _ = flow.raw(path, body, method="POST" if how == "POST" else "GET")
    assert status == 302
    assert headers["Location"].startswith("memory://")


@pytest.mark.parametrize(
    ("change", "status"),
    [({"model_version": "other"}, 404), ({"party_id": 1}, 404), ({"role": None}, 400),
     ({"role": "boss"}, 400), ({"model_id": {}}, 400)],
)  # fmt: skip
def test_every_error_of_an_export_has_a_status(flow, change, status):
    """Because the client takes any 200 for a file."""
    training = flow.add(models.federated(), [GUEST])
    found, answer = flow.both("model/export", {**training.describe(*GUEST), **change}, method="GET")
    assert (found, answer["retcode"]) == (status, status)


def test_packaging_records_the_hash(flow):
    """That of the archive it links to."""
    training = flow.add(models.federated(checkpoints=POINTS), [GUEST])
    named = {"party_model_id": training.name(*GUEST), "model_version": training.model_version}
    data = flow.ok("model/archive/packaging", named)
    assert {k: data[k] for k in named} == named
    (record,) = flow.ok("model/query", {"model_version": training.model_version})
    assert record["f_archive_sha256"] == data["hash"]
    assert flow.ok("model/service/register", named) == named
    assert flow("model/archive/packaging", {**named, "model_version": "x"})["retcode"] == 100
    assert flow("model/archive/packaging", {})["retcode"] == 101


@pytest.mark.parametrize("path", ["model/homo/convert", "model/homo/deploy"])
def test_homo_conversion_is_refused_clearly(flow, path):
    """It is the training system's."""
    answer = flow(path, {"role": "guest"})
    assert answer["retcode"] == 100
    assert "here" in answer["retmsg"]
