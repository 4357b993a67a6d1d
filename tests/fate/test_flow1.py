"""Every command of the real `flow` 1.x that is in scope, against a real server."""

import base64
import hashlib
import json
import re
from urllib.parse import urlsplit

import pytest

from tests.e2e.served import Person, serving, until
from tests.fate import models
from tests.fate.client import FlowClient

pytestmark = pytest.mark.real
POINTS = (
    ("hetero_lr_0", 0, "step_name"),
    ("hetero_lr_0", 1, "step_name"),
    ("hetero_lr_0", 10, "x"),
)
GUEST = ("guest", 9999)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module", params=["basic", "proxy"])
def flow(request, served, tmp_path_factory):
    """A client: with a token in the address, or without one behind `weighbridge proxy`."""
    home = tmp_path_factory.mktemp(f"flow-{request.param}")
    client = FlowClient(home / "client")
    client.kind = request.param
    if request.param == "basic":
        place = urlsplit(served.url)
        yield client.init(f"me:{served.token}@{place.hostname}", place.port)
        return
    person = Person(home, served.url, served.token)
    process = person.start("proxy", "--listen", "127.0.0.1:0")
    try:
        line = process.stdout.readline()
        port = re.search(r"http://127\.0\.0\.1:(\d+)", line)[1]
        yield client.init("127.0.0.1", port)
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def training(flow):
    """A training whose models were imported for every party."""
    version = "20200612200934569631" + ("4" if flow.kind == "basic" else "5")
    found = models.federated(model_version=version, checkpoints=POINTS)
    for role, party in found.parties:
        path = flow.home / f"{role}-{party}.zip"
        path.write_bytes(found.archive(role, party))
        fields = found.describe(role, party, file=str(path))
        answer = flow.ok("model", "import", "-c", flow.conf(**fields))
        assert answer["data"]["party_id"] == str(party)
        again = flow("model", "import", "-c", flow.conf(**fields))
        assert again["retcode"] == 409
    return found


def exported(flow, fields):
    """The members of what `model export` wrote."""
    folder = flow.home / "out" / hashlib.sha256(repr(fields).encode()).hexdigest()[:8]
    answer = flow.ok("model", "export", "-c", flow.conf(**fields, output_path=str(folder)))
    name = (
        f"{fields['role']}#{fields['party_id']}#{fields['model_id']}_{fields['model_version']}.zip"
    )
    assert answer["file"] == str(folder / name)
    return models.unpacked((folder / name).read_bytes())


def test_import_export_import_export(flow, training):
    """What came out goes in under another version and comes out the same."""
    fields = training.describe(*GUEST)
    first = exported(flow, fields)
    described = json.loads(first["import_model.json"])
    assert {p: d for p, d in first.items() if p != "import_model.json"} == training.tree(*GUEST)
    source = flow.home / "again.zip"
    source.write_bytes(models.packed(first))
    other = {**described, "model_version": training.model_version + "9", "file": str(source)}
    flow.ok("model", "import", "-c", flow.conf(**other))
    second = exported(flow, other)
    changed = {path for path in first | second if first.get(path) != second.get(path)}
    assert changed == {
        "variables/data/pipeline/pipeline/Pipeline",
        "variables/data/pipeline/pipeline/Pipeline.json", "import_model.json",
    }  # fmt: skip
    source.write_bytes(models.packed(second))
    flow.ok("model", "import", "-c", flow.conf(**{**other, "force_update": True}))
    assert exported(flow, {**other, "output": "2"}) == second


def test_a_large_archive_is_uploaded_and_restored(flow, training, served, tmp_path):
    """`weighbridge fate upload`, then the client's own import from a database; no store is needed."""
    person = Person(tmp_path, served.url, served.token)
    label = training.model_version + "77"
    source = flow.home / "guest-9999.zip"
    parked = person.json("fate", "upload", source, f"models/{training.name(*GUEST)}@={label}")
    assert parked["size"] == source.stat().st_size
    fields = training.describe(*GUEST, model_version=label)
    answer = flow.ok("model", "import", "-c", flow.conf(**fields), "--from-database")
    assert answer["data"]["code"] == 0, answer
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert answer["data"]["sha256"] == sha256
    assert exported(flow, fields).keys() == exported(flow, training.describe(*GUEST)).keys()


