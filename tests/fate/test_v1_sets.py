"""Deploy and migrate for every party at once: the whole set is made, or none of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.fate import layout, pipeline
from chalicelib.registry import blobs, federated
from chalicelib.registry import models as registry_models
from chalicelib.registry.ports import Delete
from tests.fate import models
from weighbridge.contract.errors import NotFound

KEPT = ["data_transform_0", "hetero_lr_0"]
POINTS = (("hetero_lr_0", 1, "a"), ("hetero_lr_0", 7, "a"))


def parties(found):
    """Codes of an answer, flat."""
    return {
        (role, party): code
        for role, codes in found.items()
        if role in ("guest", "host", "arbiter")
        for party, code in codes.items()
    }


def test_deploy_makes_a_child_for_every_party(flow):
    """With the components kept, a record of its own, and its parent as our parent."""
    training = flow.add(models.federated(checkpoints=POINTS))
    data = flow.ok("model/deploy", {
        "model_id": training.model_id, "model_version": training.model_version, "cpn_list": KEPT,
        "components_checkpoint": {"hetero_lr_0": {"step_name": "a"}},
    })  # fmt: skip
    assert parties(data) == {("guest", "9999"): 0, ("host", "10000"): 0, ("arbiter", "10000"): 0}
    assert data["detail"]["host"]["10000"]["retcode"] == 0
    child = data["model_version"]
    assert len(child) >= 21
    assert child.isdigit()
    for role, party in training.parties:
        fields = {**training.describe(role, party), "model_version": child}
        found, _ = flow.fetch(fields)
        for buffer in ("HeteroLRMeta", "HeteroLRParam"):
            path = f"variables/data/hetero_lr_0/model/{buffer}"
            assert found[path] == training.buffer(role, party, "hetero_lr_0", buffer, "7#a")
        index = layout.read_index(found[layout.DEFINE])
        assert set(index.modules) == {*KEPT, "pipeline"}
        record = pipeline.from_json(found[layout.PIPELINE_JSON])
        assert not record.parent
        assert record.document("parentInfo") == {
            "parent_model_id": training.model_id, "parent_model_version": training.model_version,
        }  # fmt: skip
        assert list(record.document("inferenceDsl")["components"]) == KEPT
    (guest,) = flow.ok("model/query", {"model_version": child, "role": "guest"})
    assert guest["f_parent"] is None
    assert guest["f_parent_info"]["parent_model_version"] == training.model_version
    shown = flow.ok(
        "model/get/predict/dsl", {"model_id": training.model_id, "model_version": child}
    )
    assert shown == guest["f_inference_dsl"]
    assert federated.show(flow.stores, "models", training.model_id, child).complete


def test_deploy_without_a_list_keeps_all(flow):
    """And a graph that is given is used as it is."""
    training = flow.add(models.federated())
    named = {"model_id": training.model_id, "model_version": training.model_version}
    data = flow.ok("model/deploy", named)
    shown = flow.ok("model/get/predict/dsl", {**named, "model_version": data["model_version"]})
    assert set(shown["components"]) == set(models.TRAIN_DSL["components"])
    own = '{"components": {"hetero_lr_0": {"module": "HeteroLR"}}}'
    data = flow.ok("model/deploy", {**named, "dsl": own})
    found, _ = flow.fetch({**training.describe("guest", 9999),
                           "model_version": data["model_version"]})  # fmt: skip
    assert not [path for path in found if "data_transform_0" in path]
    assert flow("model/deploy", {**named, "dsl": own, "cpn_list": KEPT})["retcode"] == 101


@pytest.mark.parametrize(
    "change",
    [
        {"cpn_list": ["nope"]},
        {"components_checkpoint": {"hetero_lr_0": {"step_index": 99}}},
        {"components_checkpoint": {"reader_1": {"step_index": 1}}},
        "party",
    ],
    ids=str,
)
def test_a_failed_deployment_makes_nothing(flow, change):
    """Whoever fails, and the answer says who and why."""
    training = models.federated(checkpoints=POINTS)
    flow.add(training, training.parties[:2] if change == "party" else None)
    fields = {"model_id": training.model_id, "model_version": training.model_version}
    answer = flow("model/deploy", {**fields, **(change if isinstance(change, dict) else {})})
    assert answer["retcode"] == 101
    codes = parties(answer["data"])
    assert set(codes.values()) == {100}
    assert len(codes) == 3
    for party in codes:
        told = answer["data"]["detail"][party[0]][party[1]]["retmsg"]
        assert told
    pairs = federated.of_model(flow.stores, "models", training.model_id)
    assert {record.version.label for _, record in pairs} == {training.model_version}


def test_unknown_models_and_children_are_not_deployed(flow):
    """404 for what is not there; a party's refusal for what was deployed already."""
    training = flow.add(models.federated())
    status, answer = flow.both("model/deploy", {"model_id": "x#model", "model_version": "1"})
    assert (status, answer["retcode"]) == (404, 404)
    named = {"model_id": training.model_id, "model_version": training.model_version}
    child = flow.ok("model/deploy", named)["model_version"]
    answer = flow("model/deploy", {**named, "model_version": child})
    assert answer["retcode"] == 101
    assert set(parties(answer["data"]).values()) == {100}
    assert training.model_version in answer["data"]["detail"]["guest"]["9999"]["retmsg"]
    assert flow("model/deploy", {"model_id": "x"})["retcode"] == 101


