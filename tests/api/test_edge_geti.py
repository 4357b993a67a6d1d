"""Items E25 and E30 to E40 of the edge door: a Geti server's projects, and the import of its models."""

import contextlib
import io
import json
import zipfile

import pytest

from chalicelib.edge import geti_imports, geti_routes
from chalicelib.registry import jobs, packages, projects
from tests.api.conftest import ADMIN
from tests.e2e.embedded.certificates import authority
from tests.geti.stub import MADE, TOKEN, number, package, running
from tests.registry_world import work_all
from weighbridge.transfer import plan

VARIABLES = ("GETI_HOST", "GETI_TOKEN", "GETI_CA_FILE", "GETI_WORKSPACE_ID", "GETI_SERVER_SSL_VERIFY")  # fmt: skip


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """A certificate for 127.0.0.1."""
    return authority(tmp_path_factory.mktemp("authority")).issue("127.0.0.1")


@pytest.fixture
def geti(issued, monkeypatch):
    """A Geti server that the settings name."""
    monkeypatch.setattr(plan, "BACKOFF", 0.001)
    with running(issued) as (found, url):
        monkeypatch.setenv("GETI_HOST", url)
        monkeypatch.setenv("GETI_TOKEN", TOKEN)
        monkeypatch.setenv("GETI_CA_FILE", str(issued.authority))
        yield found


@pytest.fixture
def door(api, monkeypatch):
    """Requests to the door; a job is done while its request waits."""

    def done(stores, project_id, kind, by, args, *, key, wait):
        job = jobs.submit(stores, project_id, kind, by, args, key=key)
        work_all(stores)
        return jobs.find(stores, project_id, job.id)

    monkeypatch.setattr(geti_imports.jobs, "run", done)

    def ask(method, path, body=None, token=ADMIN):
        status, headers, text = api.raw(method, f"/edge{path}", body, token)
        kind = headers.get("Content-Type", "")
        return status, json.loads(text) if kind.startswith("application/json") else text

    ask.api = api
    return ask


def wanted(*numbers, group=0x101):
    """A body that asks for these optimised models."""
    return {"models": [{"id": number(n), "group_id": number(group)} for n in numbers]}


def kept(api, own):
    """The bytes of a package."""
    project_id = projects.find(api.stores, "models").id
    found = packages.find(api.stores, project_id, own)
    item = found.package
    from chalicelib.registry import blobs

    return api.stores.blobs.read(blobs.object_keys(api.stores, project_id, [item.blob])[item.blob])


def test_e25_missing_and_unusable_variables_are_named(door, monkeypatch):
    """Also the words for yes and no."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert door("GET", "/projects") == (
        500, "Geti is not configured: set GETI_HOST and GETI_TOKEN.\n"
    )  # fmt: skip
    monkeypatch.setenv("GETI_TOKEN", "t")
    assert door("GET", "/projects")[1] == "Geti is not configured: set GETI_HOST.\n"
    monkeypatch.setenv("GETI_HOST", "http://geti.example")
    status, text = door("GET", "/projects")
    assert (status, "GETI_HOST" in text) == (500, True)
    monkeypatch.setenv("GETI_HOST", "geti.example")
    monkeypatch.setenv("GETI_SERVER_SSL_VERIFY", "perhaps")
    status, text = door("GET", "/projects")
    assert (status, "GETI_SERVER_SSL_VERIFY" in text) == (500, True)


def test_e30_projects_are_listed_and_shown(door, geti):
    """One by one as in the list."""
    own = geti.project(0x100, "Pallets")
    geti.project(0x200, "Bolts")
    status, listed = door("GET", "/projects")
    assert status == 200
    assert [one["name"] for one in listed] == ["Pallets", "Bolts"]
    assert door("GET", f"/projects/{own}") == (200, listed[0])
    assert listed[0]["creation_time"] == MADE
    (group,) = listed[0]["model_groups"]
    (version,) = group["model_versions"]
    assert [one["id"] for one in version["openvino_models"]] == [number(0x103), number(0x104)]


def test_e31_a_project_that_is_not_there(door, geti):
    """404 in words; an id that is none is refused before Geti is asked."""
    assert door("GET", f"/projects/{number(1)}") == (404, "Project not found.\n")
    before = len(geti.asked)
    assert door("GET", "/projects/short") == (
        400, {"detail": "Invalid format for project ID."}
    )  # fmt: skip
    assert len(geti.asked) == before


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_e32_without_a_server_it_says_so(door, monkeypatch, method):
    """Each of the calls."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    path = f"/projects/{number(1)}" + ("/geti-models/download" if method == "POST" else "")
    status, text = door(method, path, wanted(1) if method == "POST" else None)
    assert status == 500
    assert "GETI_HOST" in text


