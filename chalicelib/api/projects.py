"""Projects over HTTP."""

from chalice.app import Blueprint

from chalicelib.api.http import PAGED, Call, endpoint
from chalicelib.registry import access, drops, models, outbox, packages, projects, reindexing, usage
from chalicelib.wiring import stores
from weighbridge.contract.errors import NotFound
from weighbridge.contract.types import (
    Deleted,
    EventPage,
    InboxGrant,
    InboxPage,
    InboxRequest,
    NewProject,
    Project,
    ProjectChanges,
    ProjectPage,
    ProjectUsage,
    ReindexJob,
    ReindexRequest,
    Version,
)

routes = Blueprint(__name__)
BASE = "/api/projects"


@endpoint(routes, "GET", BASE, None, answers=ProjectPage, query=PAGED)
def listing(call: Call) -> ProjectPage:
    """Projects that the token may read, by name."""
    found = projects.listing(stores(), limit=call.limit, page=call.page)
    return ProjectPage(tuple(p for p in found.items if call.who.sees(p.name)), found.next)


@endpoint(routes, "POST", BASE, None, body=NewProject, answers=Project, status=201)
def create(call: Call) -> Project:
    """Creates a project."""
    call.who.require("write", call.body.name)
    return projects.create(stores(), call.by, call.body)


@endpoint(routes, "GET", BASE + "/{project}", "read", answers=Project)
def show(call: Call) -> Project:
    """One project."""
    return projects.find(stores(), call.project).project


@endpoint(routes, "PATCH", BASE + "/{project}", "admin", body=ProjectChanges, answers=Project)
def change(call: Call) -> Project:
    """Changes a project's description, its inbox (open or closed), its safety policy or its quota."""
    return projects.change(stores(), call.by, call.project, call.body)


@endpoint(routes, "GET", BASE + "/{project}/usage", "read", answers=ProjectUsage)
def show_usage(call: Call) -> ProjectUsage:
    """How much a project holds, and its quota."""
    return usage.of_project(stores(), call.project)


@endpoint(routes, "DELETE", BASE + "/{project}", "delete", answers=Deleted)
def delete(call: Call) -> Deleted:
    """Deletes an empty project."""
    return projects.delete(stores(), call.by, call.project)


@endpoint(routes, "POST", BASE + "/{project}/inbox", "admin", body=InboxRequest, answers=InboxGrant)
def inbox(call: Call) -> InboxGrant:
    """Hands out credentials that can only put objects into the project's inbox."""
    return access.grant_inbox(stores(), call.by, call.project, call.body.days)


@endpoint(routes, "GET", BASE + "/{project}/inbox", "read", answers=InboxPage, query=PAGED)
def drops_of(call: Call) -> InboxPage:
    """Inbox folders that are no checkpoints: refused, or incomplete for an hour or more."""
    record = projects.find(stores(), call.project)
    return drops.listing(stores(), record, limit=call.limit, page=call.page)


@endpoint(
    routes, "POST", BASE + "/{project}/reindex", "admin", body=ReindexRequest, answers=ReindexJob,
    status=202,
)  # fmt: skip
def reindex(call: Call) -> ReindexJob:
    """Has files looked at again by the present indexer; the work is done behind this answer."""
    return reindexing.start(stores(), call.by, call.project, call.body)


@endpoint(routes, "GET", BASE + "/{project}/reindex", "read", answers=ReindexJob)
def show_reindex(call: Call) -> ReindexJob:
    """How far the newest reindexing job of a project came."""
    return reindexing.show(stores(), call.project)


@endpoint(routes, "GET", BASE + "/{project}/packages/{package}", "read", answers=Version)
def package(call: Call) -> Version:
    """The version that clients of edge registries know by this id."""
    record = projects.find(stores(), call.project)
    found = packages.find(stores(), record.id, call.path["package"])
    if found is None:
        raise NotFound(f"the project {call.project!r} has no package {call.path['package'][:80]!r}")
    return found.version


@endpoint(
    routes, "GET", BASE + "/{project}/events", "read", answers=EventPage, query=("model", *PAGED)
)
def events(call: Call) -> EventPage:
    """The project's history (or one model's), newest first."""
    record = projects.find(stores(), call.project)
    model = call.one("model")
    if model:
        models.within(stores(), record.id, record.project.name, model)
    return outbox.history(
        stores(), record.id, record.project.created, model=model or None, limit=call.limit,
        page=call.page,
    )  # fmt: skip
