"""The catalogue: sign-in, its cookie, who is kept out, what browsers are told, how soon pages come."""

import time

from weighbridge.contract.errors import RegistryError
from weighbridge.contract.types import Ticket
from weighbridge.doctor.scratch import Scratch
from weighbridge.doctor.visit import Visit
from weighbridge.http import Reply

SLOW_EVENT = 10.0
SLOW_PAGE = 15.0
_REDIRECTS = (301, 302, 303, 307, 308)
_HSTS = "strict-transport-security"


def sign_in(visit: Visit) -> str:
    """Signs a browser in by a one-time link and looks at its cookie; the `Cookie` header that it would
    send, empty if it gets none."""
    try:
        ticket = visit.client.ticket()
    except RegistryError as error:
        visit.fail("sign-in", error.message, "set WEIGHBRIDGE_SECRET and WEIGHBRIDGE_PUBLIC_URL")
        return ""
    text = _link(visit, ticket)
    reply = visit.get(f"/t/{text}")
    header = reply.headers.get("set-cookie", "")
    if reply.status not in _REDIRECTS or not header:
        visit.fail(
            "sign-in", f"a sign-in link is answered with {reply.status} and "
            f"{'no cookie' if not header else 'a cookie'}",
            "set WEIGHBRIDGE_SECRET; let nothing strip Set-Cookie or follow redirects",
        )  # fmt: skip
        return ""
    if visit.get(f"/t/{text}").headers.get("set-cookie"):
        visit.fail("sign-in", "a sign-in link works twice", "let nothing keep answers to /t/…")
    else:
        visit.ok("sign-in", "a link signs in, once")
    _attributes(visit, header)
    return header.partition(";")[0].strip()


def _link(visit: Visit, ticket: Ticket) -> str:
    base, _, text = ticket.url.rpartition("/t/")
    if base.lower() == visit.url.lower():
        visit.ok("public url", f"sign-in links lead to {base}")
    else:
        visit.fail(
            "public url", f"sign-in links lead to {base or 'nowhere'}, not to {visit.url}",
            "set WEIGHBRIDGE_PUBLIC_URL (`serve --public-url`, the parameter PublicUrl) to the address "
            "that browsers use, or examine that one",
        )  # fmt: skip
    return text


def _attributes(visit: Visit, header: str) -> None:
    """What a browser is told about the cookie."""
    name, *rest = (piece.strip() for piece in header.split(";"))
    told = {key.lower(): value for key, _, value in (piece.partition("=") for piece in rest)}
    wrong = []
    if "httponly" not in told:
        wrong.append("scripts can read it (no HttpOnly)")
    if told.get("samesite", "").lower() not in ("lax", "strict"):
        wrong.append("other sites can send it (no SameSite=Lax)")
    if "domain" in told:
        wrong.append(f"it goes to all of {told['domain']} (Domain)")
    if visit.secure or not visit.local:
        if "secure" not in told:
            wrong.append("it travels in the clear (no Secure)")
        if not name.startswith("__Host-"):
            wrong.append("other hosts of the domain can set it (no __Host- name)")
    if wrong:
        visit.fail(
            "cookie", "; ".join(wrong),
            "let nothing rewrite Set-Cookie, and set WEIGHBRIDGE_PUBLIC_URL to the https:// address that "
            "browsers use",
        )  # fmt: skip
    else:
        kind = "Secure, " if "secure" in told else ""
        visit.ok("cookie", f"{kind}HttpOnly, SameSite={told['samesite']}")


def closed(visit: Visit, cookie: str) -> None:
    """Whether pages are closed to who has no cookie, or one that was not issued here."""
    pages = ("/", f"/p/{visit.options.project.lower()}/")
    opened = [path for path in pages if visit.get(path).status == 200]
    if opened:
        note = visit.warn if visit.local else visit.fail
        note(
            "pages", f"{' and '.join(opened)} can be read without signing in",
            "start the server without --anonymous; at a CDN, attach the edge function that checks the "
            "cookie",
        )  # fmt: skip
    else:
        visit.ok("pages", "nothing is shown without signing in")
    if not cookie:
        visit.skip("forged cookie", "there is no cookie to change")
        return
    taken = [word for word, forged in _forgeries(cookie) if visit.get("/", forged).status == 200]
    if taken and not opened:
        visit.fail(
            "forged cookie", f"a cookie is accepted that {', and one that '.join(taken)}",
            "at a CDN, attach the edge function that checks the cookie; let nothing keep pages",
        )  # fmt: skip
    elif not opened:
        visit.ok("forged cookie", "one that was changed or has expired is refused")
    if visit.pool.send("GET", f"{visit.url}/api/whoami", {"Cookie": cookie}).status == 200:
        note = visit.warn if visit.local else visit.fail
        note("api cookie", "the cookie opens the API", "callers of the API need a token")
    else:
        visit.ok("api cookie", "the cookie opens pages, not the API")


