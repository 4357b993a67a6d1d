"""Queries, graphs, buffers, checkpoints, tags, publishing and second stores of FATE 1.x's door."""

import base64
import hashlib
import json
import shutil

import pytest

from chalicelib.registry import models as registry_models
from chalicelib.registry import publications, versions
from tests.fate import models
from tests.registry_world import publish, setup_model
from weighbridge.contract.references import VersionSelector

GUEST = ("guest", 9999)
POINTS = (("hetero_lr_0", 0, "s"), ("hetero_lr_0", 9, "s"), ("hetero_lr_0", 10, "t"))
FIELDS = {
    "f_role", "f_party_id", "f_roles", "f_job_id", "f_model_id", "f_model_version", "f_size",
    "f_initiator_role", "f_initiator_party_id", "f_runtime_conf", "f_train_dsl",
    "f_train_runtime_conf", "f_runtime_conf_on_party", "f_inference_dsl", "f_fate_version",
    "f_parent", "f_parent_info", "f_loaded_times", "f_imported", "f_archive_sha256",
    "f_archive_from_ip", "f_create_time", "f_update_time", "f_create_date", "f_update_date",
}  # fmt: skip


def test_a_query_answers_every_field(flow):
    """With the types that the reference gives them."""
    training = flow.add(models.federated())
    found = flow.ok("model/query", {"model_version": training.model_version, "role": "guest"})
    assert [set(record) for record in found] == [FIELDS]
    (record,) = found
    assert record["f_party_id"] == "9999"
    assert record["f_initiator_party_id"] == "9999"
    assert record["f_roles"] == training.roles
    assert record["f_parent"] is True
    assert record["f_parent_info"] == {}
    assert record["f_train_runtime_conf"] == training.conf() == record["f_runtime_conf"]
    tree = training.tree(*GUEST)
    assert record["f_size"] == pytest.approx(sum(map(len, tree.values())) / 1024, abs=1)
    assert record["f_create_date"] == "2027-01-15 08:00:00"
    assert record["f_create_time"] == 1_800_000_000_000


@pytest.mark.parametrize(
    ("fields", "count"),
    [({}, 4), ({"role": "guest"}, 2), ({"model_version": "b"}, 1), ({"party_id": 10000}, 2),
     ({"role": "host", "party_id": "10000"}, 1), ({"role": "host", "party_id": "1"}, 0),
     ({"role": "guest", "party_id": 9999, "model_id": "M"}, 2),
     ({"role": "guest", "party_id": 9999, "model_id": "M", "model_version": "b"}, 1),
     ({"model_id": "M"}, 4), ({"model_id": "other"}, 0), ({"model_version": "zzz"}, 0)],
)  # fmt: skip
def test_a_query_narrows(flow, fields, count):
    """By any of the four words."""
    training = flow.add(models.federated())
    flow.take_in(training.archive(*GUEST), {**training.describe(*GUEST), "model_version": "b"})
    if fields.get("model_id") == "M":
        fields = {**fields, "model_id": training.model_id}
    answer = flow("model/query", fields)
    assert len(answer["data"]) == count
    assert answer["retcode"] == (0 if count else 100)


def test_filters_choose_fields(flow):
    """Unknown ones are dropped."""
    flow.add(models.federated(), [GUEST])
    wanted = ["role", "description", "size"]
    (record,) = flow.ok("model/query", {"role": "guest", "query_filters": wanted})
    assert set(record) == {"f_role", "f_size"}
    assert flow("model/query", {"query_filters": 7})["retcode"] == 101


def test_models_that_came_another_way_are_found(flow):
    """Pushed by our own client, without attributes: their record is read then."""
    training = models.federated()
    setup_model(flow.stores, "models", training.name(*GUEST))
    files = {p: d for p, d in training.tree(*GUEST).items() if not p.startswith("checkpoint/")}
    publish(flow.stores, files, "models", training.name(*GUEST), training.model_version)
    (record,) = flow.ok("model/query", {"model_version": training.model_version})
    assert record["f_roles"] == training.roles
    assert record["f_train_dsl"] == training.train_dsl
    assert record["f_imported"] == 0


