"""The door of Kubeflow's clients without a server: every call, statuses, paging, filters, other doors."""

import base64
import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from chalicelib.kubeflow.door import CALLS, PREFIX, RELEASES
from chalicelib.registry import changing, foreign_ids, models, publishing
from tests.registry_world import publish, setup_model
from weighbridge.contract import manifests
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import NewVersion, VersionChanges, VersionCommit

TEXT = {"string_value": "x", "metadataType": "MetadataStringValue"}


@pytest.fixture
def door(api):
    """Requests to the door: status and document; `ok` wants success, `made` a new thing."""

    def ask(method, path, body=None, release="v1", **query):
        path = f"{PREFIX}/{release}/{path}" + (f"?{urlencode(query)}" if query else "")
        status, headers, text = api.raw(method, path, body)
        assert headers["Content-Type"] == "application/json"
        found = json.loads(text)
        if status >= 400:
            assert found == {"code": str(status), "message": found["message"]}
        return status, found

    def expected(wanted):
        def asked(*words, **query):
            status, found = ask(*words, **query)
            assert status == wanted, found
            return found

        return asked

    ask.ok, ask.made, ask.api = expected(200), expected(201), api
    ask.stores, ask.clock = api.stores, api.clock
    ask.model = lambda name, **more: ask.made("POST", "registered_models", {"name": name, **more})
    ask.version = lambda model, name, **more: ask.made(
        "POST", f"registered_models/{model['id']}/versions", {"name": name, **more}
    )
    return ask


def artifact(uri="s3://bucket/model.onnx", **more):
    """A model artifact's body."""
    return {"artifactType": "model-artifact", "name": "net", "uri": uri, **more}


def names(found):
    """The names of a page's items."""
    return [one["name"] for one in found["items"]]


def test_the_constructor_of_the_client_meets_an_empty_list(door):
    """Before anything was written there is no project, and no error."""
    for release in RELEASES:
        for kind in ("registered_models", "model_versions", "artifacts", "inference_services"):
            found = door.ok("GET", kind, release=release, pageSize=1, sortOrder="ASC")
            assert found == {"items": [], "size": 0, "pageSize": 1, "nextPageToken": ""}
    assert door("GET", "registered_model", name="x")[0] == 404
    assert door("GET", "registered_models/7")[0] == 404


def test_a_model_a_version_and_its_artifact(door):
    """As `register_model` does it; every document says the same wherever it is read."""
    model = door.model("a/b: 50%", owner="ann", description="d", externalId="e", tasks=["t"],
                       readme="# R", license="mit", customProperties={"k": TEXT})  # fmt: skip
    assert (model["name"], model["state"], model["owner"]) == ("a/b: 50%", "LIVE", "ann")
    assert (model["tasks"], model["readme"], model["license"]) == (["t"], "# R", "mit")
    assert door.ok("GET", f"registered_models/{model['id']}") == model
    assert door.ok("GET", "registered_model", name="a/b: 50%") == model
    assert door.ok("GET", "registered_model", externalId="e") == model
    assert door.ok("GET", "registered_models")["items"] == [model]
    assert door("GET", "model_version", name="1", parentResourceId=model["id"])[0] == 404
    version = door.version(model, "1 β", author="bob", customProperties={"n": TEXT})
    assert version["registeredModelId"] == model["id"]
    assert door.ok("GET", f"model_versions/{version['id']}") == version
    assert door.ok("GET", "model_version", name="1 β", parentResourceId=model["id"]) == version
    made = door.made(
        "POST", f"model_versions/{version['id']}/artifacts", artifact(modelFormatName="o")
    )
    assert made["state"] == "UNKNOWN"
    assert door.ok("GET", f"artifacts/{made['id']}") == made
    assert door.ok("GET", f"model_artifacts/{made['id']}") == made
    assert door.ok("GET", f"model_versions/{version['id']}/artifacts")["items"] == [made]
    assert door.ok("GET", "model_artifacts")["items"] == [made]
    found = door.ok("GET", "model_artifact", name="net", parentResourceId=version["id"])
    assert found == made
    (listed,) = door.ok("GET", "model_versions")["items"]
    assert listed["customProperties"] == {"n": TEXT}