def test_e33_one_model_is_imported(door, geti):
    """Its record has the fields of the table, and its archive opens below `deployment/`."""
    own = geti.project(0x100, "Pallets")
    model = number(0x103)
    geti.packages[model] = package("README.md", "deployment/D/model/model.xml")
    answer = door("POST", f"/projects/{own}/geti-models/download", wanted(0x103))
    assert answer == (201, f"Registered: {model}\n")
    status, record = door("GET", f"/models/{model}")
    assert status == 200
    data = kept(door.api, model)
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    assert names == ["deployment/D/model/model.xml", "README.md"]
    assert record.pop("last_updated_date")
    assert record == {
        "id": model, "name": "YOLOX-TINY OpenVINO FP16", "target_device": "CPU",
        "created_date": "2026-01-21T09:40:19+00:00", "precision": ["fp16"], "size": len(data),
        "version": "1", "format": "openvino", "origin": "Geti",
        "file_url": f"s3://weighbridge-artifacts/{model}/pallets.zip", "project_id": own,
        "project_name": "Pallets", "category": "Detection", "target_device_type": None,
        "score": 0.83, "overview": {}, "optimization_capabilities": {},
        "labels": [{"id": "l-box", "name": "box", "color": "#0015ffff", "group": "default",
                    "is_empty": False}],
        "architecture": "YOLOX-TINY",
    }  # fmt: skip
    listed = door("GET", "/models?category=detection&precision=FP16")[1]
    assert [one["id"] for one in listed] == [model]


def test_e34_what_is_registered_is_not_imported_again(door, geti):
    """409 names it, and nothing else of the request is imported."""
    path = f"/projects/{geti.project(0x100, 'Pallets')}/geti-models/download"
    assert door("POST", path, wanted(0x103))[0] == 201
    status, text = door("POST", path, wanted(0x103, 0x104))
    assert status == 409
    assert number(0x103) in text
    assert number(0x104) not in text
    assert door("GET", f"/models/{number(0x104)}")[0] == 404


def test_e35_other_forms_and_base_models_are_not_found(door, geti):
    """Nor a model under another group; nothing is stored."""
    path = f"/projects/{geti.project(0x100, 'Pallets')}/geti-models/download"
    for body in (wanted(0x105), wanted(0x102), wanted(0x103, 0x105), wanted(0x103, group=9)):
        assert door("POST", path, body)[0] == 404
    assert door("GET", "/models") == (200, [])
    assert door("POST", f"/projects/{number(7)}/geti-models/download", wanted(0x103)) == (
        404, "Project not found.\n"
    )  # fmt: skip


def test_e36_an_empty_list_is_forbidden(door, geti):
    """And a body that is none is not understood."""
    path = f"/projects/{geti.project(0x100, 'Pallets')}/geti-models/download"
    assert door("POST", path, {"models": []}) == (403, "No models were given.\n")
    for body in (b"{", {}, {"models": 3}, {"models": [3]}, {"models": [{"id": 3, "group_id": ""}]},
                 {"models": [{"id": "a", "group_id": "b"}] * 101}):  # fmt: skip
        status, told = door("POST", path, body)
        assert status == 422, body
        assert told["detail"]