def test_the_details_of_a_query(flow):
    """Components with their depth in the graph."""
    training = flow.add(models.federated(), [GUEST])
    named = {"model_id": training.model_id, "model_version": training.model_version}
    found = flow.ok("model/query/detail", named)
    assert found["dsl"] == training.train_dsl
    assert [(c["component_name"], c["index"]) for c in found["component_info"]] == [
        ("reader_0", 0), ("data_transform_0", 1), ("hetero_lr_0", 2), ("evaluation_0", 3),
    ]  # fmt: skip
    assert found["inference_component_info"] == []
    assert flow("model/query/detail", {**named, "model_version": "x"})["retcode"] == 210


@pytest.mark.parametrize("form", ["body", "path"])
def test_transfer_gives_the_buffers(flow, form):
    """In either form; the record is one of them."""
    training = flow.add(models.federated(checkpoints=POINTS), [GUEST])
    name = training.name(*GUEST)
    if form == "path":
        tilde = name.replace("#", "~")
        status, answer = flow.both(f"model/transfer/{tilde}/{training.model_version}")
    else:
        body = {"namespace": name, "name": training.model_version}
        status, answer = flow.both("model/transfer", body)
    assert status == 200
    tree = training.tree(*GUEST)
    expected = {"pipeline.pipeline:Pipeline": tree["variables/data/pipeline/pipeline/Pipeline"]}
    for component, (_, buffers) in training.buffers.items():
        for buffer in buffers:
            data = training.buffer(*GUEST, component, buffer)
            expected[f"{component}.model:{buffer}"] = data
    assert {k: base64.b64decode(v) for k, v in answer["data"].items()} == expected
    assert flow.both("model/transfer", {"namespace": name, "name": "x"})[0] == 404
    assert flow.both("model/transfer", {"namespace": "x", "name": "x"})[0] == 404


def five(training, **more):
    """The words that name a component."""
    return {**training.describe("guest", "9999"), "component_name": "hetero_lr_0", **more}


def test_checkpoints_are_listed_and_got(flow):
    """By number of step, not by its text; the index wins over the name."""
    training = flow.add(models.federated(checkpoints=POINTS), [GUEST])
    listed = flow.ok("checkpoint/list", five(training))
    assert [point["step_index"] for point in listed] == [0, 9, 10]
    data = training.buffer(*GUEST, "hetero_lr_0", "HeteroLRMeta", "10#t")
    assert listed[2] == {
        "create_time": "2021-11-07T02:34:10.683015", "step_index": 10, "step_name": "t",
        "models": {
            "HeteroLRMeta": {"sha1": hashlib.sha1(data).hexdigest(), "buffer_name": "LRModelMeta"},
            "HeteroLRParam": listed[2]["models"]["HeteroLRParam"],
        },
    }  # fmt: skip
    got = flow.ok("checkpoint/get", five(training, step_index="10", step_name="s"))
    assert base64.b64decode(got["models"]["HeteroLRMeta"]) == data
    assert flow.ok("checkpoint/get", five(training, step_name="s"))["step_index"] == 9
    assert flow.ok("checkpoint/list", five(training, component_name="no")) == []
    assert flow.ok("checkpoint/list", five(training, model_version="no")) == []


@pytest.mark.parametrize(
    ("more", "status"),
    [({}, 400), ({"step_index": "x"}, 400), ({"step_index": 5}, 404), ({"step_name": "no"}, 404),
     ({"step_index": 9, "model_version": "no"}, 404), ({"step_index": [1]}, 400)],
)  # fmt: skip
def test_checkpoint_errors_are_statuses(flow, more, status):
    """As the reference answers them."""
    training = flow.add(models.federated(checkpoints=POINTS), [GUEST])
    found, answer = flow.both("checkpoint/get", five(training, **more))
    assert (found, answer["retcode"]) == (status, status)


