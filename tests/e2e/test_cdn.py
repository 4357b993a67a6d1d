"""The distribution as it is deployed: its own behaviours, functions, rights and headers on emulated AWS."""

import contextlib
import hashlib
import json
import time
import uuid

import boto3.session
import pytest

import weighbridge
from chalicelib.catalogue.render import HEADERS
from infra import edge_keys
from infra.template import alarms
from tests.e2e import aws_stack
from tests.e2e.aws_stack import deployed
from tests.e2e.served import until
from weighbridge.contract.types import Scope

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A deployed registry whose bytes and pages are in the emulator's S3."""
    with deployed(tmp_path_factory.mktemp("cdn"), s3="ministack") as running:
        yield running


@pytest.fixture(scope="module")
def pushed(stack, tmp_path_factory):
    """A project with one version, which was indexed and pulled, and whose page is there."""
    tmp_path = tmp_path_factory.mktemp("pushed")
    project = f"p{uuid.uuid4().hex[:8]}"
    (tmp_path / "weights.bin").write_bytes(hashlib.sha256(project.encode()).digest() * 100)
    with weighbridge.Registry(stack.url, stack.token) as registry:
        registry.push(f"{project}/net", tmp_path / "weights.bin", metrics={"loss": 0.5})
        cookie = stack.signed_in()
        until(lambda: stack.view(f"/p/{project}/net/1/", Cookie=cookie)[0] == 200, 60)
        until(lambda: registry.facts(f"{project}/net@1").items[0].facts, 60)
        pulled = tmp_path / "out"
        registry.pull(f"{project}/net@1", to=pulled)
    assert (pulled / "weights.bin").read_bytes() == (tmp_path / "weights.bin").read_bytes()
    return project