def test_names_are_taken_once(door):
    """Of models, of versions of a model, of artifacts of a version."""
    model = door.model("m")
    assert door("POST", "registered_models", {"name": "m"})[0] == 409
    version = door.version(model, "1")
    body = {"name": "1", "registeredModelId": model["id"]}
    assert door("POST", "model_versions", body)[0] == 409
    other = door.version(door.model("n"), "1")
    path = f"model_versions/{version['id']}/artifacts"
    made = door.made("POST", path, artifact())
    assert door("POST", path, artifact())[0] == 409
    door.made("POST", path, artifact(artifactType="doc-artifact"))
    assert door("POST", path, {**artifact(), "id": made["id"]})[0] == 200
    elsewhere = f"model_versions/{other['id']}/artifacts"
    assert door("POST", elsewhere, {**artifact(), "id": made["id"]})[0] == 400


def test_only_what_is_given_changes(door):
    """And when it did is known; names, parents and types stay."""
    model = door.model("m", description="d", customProperties={"k": TEXT, "l": TEXT})
    door.clock.time += 5
    changed = door.ok("PATCH", f"registered_models/{model['id']}", {"state": "ARCHIVED"})
    later = str(int(model["createTimeSinceEpoch"]) + 5000)
    assert changed == {**model, "state": "ARCHIVED", "lastUpdateTimeSinceEpoch": later}
    changed = door.ok(
        "PATCH", f"registered_models/{model['id']}", {"customProperties": {"k": TEXT}}
    )
    assert (changed["customProperties"], changed["state"]) == ({"k": TEXT}, "ARCHIVED")
    assert door("PATCH", f"registered_models/{model['id']}", {"name": "x"})[0] == 400
    version = door.version(model, "1", description="d", author="ann")
    door.clock.time += 5
    changed = door.ok(
        "PATCH", f"model_versions/{version['id']}", {"state": "ARCHIVED", "description": ""}
    )
    version.pop("description")
    later = str(int(version["createTimeSinceEpoch"]) + 5000)
    assert changed == {**version, "state": "ARCHIVED", "lastUpdateTimeSinceEpoch": later}
    wrong = {"registeredModelId": "5"}
    assert door("PATCH", f"model_versions/{version['id']}", wrong)[0] == 400
    made = door.made("POST", f"model_versions/{version['id']}/artifacts", artifact())
    for kind in ("artifacts", "model_artifacts"):
        changed = door.ok("PATCH", f"{kind}/{made['id']}", {"state": "LIVE", "uri": "s3://b/2"})
        assert (changed["state"], changed["uri"], changed["name"]) == ("LIVE", "s3://b/2", "net")
    assert door("PATCH", f"artifacts/{made['id']}", {"artifactType": "doc-artifact"})[0] == 400


@pytest.mark.parametrize("order", ["", "CREATE_TIME", "LAST_UPDATE_TIME", "ID"])
@pytest.mark.parametrize("sort", ["ASC", "DESC"])
def test_pages_join_to_the_whole_list(door, order, sort):
    """In every order, of every list; no page is empty, and the same question has the same token."""
    model = door.model("m3")
    for name in ("m1", "m5", "m2"):
        door.clock.time += 1
        door.model(name)
    for name in ("a", "c", "b"):
        door.clock.time += 1
        version = door.version(model, name)
        for title in ("x", "y"):
            door.made("POST", f"model_versions/{version['id']}/artifacts", artifact(name=title))
        door.made("POST", "model_artifacts", {"name": f"loose {name}", "uri": "u"})
    query = {"sortOrder": sort, **({"orderBy": order} if order else {})}
    lists = ("registered_models", "model_versions", "artifacts", "model_artifacts",
             f"registered_models/{model['id']}/versions",
             f"model_versions/{version['id']}/artifacts")  # fmt: skip
    for path in lists:
        whole = door.ok("GET", path, **query)
        assert whole["nextPageToken"] == ""
        other = door.ok("GET", path, **{**query, "sortOrder": {"ASC": "DESC"}.get(sort, "ASC")})
        assert other["items"] == whole["items"][::-1]
        for size in (1, 2, 3):
            found, token = [], ""
            while True:
                page = door.ok("GET", path, pageSize=size, nextPageToken=token, **query)
                assert page == door.ok("GET", path, pageSize=size, nextPageToken=token, **query)
                assert 0 < page["size"] == len(page["items"]) <= size
                found += page["items"]
                token = page["nextPageToken"]
                if not token:
                    break
            assert found == whole["items"], (path, size)
    assert len(door.ok("GET", "artifacts")["items"]) == 9
    if order == "CREATE_TIME":
        wanted = ["m3", "m1", "m5", "m2"]
        assert names(door.ok("GET", "registered_models", **query)) == (
            wanted if sort == "ASC" else wanted[::-1]
        )
    token = door.ok("GET", "registered_models", pageSize=1, **query)["nextPageToken"]
    assert door("GET", "model_versions", nextPageToken=token, **query)[0] == 400