def test_predict_graphs_of_what_was_not_deployed(flow):
    """210, in status and retcode; as a file a bare document with its name unquoted."""
    training = flow.add(models.federated())
    named = {"model_id": training.model_id, "model_version": training.model_version}
    for path in ("model/get/predict/dsl", "model/get/predict/conf"):
        status, answer = flow.both(path, named)
        assert (status, answer["retcode"]) == (210, 210)
        assert flow.both(path, {**named, "model_version": "x"})[0] == 210
    child = flow.ok("model/deploy", named)["model_version"]
    body = {**named, "model_version": child, "filename": "predict_dsl_1.json"}
    status, headers, text = flow.raw("model/get/predict/dsl", body)
    assert status == 200
    assert headers["Content-Disposition"].endswith("filename=predict_dsl_1.json")
    assert '"retcode"' not in text


def loading(training, label, **more):
    """The request that loads or binds."""
    return {
        "initiator": {"role": "guest", "party_id": 9999}, "role": training.roles,
        "job_parameters": {"model_id": training.model_id, "model_version": label}, **more,
    }  # fmt: skip


def test_loading_and_binding_are_noted_and_counted(flow):
    """For every party but the arbiter."""
    training = flow.add(models.federated())
    named = {"model_id": training.model_id, "model_version": training.model_version}
    child = flow.ok("model/deploy", named)["model_version"]
    answer = flow("model/load", loading(training, child))
    assert answer["retcode"] == 0
    assert answer["jobId"]
    assert answer["data"]["guest"] == {"9999": 0}
    assert "arbiter" not in answer["data"]
    flow.ok("model/load", {"job_id": child})
    assert flow.ok("model/bind", loading(training, child, service_id="s", servings=["a:1"])) is None
    counts = {r["f_role"]: r["f_loaded_times"] for r in flow.ok("model/query",
                                                                {"model_version": child})}  # fmt: skip
    assert counts == {"guest": 2, "host": 2, "arbiter": 0}
    record = registry_models.find(flow.stores, "models", training.name(*GUEST))
    found = versions.of_model(flow.stores, record, VersionSelector("label", child))
    kinds = [(p["kind"], p.get("service_id")) for p in publications.listing(flow.stores, found)]
    assert sorted(kinds, key=str) == [("bound", "s"), ("loaded", None), ("loaded", None)]
    url = publications.listing(flow.stores, found)[0]["url"]
    assert url.startswith("http://registry.test/stage/v1/model/transfer/guest~9999~arbiter")


def test_a_trained_model_is_not_loaded(flow):
    """The answer says which version to use; nobody is counted."""
    training = flow.add(models.federated())
    named = {"model_id": training.model_id, "model_version": training.model_version}
    child = flow.ok("model/deploy", named)["model_version"]
    answer = flow("model/load", loading(training, training.model_version))
    assert answer["retcode"] == 101
    assert answer["data"]["guest"] == {"9999": 100}
    assert child in answer["data"]["detail"]["guest"]["9999"]["retmsg"]
    assert flow("model/load", {"job_id": "nope"})["retcode"] == 101
    bind = flow("model/bind", loading(training, training.model_version, service_id="s"))
    assert bind["retcode"] == 100
    found = flow.ok("model/query", {"model_version": training.model_version})
    assert {record["f_loaded_times"] for record in found} == {0}


def test_a_model_that_one_party_lacks_is_loaded_by_nobody(flow):
    """Never half a set."""
    training = models.federated(parent=False, inference_dsl=models.TRAIN_DSL)
    flow.add(training, [GUEST])
    answer = flow("model/load", loading(training, training.model_version))
    assert answer["retcode"] == 101
    assert answer["data"]["guest"] == {"9999": 100}
    (record,) = flow.ok("model/query", {"role": "guest"})
    assert record["f_loaded_times"] == 0


