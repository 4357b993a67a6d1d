"""The token: is it good, for how long, and does it allow what the examination has to do."""

import time
from calendar import timegm
from fnmatch import fnmatchcase
from itertools import islice

from weighbridge.contract.errors import RegistryError
from weighbridge.contract.types import Scope, Verb, Who
from weighbridge.doctor.visit import PROJECT, Visit
from weighbridge.transfer.progress import duration

EXPIRES_SOON = 7 * 86400.0
MOST_PROJECTS = 100
MANY_UPLOADS = 100
NEEDED: tuple[Verb, ...] = ("read", "write", "delete")


def token(visit: Visit) -> bool:
    """Whether the token is good."""
    if not visit.config.token:
        visit.fail(
            "token", "there is none for this address",
            f"`weighbridge login {visit.url}`, or set WEIGHBRIDGE_TOKEN",
        )  # fmt: skip
        return False
    try:
        visit.who = visit.client.whoami()
    except RegistryError as error:
        visit.fail(
            "token", error.message,
            "make a new one (`weighbridge token create`) and sign in with it; where it should be good, "
            "something on the way may strip the Authorization header",
        )  # fmt: skip
        return False
    who = visit.who
    verbs = sorted({verb for scope in who.scopes for verb in scope.verbs})
    seen = f"{who.principal} may {', '.join(verbs)}"
    left = _left(who, visit.ahead)
    if left is not None and left < EXPIRES_SOON:
        visit.warn("token", f"{seen}; it expires in {duration(max(left, 0))}", "make a new one")
    else:
        visit.ok("token", seen + ("; it does not expire" if left is None else ""))
    return True


def _left(who: Who, ahead: float) -> float | None:
    if not who.expires:
        return None
    moment = time.strptime(who.expires[:19], "%Y-%m-%dT%H:%M:%S")
    return timegm(moment) - (time.time() + ahead)


def uploads(visit: Visit) -> None:
    """Whether pushes that were given up have left uploads open."""
    projects = list(islice(visit.client.iter_projects(), MOST_PROJECTS))
    opened = {p.name: visit.client.project_usage(p.name).open_uploads for p in projects}
    seen = f"{sum(opened.values())} uploads are open in {len(opened)} projects"
    worst = max(opened, key=lambda name: opened[name], default="")
    if worst and opened[worst] > MANY_UPLOADS:
        visit.warn(
            "uploads", f"{seen}, {opened[worst]} of them in {worst}",
            "pushes there are given up again and again: see their clients; what is left ends by itself "
            "after a week (WEIGHBRIDGE_STALE_SECONDS)",
        )  # fmt: skip
    else:
        visit.ok("uploads", seen)


def suffices(visit: Visit, model: str) -> bool:
    """Whether the token may make a scratch model, and remove it again: else nothing is written."""
    assert visit.who is not None
    project = visit.options.project
    own = project == PROJECT
    lacking = [
        verb
        for verb in NEEDED
        if not any(
            _allows(scope, verb, project, "*" if own else model) for scope in visit.who.scopes
        )
    ]
    if not lacking:
        visit.ok("rights", f"it may {', '.join(NEEDED)} in {project}")
        return True
    visit.fail(
        "rights", f"it may not {', '.join(lacking)} in {project}, so nothing was written: uploads, "
        "events and pages were not examined",
        "use a token with the verbs read, write and delete for one project and name it with --project, "
        "or an administrator's; --read-only leaves this out",
    )  # fmt: skip
    return False


def _allows(scope: Scope, verb: Verb, project: str, model: str) -> bool:
    return (
        verb in scope.verbs
        and fnmatchcase(project.lower(), scope.project.lower())
        and (verb == "read" or scope.model == "*" or fnmatchcase(model, scope.model))
    )
