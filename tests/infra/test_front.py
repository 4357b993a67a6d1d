"""What stands before the API: foreign pages, the rendered site, static files."""

import base64
import io

import pytest

from chalicelib.api import cookie
from chalicelib.registry.ports import Head
from infra.embedded.front import Front
from infra.embedded.wsgi import MAX_REQUEST, Application
from tests.infra import small_app
from tests.infra.asking import ask
from weighbridge.contract import errors, origins

NOW = 1_800_000_000.0
KEYS = cookie.read_keys("s" * 40)


class Site:
    """Pages in a dictionary."""

    def __init__(self, pages):
        self.pages = pages
        self.reads = []

    def head(self, key):
        if key not in self.pages:
            raise errors.NotFound(key)
        return Head(key, len(self.pages[key]), base64.b16encode(self.pages[key][:8]).decode())

    def read(self, key, start=0, length=None, etag=""):
        self.head(key)
        self.reads.append(key)
        return self.pages[key]


@pytest.fixture
def site():
    return Site(
        {
            "p/vision/index.html": b"<p>vision",
            "p/vision/index.json": b'{"a":1}',
            "p/vision/digits/7/index.html": b"<p>seven",
            "p/text/index.html": b"<p>text",
            "p/text/~index/models-0.json": b'{"models":["text"]}',
            "p/vision/~index/models-0.json": b'{"models":["vision"]}',
            "blobs/secret": b"bytes",
        }
    )


@pytest.fixture
def static(tmp_path):
    folder = tmp_path / "static"
    (folder / "fonts").mkdir(parents=True)
    (folder / "site.css").write_text("p{}")
    (folder / "site.js").write_text("1")
    (folder / "fonts" / "a.woff2").write_bytes(b"\x00\x01")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


def make(site, static, **options):
    doors = origins.doors(8470, urls=["https://models.example.org"])
    api = Application(small_app.make())
    return Front(api, doors, static, site, KEYS, now=lambda: NOW, **options)


@pytest.fixture
def front(site, static):
    return make(site, static)


def signed_in(*projects, name=cookie.PLAIN_NAME):
    return {"Cookie": f"x=y; {name}={cookie.issue(KEYS, 'tok1', projects, NOW)}"}


def test_a_page_is_served_to_those_whose_cookie_names_its_project(front):
    """A signed-in reader gets the page, its JSON and the pages below."""
    headers = signed_in("vision")
    page = ask(front, "/p/vision/", headers=headers)
    assert (page.status, page.body) == (200, b"<p>vision")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "private, no-cache"
    assert ask(front, "/p/vision/index.json", headers=headers).json == {"a": 1}
    assert ask(front, "/p/vision/digits/7/", headers=headers).body == b"<p>seven"


def test_the_search_index_of_a_project_is_for_its_readers_only(front, site):
    """What search reads lies below the project: forbidden and absent shards look the same, and neither is
    looked for in the store."""
    headers = signed_in("vision")
    mine = ask(front, "/p/vision/~index/models-0.json", headers=headers)
    assert mine.json == {"models": ["vision"]}
    assert mine.headers["cache-control"] == "private, no-cache"
    again = {**headers, "If-None-Match": mine.headers["etag"]}
    assert ask(front, "/p/vision/~index/models-0.json", headers=again).status == 304
    site.reads.clear()
    for path in ("/p/text/~index/models-0.json", "/p/vision/../text/~index/models-0.json",
                 "/p/text/%7Eindex/models-0.json", "/p/nothing/~index/models-0.json"):  # fmt: skip
        reply = ask(front, path, headers=headers)
        assert (reply.status, b"models" in reply.body) == (404, False), path
    assert ask(front, "/p/vision/~index/models-0.json").status == 303
    assert site.reads == []


def test_without_a_cookie_pages_lead_to_the_sign_in_form(front, site):
    """No cookie, or one of somebody else's making, and the store is not even asked."""
    for headers in ({}, {"Cookie": f"{cookie.PLAIN_NAME}=v1|1|1900000000|t|*|{'0' * 64}"}):
        reply = ask(front, "/p/vision/", headers=headers)
        assert (reply.status, reply.body) == (303, b"")
        assert reply.headers["location"] == "/sign-in?next=%2Fp%2Fvision%2F"
    assert site.reads == []


