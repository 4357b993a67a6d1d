"""The edge door without a server: what happens when a store fails, limits of a function, the description."""

import json
import re
import uuid
from pathlib import Path

import pytest

from chalicelib.catalogue import drain
from chalicelib.edge import description, downloads, routes, storing
from chalicelib.edge.answers import unrouted
from chalicelib.registry import keys, projects, receiving, sweep
from chalicelib.settings import boolean, settings
from tests.registry_world import work_all
from weighbridge.contract.errors import InvalidRequest, Unavailable

PACKAGE = b"PK\x03\x04 package"
LIMIT = "boundary"


def form(data=PACKAGE, **fields):
    """A multipart body, and its headers."""
    values = {"name": "bolt", "version": "1", **fields}
    parts = [
        f'--{LIMIT}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode()
        for n, v in values.items()
    ]
    if data is not None:
        parts.append(
            f'--{LIMIT}\r\nContent-Disposition: form-data; name="file"; filename="m.zip"\r\n'
            "Content-Type: application/zip\r\n\r\n".encode()
            + data
            + b"\r\n"
        )
    return b"".join(parts) + f"--{LIMIT}--\r\n".encode()


HEADERS = {"content-type": f"multipart/form-data; boundary={LIMIT}"}


@pytest.fixture
def door(api, monkeypatch):
    """Requests to the door, as a function would get them."""

    def ask(method, path, body=None, headers=None):
        return api.raw(method, f"/edge{path}", body, headers=headers)

    ask.stores, ask.clock = api.stores, api.clock
    ask.post = lambda **fields: ask("POST", "/models", form(**fields), HEADERS)
    return ask


def nothing_left(stores):
    """No record, no model, no version, no upload."""
    project_id = projects.find(stores, "models").id
    assert stores.table.query(keys.of_packages(project_id)).items == ()
    assert stores.table.query(f"P#{project_id}", *keys.prefix("M#")).items == ()
    assert list(stores.blobs.stale_multiparts("blobs/", int(stores.now()) + 10)) == []


def freed(door):
    """What is stored once every lease is over and the sweep has run."""
    drain.everything(door.stores)
    door.clock.time += 2 * door.stores.lease_seconds
    for _ in range(2):
        sweep.run(door.stores)
    return door.stores.blobs.list("blobs/").heads


def test_e18_deleting_frees_the_bytes(door):
    """E18: the sweep removes them; another record with the same bytes keeps them."""
    first = door.post()[2]
    door.post(version="2")
    assert door("DELETE", f"/models/{first}")[0] == 204
    assert len(freed(door)) == 1
    (other,) = json.loads(door("GET", "/models")[2])
    assert door("DELETE", f"/models/{other['id']}")[0] == 204
    assert freed(door) == ()