def test_tags(flow):
    """As the reference has them; a description that is not given stays."""
    training = flow.add(models.federated())
    job = {"job_id": training.model_version}
    assert flow.ok("model/tag/list", {}) == {"tags": []}
    assert flow.ok("model/tag/create", {"tag_name": "one", "tag_desc": "d"}) is None
    for path, body in [
        ("tag/create", {"tag_name": "one"}), ("tag/create", {"tag_name": " "}),
        ("tag/update", {"tag_name": "no", "new_tag_name": "x"}), ("tag/destroy", {"tag_name": "no"}),
        ("tag/retrieve", {"tag_name": "no"}), ("tag/retrieve", {"tag_name": "no", "with_model": 1}),
        ("model_tag/create", {"job_id": "no", "tag_name": "one"}),
        ("model_tag/remove", {**job, "tag_name": "one"}),
        ("model_tag/remove", {**job, "tag_name": "no"}), ("model_tag/retrieve", {"job_id": "no"}),
    ]:  # fmt: skip
        status, answer = flow.both(f"model/{path}", body)
        assert (status, answer["retcode"]) == (200, 100), path
    flow.ok("model/model_tag/create", {**job, "tag_name": "two"})
    flow.ok("model/model_tag/create", {**job, "tag_name": "one"})
    assert flow("model/model_tag/create", {**job, "tag_name": "one"})["retcode"] == 100
    assert flow("model/tag/update", {"tag_name": "one", "new_tag_name": "two"})["retcode"] == 100
    flow.ok("model/tag/update", {"tag_name": "one", "new_tag_name": "three"})
    assert flow.ok("model/model_tag/retrieve", job) == {
        "count": 2, "tags": [{"name": "three", "description": "d"},
                             {"name": "two", "description": ""}],
    }  # fmt: skip
    listed = flow.ok("model/tag/list", {"limit": 1})["tags"]
    assert listed == [{"name": "three", "description": "d", "model_count": 1}]
    assert len(flow.ok("model/tag/retrieve", {"tag_name": "t"})["tags"]) == 2
    found = flow.ok("model/tag/retrieve", {"tag_name": "three", "with_model": True})
    assert found["count"] == 3
    assert set(found["models"][0]) == {
        "model_id", "model_version", "model_size", "role", "party_id",
    }  # fmt: skip
    flow.ok("model/model_tag/remove", {**job, "tag_name": "two"})
    flow.ok("model/tag/destroy", {"tag_name": "three"})
    assert flow.ok("model/model_tag/retrieve", job)["tags"] == []
    flow.ok("model/tag/create", {"tag_name": "three"})
    assert flow.ok("model/model_tag/retrieve", job)["tags"] == []


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A folder as the server's second store."""
    from chalicelib.settings import settings

    folder = tmp_path / "second"
    folder.mkdir()
    address = {"model_store_address": {"storage": "directory", "path": str(folder)}}
    monkeypatch.setenv("WEIGHBRIDGE_FATE_STORE", json.dumps(address))
    settings.cache_clear()
    return folder


def test_store_and_restore(store, flow):
    """Done when they answer; what failed is told in the data, and changes nothing."""
    training = flow.add(models.federated(checkpoints=POINTS), [GUEST])
    words = training.describe(*GUEST)
    stored = flow.ok("model/store", words)
    assert (stored["code"], stored["message"]) == (0, "success")
    assert stored["model_info"]["party_id"] == "9999"
    assert flow.ok("model/store", words)["code"] == 103
    assert flow.ok("model/store", {**words, "force_update": True})["code"] == 0
    (path,) = store.rglob("*.zip")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == stored["sha256"]
    (record,) = flow.ok("model/query", {"role": "guest"})
    assert record["f_archive_sha256"] == stored["sha256"]
    before, _ = flow.fetch(words)
    assert flow.ok("model/restore", words)["code"] == 103, "it is there already"
    wrong = flow.ok("model/restore", {**words, "force_update": True, "sha256": "0" * 64})
    assert wrong["code"] == 103
    assert flow.fetch(words)[0] == before
    again = flow.ok("model/restore", {**words, "force_update": True, "sha256": stored["sha256"]})
    assert again["code"] == 0
    assert flow.fetch(words)[0] == before
    missing = flow.ok("model/restore", {**words, "model_version": "no"})
    assert missing["code"] == 103