def test_filters_narrow_lists(door):
    """By fields and by properties, on every page."""
    model = door.model("m")
    for n in range(7):
        score = {"double_value": n / 10, "metadataType": "MetadataDoubleValue"}
        door.version(
            model, f"v{n}", customProperties={"score": score}, author="ann" if n % 2 else "bob"
        )
    path = f"registered_models/{model['id']}/versions"
    wanted = "score.double_value >= 0.2 AND (author = 'ann' OR name LIKE 'v_6' OR name = 'v6')"
    page = door.ok("GET", path, filterQuery=wanted, pageSize=2)
    assert names(page) == ["v3", "v5"]
    page = door.ok("GET", path, filterQuery=wanted, pageSize=2, nextPageToken=page["nextPageToken"])
    assert (names(page), page["nextPageToken"]) == (["v6"], "")
    wanted = f"registeredModelId = {model['id']} AND score IN (0.1, 0.5)"
    assert names(door.ok("GET", "model_versions", filterQuery=wanted)) == ["v1", "v5"]
    status, found = door("GET", path, filterQuery="name ~ 'x'")
    assert (status, "~" in found["message"]) == (400, True)


def test_what_a_native_push_made_is_seen_here(door):
    """Models, versions by label or number, their attributes as properties, their files as an artifact."""
    setup_model(door.stores, "models", "detector")
    publish(door.stores, {"a.bin": b"abc"}, "models", "detector", label="1.0",
            attributes={"labels": ["x"], "depth": 18, "best": True, "format": "ONNX"})  # fmt: skip
    publish(door.stores, {"a.bin": b"abcd"}, "models", "detector")
    model = door.ok("GET", "registered_model", name="detector")
    first, second = door.ok("GET", f"registered_models/{model['id']}/versions")["items"]
    assert (first["name"], second["name"]) == ("1.0", "2")
    assert door.ok("GET", "model_version", name="2", parentResourceId=model["id"]) == second
    taken = {"name": "2", "registeredModelId": model["id"]}
    assert door("POST", "model_versions", taken)[0] == 409
    struct = base64.b64encode(b'["x"]').decode()
    assert first["customProperties"] == {
        "labels": {"struct_value": struct, "metadataType": "MetadataStructValue"},
        "depth": {"int_value": "18", "metadataType": "MetadataIntValue"},
        "best": {"bool_value": True, "metadataType": "MetadataBoolValue"},
        "format": {"string_value": "ONNX", "metadataType": "MetadataStringValue"},
    }
    (own,) = door.ok("GET", f"model_versions/{first['id']}/artifacts")["items"]
    assert (own["name"], own["state"], own["modelFormatName"]) == ("detector", "LIVE", "ONNX")
    assert own["uri"] == "weighbridge://models/detector@1"
    assert own["customProperties"]["size"]["int_value"] == "3"
    changed = door.ok("PATCH", f"model_artifacts/{own['id']}", {"description": "seen"})
    assert changed == {**own, "description": "seen"}
    assert door("PATCH", f"model_artifacts/{own['id']}", {"uri": "s3://x"})[0] == 400
    # The client sends every property back, structs as texts.
    sent = {**first["customProperties"], "labels": {**TEXT, "string_value": struct}, "new": TEXT}
    door.ok("PATCH", f"model_versions/{first['id']}", {"customProperties": sent})
    found = models.find(door.stores, "models", "detector")
    attributes = door.api.ok("GET", "/api/projects/models/models/detector/versions/1")["attributes"]
    assert attributes["labels"] == ["x"]
    assert attributes["new"] == "x"
    assert found.model.aliases == {}