@pytest.mark.parametrize("failing", ["put", "head"])
def test_e23_a_store_that_fails_leaves_nothing(door, monkeypatch, failing):
    """E23: 500 without a word of the inside; then the same request succeeds."""

    def fail(*args, **options):
        raise Unavailable("http://internal:8333 refused")

    with monkeypatch.context() as patch:
        patch.setattr(door.stores.blobs, failing, fail)
        status, headers, text = door.post()
        assert (status, headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
        assert "internal" not in text
    nothing_left(door.stores)
    assert door.post()[0] == 201


def test_e23_a_record_that_cannot_be_written_leaves_nothing(door, monkeypatch):
    """E23: the bytes are freed again, the version is given up, the model goes."""
    real, failed = door.stores.table.transact, []

    def fail(writes):
        if any(w.key.pk.startswith("Z#") for w in writes) and not failed:
            failed.append(1)
            raise Unavailable("the table does not answer")
        return real(writes)

    monkeypatch.setattr(type(door.stores.table), "transact", lambda self, writes: fail(writes))
    assert door.post()[0] == 500
    assert failed
    nothing_left(door.stores)
    assert freed(door) == ()
    assert door.post()[0] == 201


def test_e22_what_no_request_can_carry_is_refused_with_the_two_steps(door):
    """E22: 413 names them; the limit itself is fine."""
    data = PACKAGE + bytes(storing.MAX_DIRECT - len(PACKAGE))
    assert door.post(data=data)[0] == 201
    status, _, text = door.post(data=data + b"x", version="2")
    assert status == 413
    assert "POST /models/uploads" in text
    assert "upload_id" in text


@pytest.mark.parametrize(
    ("setting", "accept", "size", "status"),
    [
        ("auto", "application/zip", 10, 200), ("auto", "*/*", 10, 307), ("auto", "", 10, 307),
        ("auto", "application/zip, */*", downloads.INLINE, 307),
        ("inline", "application/octet-stream", 10, 200),
        ("inline", "application/zip", downloads.INLINE, 307),
        ("redirect", "application/zip", 10, 307),
    ],
)  # fmt: skip
def test_e19_a_function_answers_with_bytes_only_where_the_gateway_decodes_them(
    door, monkeypatch, setting, accept, size, status
):
    """E19: otherwise it redirects."""
    monkeypatch.setenv("WEIGHBRIDGE_EDGE_DOWNLOAD", setting)
    settings.cache_clear()
    own = door.post(data=PACKAGE + bytes(size - 10))[2]
    headers = {"accept": accept} if accept else {}
    found, sent, body = door("GET", f"/models/{own}/files", headers=headers)
    assert found == status, body
    if status == 307:
        assert "response-content-type=application%2Fzip" in sent["Location"]
    else:
        assert sent["Content-Type"] == "application/zip"


def test_a_clients_word_about_streamed_files_is_not_believed(door):
    """A function looks at the bytes it got, whatever a header says."""
    lie = {"0": {"blob": "s-" + "0" * 64 + "-5", "sha256": "0" * 64, "size": 5, "upload": ""}}
    headers = {**HEADERS, "x-weighbridge-arrived": json.dumps(lie | {"2": lie["0"]})}
    own = door("POST", "/models", form(), headers)[2]
    assert json.loads(door("GET", f"/models/{own}")[2])["size"] == len(PACKAGE)


@pytest.mark.parametrize("word", ["yes", "Y", "true", "T", "1", "no", "N", "False", "f", "0"])
def test_e24_booleans_are_the_usual_words(word):
    """E24: in any case; another word is an error that names the variable."""
    assert boolean("X", word) is (word.lower() in ("yes", "y", "true", "t", "1"))
    with pytest.raises(InvalidRequest, match="WEIGHBRIDGE_LONG_BODIES"):
        boolean("WEIGHBRIDGE_LONG_BODIES", "maybe")


def test_bugs_are_answered_without_their_inside(door, monkeypatch, caplog):
    """500 in plain text; the log has the rest."""

    def broken(*args):
        raise RuntimeError("secret inside")

    monkeypatch.setattr(storing, "register", broken)
    status, _, text = door.post()
    assert (status, "secret" in text) == (500, False)
    assert "secret inside" in caplog.text


def test_the_description_has_exactly_the_routes_there_are():
    """docs, health and all; `redoc` is the same page as `docs`."""
    from app import app

    there = {
        (path, method)
        for path, found in app.routes.items()
        for method in found
        if path.startswith(f"{routes.PREFIX}/") and method != "HEAD"
    }
    described = {
        (path, method.upper())
        for path, item in description.document()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert there - described == {("/edge/redoc", "GET")}
    assert described - there == set()
    for path, _ in described:
        assert path in description.page()


def test_unrouted_answers_are_worded_as_clients_know_them():
    """Also the 500 that the framework would word."""
    assert json.loads(unrouted(404).body) == {"detail": "Not Found"}
    assert json.loads(unrouted(405).body) == {"detail": "Method Not Allowed"}
    assert unrouted(500).headers["Content-Type"].startswith("text/plain")


def test_every_endpoint_and_item_stands_in_the_compatibility_table():
    """docs/compat/edge.md names each call, and each item with a test that is there."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "compat" / "edge.md").read_text()
    for path, item in description.document()["paths"].items():
        for method in item:
            if method != "parameters":
                assert f"`{method.upper()} {path.removeprefix('/edge')}`" in page, (method, path)
    folders = ("tests/e2e/edge", "tests/api", "tests/geti")
    sources = [path for folder in folders for path in (root / folder).glob("test_*.py")]
    tests = set(re.findall(r"def (test_e\d+_\w+)", "".join(p.read_text() for p in sources)))
    numbers = {int(re.match(r"test_e(\d+)_", name)[1]) for name in tests}
    assert numbers == {*range(1, 26), *range(30, 41)}
    for number in numbers:
        assert re.search(rf"^\| E{number} \|", page, re.M), number


def test_ids_that_are_made_up_are_uuids(door):
    """Version 4, with dashes."""
    assert uuid.UUID(door.post()[2]).version == 4


def two_steps(door, data):
    """The body of a second step, and its headers."""
    body = json.dumps({"file_name": "m.zip", "size": len(data)}).encode()
    _, _, text = door("POST", "/models/uploads", body, {"content-type": "application/json"})
    step = json.loads(text)
    (head,) = [i for i in door.stores.table.query(
        keys.of_candidates(projects.find(door.stores, "models").id), *keys.prefix("O#")).items
        if step["upload_id"] in i.key.sk]  # fmt: skip
    door.stores.blobs.put(head.key.sk.removeprefix("O#"), data)
    return form(None, upload_id=step["upload_id"]), HEADERS


def test_e22_a_large_package_is_checked_in_by_the_worker(door, monkeypatch):
    """E22: 503 until it has copied it, whatever is sent meanwhile; then the same request is answered 201."""
    monkeypatch.setattr(receiving, "QUICK", 4)
    monkeypatch.setattr(receiving, "WAIT", 0.0)
    request = two_steps(door, PACKAGE)
    for _ in range(2):
        status, headers, text = door("POST", "/models", *request)
        assert (status, headers["Retry-After"]) == (503, "5")
        assert "same request" in text
    nothing_left(door.stores)
    assert work_all(door.stores) == 1
    status, _, own = door("POST", "/models", *request)
    assert (status, work_all(door.stores)) == (201, 0), own
    assert json.loads(door("GET", f"/models/{own}")[2])["size"] == len(PACKAGE)
    assert door("DELETE", f"/models/{own}")[0] == 204
    assert freed(door) == ()


def test_e22_what_the_worker_made_is_made_again_if_it_was_freed(door, monkeypatch):
    """E22: who comes back after a lease is over starts anew; an upload that was replaced meanwhile as well."""
    monkeypatch.setattr(receiving, "QUICK", 4)
    monkeypatch.setattr(receiving, "WAIT", 0.0)
    request = two_steps(door, PACKAGE)
    assert door("POST", "/models", *request)[0] == 503
    work_all(door.stores)
    key = next(head.key for head in door.stores.blobs.list("uploads/").heads)
    door.stores.blobs.put(key, PACKAGE[::-1][:-2] + PACKAGE[:2])
    assert door("POST", "/models", *request)[0] in (422, 503)
    door.stores.blobs.put(key, PACKAGE + b"2")
    assert door("POST", "/models", *request)[0] == 503
    assert work_all(door.stores) >= 1
    status, _, own = door("POST", "/models", *request)
    assert status == 201
    assert json.loads(door("GET", f"/models/{own}")[2])["size"] == len(PACKAGE) + 1
