"""Ordered labels, staged files, bundles and entity tags over HTTP."""

import pytest

from tests.registry_world import upload
from weighbridge.contract import codec, manifests

MODEL = "/api/projects/vision/models/digits"


@pytest.fixture
def model(api):
    """A model with ordered labels."""
    api.ok("POST", "/api/projects", {"name": "vision"})
    settings = {"label_order": "pep440"}
    api.ok("POST", "/api/projects/vision/models", {"name": "digits", "settings": settings})
    return api


def published(api, label, data=b"1"):
    """A version with one file."""
    number = api.ok("POST", f"{MODEL}/versions", {"key": f"key {label}", "label": label})["number"]
    entries = upload(api.stores, "vision", {"a.bin": data})
    body = {"manifest": manifests.digest(entries), "files": codec.encode(entries)}
    return api.ok("POST", f"{MODEL}/versions/{number}/commit", body)


def test_labels_in_order(model):
    """The setting is kept and shown, with the greatest label; a lower one is a conflict."""
    assert published(model, "v1.0")["label"] == "1.0"
    shown = model.ok("GET", MODEL)
    assert (shown["settings"]["label_order"], shown["greatest"]) == ("pep440", "1.0")
    [listed] = model.ok("GET", "/api/projects/vision/models")["items"]
    assert listed["greatest"] == "1.0"
    for label, code in (("1.0.0", "already_exists"), ("0.9", "conflict")):
        found = model.error("POST", f"{MODEL}/versions", {"key": "k2", "label": label})
        assert found == (409, code)
    for label in ("", "newest"):
        assert model.error("POST", f"{MODEL}/versions", {"key": "k3", "label": label})[0] == 400


def test_an_unknown_order_is_refused(model):
    """The order is one of two words."""
    changes = {"settings": {"label_order": "semver"}}
    assert model.error("PATCH", MODEL, changes) == (400, "invalid_request")


def test_a_list_that_is_known_is_not_sent_again(model):
    """With its entity tag a list answers 304 until it changes."""
    published(model, "1.0")
    for path in (
        f"{MODEL}/versions",
        "/api/projects/vision/models",
        f"{MODEL}/versions/1/checkpoints",
    ):
        status, headers, body = model.raw("GET", path)
        assert status == 200
        tag = headers["ETag"]
        status, headers, empty = model.raw("GET", path, headers={"if-none-match": f'"x", {tag}'})
        assert (status, headers["ETag"], empty) == (304, tag, "")
        assert model.raw("GET", path, headers={"if-none-match": '"other"'})[2] == body
    tag = model.raw("GET", f"{MODEL}/versions")[1]["ETag"]
    published(model, "1.1", b"2")
    assert model.raw("GET", f"{MODEL}/versions", headers={"if-none-match": tag})[0] == 200
    assert model.raw("GET", f"{MODEL}/versions", token="", headers={"if-none-match": tag})[0] == 401


def test_a_bundle_has_all_that_reading_needs(model):
    """What it is, its files, and a link per blob."""
    version = published(model, "1.0", b"some bytes")
    bundle = model.ok("GET", f"{MODEL}/versions/=1.0.0/bundle")
    assert bundle["version"]["number"] == version["number"]
    assert "checkpoint" not in bundle
    [entry], [item] = bundle["files"]["items"], bundle["downloads"]["items"]
    assert (entry["path"], item["blob"]) == ("a.bin", entry["blob"])
    assert item["request"]["method"] == "GET"
    assert model.error("GET", f"{MODEL}/versions/9/bundle")[0] == 404


def test_staged_files_become_a_checkpoint_of_an_expected_number(model):
    """Announced, asked for by name, committed, bundled; a taken number and a gap are conflicts."""
    published(model, "1.0")
    at = f"{MODEL}/versions/1"
    [entry] = upload(model.stores, "vision", {"states/a.bin": b"state"})
    answer = model.ok("POST", f"{at}/staged", {"files": [codec.encode(entry)]})
    assert answer == {"files": [], "missing": []}
    other = {**codec.encode(entry), "path": "states/b.bin", "size": 1, "sha256": "0" * 64}
    other["blob"] = f"s-{'0' * 64}-1"
    [missing] = model.ok("POST", f"{at}/staged", {"files": [other]})["missing"]
    assert missing["action"] == "put"
    names = ["states/a.bin", "states/b.bin"]
    assert model.ok("POST", f"{at}/staged", {"names": names})["files"] == [codec.encode(entry)]
    body = {
        "manifest": manifests.digest([entry]), "files": [codec.encode(entry)], "step": 1,
        "staged": ["states/a.bin"],
    }  # fmt: skip
    for number in (2, 7):
        assert model.error("POST", f"{at}/checkpoints", {**body, "expected": number})[0] == 409
    for _ in range(2):
        assert model.ok("POST", f"{at}/checkpoints", {**body, "expected": 1})["number"] == 1
    assert model.error("POST", f"{at}/checkpoints", {**body, "expected": -1})[0] == 400
    bundle = model.ok("GET", f"{at}/checkpoints/1/bundle")
    assert bundle["checkpoint"]["number"] == 1
    assert [f["path"] for f in bundle["files"]["items"]] == ["states/a.bin"]
