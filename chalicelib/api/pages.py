"""Pages that depend on who asks: home, compare, sign-in. A cookie opens them; it never opens `/api`."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from chalice.app import Blueprint, Request, Response

from chalicelib.api import auth, cookie, observing
from chalicelib.api.cookie import Grant
from chalicelib.registry import compare, outbox, projects, tokens
from chalicelib.registry.tokens import Principal
from chalicelib.settings import settings
from chalicelib.wiring import stores
from weighbridge.contract import references
from weighbridge.contract.errors import InvalidRequest, NotFound, RegistryError
from weighbridge.contract.types import Who

routes = Blueprint(__name__)
HTML = "text/html; charset=utf-8"
RECENT = 20
ACTIVITY = 60
HOME_PROJECTS = 200
MAX_FORM = 16_384


def _html(page: Any, status: int = 200, extra: dict[str, str] | None = None) -> Response:
    from chalicelib.catalogue.publish import renderer  # Jinja2 is not on the API's import path
    from chalicelib.catalogue.render import HEADERS

    body = renderer().render(page).decode("utf-8")
    headers: dict[str, str | list[str]] = {
        **HEADERS,
        "Content-Type": HTML,
        "Cache-Control": "no-store",
        **(extra or {}),
    }
    return Response(body=body, status_code=status, headers=headers)


def _redirect(where: str, extra: dict[str, str] | None = None) -> Response:
    headers: dict[str, str | list[str]] = {"Location": where, "Cache-Control": "no-store"}
    return Response(body="", status_code=303, headers={**headers, **(extra or {})})


def _secure() -> bool:
    return settings().public_url.startswith("https:")


def _keys() -> cookie.Keys:
    return cookie.read_keys(settings().secret, settings().cookie_epoch)


def _grant(request: Request) -> Grant | None:
    if auth.anonymous() is not None:
        return cookie.ANYONE
    value = cookie.find(request.headers.get("cookie", ""), _secure())
    return cookie.verify(_keys(), value, time.time()) if value else None


def _may(grant: Grant, project: str) -> bool:
    return cookie.EVERYTHING in grant.projects or project.lower() in grant.projects


def _error(error: RegistryError) -> Response:
    from chalicelib.catalogue import pages
    from chalicelib.catalogue.views import ErrorView

    return _html(
        pages.error_page(ErrorView(error.status, message=error.message)), error.status or 500
    )


def page(path: str, method: str = "GET", signed_in: bool = True) -> Callable[..., Any]:
    """Routes a page's view; without a valid cookie the reader is sent to the sign-in form."""

    def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(view)
        def wrapper(**params: str) -> Response:
            request: Request = routes.current_request
            try:
                if not signed_in:
                    return view(request, **params)
                grant = _grant(request)
                if grant is not None:
                    observing.reader(grant.token_id)
                else:
                    query = urlencode(_pairs(request))
                    wanted = path + (f"?{query}" if query else "")
                    return _redirect(f"/sign-in?next={quote(wanted, safe='')}")
                return view(request, grant, **params)
            except RegistryError as error:
                return _error(error)

        wrapper.__name__ = f"{view.__name__}_{method.lower()}"
        kwargs: dict[str, Any] = (
            {"content_types": ["application/x-www-form-urlencoded"]} if method == "POST" else {}
        )
        routes.route(path, methods=[method], **kwargs)(wrapper)
        return view

    return decorate


def _pairs(request: Request) -> list[tuple[str, str]]:
    found = request.query_params
    return [(name, v) for name in found for v in found.getlist(name)] if found else []


def _following(request: Request) -> str:
    return dict(_pairs(request)).get("next", "/")


def _who(grant: Grant) -> Who:
    return Who(grant.token_id, ())


def _visible(grant: Grant) -> list[projects.ProjectRecord]:
    if cookie.EVERYTHING in grant.projects:
        return projects.records(stores())[:HOME_PROJECTS]
    found = []
    for name in sorted(grant.projects)[:HOME_PROJECTS]:
        try:
            found.append(projects.find(stores(), name))
        except NotFound:
            continue
    return found


@page("/")
def home(request: Request, grant: Grant) -> Response:
    """What the reader may see of the registry."""
    from chalicelib.catalogue import pages
    from chalicelib.catalogue.registry_source import RegistrySource
    from chalicelib.catalogue.views import HomeView

    source = RegistrySource(stores())
    records = _visible(grant)
    recent, _ = outbox.across(stores(), _places(records), limit=RECENT)
    summaries = tuple(source.summary(record) for record in records)
    return _html(pages.home_page(HomeView(_who(grant), summaries, tuple(recent))))


def _places(records: list[projects.ProjectRecord]) -> list[tuple[str, str, str]]:
    return [(record.project.name, record.id, record.project.created) for record in records]