def test_loading_brings_the_store_in_step(store, flow, monkeypatch):
    """With `enable_model_store`: what the store lacks is stored, and what only the store has is fetched."""
    training = flow.add(models.federated())
    named = {"model_id": training.model_id, "model_version": training.model_version}
    child = flow.ok("model/deploy", named)["model_version"]
    flow.ok("model/load", loading(training, child))
    assert not [*store.rglob("*.zip")], "it is not enabled"
    _enable(store, monkeypatch)
    flow.ok("model/load", loading(training, child))
    stored = sorted(store.rglob("*.zip"))
    assert [path.stem for path in stored] == [child, child], "the arbiter's is not loaded"
    for path in stored:
        path.rename(path.with_name("elsewhere.zip"))
    answer = flow("model/load", loading(training, "elsewhere"))
    assert answer["data"]["host"] == {"10000": 0}
    words = {**training.describe(*GUEST), "model_version": "elsewhere"}
    assert flow.fetch(words)[0].keys() == flow.fetch({**words, "model_version": child})[0].keys()
    assert not [path for path in store.rglob("*.zip") if path.stem == child]


def test_nothing_is_loaded_while_the_store_is_broken(store, flow, monkeypatch):
    """The answer says which party's archive is to blame; nobody is counted."""
    training = flow.add(models.federated())
    named = {"model_id": training.model_id, "model_version": training.model_version}
    child = flow.ok("model/deploy", named)["model_version"]
    _enable(store, monkeypatch)
    flow.ok("model/load", loading(training, child))
    for path in store.rglob("*.zip"):
        path.with_name("broken.zip").write_bytes(b"no zip")
    answer = flow("model/load", loading(training, "broken"))
    assert answer["retcode"] == 103
    assert "guest 9999" in answer["retmsg"]
    assert flow("model/query", {"model_version": "broken"})["retcode"] != 0
    shutil.rmtree(store)
    store.write_text("in the way")
    assert flow("model/load", loading(training, child))["retcode"] == 103
    counts = {r["f_loaded_times"] for r in flow.ok("model/query", {"model_version": child})}
    assert counts == {0, 1}


def _enable(store, monkeypatch):
    """The server's configuration with `enable_model_store`."""
    from chalicelib.settings import settings

    address = {"storage": "directory", "path": str(store)}
    configured = {"enable_model_store": True, "model_store_address": address}
    monkeypatch.setenv("WEIGHBRIDGE_FATE_STORE", json.dumps(configured))
    settings.cache_clear()


def test_a_store_of_the_callers_choice_needs_an_administrator(flow, tmp_path):
    """And without any store the answer says so."""
    from tests.fate.test_v1_wire import token
    from weighbridge.contract.types import Scope

    training = flow.add(models.federated(), [GUEST])
    words = training.describe(*GUEST)
    assert flow("model/store", words)["retcode"] == 101
    own = {"storage": "redis", "host": "127.0.0.1", "port": 1}
    writer = token(flow, Scope(("read", "write"), "models")).secret
    answer = flow("model/store", {**words, "model_store_address": own}, token=writer)
    assert answer["retcode"] == 108
    bad = flow("model/store", {**words, "model_store_address": {"storage": "floppy"}})
    assert bad["retcode"] == 101
