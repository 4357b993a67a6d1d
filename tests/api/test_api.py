"""The HTTP API: statuses, the one error body, tokens and scopes, pages of lists."""

import html
import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from chalicelib.api import openapi
from chalicelib.api.http import OPERATIONS
from chalicelib.catalogue import drain
from tests.api.conftest import ADMIN, segment
from tests.registry_world import key_of, publish, setup_model, upload
from weighbridge.contract import codec, errors, manifests

MODEL = "/api/projects/vision/models/digits"


@pytest.fixture
def world_with_model(api):
    """The API with `vision/digits`."""
    setup_model(api.stores)
    return api


def test_health_needs_no_token(api):
    """Health answers without a token and says whether the stores answer."""
    assert api("GET", "/api/health", token="")[1]["status"] == "ok"


@pytest.mark.parametrize(
    "token", ["", "wb_admin_wrong", "wb_nobody_0123456789", "nonsense", "wb__", "wb_a_" + "x" * 300]
)
def test_a_missing_or_wrong_token_is_unauthenticated(api, token):
    """Without a good token nothing is answered."""
    assert api.error("GET", "/api/projects", token=token) == (401, "unauthenticated")


def test_an_expired_token_is_refused(api):
    """A token ends when it says."""
    body = {"name": "ci", "scopes": [{"verbs": ["read"]}], "days": 1}
    secret = api.ok("POST", "/api/tokens", body)["secret"]
    assert api("GET", "/api/projects", token=secret)[0] == 200
    api.clock.time += 86401
    assert api.error("GET", "/api/projects", token=secret) == (401, "unauthenticated")


def test_a_revoked_token_is_refused_at_once(api):
    """Revoking ends a token with the next request."""
    body = {"name": "ci", "scopes": [{"verbs": ["read"]}]}
    issued = api.ok("POST", "/api/tokens", body)
    api.ok("DELETE", f"/api/tokens/{issued['token']['id']}")
    assert api.error("GET", "/api/whoami", token=issued["secret"]) == (401, "unauthenticated")


def token_with(api, **scope):
    body = {"name": "t", "scopes": [scope]}
    return api.ok("POST", "/api/tokens", body)["secret"]


def test_scopes_limit_verbs_projects_models_and_aliases(world_with_model):
    """A token does what its scopes say and nothing else."""
    api = world_with_model
    publish(api.stores, {"a": b"1"})
    reader = token_with(api, verbs=["read"], project="vision")
    assert api("GET", MODEL, token=reader)[0] == 200
    begin = {"key": key_of("x")}
    assert api.error("POST", MODEL + "/versions", begin, reader) == (403, "forbidden")
    writer = api.ok(
        "POST", "/api/tokens",
        {"name": "w", "scopes": [{"verbs": ["read"], "project": "vision"},
                                 {"verbs": ["write", "alias"], "project": "vision",
                                  "model": "digits", "alias": "stage*"}]},
    )["secret"]  # fmt: skip
    assert api("POST", MODEL + "/versions", begin, writer)[0] == 201
    other = {"name": "other"}
    assert api.error("POST", "/api/projects/vision/models", other, writer) == (403, "forbidden")
    alias = MODEL + "/aliases/"
    assert api("PUT", alias + "stage-1", {"version": "1"}, writer)[0] == 200
    assert api.error("PUT", alias + "production", {"version": "1"}, writer) == (403, "forbidden")
    assert api.error("DELETE", MODEL + "/versions/1", token=writer) == (403, "forbidden")


def test_opening_a_version_may_create_what_the_token_may_write(world_with_model):
    """A model needs a scope on it, a project one on everything in it; without, nothing is made."""
    api = world_with_model
    begin = {"key": key_of("x"), "create": True}
    scopes = [{"verbs": ["read"], "project": "*"},
              {"verbs": ["write"], "project": "*", "model": "speech"}]  # fmt: skip
    one = api.ok("POST", "/api/tokens", {"name": "one", "scopes": scopes})["secret"]
    made = "/api/projects/vision/models/speech/versions"
    assert api("POST", made, begin, one)[0] == 201
    elsewhere = made.replace("vision", "audio")
    assert api.error("POST", elsewhere, begin, one) == (403, "forbidden")
    assert api("GET", "/api/projects/audio")[0] == 404
    assert api.error("POST", elsewhere, {"key": key_of("x")}) == (404, "not_found")
    assert api("POST", elsewhere, begin, token_with(api, verbs=["read", "write"]))[0] == 201
    assert api.ok("GET", "/api/projects/audio/models/speech")["name"] == "speech"