def test_forbidden_and_absent_pages_look_the_same(front):
    """A reader cannot find out which projects exist."""
    forbidden = ask(front, "/p/text/", headers=signed_in("vision"))
    absent = ask(front, "/p/nothing/", headers=signed_in("vision", "nothing"))
    assert forbidden.status == absent.status == 404
    assert forbidden.body == absent.body
    assert forbidden.many == absent.many


@pytest.mark.parametrize(
    "path",
    [
        "/p/vision/../text/",
        "/p/vision/%2e%2e/text/",
        "/p/vision/..%2ftext/",
        "/p/../blobs/secret",
        "/p/vision/../../blobs/secret",
        "//p/text/",
        "/./p/text/",
        "/%70/text/",
        "/x/../p/text/",
        "/static/../p/text/index.html",
    ],
)
def test_no_spelling_of_a_path_leads_out_of_what_is_granted(front, site, path):
    """Neither another project nor another kind of object can be reached by way of a page."""
    reply = ask(front, path, headers=signed_in("vision"))
    assert reply.status in (404, 303)
    assert site.reads == []


def test_a_page_has_one_address(front):
    """Other spellings of a readable page lead to the one."""
    for path in ("/p/vision", "//p/vision/", "/p//vision/", "/p/x/../vision/", "/%70/vision/"):
        reply = ask(front, path, headers=signed_in("vision", "x"))
        assert (reply.status, reply.headers["location"]) == (303, "/p/vision/")


def test_an_unchanged_page_is_not_sent_again(front, site):
    """If-None-Match with the page's tag answers 304 without reading the page."""
    first = ask(front, "/p/vision/", headers=signed_in("vision"))
    site.reads.clear()
    headers = signed_in("vision") | {"If-None-Match": f'"old", {first.headers["etag"]}'}
    again = ask(front, "/p/vision/", headers=headers)
    assert (again.status, again.body, site.reads) == (304, b"", [])
    stale = signed_in("vision") | {"If-None-Match": '"old"'}
    assert ask(front, "/p/vision/", headers=stale).status == 200


def test_pages_can_only_be_read(front):
    """Nothing is written to the site over HTTP."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(front, "/p/vision/", method, headers=signed_in("vision")).status == 405
    head = ask(front, "/p/vision/", "HEAD", headers=signed_in("vision"))
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "9")


def test_open_pages_need_no_cookie(site, static):
    """With --anonymous anyone on this machine reads every page."""
    front = make(site, static, open_pages=True)
    assert ask(front, "/p/text/").body == b"<p>text"
    assert ask(front, "/p/../blobs/secret").status == 404


def test_over_https_only_the_secure_cookie_counts(site, static):
    """The plain name, which another service of the host could set, opens nothing there."""
    front = make(site, static, secure=True)
    assert ask(front, "/p/vision/", headers=signed_in("vision")).status == 303
    headers = signed_in("vision", name=cookie.SECURE_NAME)
    assert ask(front, "/p/vision/", headers=headers).status == 200


def test_the_cookie_never_opens_the_api(front):
    """The API sees the same request as without a cookie; it knows tokens only."""
    assert "cookie" not in ask(front, "/api/echo/x", headers=signed_in("*")).json


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/static/site.css", "text/css; charset=utf-8"),
        ("/static/site.js", "text/javascript; charset=utf-8"),
        ("/static/fonts/a.woff2", "font/woff2"),
    ],
)
def test_static_files_are_served_with_their_type(front, path, kind):
    """Assets need no cookie; nosniff makes their type matter."""
    reply = ask(front, path)
    assert (reply.status, reply.headers["content-type"]) == (200, kind)
    assert reply.headers["cache-control"] == "no-cache"
    assert ask(front, path, headers={"If-None-Match": reply.headers["etag"]}).status == 304
    assert "immutable" in ask(front, f"{path}?v=abc").headers["cache-control"]
    assert ask(front, f"{path}?v=").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/..%2fsecret.txt",
        "/static/..\\secret.txt",
        "/static//../secret.txt",
        "/static/link.txt",
        "/static/",
        "/static/fonts",
        "/static/fonts/",
        "/static/nothing",
        "/static/site.css%00",
    ],
)
def test_nothing_outside_the_static_folder_is_served(front, path):
    """Not by dots, escapes, or a symbolic link that leads out."""
    reply = ask(front, path)
    assert reply.status == 404
    assert b"secret" not in reply.body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8470", 200),
        ("localhost:8470", 200),
        ("LOCALHOST:8470", 200),
        ("[::1]:8470", 200),
        ("models.example.org", 200),
        ("models.example.org:443", 200),
        ("evil.example", 421),
        ("evil.example:8470", 421),
        ("localhost", 421),
        ("127.0.0.1:80", 421),
        ("localhost.evil.example:8470", 421),
        ("127.0.0.1:8470@evil.example", 421),
        ("", 421),
    ],
)
def test_only_our_own_host_names_are_answered(front, host, status):
    """A name that an attacker's DNS points at loopback gets nothing, not even a page or asset."""
    for path in ("/api/echo/x", "/", "/static/site.css", "/p/vision/"):
        reply = ask(front, path, headers={"Host": host} | signed_in("vision"))
        assert reply.status == status, path
        if status != 200:
            assert set(reply.json) == {"error"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8470"}, 200),
        ({"Origin": "http://localhost:8470"}, 200),
        ({"Origin": "https://models.example.org"}, 200),
        ({"Origin": "http://models.example.org"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://localhost:8470"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8470"}, 403),
    ],
)
def test_a_foreign_page_cannot_write(front, headers, status):
    """Writes are refused when another origin's page sent them, whatever else they carry."""
    for method in ("POST", "PUT"):
        sent = headers | {"Content-Type": "application/json"}
        assert ask(front, "/api/echo/x", method, b"{}", sent).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        (
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
            200,
        ),
        (
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "iframe",
            },
            403,
        ),
    ],
)
def test_a_foreign_page_can_link_but_not_embed_or_fetch(front, headers, status):
    """Following a link from elsewhere works; fetching and framing from elsewhere do not."""
    assert ask(front, "/api/echo/x", headers=headers).status == status


