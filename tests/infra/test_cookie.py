"""The sign-in cookie: the server's side and the edge's side, on the same vectors."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api import cookie
from tests.infra import cookie_vectors
from weighbridge.contract.errors import InvalidRequest, TooLarge

VECTORS = json.loads(cookie_vectors.FILE.read_text())
KEYS = cookie.read_keys(VECTORS["setting"], VECTORS["epoch"])
EDGE = Path(__file__).parents[2] / "infra" / "edge" / "cookie.js"
PROBED = ("audio", "text", "text0", "vision", "project-1")


@pytest.fixture(scope="module")
def edge() -> dict:
    runner = Path(__file__).with_name("run_cookie_vectors.mjs")
    done = subprocess.run(
        ["node", runner, EDGE, cookie_vectors.FILE], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_committed_vectors_are_those_of_the_source():
    """The JSON file is what `cookie_vectors.py` writes, with at least 60 cases."""
    assert cookie_vectors.FILE.read_text() == cookie_vectors.text()
    assert len(VECTORS["paths"]) + len(VECTORS["cookies"]) >= 60


@pytest.mark.parametrize("case", VECTORS["paths"], ids=lambda case: repr(case["path"]))
def test_a_page_is_served_only_to_those_who_may_read_it(case):
    """Every spelling of an address comes to the one decision written down for it."""
    value = case["cookie"]
    grant = cookie.verify(KEYS, value, VECTORS["now"]) if value else None
    decision = cookie.decide(case["path"], grant)
    assert [decision.kind, decision.target] == case["decision"]
    if decision.kind == "serve":
        assert cookie.readable(case["path"], grant)


@pytest.mark.parametrize("case", VECTORS["cookies"], ids=lambda case: case["why"])
def test_a_cookie_opens_what_it_names_or_nothing(case):
    """A changed, expired, revoked or malformed cookie is refused."""
    keys = cookie.read_keys(VECTORS["setting"], case["epoch"])
    grant = cookie.verify(keys, case["cookie"], VECTORS["now"])
    assert (sorted(grant.projects) if grant else None) == case["projects"]


def test_the_edge_decides_the_same_for_every_path(edge):
    """The CDN's function and the server agree on every address."""
    assert edge["paths"] == [case["decision"] for case in VECTORS["paths"]]


def test_the_edge_believes_the_same_cookies(edge):
    """The CDN's function and the server agree on every cookie."""
    for case, opened in zip(VECTORS["cookies"], edge["cookies"], strict=True):
        projects = case["projects"]
        for project, kind in opened:
            if projects is None:
                expected = "redirect"
            else:
                expected = "serve" if "*" in projects or project in projects else "missing"
            assert kind == expected, (case["why"], project)
        assert [project for project, _ in opened] == list(PROBED)


def test_the_edge_lets_nobody_in_without_a_revocation_epoch(edge):
    """A key-value store that lost its epoch shuts the door instead of opening it."""
    assert edge["broken"][0] == "redirect"


def test_pages_are_open_only_where_the_store_says_so(edge):
    """Callers without a cookie read where that was deployed, as on a server that lets everybody read."""
    assert edge["open"][0] == ["serve", "p/vision/digits/index.html"]
    assert {kind for kind, _ in edge["open"][1:]} == {"redirect"}
    assert cookie.decide("/p/vision/digits/", cookie.ANYONE).target == edge["open"][0][1]


def test_the_edge_function_fits_into_cloudfront():
    """A CloudFront Function has 10 KB at most, and no environment."""
    source = EDGE.read_text()
    assert len(source.encode()) < 10 * 1024
    assert "process." not in source
    assert "require(" not in source


def test_what_is_issued_is_believed_for_an_hour():
    """A cookie opens its projects from its first second until its hour is over."""
    value = cookie.issue(KEYS, "tok1", ["Vision", "audio"], 1_800_000_000.7)
    for now, believed in ((1_800_000_000.7, True), (1_800_003_599, True), (1_800_003_600, False)):
        grant = cookie.verify(KEYS, value, now)
        assert (grant is not None) == believed
    grant = cookie.verify(KEYS, value, 1_800_000_001)
    assert grant == cookie.Grant("tok1", frozenset({"vision", "audio"}), 1_800_003_600)


