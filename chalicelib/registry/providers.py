"""Providers of components for federated jobs: registered, found, replaced and removed, by project."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from chalicelib.registry import keys, outbox, paging, projects
from chalicelib.registry.models import bounded
from chalicelib.registry.ports import (
    Absent,
    Check,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Predicate,
    Present,
    Put,
)
from chalicelib.registry.projects import ProjectRecord
from chalicelib.registry.stores import Stores, iso
from weighbridge.contract import assignments, codec
from weighbridge.contract import providers as naming
from weighbridge.contract.errors import Conflict, InvalidRequest, NotFound, Unavailable
from weighbridge.contract.providers import ProviderName
from weighbridge.contract.types import (
    Component,
    ComponentPage,
    Deleted,
    Device,
    NewProvider,
    Protocol,
    Provider,
    ProviderPage,
    Resolution,
    ResolveRequest,
)

RACES = 12


def _decoded(item: Item) -> Provider:
    found = codec.decode(Provider, dict(item.doc))
    return replace(found, revision=int(item.attrs.get("rev", 0)))


def _item(record: ProjectRecord, provider: Provider) -> Item:
    doc = codec.encode(provider)
    doc.pop("revision")
    bounded(doc)
    key = keys.provider(record.id, provider.provider_name)
    return Item(key, {"rev": provider.revision}, doc)


def register(
    stores: Stores, by: str, project: str, new: NewProvider
) -> tuple[Provider, Provider | None]:
    """The provider as it is now, and as it was before (None: it is new). All is replaced but the time
    when it was first registered. Nothing is saved unless all of it is right."""
    if wrong := naming.problems(new):
        place, said = next(iter(wrong.items()))
        raise InvalidRequest(f"{place} {said[0]}", fields=wrong)
    record = projects.find(stores, project)
    name = str(ProviderName(new.name, new.version, new.device))
    for _ in range(RACES):
        there = stores.table.get(keys.provider(record.id, name))
        old = _decoded(there) if there else None
        now = iso(stores.now())
        provider = Provider(
            name, new.name, new.version, cast("Device", new.device), new.metadata,
            cast("Protocol", new.protocol), new.components,
            created=old.created if old else now, created_by=old.created_by if old else by,
            updated=now, updated_by=by, revision=old.revision + 1 if old else 1,
        )  # fmt: skip
        unchanged: Predicate = Equal("rev", old.revision) if old else Absent()
        word = "updated" if old else "registered"
        event = outbox.entry(stores, record.id, f"provider.{word}", by, subject=name)
        live = Check(keys.project(project), (Equal("state", "live"),))
        try:
            stores.table.transact([Put(_item(record, provider), (unchanged,)), live, event])
        except ConditionFailed as failed:
            if failed.index == 1:
                raise Conflict(f"the project {project!r} is being deleted") from None
            continue
        outbox.wake(stores, record.id)
        return provider, old
    raise Unavailable(f"too many others register {name} at once; try again")


def find(stores: Stores, project: str, name: str) -> Provider:
    """The provider of that whole name, or `NotFound`."""
    record = projects.find(stores, project)
    item = stores.table.get(keys.provider(record.id, str(naming.parse(name))))
    if item is None:
        raise NotFound(f"there is no provider {name!r} in the project {record.project.name}")
    return _decoded(item)


def _wanted(provider: Provider, name: str, version: str, device: str) -> bool:
    return (
        name in ("", provider.name)
        and version in ("", provider.version)
        and device in ("", provider.device)
    )


def listing(
    stores: Stores,
    project: str,
    *,
    name: str = "",
    version: str = "",
    device: str = "",
    limit: int = 100,
    page: str | None = None,
) -> ProviderPage:
    """Providers of a project by name."""
    record = projects.find(stores, project)
    found, following = paging.page_of(
        stores.table, f"providers/{record.id}/{name}/{version}/{device}", f"P#{record.id}",
        keys.prefix(keys.provider(record.id, f"{name}:" if name else "").sk), _decoded,
        size=limit, page=page,
    )  # fmt: skip
    return ProviderPage(tuple(p for p in found if _wanted(p, name, version, device)), following)


def matching(
    stores: Stores, project: str, *, name: str = "", version: str = "", device: str = ""
) -> Iterator[Provider]:
    """All providers with these parts; empty ones match any."""
    page: str | None = None
    while True:
        part = listing(stores, project, name=name, version=version, device=device, page=page)
        yield from part.items
        page = part.next
        if page is None:
            return


def delete(stores: Stores, by: str, project: str, name: str) -> Deleted:
    """Removes a provider with its components."""
    record = projects.find(stores, project)
    whole = str(naming.parse(name))
    event = outbox.entry(stores, record.id, "provider.deleted", by, subject=whole)
    try:
        stores.table.transact([Delete(keys.provider(record.id, whole), (Present(),)), event])
    except ConditionFailed:
        raise NotFound(
            f"there is no provider {whole!r} in the project {record.project.name}"
        ) from None
    outbox.wake(stores, record.id)
    return Deleted(whole)


def components(
    stores: Stores,
    project: str,
    *,
    name: str = "",
    protocol: str = "",
    limit: int = 100,
    page: str | None = None,
) -> ComponentPage:
    """The components of `limit` providers, or only those of that name or protocol."""
    part = listing(stores, project, limit=limit, page=page)
    found = [
        Component(component, provider.provider_name, provider.protocol, description)
        for provider in part.items
        if protocol in ("", provider.protocol)
        for component, description in sorted(provider.components.items())
        if name in ("", component)
    ]
    return ComponentPage(tuple(found), part.next)


def resolve(stores: Stores, project: str, request: ResolveRequest, default: str) -> Resolution:
    """Which provider runs each task of a DAG at each party."""
    record = projects.find(stores, project)
    chosen = naming.parse(request.default or default)

    def registered(name: str) -> bool:
        return stores.table.get(keys.provider(record.id, name)) is not None

    return assignments.resolve(request.dag, chosen, registered)