def test_what_is_registered_here_is_seen_by_the_other_doors(door):
    """As a model and a version without files, and as an edge record that says where its bytes lie."""
    model = door.model("bolt/check", owner="ann")
    version = door.version(model, "1.0", customProperties={"category": TEXT})
    path = f"model_versions/{version['id']}/artifacts"
    door.made("POST", path, artifact("https://files.example/models/bolt.zip?x=1"))
    found = door.api.ok(
        "GET", "/api/projects/models/models/bolt%252Fcheck/versions/@=1.0".replace("@", "")
    )
    assert (found["state"], found["files"], found["label"]) == ("ready", 0, "1.0")
    assert found["attributes"]["kubeflow.artifact.1"]["name"] == "net"
    (record,) = json.loads(door.api.raw("GET", "/edge/models?name=bolt")[2])
    assert (record["name"], record["version"], record["category"]) == ("bolt/check", "1.0", "x")
    assert (record["file_url"], record["size"]) == ("https://files.example/models/bolt.zip?x=1", 0)
    status, headers, _ = door.api.raw("GET", f"/edge/models/{record['id']}/files")
    assert (status, headers["Location"]) == (307, record["file_url"])
    door.ok(
        "PATCH", f"artifacts/{door.ok('GET', path)['items'][0]['id']}", {"uri": "s3://b/c/d.bin"}
    )
    record = json.loads(door.api.raw("GET", f"/edge/models/{record['id']}")[2])
    assert record["file_url"] == "s3://b/c/d.bin"
    status, _, text = door.api.raw("GET", f"/edge/models/{record['id']}/files")
    assert (status, "s3://b/c/d.bin" in text) == (404, True)
    # A record of the same identity: this one is a version and no record, and both doors live on.
    again = door.version(model, "1.0 ")
    changing.change(door.stores, "ann", "models", "bolt%2Fcheck", VersionSelector("number", "2"),
                    VersionChanges(attributes={"package_version": "1.0"}))  # fmt: skip
    door.made("POST", f"model_versions/{again['id']}/artifacts", artifact())
    assert len(json.loads(door.api.raw("GET", "/edge/models")[2])) == 1
    assert len(door.ok("GET", "artifacts")["items"]) == 2


