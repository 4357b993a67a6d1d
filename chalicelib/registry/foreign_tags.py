"""Tags as FATE has them: things of their own, with a unique name and a description, linked to labels.

A link is to a model version (our label), hence to the versions of all parties that bear it. A tag's links
hang on its id, so that it can be renamed in one transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.registry import keys, paging
from chalicelib.registry.ports import (
    Absent,
    Check,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Present,
    Put,
    Update,
)
from chalicelib.registry.stores import Stores
from weighbridge.contract import names
from weighbridge.contract.errors import AlreadyExists, NotFound, TooLarge, Unavailable

MAX_DESCRIPTION = 10_000
MAX_LISTED = 1000
_RACES = 8


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag; `count` is how many labels it is linked to."""

    id: str
    name: str
    description: str = ""
    count: int = 0
    revision: int = 0


def _decoded(item: Item) -> Tag:
    doc = item.doc
    return Tag(
        str(item.attrs["ref"]), str(doc["name"]), str(doc.get("description", "")),
        int(item.attrs.get("n", 0)), int(item.attrs.get("rev", 0)),
    )  # fmt: skip


def _checked(description: str) -> str:
    if len(description.encode("utf-8", "surrogatepass")) > MAX_DESCRIPTION:
        raise TooLarge(f"a tag's description holds {MAX_DESCRIPTION} bytes at most")
    return description


def find(stores: Stores, project_id: str, name: str) -> Tag:
    """The tag of that name, or `NotFound`."""
    item = stores.table.get(keys.tag(project_id, names.key("tag name", name)))
    if item is None:
        raise NotFound(f"there is no tag {name!r}")
    return _decoded(item)


def create(stores: Stores, project_id: str, name: str, description: str = "") -> Tag:
    """A new tag."""
    names.key("tag name", name)
    tag = Tag(stores.random(), name, _checked(description), revision=1)
    doc = {"name": name, "description": tag.description}
    item = Item(keys.tag(project_id, name), {"ref": tag.id, "rev": 1, "n": 0}, doc)
    by_id = Put(Item(keys.tag_name(project_id, tag.id), {"ref": name}))
    try:
        stores.table.transact([Put(item, (Absent(),)), by_id])
    except ConditionFailed:
        raise AlreadyExists(f"there is a tag {name!r} already") from None
    return tag


def update(
    stores: Stores, project_id: str, name: str, new_name: str = "", description: str | None = None
) -> Tag:
    """The tag under another name or with another description; what is not given stays."""
    for _ in range(_RACES):
        tag = find(stores, project_id, name)
        told = tag.description if description is None else _checked(description)
        target = names.key("tag name", new_name) if new_name else name
        doc = {"name": target, "description": told}
        same = (Equal("rev", tag.revision), Equal("n", tag.count))
        try:
            if target == name:
                stores.table.write(
                    Update(keys.tag(project_id, name), add={"rev": 1}, doc=doc, condition=same)
                )
            else:
                attrs: dict[str, str | int] = {
                    "ref": tag.id, "rev": tag.revision + 1, "n": tag.count,
                }  # fmt: skip
                stores.table.transact([
                    Put(Item(keys.tag(project_id, target), attrs, doc), (Absent(),)),
                    Delete(keys.tag(project_id, name), same),
                    Put(Item(keys.tag_name(project_id, tag.id), {"ref": target})),
                ])  # fmt: skip
        except ConditionFailed as failed:
            if target != name and failed.index == 0:
                raise AlreadyExists(f"there is a tag {target!r} already") from None
            continue
        return Tag(tag.id, target, told, tag.count, tag.revision + 1)
    raise Unavailable("too many others changed this tag at once; try again")


def destroy(stores: Stores, project_id: str, name: str) -> None:
    """Removes a tag, then its links; a link whose tag is gone counts for nothing."""
    tag = find(stores, project_id, name)
    try:
        stores.table.transact([
            Delete(keys.tag(project_id, name), (Present(), Equal("ref", tag.id))),
            Delete(keys.tag_name(project_id, tag.id)),
        ])  # fmt: skip
    except ConditionFailed:
        raise NotFound(f"there is no tag {name!r}") from None
    while found := list(_links(stores, project_id, tag.id, 100)):
        pairs = [keys.tagged(project_id, tag.id, label) for label in found]
        stores.table.write_many([Delete(key) for pair in pairs for key in pair])


def listing(stores: Stores, project_id: str, limit: int, part: str = "") -> list[Tag]:
    """Tags by name; those whose name contains `part`."""
    found: list[Tag] = []
    after: str | None = None
    while True:
        page = stores.table.query(
            keys.of_tags(project_id), *keys.prefix("N#"), after=after, limit=1000
        )
        for item in page.items:
            tag = _decoded(item)
            if part in tag.name:
                found.append(tag)
                if len(found) == limit:
                    return found
        if page.next is None:
            return found
        after = page.next


def link(stores: Stores, project_id: str, tag: Tag, label: str) -> None:
    """Links a tag to a label; `AlreadyExists` if it is."""
    there, back = keys.tagged(project_id, tag.id, label)
    _change(stores, project_id, tag, [
        Put(Item(there, {}, {"label": label}), (Absent(),)), Put(Item(back, {"ref": tag.id})),
    ], 1, f"the version {label!r} has the tag {tag.name!r} already")  # fmt: skip


def unlink(stores: Stores, project_id: str, tag: Tag, label: str) -> None:
    """Removes the link of a tag to a label; `NotFound` if there is none."""
    there, back = keys.tagged(project_id, tag.id, label)
    _change(stores, project_id, tag, [Delete(there, (Present(),)), Delete(back)], -1,
            f"the version {label!r} does not have the tag {tag.name!r}")  # fmt: skip


def _change(
    stores: Stores, project_id: str, tag: Tag, writes: list[Put | Delete], step: int, text: str
) -> None:
    count = Update(
        keys.tag(project_id, tag.name), add={"n": step}, condition=(Equal("ref", tag.id),)
    )
    try:
        stores.table.transact(
            [*writes, count, Check(keys.tag_name(project_id, tag.id), (Present(),))]
        )
    except ConditionFailed as failed:
        if failed.index == 0:
            raise AlreadyExists(text) if step > 0 else NotFound(text) from None
        raise NotFound(f"there is no tag {tag.name!r} any more") from None


def _links(stores: Stores, project_id: str, tag_id: str, limit: int) -> Iterator[str]:
    bounds = keys.prefix(f"T#{tag_id}#")
    for item in paging.collect(stores.table, keys.of_tags(project_id), bounds, limit=limit):
        yield str(item.doc["label"])


def labels(stores: Stores, project_id: str, tag: Tag) -> list[str]:
    """The labels that a tag is linked to."""
    return list(_links(stores, project_id, tag.id, MAX_LISTED))


def of_label(stores: Stores, project_id: str, label: str) -> list[Tag]:
    """The tags of a label, by name."""
    bounds = keys.prefix(f"L#{keys.text(label)}#")
    items = paging.collect(stores.table, keys.of_tags(project_id), bounds, limit=MAX_LISTED)
    wanted = [keys.tag_name(project_id, str(item.attrs["ref"])) for item in items]
    by_id = stores.table.get_many(wanted)
    tags = [keys.tag(project_id, str(item.attrs["ref"])) for item in by_id.values()]
    return sorted((_decoded(i) for i in stores.table.get_many(tags).values()), key=lambda t: t.name)