def test_an_invisible_project_looks_absent(world_with_model):
    """Who may not read a project does not learn that it exists."""
    api = world_with_model
    outsider = token_with(api, verbs=["read", "write"], project="audio")
    for method, path in (("GET", "/api/projects/vision"), ("GET", MODEL)):
        seen = api(method, path, token=outsider)
        absent = api(method, path.replace("vision", "nowhere"), token=outsider)
        assert seen[0] == absent[0] == 404
    assert api.ok("GET", "/api/projects", token=outsider)["items"] == []
    want = {"want": [{"blob": f"s-{'0' * 64}-1"}]}
    assert api.error("POST", "/api/projects/vision/uploads", want, outsider)[0] == 404
    assert api.error("GET", "/api/compare", token=outsider, ref=["vision/digits@1"] * 2)[0] == 404


def test_nobody_grants_what_they_lack(api):
    """A token cannot make a stronger one."""
    limited = token_with(api, verbs=["admin", "read"], project="*")
    body = {"name": "x", "scopes": [{"verbs": ["delete"]}]}
    assert api.error("POST", "/api/tokens", body, limited) == (403, "forbidden")


def test_secrets_are_shown_once(api):
    """No answer but the first holds a token's secret."""
    body = {"name": "ci", "scopes": [{"verbs": ["read"]}]}
    secret = api.ok("POST", "/api/tokens", body)["secret"]
    _, _, text = api.raw("GET", "/api/tokens")
    assert secret.split("_", 2)[2] not in text
    dump = [dict(i.doc) for i in api.stores.table.query("TOKENS").items]
    assert secret.split("_", 2)[2] not in json.dumps(dump)


BAD = [
    ("POST", "/api/projects", {"name": "a b"}, 400, "invalid_name"),
    ("POST", "/api/projects", {"name": "x" * 97}, 400, "invalid_name"),
    ("POST", "/api/projects", {}, 400, "invalid_request"),
    ("POST", "/api/projects", {"name": "ok", "colour": "red"}, 400, "invalid_request"),
    ("POST", "/api/projects", b"{not json", 400, "invalid_request"),
    ("POST", "/api/projects", b"[" * 100_000, 400, "invalid_request"),
    ("POST", "/api/projects", {"name": "VISION"}, 409, "already_exists"),
    ("POST", "/api/projects/vision/models", {"name": "a/b"}, 400, "invalid_name"),
    ("POST", "/api/projects/vision/models", {"name": "a@b"}, 400, "invalid_name"),
    ("POST", "/api/projects/vision/models", {"name": "a\u0000b"}, 400, "invalid_name"),
    ("POST", "/api/projects/vision/models", {"name": "é" * 501}, 400, "invalid_name"),
    ("POST", "/api/projects/vision/models", {"name": "digits"}, 409, "already_exists"),
    ("GET", "/api/projects/none", None, 404, "not_found"),
    ("GET", "/api/projects/vision/models/none", None, 404, "not_found"),
    ("GET", MODEL + "/versions/9", None, 404, "not_found"),
    ("GET", MODEL + "/versions/0", None, 400, "invalid_name"),
    ("GET", MODEL + "/versions/nope", None, 404, "not_found"),
    ("GET", MODEL + "/versions/v7", None, 400, "invalid_name"),
    ("GET", MODEL + "/versions?limit=0", None, 400, "invalid_request"),
    ("GET", MODEL + "/versions?limit=9999", None, 400, "invalid_request"),
    ("GET", MODEL + "/versions?page=zzz", None, 400, "invalid_request"),
    ("GET", MODEL + "/versions?sort=name", None, 400, "invalid_request"),
    ("PUT", MODEL + "/aliases/latest", {"version": "1"}, 400, "invalid_name"),
    ("PUT", MODEL + "/aliases/7", {"version": "1"}, 400, "invalid_name"),
    ("PUT", MODEL + "/aliases/prod", {"version": "1"}, 404, "not_found"),
    ("POST", "/api/projects/vision/uploads", {"want": [{"blob": "x"}]}, 400, "invalid_request"),
    ("POST", "/api/projects/vision/uploads/none/complete", {"blob": f"s-{'0' * 64}-1"}, 404,
     "not_found"),
    ("POST", "/api/tokens", {"name": "x", "scopes": []}, 400, "invalid_request"),
    ("POST", "/api/tokens", {"name": "x", "scopes": [{"verbs": ["fly"]}]}, 400,
     "invalid_request"),
    ("POST", "/api/tokens", {"name": "x", "scopes": [{"verbs": ["read"], "model": "m"}]}, 400,
     "invalid_request"),
    ("POST", "/api/projects/vision/inbox", {"days": 7}, 409, "conflict"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), BAD)