def test_serving_is_recorded(door):
    """Environments, services in them, and what they served; found by name, environment and id."""
    environment = door.made("POST", "serving_environments", {"name": "prod", "externalId": "e"})
    assert door("POST", "serving_environments", {"name": "prod"})[0] == 409
    assert door.ok("GET", "serving_environment", name="prod") == environment
    assert door.ok("GET", "serving_environment", externalId="e") == environment
    model = door.model("m")
    first, second = door.version(model, "1"), door.version(model, "2")
    body = {"name": "s", "registeredModelId": model["id"], "servingEnvironmentId": environment["id"],
            "modelVersionId": first["id"], "runtime": "r"}  # fmt: skip
    service = door.made("POST", "inference_services", body)
    assert service["desiredState"] == "DEPLOYED"
    assert door("POST", "inference_services", body)[0] == 409
    path = f"serving_environments/{environment['id']}/inference_services"
    other = door.made("POST", path, {"name": "t", "registeredModelId": model["id"]})
    assert door.ok("GET", path)["items"] == [service, other]
    assert door.ok("GET", path, runtime="r")["items"] == [service]
    assert door.ok("GET", "inference_services", filterQuery="name='t'")["items"] == [other]
    found = door.ok("GET", "inference_service", name="s", parentResourceId=environment["id"])
    assert found == service
    one = f"inference_services/{service['id']}"
    assert door.ok("GET", f"{one}/model") == model
    assert door.ok("GET", f"{one}/version") == first
    assert door.ok("GET", f"inference_services/{other['id']}/version") == second
    changed = door.ok("PATCH", one, {"desiredState": "UNDEPLOYED", "modelVersionId": second["id"]})
    assert changed["desiredState"] == "UNDEPLOYED"
    assert door.ok("GET", f"{one}/version") == second
    served = door.made("POST", f"{one}/serves", {"modelVersionId": first["id"]})
    assert served["lastKnownState"] == "UNKNOWN"
    assert door.ok("GET", f"{one}/serves")["items"] == [served]
    assert door.ok("GET", f"inference_services/{other['id']}/serves")["items"] == []
    stranger = door.version(door.model("n"), "1")
    assert door("PATCH", one, {"modelVersionId": stranger["id"]})[0] == 400
    assert (
        door("POST", "inference_services", {**body, "name": "u", "servingEnvironmentId": "99"})[0]
        == 404
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "registered_models", {}, 400), ("POST", "registered_models", {"name": ""}, 400),
        ("POST", "registered_models", {"name": 5}, 400),
        ("POST", "registered_models", {"name": "x", "nmae": 1}, 400),
        ("POST", "registered_models", {"name": "x", "state": "GONE"}, 400),
        ("POST", "registered_models", {"name": "x\x00"}, 201),
        ("POST", "registered_models", {"name": "x" * 1001}, 400),
        ("POST", "registered_models", {"name": "x", "tasks": "t"}, 400),
        ("POST", "registered_models", {"name": "x", "description": "d" * 10_001}, 413),
        ("POST", "registered_models", {"name": "x", "readme": "d" * 300_000}, 400),
        ("POST", "registered_models", {"name": "x", "owner": "o" * 250_000}, 413),
        ("POST", "registered_models", {"name": "x", "customProperties": {"k": "v"}}, 400),
        ("POST", "registered_models", b"{", 400), ("POST", "registered_models", b"[]", 400),
        ("POST", "registered_models", b'{"name": "\\ud800"}', 400),
        ("POST", "registered_models", b'{"name": "x", "a": NaN}', 400),
        ("POST", "registered_models", b"[" * 100_000, 400),
        ("GET", "registered_models/x", None, 400), ("GET", "registered_models/0", None, 400),
        ("GET", "registered_models/" + "9" * 9, None, 404),
        ("GET", "registered_models/" + "9" * 10, None, 400),
        ("GET", "registered_models/%C2%B2", None, 400),
        ("GET", "model_versions/5", None, 404), ("GET", "artifacts/5", None, 404),
        ("GET", "registered_models?pageSize=0", None, 400),
        ("GET", "registered_models?orderBy=name", None, 400),
        ("GET", "registered_models?sortOrder=UP", None, 400),
        ("GET", "registered_models?nextPageToken=x", None, 400),
        ("GET", "registered_models?q=x", None, 400), ("GET", "registered_model", None, 400),
        ("GET", "model_version?name=x", None, 400), ("GET", "inference_service?name=x", None, 400),
        ("GET", "artifacts?artifactType=x", None, 400), ("POST", "artifacts", {}, 400),
        ("GET", "experiments", None, 404), ("PATCH", "registered_models", {}, 405),
        ("DELETE", "registered_models", None, 405),
    ],
)  # fmt: skip
def test_bad_requests_are_named(door, method, path, body, status):
    """With the status and words that the client shows; nothing is made."""
    if method == "DELETE":
        assert door.api.raw(method, f"{PREFIX}/v1/{path}")[0] == status
        return
    got, found = door(method, path, body)
    assert got == status, found
    if status >= 400:
        assert found["message"]
        assert door.ok("GET", "registered_models")["items"] == []


def test_tokens_bound_what_may_be_seen_and_done(door):
    """401 without one, 403 where it says no; the project is the token's."""
    model = door.model("m")
    for scope, path, method, status in (
        (None, "registered_models", "GET", 401),
        (("read",), f"registered_models/{model['id']}", "PATCH", 403),
        (("read",), f"registered_models/{model['id']}", "GET", 200),
    ):
        token = None
        if scope:
            body = {"name": "t", "scopes": [{"verbs": list(scope), "project": "models"}]}
            token = door.api.ok("POST", "/api/tokens", body)["secret"]
        body = {"description": "x"} if method == "PATCH" else None
        got, headers, text = door.api.raw(method, f"{PREFIX}/v1/{path}", body, token)
        assert got == status, text
        if got == 401:
            assert headers["WWW-Authenticate"].startswith("Bearer")
    body = {"name": "t", "scopes": [{"verbs": ["read", "write"], "project": "other"}]}
    token = door.api.ok("POST", "/api/tokens", body)["secret"]
    text = door.api.raw("GET", f"{PREFIX}/v1/registered_models", None, token)[2]
    assert json.loads(text)["items"] == []
    assert (
        door.api.raw("GET", f"{PREFIX}/v1/registered_models/{model['id']}", None, token)[0] == 404
    )