def migration(training, base, **more):
    """The request that gives every party another id."""
    moved = {role: [base + n for n, _ in enumerate(ids)] for role, ids in training.roles.items()}
    return {
        "job_parameters": {"federated_mode": "SINGLE"}, "role": training.roles,
        "migrate_initiator": {"role": "guest", "party_id": moved["guest"][0]},
        "migrate_role": moved, "execute_party": training.roles, "model_id": training.model_id,
        "model_version": training.model_version, **more,
    }  # fmt: skip


def test_migrate_gives_every_party_another_id(flow):
    """Records change, buffers and checkpoints do not."""
    training = flow.add(models.federated(checkpoints=POINTS))
    data = flow.ok("model/migrate", migration(training, 500, unify_model_version="u"))
    assert parties(data) == {("guest", "9999"): 0, ("host", "10000"): 0, ("arbiter", "10000"): 0}
    assert data["model_id"] == "arbiter-500#guest-500#host-500#model"
    assert data["detail"]["guest"]["9999"]["may_name_old_parties"] == ["data_transform_0"]
    found, _ = flow.fetch({"role": "host", "party_id": 500, "model_id": data["model_id"],
                           "model_version": "u"})  # fmt: skip
    before = training.tree("host", 10000)
    assert {p for p in before if before[p] != found[p]} == {layout.PIPELINE, layout.PIPELINE_JSON}
    record = pipeline.from_json(found[layout.PIPELINE_JSON])
    assert record.roles == {"guest": [500], "host": [500], "arbiter": [500]}
    assert record.initiator == ("guest", "500")
    assert record.document("trainRuntimeConf")["role"] == record.roles
    assert record.document("runtimeConfOnParty")["initiator"] == {"role": "guest", "party_id": 500}
    assert record.parent


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"migrate_role": {"guest": [1], "host": [2]}}, 100),
        ({"migrate_role": {"guest": [1, 2], "host": [2], "arbiter": [3]}}, 100),
        ({"migrate_role": {"guest": [9999], "host": [10000], "arbiter": [10000]}}, 100),
        ({"migrate_initiator": {"role": "guest", "party_id": 7}}, 100),
        ({"execute_party": {"guest": [9999], "host": [1]}}, 101),
        ({"execute_party": None}, 101),
        ({"role": "guest"}, 101),
        ({"model_version": "nope"}, 101),
    ],
)
def test_migrations_that_cannot_be(flow, change, code):
    """Change nothing."""
    training = flow.add(models.federated())
    assert flow("model/migrate", {**migration(training, 500), **change})["retcode"] == code
    with pytest.raises(NotFound):
        registry_models.find(
            flow.stores, "models", "guest#500#arbiter-500#guest-500#host-500#model"
        )


def test_what_was_made_is_undone_when_a_commit_fails(flow, monkeypatch):
    """The bytes of one party's buffer vanish between planning and committing."""
    training = flow.add(models.federated())
    place = registry_models.find(flow.stores, "models", training.name("host", 10000)).project_id
    real, lock = blobs.require, threading.Lock()
    calls = []

    def require(stores, project_id, files):
        with lock:
            calls.append(project_id)
            if len(calls) == 2:
                wanted = next(f for f in files if f.path.endswith("HeteroLRParam"))
                from chalicelib.registry import keys

                stores.table.write(Delete(keys.blob(place, wanted.blob)))
        return real(stores, project_id, files)

    monkeypatch.setattr(blobs, "require", require)
    named = {"model_id": training.model_id, "model_version": training.model_version}
    answer = flow("model/deploy", named)
    assert answer["retcode"] == 101
    pairs = federated.of_model(flow.stores, "models", training.model_id)
    assert {record.version.label for _, record in pairs} == {training.model_version}


def test_64_parties_deploy_and_migrate_at_once(flow):
    """Every set is whole, or is not there; of those that want the same name one wins."""
    roles = {"guest": [1], "host": list(range(100, 162)), "arbiter": [5]}
    training = models.federated(
        roles=roles, initiator=("guest", 1), buffers={"hetero_lr_0": models.BUFFERS["hetero_lr_0"]}
    )
    flow.add(training)
    named = {"model_id": training.model_id, "model_version": training.model_version}
    asked = [("model/deploy", named)] * 3
    asked += [("model/migrate", migration(training, 1000, unify_model_version="same"))] * 3
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda pair: flow(*pair), asked))
    assert [answer["retcode"] for answer in answers[:3]] == [0, 0, 0]
    made = [answer["data"] for answer in answers if answer["retcode"] == 0]
    assert len([a for a in answers[3:] if a["retcode"] == 0]) <= 1
    for data in made:
        assert set(parties(data).values()) == {0}
        found = federated.show(flow.stores, "models", data["model_id"], data["model_version"])
        assert found.complete
        assert len(found.shards) == 64
    for answer in answers:
        if answer["retcode"]:
            assert set(parties(answer["data"]).values()) == {100}
    moved = "arbiter-1000#guest-1000#host-" + "_".join(str(n) for n in range(1000, 1062)) + "#model"
    states = {r.version.label for _, r in federated.of_model(flow.stores, "models", moved)}
    wholes = {d["model_version"] for d in made if d["model_id"] == moved}
    assert states == wholes