def test_e37_two_at_once_and_one_that_fails(door, geti):
    """Each by itself, each once; what failed is named, what did not is there."""
    path = f"/projects/{geti.project(0x100, 'Pallets')}/geti-models/download"
    geti.packages[number(0x104)] = b"PK\x03\x04 broken"
    status, text = door("POST", path, wanted(0x103, 0x104, 0x103))
    assert status == 502
    assert f"{number(0x104)}: the package is a broken ZIP archive" in text
    assert text.endswith(f"Registered: {number(0x103)}\n")
    geti.packages[number(0x104)] = package()
    assert door("POST", path, wanted(0x104)) == (201, f"Registered: {number(0x104)}\n")
    assert door("GET", "/models")[0] == 200
    assert len(door("GET", "/models")[1]) == 2


def test_e38_what_geti_fails_with(door, geti, monkeypatch):
    """401, 5xx and a server that says nothing are 502 in words, without the token."""
    own = geti.project(0x100, "Pallets")
    path = f"/projects/{own}/geti-models/download"
    for what in (401, 403, 500, 503):
        geti.fail(f"/projects/{own}$", *[what] * 8)
        for method, place, body in (("GET", f"/projects/{own}", None), ("POST", path, wanted(0x103))):  # fmt: skip
            status, text = door(method, place, body)
            assert status == 502, what
            assert str(what) in text
            assert TOKEN not in text
        geti.failures.clear()
    geti.fail(":download", *[500] * 8)
    status, text = door("POST", path, wanted(0x103))
    assert status == 502
    assert f"{number(0x103)}: " in text
    geti.failures.clear()
    monkeypatch.setenv("WEIGHBRIDGE_IDLE_TIMEOUT", "0.2")
    geti.fail("/model_groups$", *["slow"] * 8)
    status, text = door("GET", f"/projects/{own}")
    assert status == 502
    assert "no answer in time" in text or "takes too long" in text


def test_an_import_that_takes_longer_can_be_asked_for(api, geti, monkeypatch):
    """202 with its address; queued, then done with what was registered."""
    monkeypatch.setattr(geti_routes, "WAIT", 0.0)
    path = f"/edge/projects/{geti.project(0x100, 'Pallets')}/geti-models/download"
    status, headers, text = api.raw("POST", path, wanted(0x103, 0x104))
    assert status == 202
    place = headers["Location"]
    first = json.loads(text)
    assert (first["state"], first["registered"], first["failed"]) == ("queued", [], [])
    assert api("GET", place) == (200, first)
    again = json.loads(api.raw("POST", path, wanted(0x104, 0x103))[2])
    assert again["import_id"] == first["import_id"]
    assert work_all(api.stores) == 1
    status, found = api("GET", place)
    assert found["state"] == "done"
    assert found["registered"] == [number(0x103), number(0x104)]
    assert api.raw("GET", "/edge/imports/nothing")[0] == 404


def test_a_job_that_was_interrupted_goes_on(api, geti, monkeypatch):
    """A worker that dies in the middle leaves nothing half made; the next finishes."""
    monkeypatch.setattr(geti_routes, "WAIT", 0.0)
    path = f"/edge/projects/{geti.project(0x100, 'Pallets')}/geti-models/download"
    place = api.raw("POST", path, wanted(0x103, 0x104))[1]["Location"]
    publish, calls = geti_imports.storing.publish, []

    def dying(*args):
        calls.append(args)
        if len(calls) == 2:
            raise MemoryError
        publish(*args)

    monkeypatch.setattr(geti_imports.storing, "publish", dying)
    with contextlib.suppress(MemoryError):
        work_all(api.stores)
    assert api("GET", place)[1]["registered"] == [number(0x103)]
    job = place.rpartition("/")[2]
    jobs.work(api.stores, projects.find(api.stores, "models").id, job)
    found = api("GET", place)[1]
    assert (found["state"], len(found["registered"]), len(calls)) == ("done", 2, 3)


def test_rights_are_those_of_the_project(door, geti):
    """Without a token nothing; who may only read sees projects and imports nothing."""
    own = geti.project(0x100, "Pallets")
    assert door("GET", "/projects", token="")[0] == 401
    scopes = [{"project": "models", "verbs": ["read"]}]
    made = door.api.ok("POST", "/api/tokens", {"name": "reader", "scopes": scopes})
    reader = made["secret"]
    assert door("GET", "/projects", token=reader)[0] == 200
    body = wanted(0x103)
    assert door("POST", f"/projects/{own}/geti-models/download", body, token=reader)[0] == 403