def test_bad_input_answers_a_clear_error(world_with_model, method, path, body, status, code):
    """Each kind of bad input has its status and its stable code."""
    assert world_with_model.error(method, path, body) == (status, code)


def test_model_names_with_any_free_text_work_in_paths(api):
    """Names with `#`, spaces, quotes and other scripts travel percent-encoded."""
    api.ok("POST", "/api/projects", {"name": "vision"})
    for name in (
        "guest#9999#arbiter-10000#guest-9999#model",
        "model v1 +%20",
        "ключ 模型",
        "~é'\"",
    ):
        api.ok("POST", "/api/projects/vision/models", {"name": name})
        found = api.ok("GET", f"/api/projects/vision/models/{segment(name)}")
        assert found["name"] == name


def test_lists_are_paged_with_opaque_tokens_in_a_stable_order(world_with_model):
    """Following `next` shows every version once, newest first; a foreign token is refused."""
    api = world_with_model
    for i in range(7):
        publish(api.stores, {"a": str(i).encode()})
    seen, page = [], None
    while True:
        query = {"limit": 3, **({"page": page} if page else {})}
        found = api.ok("GET", MODEL + "/versions", **query)
        seen += [v["number"] for v in found["items"]]
        page = found.get("next")
        if page is None:
            break
        last = page
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert api.error("GET", "/api/projects", page=last) == (400, "invalid_request")


def test_compare_lists_differences_only(world_with_model):
    """Comparing two versions shows what differs and counts what is equal."""
    api = world_with_model
    publish(api.stores, {"a": b"same", "b": b"1"}, metrics={"acc": 0.5, "f1": 0.4})
    publish(api.stores, {"a": b"same", "c": b"2"}, metrics={"acc": 0.6, "f1": 0.4})
    found = api.ok("GET", "/api/compare", ref=["vision/digits@1", "vision/digits@2"])
    sections = {s["title"]: s for s in found["sections"]}
    assert [d["name"] for d in sections["metrics"]["differences"]] == ["acc"]
    assert sections["metrics"]["same"] == 1
    assert [(d["name"], d["change"]) for d in sections["files"]["differences"]] == [
        ("b", "removed"), ("c", "added"),
    ]  # fmt: skip


