"""The one line about each request and message: complete, counted, and without anything secret."""

import json
import logging

import pytest

import app
from chalicelib import wiring
from chalicelib.api import observing
from chalicelib.settings import settings
from infra.embedded import log_lines
from tests.api.conftest import ADMIN
from weighbridge.contract.errors import Unavailable


@pytest.fixture
def mode(api, monkeypatch):
    """Chooses how is logged."""

    def choose(log, deployment=""):
        monkeypatch.setenv("WEIGHBRIDGE_LOG", log)
        monkeypatch.setenv("WEIGHBRIDGE_DEPLOYMENT", deployment)
        settings.cache_clear()

    yield choose
    settings.cache_clear()


@pytest.fixture
def lines(mode):
    """Every line, as fields, in the order of the requests."""
    mode("json", "weighbridge-test")
    found = []
    before = observing.write_to(lambda line: found.append(line.fields()))
    yield found
    observing.write_to(before)


def message(body, identifier="m1"):
    """What SQS hands to a function."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {
        "Records": [
            {"messageId": identifier, "receiptHandle": "r", "body": text, "eventSource": "aws:sqs"}
        ]
    }


def test_a_request_is_one_line(api, lines):
    """Who, what, about which project, how long, how much, under which name."""
    api.ok("POST", "/api/projects", {"name": "vision"})
    status, headers, _ = api.raw("GET", "/api/projects/vision/models?limit=1&page=")
    assert status == 200
    made, listed = lines
    assert made["route"] == "POST /api/projects"
    assert made["status"] == 201
    assert made["writes"] > 0
    assert listed["route"] == "GET /api/projects/{project}/models"
    assert (listed["kind"], listed["project"], listed["status"]) == ("api", "vision", 200)
    assert (listed["principal"], listed["token"]) == ("token:admin", "admin")
    assert listed["units"] == listed["reads"] + listed["writes"] > 0
    assert listed["ms"] > 0
    assert listed["failures"] == 0
    assert listed.get("request_id", "") == headers.get("X-Request-Id", "")


def test_an_error_is_a_line_as_well(api, lines):
    """Refusals have their status and no principal; what is our fault counts as a failure."""
    assert api.error("GET", "/api/projects", token="")[0] == 401
    assert api.error("GET", "/api/projects/absent/models")[0] == 404
    refused, absent = lines
    assert refused["status"] == 401
    assert "principal" not in refused
    assert (absent["status"], absent["failures"], absent["project"]) == (404, 0, "absent")


def test_a_failing_store_counts_as_a_failure(api, lines, monkeypatch):
    """A status of 500 and more is what the alarm is about."""

    def away(*_, **__):
        raise Unavailable("the table is away")

    monkeypatch.setattr(type(api.stores.table), "query", away)
    assert api.error("GET", "/api/projects")[0] == 503
    assert (lines[-1]["status"], lines[-1]["failures"]) == (503, 1)


def test_nothing_secret_is_told(api, lines):
    """Neither tokens nor tickets nor cookies, neither queries nor bodies."""
    link = api.ok("POST", "/api/tickets")["url"]
    ticket = link.rpartition("/")[2]
    status, headers, _ = api.raw("GET", f"/t/{ticket}?next=/compare", token="")
    assert status == 303
    cookie = headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    api.raw("GET", "/search?q=hidden-words", token="", headers={"cookie": f"weighbridge={cookie}"})
    form = f"token={ADMIN}&next=/".encode()
    api.raw("POST", "/sign-in", form, token="",
            headers={"content-type": "application/x-www-form-urlencoded"})  # fmt: skip
    text = json.dumps(lines)
    assert [line["route"] for line in lines][1:] == [
        "GET /t/{ticket}",
        "GET /search",
        "POST /sign-in",
    ]
    assert lines[2]["token"] == "admin"
    for hidden in (ADMIN.rpartition("_")[2], ticket, cookie, "hidden-words"):
        assert hidden not in text


def test_doors_are_told_apart_and_name_their_project(api, lines):
    """Foreign clients name no project: it is the one that their names live in."""
    for path, kind in (
        ("/edge/models", "edge"),
        ("/api/model_registry/v1alpha3/registered_models", "kubeflow"),
    ):
        api.raw("GET", path)
        line = lines[-1]
        assert (line["kind"], line["principal"]) == (kind, "token:admin"), line
        assert line["project"] == "models"


def test_metrics_are_declared_where_a_deployment_is_named(api, lines, mode):
    """CloudWatch finds its numbers at the top of the line; without a deployment there is nothing for it."""
    api.ok("GET", "/api/projects")
    (declared,) = lines[0]["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "Weighbridge"
    (dimensions,) = declared["Dimensions"]
    assert {name: lines[0][name] for name in dimensions} == {
        "stack": "weighbridge-test",
        "kind": "api",
    }
    assert {metric["Name"] for metric in declared["Metrics"]} == {"ms", "units", "failures"}
    assert all(metric["Name"] in lines[0] for metric in declared["Metrics"])
    mode("json")
    api.ok("GET", "/api/projects")
    assert "_aws" not in lines[1]


def test_messages_are_lines_too(api, lines):
    """One for each: what failed says so, and what came with it is done."""
    api.ok("POST", "/api/projects", {"name": "vision"})
    del lines[:]
    event = {"Records": [*message("no JSON", "bad")["Records"],
                         *message({"project": "nobody"}, "good")["Records"]]}  # fmt: skip
    answer = app.render_pages(event, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    bad, good = lines
    assert (bad["kind"], bad["request_id"], bad["status"], bad["failures"]) == (
        "render_pages", "bad", "failed", 1,
    )  # fmt: skip
    assert (good["status"], good["project"], good["failures"]) == ("done", "nobody", 0)
    assert good["units"] > 0
    key = "blobs/projectid/none"
    app.index_object(message({"detail": {"object": {"key": key}}}), None)
    assert lines[-1]["project"] == "projectid"


def test_messages_that_an_earlier_one_answered_are_no_lines(api, lines):
    """A burst of a hundred changes is one rendering, and one figure among the milliseconds."""
    api.ok("POST", "/api/projects", {"name": "vision"})
    del lines[:]
    body = {"project": "nobody"}
    records = [message(body, name)["Records"][0] for name in ("first", "second", "third")]
    assert app.render_pages({"Records": records}, None) == {"batchItemFailures": []}
    assert [line["request_id"] for line in lines] == ["first"]


def test_lines_go_to_standard_output_unless_told_otherwise(api, mode, capsys):
    """JSON by itself on its line, as CloudWatch needs it; or text for people; or nothing."""
    mode("json")
    api.ok("GET", "/api/projects")
    assert json.loads(capsys.readouterr().out)["status"] == 200
    mode("text")
    api.ok("GET", "/api/projects")
    assert capsys.readouterr().out.startswith("GET /api/projects 200 ")
    mode("none")
    api.ok("GET", "/api/projects")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_log_of_a_server_has_the_same_lines(api, mode, tmp_path, form):
    """In its own file, beside what else is logged, in the form that was asked for."""
    mode(form)
    chalice = logging.getLogger("weighbridge")
    kept, own, passes = logging.getLogger().handlers[:], chalice.handlers[:], chalice.propagate
    before = observing.write_to(log_lines.of_request)
    try:
        log_lines.start(tmp_path / "serve.log")
        log_lines.replace_handlers(chalice)
        api.ok("GET", "/api/projects")
        try:
            raise ValueError("told")
        except ValueError:
            logging.getLogger("weighbridge.test").exception("it %s", "failed")
    finally:
        observing.write_to(before)
        chalice.handlers[:], chalice.propagate = own, passes
        for handler in logging.getLogger().handlers[:]:
            logging.getLogger().removeHandler(handler)
            handler.close()
        for handler in kept:
            logging.getLogger().addHandler(handler)
    text = (tmp_path / "serve.log").read_text()
    if form == "text":
        assert "weighbridge.requests GET /api/projects 200" in text
        assert "ValueError: told" in text
        return
    request, failure = [json.loads(line) for line in text.splitlines()]
    assert (request["logger"], request["route"]) == ("weighbridge.requests", "GET /api/projects")
    assert request["units"] > 0
    assert failure["message"] == "it failed"
    assert "ValueError: told" in failure["exception"]


def test_a_request_outside_of_a_line_is_no_error(api):
    """Services may be called by whoever is no request."""
    assert observing.about("vision") == "vision"
    with wiring.costs() as cost:
        wiring.stores().table.ping()
    assert cost.writes == 0