@page("/activity")
def activity(request: Request, grant: Grant) -> Response:
    """What happened in the projects that the reader may see, or in one of them."""
    from chalicelib.catalogue import pages
    from chalicelib.catalogue.views import ActivityView

    asked = dict(_pairs(request))
    chosen, before = asked.get("project", ""), asked.get("before", "")
    visible = _visible(grant)
    records = [one for one in visible if one.project.name.lower() == chosen.lower()]
    if chosen and not records:
        raise NotFound(f"there is no project {chosen!r}")
    events, older = outbox.across(
        stores(), _places(records or visible), limit=ACTIVITY, before=before
    )
    chosen = records[0].project.name if records else ""
    following = urlencode({"project": chosen, "before": older} if chosen else {"before": older})
    view = ActivityView(
        _who(grant), tuple(events), tuple(one.project.name for one in visible), chosen,
        f"/activity?{following}" if older else "", not before,
    )  # fmt: skip
    return _html(pages.activity_page(view))


@page("/compare")
def compared(request: Request, grant: Grant) -> Response:
    """Two to six versions and checkpoints side by side: differences, and with `all=1` what is the same."""
    from chalicelib.catalogue import comparing
    from chalicelib.catalogue.registry_source import RegistrySource
    from chalicelib.catalogue.views import COMPARED_CHECKPOINTS, CompareView

    asked = _pairs(request)
    texts = [value for name, value in asked if name == "ref"]
    compare.check_count(len(texts))
    sides = []
    for text in texts:
        reference = references.parse(text)
        if not _may(grant, reference.project):
            raise NotFound(f"there is no project {reference.project!r}")
        sides.append(compare.resolve(stores(), reference))
    if ("sort", "oldest") in asked:  # chosen in a list, whose order says nothing
        sides.sort(key=lambda side: side.order)
    everything = ("all", "1") in asked
    source, found = RegistrySource(stores()), compare.compare(stores(), sides)
    files = tuple(compare.files(stores(), side) for side in sides) if everything else ()
    drawn = {
        side.version.reference: tuple(
            source.checkpoints(side.version.model.project_id, version, COMPARED_CHECKPOINTS)
        )
        for side, version in zip(sides, found.versions, strict=True)
    }
    view = CompareView(
        found, tuple(side.version.model.model for side in sides),
        tuple(compare.told(stores(), sides[i], listed) for i, listed in enumerate(files)),
        files, _who(grant), everything,
        tuple(drawn[side.version.reference] for side in sides),
    )  # fmt: skip
    return _html(comparing.compare_page(view))


@page("/search")
def searched(request: Request, grant: Grant) -> Response:
    """What is found in the projects that the reader may see. Scripts find it by themselves, from the index
    documents that the same cookie opens."""
    from chalicelib.catalogue.searching import answering

    asked = dict(_pairs(request))
    text, thorough = asked.get("q", ""), asked.get("all") == "1"
    names = [record.project.name for record in _visible(grant)]
    more = cookie.EVERYTHING in grant.projects and len(names) == HOME_PROJECTS
    view = answering.answer(stores().site, names, text, _who(grant), more, thorough=thorough)
    return _html(answering.search_page(view))


def _sign_in_form(following: str, problem: str = "", status: int = 200) -> Response:
    from chalicelib.catalogue import pages
    from chalicelib.catalogue.views import SignInView

    shown = pages.sign_in_page(SignInView(cookie.safe_next(following), problem))
    return _html(shown, status)


@page("/sign-in", signed_in=False)
def sign_in_form(request: Request) -> Response:
    """The sign-in form."""
    return _sign_in_form(_following(request))


def _signed_in(principal: Principal, following: str) -> Response:
    if principal.sees("*"):
        readable = [cookie.EVERYTHING]
    else:
        names = [record.project.name for record in projects.records(stores())]
        readable = [name for name in names if principal.sees(name)]
    value = cookie.issue(_keys(), principal.token_id or "anonymous", readable, time.time())
    header = {"Set-Cookie": cookie.set_cookie(value, _secure())}
    return _redirect(cookie.safe_next(following), header)


@page("/sign-in", "POST", signed_in=False)
def sign_in(request: Request) -> Response:
    """Exchanges a token for the cookie."""
    raw = request.raw_body
    if len(raw) > MAX_FORM:
        raise InvalidRequest("the form is too long")
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
    form = dict(parse_qsl(text))
    following = form.get("next", "/")
    try:
        principal = tokens.authenticate(stores(), form.get("token", "").strip())
    except RegistryError as error:
        return _sign_in_form(following, error.message, error.status)
    return _signed_in(principal, following)


@page("/sign-out", "POST", signed_in=False)
def sign_out(request: Request) -> Response:
    """Removes the cookie."""
    return _redirect("/sign-in", {"Set-Cookie": cookie.set_cookie("", _secure())})


@page("/t/{ticket}", signed_in=False)
def ticket(request: Request, ticket: str) -> Response:
    """Redeems a one-time link."""
    return _signed_in(tokens.redeem(stores(), ticket), _following(request))