def test_compare_takes_checkpoints(world_with_model):
    """A checkpoint stands beside versions, in the API and on the page, whose switch shows all."""
    api = world_with_model
    publish(api.stores, {"a": b"same"}, metrics={"acc": 0.5}, params={"lr": 0.1})
    entries = upload(api.stores, "vision", {"a": b"same", "b": b"2"})
    for step in (10, 20):
        body = {
            "manifest": manifests.digest(entries), "files": codec.encode(entries), "step": step,
            "metrics": {"acc": step / 100},
        }  # fmt: skip
        api.ok("POST", MODEL + "/versions/1/checkpoints", body)
    refs = ["vision/digits@1", "vision/digits@1:1", "vision/digits@1:last"]
    found = api.ok("GET", "/api/compare", ref=refs)
    assert found["references"] == ["vision/digits@1", "vision/digits@1:1", "vision/digits@1:2"]
    assert [point and point["step"] for point in found["checkpoints"]] == [None, 10, 20]
    assert api.error("GET", "/api/compare", ref=["vision/digits@1:9"] * 2) == (404, "not_found")
    assert api.error("GET", "/api/compare", ref=refs * 3) == (400, "invalid_request")
    status, headers, _ = api.raw(
        "POST", "/sign-in", urlencode({"token": ADMIN}).encode(), "",
        {"content-type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    cookie = {"cookie": headers["Set-Cookie"].partition(";")[0]}
    address = "/compare?" + urlencode({"ref": refs}, doseq=True)
    status, _, text = api.raw("GET", address, token="", headers=cookie)
    assert status == 200
    assert "acc by step" in text
    assert "<bdi>lr</bdi>" not in text
    status, _, text = api.raw("GET", address + "&all=1", token="", headers=cookie)
    assert (status, "<bdi>lr</bdi>" in text) == (200, True)
    status, _, text = api.raw("GET", "/compare?ref=vision%2Fdigits", token="", headers=cookie)
    assert (status, "not 1" in text) == (400, True)


def test_unhandled_failures_are_500_in_the_same_body(world_with_model, monkeypatch):
    """A bug answers 500 in the one error body, without its details."""
    from chalicelib.registry import models

    def broken(*args):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(models, "find", broken)
    status, answer = world_with_model("GET", MODEL)
    assert status == 500
    assert "secret" not in json.dumps(answer)


def test_every_route_is_described_and_every_description_is_routed():
    """The OpenAPI document and the app's routes are the same set, but for those of Kubeflow's door."""
    from app import app
    from chalicelib.kubeflow.door import PREFIX

    routed = {
        (method, path)
        for path, methods in app.routes.items()
        for method in methods
        if path.startswith("/api/") and not path.startswith(f"{PREFIX}/")
    }
    document = openapi.document()
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert routed == described
    assert len(OPERATIONS) == len(described)
    ids = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(ids) == len(set(ids))


def test_the_committed_openapi_file_is_what_the_code_generates():
    """docs/openapi.json is generated (`make openapi`), never edited."""
    committed = Path("docs/openapi.json").read_text()
    assert json.loads(committed) == openapi.document()


def test_every_error_is_documented():
    """docs/errors.md has one row per code, with its status, and no other."""
    text = Path("docs/errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+|-) \|", text, re.M)
    expected = {(c, str(e.status) if e.status else "-") for c, e in errors.BY_CODE.items()}
    assert set(rows) == expected | {("error", "500")}


def test_every_route_is_in_the_http_guide():
    """docs/http-api.md names every route."""
    text = Path("docs/http-api.md").read_text()
    for operation in OPERATIONS:
        assert f"`{operation.method} {operation.path}`" in text, operation.path


def test_tickets_sign_a_browser_in_once(api):
    """A one-time link sets the cookie on its first use and fails on the second."""
    path = "/" + api.ok("POST", "/api/tickets", {})["url"].lstrip("/")
    status, headers, _ = api.raw("GET", path, token="")
    assert status == 303
    assert "HttpOnly" in headers["Set-Cookie"]
    assert api.raw("GET", path, token="")[0] == 401


def test_pages_need_the_cookie_and_the_cookie_does_not_open_the_api(world_with_model):
    """Without the cookie the home page redirects; with it, it shows; the API ignores it."""
    api = world_with_model
    status, headers, _ = api.raw("GET", "/", token="")
    assert (status, headers["Location"]) == (303, "/sign-in?next=%2F")
    form = f"token={ADMIN}&next=%2F".encode()
    sent = {"content-type": "application/x-www-form-urlencoded"}
    status, headers, _ = api.raw("POST", "/sign-in", form, "", sent)
    assert status == 303
    cookie = headers["Set-Cookie"].split(";")[0]
    status, _, text = api.raw("GET", "/", token="", headers={"cookie": cookie})
    assert status == 200
    assert "vision" in text
    assert api.raw("GET", "/api/projects", token="", headers={"cookie": cookie})[0] == 401


def test_the_activity_page_goes_back_to_the_first_event(world_with_model):
    """Page by page, over all projects or in one of them; nothing twice, nothing left out."""
    api = world_with_model
    api.ok("POST", "/api/projects", {"name": "audio"})
    for number in range(70):
        api.ok("PATCH", "/api/projects/vision", {"description": f"d{number}"})
        api.clock.time += 1
    sent = {"content-type": "application/x-www-form-urlencoded"}
    _, headers, _ = api.raw("POST", "/sign-in", f"token={ADMIN}".encode(), "", sent)
    cookie = {"cookie": headers["Set-Cookie"].split(";")[0]}

    def read(path):
        seen = []
        while path:
            status, _, text = api.raw("GET", path, token="", headers=cookie)
            assert status == 200, text
            seen.append(text.count('<span class="what">'))
            older = re.search(r'href="(/activity\?[^"]*before=[^"]*)"', text)
            path = html.unescape(older[1]) if older else ""
        return seen

    assert read("/activity") == [60, 13]  # two projects, one model, 70 changes
    assert read("/activity?project=Vision") == [60, 12]
    assert api.raw("GET", "/activity?before=x", token="", headers=cookie)[0] == 400
    assert api.raw("GET", "/activity?project=none", token="", headers=cookie)[0] == 404


def test_a_readers_cookie_opens_only_what_the_token_reads(world_with_model):
    """Home and compare show only the projects that the token may read."""
    api = world_with_model
    publish(api.stores, {"a": b"1"})
    publish(api.stores, {"a": b"2"})
    api.ok("POST", "/api/projects", {"name": "audio"})
    secret = token_with(api, verbs=["read"], project="audio")
    sent = {"content-type": "application/x-www-form-urlencoded"}
    _, headers, _ = api.raw("POST", "/sign-in", f"token={secret}".encode(), "", sent)
    cookie = {"cookie": headers["Set-Cookie"].split(";")[0]}
    _, _, text = api.raw("GET", "/", token="", headers=cookie)
    assert "audio" in text
    assert "vision" not in text
    _, _, text = api.raw("GET", "/activity", token="", headers=cookie)
    assert "audio" in text
    assert "vision" not in text
    assert api.raw("GET", "/activity?project=vision", token="", headers=cookie)[0] == 404
    path = "/compare?ref=vision%2Fdigits%401&ref=vision%2Fdigits%402"
    assert api.raw("GET", path, token="", headers=cookie)[0] == 404


def test_search_finds_only_what_the_token_reads(world_with_model):
    """The page names, reads and offers to scripts nothing of a project that the cookie does not open."""
    api = world_with_model
    publish(api.stores, {"a": b"1"})
    api.ok("POST", "/api/projects", {"name": "audio"})
    api.ok("POST", "/api/projects/audio/models", {"name": "whisper"})
    drain.everything(api.stores)

    def reader(project):
        secret = token_with(api, verbs=["read"], project=project)
        sent = {"content-type": "application/x-www-form-urlencoded"}
        _, headers, _ = api.raw("POST", "/sign-in", f"token={secret}".encode(), "", sent)
        return {"cookie": headers["Set-Cookie"].split(";")[0]}

    assert (
        api.raw("GET", "/search?q=x", token="")[1]["Location"] == "/sign-in?next=%2Fsearch%3Fq%3Dx"
    )
    for mine, model, other in (("audio", "whisper", "vision"), ("vision", "digits", "audio")):
        cookie = reader(mine)
        for text in ("kind:*", f"project:{other}", "digits", "whisper", ""):
            path = "/search?" + urlencode({"q": text})
            status, headers, page = api.raw("GET", path, token="", headers=cookie)
            assert status == 200
            assert headers["Cache-Control"] == "no-store"
            assert f"/p/{other}/" not in page
            assert f"/p/{mine}/~index/" in page
        _, _, page = api.raw("GET", "/search?q=kind%3Amodel", token="", headers=cookie)
        assert f'href="/p/{mine}/{model}/"' in page
        assert "1 result." in page
    _, _, page = api.raw("GET", "/search?q=nonsense%3Ax", token="", headers=reader("audio"))
    assert "There is no field nonsense" in page