def test_all_projects_are_written_as_one_star():
    """A token for everything gets a short cookie, whatever else it names."""
    value = cookie.issue(KEYS, "tok1", ["vision", "*"], 1_800_000_000)
    assert value.split("|")[4] == "*"


def test_a_rotated_key_is_believed_until_it_is_removed():
    """Two keys are believed while they are exchanged; the new one signs."""
    old, new = "a" * 32, "b" * 32
    value = cookie.issue(cookie.read_keys(f"k1:{old}"), "tok1", ["vision"], 1_800_000_000)
    both = cookie.read_keys(f"k2:{new} k1:{old}")
    assert cookie.verify(both, value, 1_800_000_001)
    assert cookie.issue(both, "tok1", [], 1_800_000_000).split("|")[1] == "k2"
    assert cookie.verify(cookie.read_keys(f"k2:{new}"), value, 1_800_000_001) is None


def test_a_cookie_stays_below_what_browsers_keep():
    """Name, value and attributes stay below 4 KB; more projects are an error, not a cut list."""
    names = [f"project-{number:04d}" for number in range(250)]
    value = cookie.issue(KEYS, "tok1", names, 1_800_000_000)
    assert len(cookie.set_cookie(value, True)) < 4096
    with pytest.raises(TooLarge) as caught:
        cookie.issue(KEYS, "tok1", [*names, *[f"another-{n}" for n in range(100)]], 1_800_000_000)
    assert caught.value.details["limit"] == cookie.MAX_VALUE


@pytest.mark.parametrize("secret", ["", "short", "a b", f"UPPER:{'x' * 40}", f"k:{'x' * 31}"])
def test_a_weak_or_malformed_secret_is_refused(secret):
    """Cookies are never signed with a secret that could be guessed."""
    with pytest.raises(InvalidRequest):
        cookie.read_keys(secret)


@pytest.mark.parametrize(
    ("token", "project"), [("a|b", "vision"), ("", "vision"), ("t", "a/b"), ("t", "../x")]
)
def test_nothing_that_could_be_read_differently_is_signed(token, project):
    """A token id or project that holds a separator is refused before it is signed."""
    with pytest.raises(InvalidRequest):
        cookie.issue(KEYS, token, [project], 1_800_000_000)


def test_the_keys_never_show_in_a_log():
    """The printed form of keys holds no secret."""
    assert KEYS.secrets["new"] not in repr(KEYS)


def test_set_cookie_and_find_are_a_pair():
    """What is set is found again under the same scheme, and only there."""
    for secure in (True, False):
        header = cookie.set_cookie("VALUE", secure)
        pair = header.split(";")[0]
        assert cookie.find(f"a=b; {pair}; c=d", secure) == "VALUE"
        assert cookie.find(pair, not secure) == ""
        assert "HttpOnly" in header
        assert "SameSite=Lax" in header
        assert "Path=/" in header
        assert "Domain" not in header
        assert ("Secure" in header) == secure
        assert header.startswith("__Host-") == secure
    assert "Max-Age=0" in cookie.set_cookie("", True)


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        ("/p/vision/", "/p/vision/"),
        ("/compare?ref=a%2Fb", "/compare?ref=a%2Fb"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/\t/evil.example", "/"),
    ],
)
def test_signing_in_leads_nowhere_else(text, goes):
    """The address to go on to is a path on this server."""
    assert cookie.safe_next(text) == goes


@given(st.text(alphabet="/.%2eEfF5cC~abp\\\x00\u00e9 ", max_size=40))
def test_a_normal_path_is_stable_and_holds_no_way_up(path):
    """Normalising twice changes nothing, and never leaves `..`, `//` or an escape."""
    clean = cookie.normal(path)
    if clean is not None:
        assert cookie.normal(clean) == clean
        assert ".." not in clean.split("/")
        assert "//" not in clean
        assert not set(clean) & set("%\\\x00")