def _forgeries(cookie: str) -> list[tuple[str, str]]:
    name, _, value = cookie.partition("=")
    fields = value.split("|")
    if len(fields) != 6:
        return []
    last = fields[-1][-1]
    flipped = fields[-1][:-1] + ("0" if last != "0" else "1")
    now = int(time.time())
    forged = {
        "was signed by another": [*fields[:-1], flipped],
        "had expired": [*fields[:2], str(now - 60), *fields[3:]],
        "was made to last longer": [*fields[:2], str(now + 86400), *fields[3:]],
        "was widened to all projects": [*fields[:4], "*", flipped],
    }
    return [(word, f"{name}={'|'.join(made)}") for word, made in forged.items()]


def headers(visit: Visit, path: str, cookie: str = "") -> None:
    """Whether a page tells browsers what they may not do with it."""
    _judge(visit, visit.get(path, cookie), path)


def _judge(visit: Visit, reply: Reply, path: str) -> None:
    told, wrong = reply.headers, []
    policy = {
        words[0]: words[1:]
        for words in (part.split() for part in told.get("content-security-policy", "").split(";"))
        if words
    }
    scripts = policy.get("script-src", policy.get("default-src"))
    if scripts is None:
        wrong.append("no Content-Security-Policy that limits scripts")
    elif {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "http:"} & set(scripts):
        wrong.append("a Content-Security-Policy that allows foreign or inline scripts")
    if "frame-ancestors" not in policy and "x-frame-options" not in told:
        wrong.append("no frame-ancestors: other sites may frame it")
    if told.get("x-content-type-options", "").lower() != "nosniff":
        wrong.append("no X-Content-Type-Options: nosniff")
    if "referrer-policy" not in told:
        wrong.append("no Referrer-Policy")
    where = "a version's page" if path.startswith("/p/") else path
    if wrong:
        visit.fail(
            "headers", f"{where} has {', '.join(wrong)}",
            "let nothing strip the server's headers; at a CDN, attach the response headers policy",
        )  # fmt: skip
    elif visit.secure and _HSTS not in told:
        visit.warn(
            "headers", f"{where} has no Strict-Transport-Security",
            "let the CDN or the proxy that holds the certificate add it",
        )  # fmt: skip
    else:
        visit.ok("headers", f"{where} has them all")


def indexed(visit: Visit, scratch: Scratch) -> None:
    """How long it takes until an event has led to facts about a new file."""
    at = (scratch.project, scratch.model, scratch.version)

    def known() -> bool:
        return any(f.facts is not None for f in visit.client.version_facts(*at).items)

    took = visit.until(known, scratch.published)
    if took is None:
        visit.fail(
            "events", f"a new file was not looked at within {visit.options.wait:.0f} s",
            "see whether the store's events arrive (rule, queue, webhook) and index_object runs; its "
            "dead letters tell why not",
        )  # fmt: skip
        return
    [found] = visit.client.version_facts(*at).items
    if found.facts is not None and found.facts.format != "safetensors":
        visit.fail(
            "events", f"the file was taken for {found.facts.format!r}: {found.facts.problem}",
            "the indexer could not read it: see its log and its rights",
        )  # fmt: skip
    elif took > SLOW_EVENT:
        visit.warn(
            "events", f"a new file was looked at after {took:.1f} s",
            "events come late or only the sweep finds files: see the queue and the store's webhook",
        )  # fmt: skip
    else:
        visit.ok("events", f"a new file was looked at after {took:.1f} s")


def rendered(visit: Visit, scratch: Scratch, cookie: str) -> None:
    """How long it takes until a new version has its page."""
    if not cookie:
        visit.skip("rendering", "nobody could sign in")
        return
    if visit.get(scratch.path).status in (403, 404):
        visit.fail(
            "rendering", f"nothing serves {scratch.path} at this address",
            "on AWS the CDN serves the pages: examine its address",
        )  # fmt: skip
        return
    took = visit.until(lambda: visit.get(scratch.path, cookie).status == 200, scratch.published)
    if took is None:
        visit.fail(
            "rendering", f"a new version had no page within {visit.options.wait:.0f} s",
            "see whether render_pages runs, its queue and its dead letters; the sweep renders what a lost "
            "message left",
        )  # fmt: skip
        return
    seen = f"a new version had its page after {took:.1f} s"
    if took > SLOW_PAGE:
        visit.warn("rendering", seen, "render_pages lags behind: see its queue")
    else:
        visit.ok("rendering", seen)
    headers(visit, scratch.path, cookie)