def test_a_page_is_reached_as_a_person_reaches_it(stack, pushed):
    """To the form, with a token to the cookie, with the cookie to home and page, and on to the assets."""
    status, headers, _ = stack.view(f"/p/{pushed}/net/1/")
    assert (status, headers["location"]) == (303, f"/sign-in?next=%2Fp%2F{pushed}%2Fnet%2F1%2F")
    status, _, form = stack.view(headers["location"])
    assert status == 200
    assert b"<form" in form
    cookie = stack.signed_in()
    assert cookie.startswith("__Host-weighbridge=")
    assert pushed.encode() in stack.view("/", Cookie=cookie)[2]
    status, headers, page = stack.view(f"/p/{pushed}/net/1/", Cookie=cookie)
    assert status == 200
    assert b"weights.bin" in page
    assert headers["cache-control"] == "private, no-cache"
    assert stack.view(f"/p/{pushed}/net/1", Cookie=cookie)[1]["location"] == f"/p/{pushed}/net/1/"
    named = json.loads(stack.view(f"/p/{pushed}/net/1/index.json", Cookie=cookie)[2])
    assert named
    asset = "/static/style.css" + page.decode().partition("/static/style.css")[2].partition('"')[0]
    assert "?v=" in asset
    status, headers, style = stack.view(asset)
    assert (status, headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert style


def test_every_answer_has_the_security_headers(stack, pushed):
    """Pages, assets, API, errors of either: the same as from the server on one machine."""
    cookie = stack.signed_in()
    for path in (
        f"/p/{pushed}/",
        "/static/site.js",
        "/",
        "/sign-in",
        "/api/health",
        "/api/projects",
    ):
        headers = stack.view(path, Cookie=cookie)[1]
        for name, value in HEADERS.items():
            assert headers[name.lower()] == value, (path, name)
        assert "max-age=" in headers["strict-transport-security"]


def test_a_cookie_opens_no_other_project(stack, pushed):
    """A reader of one project sees that one; the rest looks as if it were not there, and never listed."""
    with weighbridge.Registry(stack.url, stack.token) as registry:
        registry.client.create_project(f"{pushed}-own")
        issued = registry.client.create_token("reader", [Scope(("read",), f"{pushed}-own")])
    cookie = stack.signed_in(issued.secret)
    for path in (f"/p/{pushed}/", f"/p/{pushed}/net/1/index.json", f"/p/%2e%2e/p/{pushed}/"):
        assert stack.view(path, Cookie=cookie)[0] == 404, path
    for path in ("/p/", "/p", "/static/", "/static/../p/", f"/static/%2e%2e/p/{pushed}/index.html"):
        assert stack.view(path, Cookie=cookie)[0] in (403, 404), path
    assert stack.view(f"/p/{pushed}/", Cookie=f"{cookie}x")[0] == 303


def test_the_api_answers_at_the_same_address(stack, pushed):
    """Token, body, query and method arrive; a request is named in answer and error alike."""
    bearer = f"Bearer {stack.token}"
    status, _, body = stack.view(f"/api/projects/{pushed}/models?limit=1", Authorization=bearer)
    assert (status, [m["name"] for m in json.loads(body)["items"]]) == (200, ["net"])
    new = json.dumps({"name": f"{pushed}-two"})
    kind = "application/json"
    made = stack.view("/api/projects", "POST", new, Authorization=bearer, Content_Type=kind)
    assert made[0] == 201
    status, headers, body = stack.view("/api/projects/absent/models", Authorization=bearer)
    assert status == 404
    assert json.loads(body)["error"]["request_id"] == headers["x-request-id"]


def test_the_functions_know_their_address(stack):
    """Sign-in links lead to the distribution, though its name was known only after the functions' own."""
    with weighbridge.Registry(stack.url, stack.token) as registry:
        link = registry.client.ticket().url
    assert link.startswith(f"{stack.outputs['CdnUrl']}/t/")


def test_alarms_and_dashboard_are_there(stack):
    """Every alarm of the template watches a metric, and the dashboard shows resources of this stack."""
    with contextlib.closing(stack.client("cloudwatch")) as watch:
        found = watch.describe_alarms(MaxRecords=100)["MetricAlarms"]
        (shown,) = watch.list_dashboards()["DashboardEntries"]
        body = watch.get_dashboard(DashboardName=shown["DashboardName"])["DashboardBody"]
    assert len(found) == len(alarms.listed())
    for alarm in found:
        assert all(d["Value"] for d in alarm["Dimensions"]), alarm["AlarmName"]
        assert "${" not in json.dumps(alarm["Dimensions"])
    assert "${" not in body
    assert stack.resource("Sweep") in body


def test_logs_are_lines_with_metrics_and_without_secrets(stack, pushed):
    """Each request and message is one JSON line that CloudWatch counts; no token, cookie or signed address."""
    cookie = stack.signed_in()
    until(lambda: '"kind": "render_pages"' in stack.logs(), 30)
    text = stack.logs()
    lines = [json.loads(part[part.index("{") :]) for part in text.splitlines() if '{"kind"' in part]
    kinds = {line["kind"] for line in lines}
    assert {"api", "page", "index_object", "render_pages"} <= kinds
    for line in lines:
        (declared,) = line["_aws"]["CloudWatchMetrics"]
        assert declared["Dimensions"] == [["stack", "kind"]]
        for metric in declared["Metrics"]:
            assert isinstance(line[metric["Name"]], int | float)
        assert line["stack"] == aws_stack.STACK
    asked = [line for line in lines if line.get("route") == "POST /api/projects/{project}/uploads"]
    assert asked
    assert all(line["units"] > 0 and line["principal"] == "token:admin" for line in asked)
    secret = stack.token.split("_", 2)[2]
    for hidden in (secret, cookie.partition("=")[2], "X-Amz-Signature", "Bearer "):
        assert hidden not in text


def test_secrets_are_exchanged_without_anybody_signing_in_anew(stack, pushed, tmp_path):
    """A cookie of the old secret opens pages until it is withdrawn; an epoch withdraws all at once."""
    with contextlib.closing(stack.client("lambda")) as functions:
        api = functions.get_function_configuration(FunctionName=stack.resource("APIHandler"))
    old = api["Environment"]["Variables"]["WEIGHBRIDGE_SECRET"]
    before, page = stack.signed_in(), f"/p/{pushed}/net/1/"
    new = f"new:{'n' * 40} 1:{old}"
    aws_stack.deploy_again(stack, tmp_path / "two", Secret=new)
    after = stack.signed_in()
    assert "v1|new|" in after
    for cookie in (before, after):
        assert stack.view(page, Cookie=cookie)[0] == 200
        assert stack.view("/", Cookie=cookie)[0] == 200
    epoch = int(time.time()) + 1
    aws_stack.deploy_again(
        stack, tmp_path / "one", Secret=f"new:{'n' * 40}", CookieEpoch=str(epoch)
    )
    for cookie in (before, after):
        assert stack.view(page, Cookie=cookie)[0] == 303
        assert stack.view("/", Cookie=cookie)[0] == 303
    until(lambda: time.time() > epoch + 1)
    assert stack.view(page, Cookie=stack.signed_in())[0] == 200


def test_keys_at_the_edge_are_replaced_as_a_whole(stack, monkeypatch):
    """A second publication changes nothing; one that keeps nothing removes what is not wanted."""
    for name, value in stack.aws.env.items():
        monkeypatch.setenv(name, value)
    session, store = boto3.session.Session(), stack.outputs["EdgeKeys"]
    wanted = {"key:a": "1" * 64, "epoch": "0"}
    edge_keys.publish(session, store, wanted, keep=False)
    assert edge_keys.publish(session, store, wanted, keep=False) == 0
    assert edge_keys.publish(session, store, {"key:b": "2" * 64}, keep=True) == 1
    assert edge_keys.publish(session, store, wanted, keep=False) == 1