@pytest.mark.parametrize(
    "path", ["/api/open", "/api/echo/x", "/", "/static/site.css", "/p/vision/"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_no_answer_allows_another_origin(front, path, method):
    """There is no CORS header anywhere, even where a route asks for it."""
    asked = {"Access-Control-Request-Method": "POST"}
    for origin in ("https://evil.example", "http://127.0.0.1:8470"):
        reply = ask(front, path, method, headers=asked | {"Origin": origin})
        assert not [name for name, _ in reply.many if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/api/echo/x", "127.0.0.1:8470"),
        ("/api/nothing", "127.0.0.1:8470"),
        ("/p/vision/", "127.0.0.1:8470"),
        ("/static/site.css", "127.0.0.1:8470"),
        ("/static/nothing", "127.0.0.1:8470"),
        ("/", "127.0.0.1:8470"),
        ("/", "evil.example"),
    ],
)
def test_every_answer_has_the_security_headers(front, path, host):
    """Also redirects, errors and refusals."""
    headers = ask(front, path, headers={"Host": host}).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "cache-control" in headers


def test_a_store_that_is_down_is_an_error_and_not_a_missing_page(site, static):
    """503, so that readers come back."""

    def down(key):
        raise errors.Unavailable("the store does not answer")

    site.head = down
    assert ask(make(site, static, open_pages=True), "/p/vision/").status == 503


def test_a_body_without_a_length_is_taken_within_the_limit(front):
    """A chunked request arrives whole, and one that is too long is refused."""
    headers = {"Content-Type": "application/json"}
    for size, status in ((5, 200), (MAX_REQUEST + 1, 413)):
        reply = ask(
            front,
            "/api/echo/x",
            "POST",
            headers=headers,
            **{"wsgi.input": io.BytesIO(b"x" * size), "wsgi.input_terminated": True},
        )
        assert reply.status == status
    assert reply.code == "too_large"


def test_an_api_that_fails_answers_in_our_error_body(site, static, caplog):
    """A bug below the front is a 500 without its inside, and stands in the log."""

    def broken(environ, start_response):
        raise RuntimeError("secret inside")

    front = Front(broken, origins.doors(8470), static, site, KEYS)
    reply = ask(front, "/api/x")
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert "secret inside" in caplog.text