def test_errors_of_export_and_import(flow, training):
    """Are printed as JSON, and never written as files."""
    fields = training.describe(*GUEST)
    unknown = flow("model", "export", "-c", flow.conf(**{**fields, "model_version": "nope"},
                                                      output_path=str(flow.home)))  # fmt: skip
    assert unknown["retcode"] == 404
    path = flow.home / "bad.zip"
    path.write_bytes(b"no zip")
    bad = {**fields, "model_version": "bad", "file": str(path)}
    assert flow("model", "import", "-c", flow.conf(**bad))["retcode"] == 400
    wrong = {**bad, "file": str(flow.home / "guest-9999.zip"), "hash": "0" * 64}
    assert flow("model", "import", "-c", flow.conf(**wrong))["retcode"] == 100


def test_model_info(flow, training):
    """Plain and in detail."""
    plain = flow.ok("model", "get-model-info", "--model-version", training.model_version)["data"]
    assert {(r["f_role"], r["f_party_id"]) for r in plain} == {
        (role, str(party)) for role, party in training.parties
    }
    assert set(plain[0]) == {
        "f_create_date", "f_role", "f_party_id", "f_roles", "f_model_id", "f_model_version",
        "f_loaded_times", "f_size", "f_parent", "f_parent_info",
    }  # fmt: skip
    (guest,) = flow.ok(
        "model", "get-model-info", "--model-version", training.model_version, "--model-id",
        training.model_id, "-r", "guest", "-p", 9999, "--detail",
    )["data"]  # fmt: skip
    assert guest["f_train_dsl"] == training.train_dsl
    assert guest["f_fate_version"] == "1.11.2"
    assert guest["f_imported"] == 1
    assert flow("model", "get-model-info", "--model-version", "nope")["retcode"] == 100


def test_checkpoints(flow, training):
    """Listed by step, fetched by index or name, of several of a name the highest."""
    words = ("-r", "guest", "-p", 9999, "--model-id", training.model_id, "--model-version",
             training.model_version, "--component-name", "hetero_lr_0")  # fmt: skip
    found = flow.ok("checkpoint", "list", *words)["data"]
    assert [(c["step_index"], c["step_name"]) for c in found] == [
        (0, "step_name"), (1, "step_name"), (10, "x"),
    ]  # fmt: skip
    by_name = flow.ok("checkpoint", "get", *words, "--step-name", "step_name")["data"]
    assert by_name["step_index"] == 1
    by_index = flow.ok("checkpoint", "get", *words, "--step-index", 10)["data"]
    for name, text in by_index["models"].items():
        data = base64.b64decode(text)
        assert data == training.buffer(*GUEST, "hetero_lr_0", name, "10#x")
    assert flow("checkpoint", "get", *words, "--step-index", 99)["retcode"] == 404


def test_deploy_and_what_follows(flow, training):
    """A child for every party, its graphs, loading and binding it, moving it elsewhere."""
    model = ("--model-id", training.model_id, "--model-version", training.model_version)
    answer = flow.ok(
        "model", "deploy", *model, "--cpn-list", "data_transform_0,hetero_lr_0",
        "--cpn-step-index", "hetero_lr_0:10",
    )["data"]  # fmt: skip
    assert answer["guest"] == {"9999": 0}
    child = answer["model_version"]
    words = ("--model-id", training.model_id, "--model-version", child)
    out = flow.home / "graphs"
    for command, kind in (("get-predict-dsl", "dsl"), ("get-predict-conf", "conf")):
        text = flow.ok("model", command, *words, "-o", str(out))["retmsg"]
        found = json.loads((out / re.search(r"predict_\w+\.json", text)[0]).read_text())
        assert ("components" in found) == (kind == "dsl")
        missing = flow("model", command, "--model-id", "x", "--model-version", "y", "-o", str(out))
        assert missing["retcode"] == 210
    request = {
        "initiator": {"role": "guest", "party_id": 9999}, "role": training.roles,
        "job_parameters": {"model_id": training.model_id, "model_version": child},
    }  # fmt: skip
    loaded = flow.ok("model", "load", "-c", flow.conf(**request))["data"]
    assert loaded["host"] == {"10000": 0}
    assert "arbiter" not in loaded
    flow.ok("model", "load", "-j", child)
    flow.ok("model", "bind", "-c", flow.conf(**request, service_id="lr"))
    (record,) = flow.ok(
        "model", "get-model-info", "--model-version", child, "-r", "guest", "-p", 9999
    )["data"]
    assert record["f_loaded_times"] == 2
    parent = {**request, "job_parameters": {"model_id": training.model_id,
                                            "model_version": training.model_version}}  # fmt: skip
    refused = flow("model", "load", "-c", flow.conf(**parent))
    assert refused["retcode"] == 101
    assert child in refused["data"]["detail"]["guest"]["9999"]["retmsg"]