def test_what_is_open_or_gone_is_not_there(door):
    """An open version is nobody's business, a deleted one is 404 and frees its name."""
    model = door.model("m")
    publishing.begin(door.stores, "ann", "models", "m", NewVersion("k", "1"))
    record = models.find(door.stores, "models", "m")
    one = foreign_ids.Numbered(record.id, 1)
    own = foreign_ids.numbers(door.stores, record.project_id, [one])[one]
    assert door("GET", f"model_versions/{own}")[0] == 404
    assert door("GET", f"registered_models/{own}")[0] == 404
    assert door("GET", f"model_versions/{model['id']}")[0] == 404
    assert door("GET", "model_version", name="1", parentResourceId=model["id"])[0] == 404
    empty = VersionCommit(manifests.digest([]))
    publishing.commit(door.stores, "ann", "models", "m", 1, empty)
    assert door.ok("GET", f"model_versions/{own}")["id"] == str(own)
    changing.delete(door.stores, "ann", "models", "m", VersionSelector("number", "1"))
    assert door("GET", f"model_versions/{own}")[0] == 404
    assert door.version(model, "1")["id"] != str(own)


def test_few_resources_of_the_gateway():
    """A route per depth of path, whatever the number of calls."""
    from app import app

    assert len([path for path in app.routes if path.startswith(PREFIX)]) == 3
    assert len(CALLS) > 20


def test_artifacts_that_another_door_spoiled_are_passed_over(door):
    """Attributes are everybody's: what is no artifact any more breaks no list."""
    version = door.version(door.model("m"), "1")
    door.made("POST", f"model_versions/{version['id']}/artifacts", artifact())
    times = {"created": "", "updated": ""}
    spoiled = {
        "kubeflow.artifact.2": {"name": "x"}, "kubeflow.artifact.x": {}, "kubeflow.state": 5,
        "kubeflow.artifact.3": {"name": "x", "artifactType": "metric", **times},
        "kubeflow.artifact.0": {"updated": "never"}, "kubeflow.updated": "soon", "big": 10**12,
    }  # fmt: skip
    changes = VersionChanges(attributes=spoiled)
    selector = VersionSelector("number", "1")
    changing.change(door.stores, "ann", "models", "m", selector, changes)
    assert names(door.ok("GET", "artifacts")) == ["net"]
    (found,) = door.ok("GET", "model_versions", orderBy="LAST_UPDATE_TIME")["items"]
    assert found["state"] == "LIVE"
    assert set(found["customProperties"]) == {"big"}


@pytest.mark.parametrize(
    "body",
    [{"name": "x"}, {"name": "x", "uri": ""}, {"artifactType": "metric", "name": "x"},
     {"artifactType": "metric", "name": "x", "value": "1"}, {"artifactType": "y", "uri": "u"},
     {"artifactType": "parameter", "value": "1", "parameterType": "text"}, {"uri": "u", "value": 1}],
)  # fmt: skip
def test_an_artifact_that_the_client_could_not_read_is_refused(door, body):
    """It fails on a whole list for one of them."""
    version = door.version(door.model("m"), "1")
    body = {"artifactType": "model-artifact", **body}
    assert door("POST", f"model_versions/{version['id']}/artifacts", body)[0] == 400
    assert door("POST", "artifacts", body)[0] == 400
    assert door.ok("GET", "artifacts")["items"] == []


def test_the_compatibility_page_names_every_call():
    """docs/compat/kubeflow.md: each path with its methods, and no others."""
    page = (Path(__file__).parents[2] / "docs" / "compat" / "kubeflow.md").read_text()
    told = {}
    for paths, methods in re.findall(r"^\| (`[a-z_/{}`, ]+`) \| ([A-Z, ]+) \|", page, re.MULTILINE):
        for path in re.findall(r"`([^`]+)`", paths):
            told[path.replace("{id}", "*")] = set(methods.split(", "))
    assert told == {"/".join(path): set(views) for path, views in CALLS.items()}
