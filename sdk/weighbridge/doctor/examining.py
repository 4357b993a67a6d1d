"""The order of an examination: what must hold before the next can be looked at."""

from collections.abc import Callable

from weighbridge.contract.errors import RegistryError
from weighbridge.doctor import pages, rights, scratch, server, store
from weighbridge.doctor.visit import Visit


def examine(visit: Visit) -> bool:
    """Looks at everything; whether nothing failed. What was found is in `visit.findings`."""
    try:
        _examine(visit)
    finally:
        visit.pool.close()
    return not any(finding.level == "fail" for finding in visit.findings)


def _examine(visit: Visit) -> None:
    if not server.reach(visit):
        return
    server.transport(visit)
    server.anonymous(visit)
    _try(visit, "headers", lambda: pages.headers(visit, "/sign-in"))
    if not rights.token(visit):
        visit.skip("store", "without a token nothing can be pushed or pulled")
        return
    _try(visit, "uploads", lambda: rights.uploads(visit))
    signed_in: list[str] = []
    _try(visit, "sign-in", lambda: signed_in.append(pages.sign_in(visit)))
    cookie = signed_in[0] if signed_in else ""
    _try(visit, "pages", lambda: pages.closed(visit, cookie))
    if visit.options.read_only:
        visit.skip("store", "nothing was written: --read-only")
        return
    model = scratch.name()
    if rights.suffices(visit, model):
        _try(visit, "store", lambda: _write(visit, model, cookie))


def _write(visit: Visit, model: str, cookie: str) -> None:
    with scratch.made(visit, model) as made:
        if not store.publish(visit, made):
            return
        _try(visit, "download", lambda: store.read(visit, made))
        _try(visit, "events", lambda: pages.indexed(visit, made))
        _try(visit, "rendering", lambda: pages.rendered(visit, made, cookie))
        # Last: a server on one machine lets events wait while somebody pushes.
        _try(visit, "parts", lambda: store.parts(visit, made))


def _try(visit: Visit, check: str, look: Callable[[], None]) -> None:
    """One group of checks; what stops it is a finding, and the others go on."""
    try:
        look()
    except RegistryError as error:
        visit.fail(check, error.message, "see the server's log")