def test_migrate(flow, training):
    """To other party ids."""
    base = 100 if flow.kind == "basic" else 200
    request = {
        "job_parameters": {"federated_mode": "SINGLE"}, "role": training.roles,
        "migrate_initiator": {"role": "guest", "party_id": base},
        "migrate_role": {"guest": [base], "host": [base + 1], "arbiter": [base + 1]},
        "execute_party": training.roles, "model_id": training.model_id,
        "model_version": training.model_version, "unify_model_version": "moved",
    }  # fmt: skip
    data = flow.ok("model", "migrate", "-c", flow.conf(**request))["data"]
    assert data["guest"] == {"9999": 0}
    assert data["detail"]["guest"]["9999"]["may_name_old_parties"] == ["data_transform_0"]
    moved = exported(flow, {
        "role": "guest", "party_id": base, "model_id": data["model_id"], "model_version": "moved",
    })  # fmt: skip
    before = training.tree(*GUEST)
    assert {p for p in before if before[p] != moved[p]} == {
        "variables/data/pipeline/pipeline/Pipeline",
        "variables/data/pipeline/pipeline/Pipeline.json",
    }
    again = flow("model", "migrate", "-c", flow.conf(**request))
    assert again["retcode"] == 101


def test_tags(flow, training):
    """Made, changed, put on models and taken off, listed, destroyed."""
    name = f"tag-{flow.kind}"
    flow.ok("tag", "create", "-t", name, "-d", "first")
    assert flow("tag", "create", "-t", name)["retcode"] == 100
    flow.ok("model", "tag-model", "-j", training.model_version, "-t", name)
    assert flow("model", "tag-model", "-j", training.model_version, "-t", name)["retcode"] == 100
    assert flow.ok("model", "tag-list", "-j", training.model_version)["data"] == {
        "tags": [{"name": name, "description": "first"}], "count": 1,
    }  # fmt: skip
    flow.ok("tag", "update", "-t", name, "--new-tag-name", f"{name}-2")
    found = flow.ok("tag", "query", "-t", f"{name}-2", "--with-model")["data"]
    assert found["count"] == len(training.parties)
    assert flow.ok("tag", "query", "-t", name)["data"]["tags"][0]["description"] == "first"
    listed = flow.ok("tag", "list")["data"]["tags"]
    assert {"name": f"{name}-2", "description": "first", "model_count": 1} in listed
    flow.ok("model", "tag-model", "-j", training.model_version, "-t", f"{name}-2", "--remove")
    flow.ok("tag", "delete", "-t", f"{name}-2")
    assert flow("tag", "query", "-t", f"{name}-2", "--with-model")["retcode"] == 100


def test_what_is_not_ours_is_refused_clearly(flow, training):
    """homo-convert and homo-deploy."""
    conf = flow.conf(**training.describe(*GUEST))
    assert flow("model", "homo-convert", "-c", conf)["retcode"] == 100
    assert flow("model", "homo-deploy", "-c", conf)["retcode"] == 100


def test_what_flow_stored_is_seen_through_our_own_api(flow, training, served, tmp_path):
    """As versions and checkpoints, and as one federated version that is complete."""
    person = Person(tmp_path, served.url, served.token)
    name = f"models/{training.name(*GUEST)}"
    shown = person.json("show", f"{name}@={training.model_version}")
    assert shown["version"]["attributes"]["fate.fate_version"] == "1.11.2"
    until(lambda: len(person.json("checkpoint", "ls", f"{name}@={training.model_version}")
                      ["items"]) == 3)  # fmt: skip
