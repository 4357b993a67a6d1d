"""A Chalice app as a WSGI application."""

import threading

import pytest

from infra.embedded.wsgi import MAX_ANSWER, MAX_REQUEST, Application
from tests.infra import small_app
from tests.infra.asking import ask


@pytest.fixture(scope="module")
def application():
    return Application(small_app.make())


@pytest.mark.parametrize(
    ("segment", "name"),
    [("plain", "plain"), ("a%2Fb", "a%2Fb"), ("%C3%A9", "%C3%A9"), ("a+b%20c", "a+b%20c")],
)
def test_path_parameters_stay_percent_encoded(application, segment, name):
    """The edge decodes path parameters once; the front hands them on as they were spelled."""
    assert ask(application, f"/api/echo/{segment}").json["name"] == name


def test_a_slash_in_a_name_does_not_make_a_segment(application):
    """An encoded slash stays inside its segment, a plain one leads elsewhere."""
    assert ask(application, "/api/echo/a%2Fb").status == 200
    assert ask(application, "/api/echo/a/b").status == 404


def test_repeated_and_empty_query_parameters_arrive(application):
    """Every value of a parameter arrives, decoded, in order, also the empty one."""
    reply = ask(application, "/api/echo/x?ref=a%2Fb%401&ref=c&empty=&plus=a+b")
    assert reply.json["query"] == {"ref": ["a/b@1", "c"], "empty": [""], "plus": ["a b"]}


def test_a_literal_segment_wins_over_a_variable_one(application):
    """Routes are chosen as API Gateway chooses them."""
    assert ask(application, "/api/echo/literal").json == {"literal": True}


def test_a_variable_segment_is_never_empty(application):
    """An empty segment is no name."""
    assert ask(application, "/api/meet//").status == 404
    assert ask(application, "/api//echo/x").status == 404


def test_a_trailing_slash_is_dropped(application):
    """API Gateway ignores it, so we do."""
    assert ask(application, "/api/echo/x/").json["name"] == "x"


def test_an_unknown_route_is_not_found_in_our_error_body(application):
    """What the gateway would word by itself comes as our 404, with a token or without."""
    for headers in ({}, {"Authorization": "Bearer wb_x_\u00ff"}):
        reply = ask(application, "/api/nothing", headers=headers)
        assert (reply.status, reply.code) == (404, "not_found")
        assert reply.json["error"]["request_id"]
        assert "wb_x" not in reply.body.decode()


def test_a_wrong_method_or_content_type_comes_in_our_error_body(application):
    """405 and 415, which Chalice words by itself, have the one error body."""
    assert ask(application, "/api/large/1", "DELETE").code == "invalid_request"
    assert ask(application, "/api/large/1", "DELETE").status == 405
    reply = ask(application, "/api/bytes", "POST", b"{}", {"Content-Type": "text/csv"})
    assert reply.status == 415
    assert "error" in reply.json


def test_a_failing_view_tells_nothing_of_its_inside(application):
    """An unhandled exception is a 500 without its message."""
    reply = ask(application, "/api/broken")
    assert reply.status == 500
    assert b"secret" not in reply.body


def test_head_is_get_without_the_body(application):
    """HEAD has the headers and the length of GET, and no body."""
    got, head = ask(application, "/api/large/100"), ask(application, "/api/large/100", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"] == "100"


def test_bytes_travel_unchanged_both_ways(application):
    """Binary bodies are neither decoded nor damaged."""
    data = bytes(range(256)) * 10
    headers = {"Content-Type": "application/octet-stream", "Accept": "*/*"}
    reply = ask(application, "/api/bytes", "POST", data, headers)
    assert reply.body == data[::-1]


def test_a_body_that_is_no_text_reaches_the_view(application):
    """Bytes that are no UTF-8 are not damaged on the way, whatever their type says."""
    reply = ask(application, "/api/text", "POST", b"\xff\xfe\x00", {"Content-Type": "text/plain"})
    assert reply.json == {"length": 3}


def test_repeated_answer_headers_are_kept_apart(application):
    """Two Set-Cookie headers stay two."""
    reply = ask(application, "/api/cookies")
    assert [v for name, v in reply.many if name == "Set-Cookie"] == ["a=1", "b=2"]


def test_requests_over_the_gateways_limit_are_refused(application):
    """More than 10 MB is refused by its length, unread; exactly 10 MB is not."""
    headers = {"Content-Type": "text/plain"}
    reply = ask(application, "/api/text", "POST", b"x" * (MAX_REQUEST + 1), headers)
    assert (reply.status, reply.code) == (413, "too_large")
    assert reply.json["error"]["details"] == {"limit": MAX_REQUEST}
    exact = ask(application, "/api/text", "POST", b"x" * MAX_REQUEST, headers)
    assert exact.json == {"length": MAX_REQUEST}


def test_answers_over_lambdas_limit_fail_as_on_aws(application):
    """6 MB pass, one byte more is a 502."""
    assert len(ask(application, f"/api/large/{MAX_ANSWER}").body) == MAX_ANSWER
    assert ask(application, f"/api/large/{MAX_ANSWER + 1}").status == 502


def test_the_gateway_says_who_calls(application):
    """What a caller claims of its address is replaced by what the server saw."""
    headers = {"X-Forwarded-For": "10.9.9.9"}
    reply = ask(application, "/api/echo/x", headers=headers, REMOTE_ADDR="10.1.2.3")
    assert reply.json["forwarded"] == reply.json["source"] == "10.1.2.3"


def test_every_request_has_its_own_id(application):
    """Requests can be told apart in the log."""
    ids = {ask(application, "/api/echo/x").json["id"] for _ in range(5)}
    assert len(ids) == 5


def test_requests_at_the_same_time_do_not_mix(application):
    """Two requests that are inside their views together each see their own."""
    found = {}

    def call(who):
        found[who] = ask(application, f"/api/meet/{who}").json

    threads = [threading.Thread(target=call, args=(who,)) for who in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found["ann"] == {"who": "ann", "path": "/api/meet/ann"}
    assert found["bob"] == {"who": "bob", "path": "/api/meet/bob"}


def test_one_app_may_be_wrapped_twice():
    """Wrapping again changes nothing about an app."""
    app = small_app.make()
    Application(app)
    assert ask(Application(app), "/api/echo/x").json["name"] == "x"
