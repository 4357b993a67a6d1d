"""`/v1/model/tag` and `/v1/model/model_tag`: words for model versions."""

from contextlib import suppress
from typing import Any

from chalicelib.fate import shards
from chalicelib.fate.v1.wire import FAILED, Answer, Asked, Refused, verb
from chalicelib.registry import foreign_tags, projects
from chalicelib.registry.foreign_tags import Tag
from weighbridge.contract.errors import AlreadyExists, InvalidRequest, NotFound, RegistryError

LIMIT = 10


def _place(asked: Asked) -> str:
    return projects.find(asked.at, asked.project).id


def _named(asked: Asked, field: str = "tag_name") -> str:
    name = asked.text(field).strip()
    if not name:
        raise Refused(FAILED, f"{field} must not be empty")
    return name


def _failing(error: RegistryError) -> Refused:
    """Whatever a tag's verb fails with, FATE answers 100."""
    return Refused(FAILED, error.message)


def _shown(tag: Tag) -> dict[str, Any]:
    return {"name": tag.name, "description": tag.description}


@verb("model/tag/create", "write")
def create(asked: Asked) -> Answer:
    """A new tag."""
    name = _named(asked)
    place = projects.find(asked.at, asked.writable()).id
    try:
        foreign_tags.create(asked.at, place, name, asked.text("tag_desc"))
    except AlreadyExists as error:
        raise _failing(error) from None
    return Answer()


@verb("model/tag/update", "write")
def update(asked: Asked) -> Answer:
    """A tag's new name or description; a description that is not given stays."""
    given = asked.fields.get("new_tag_desc")
    try:
        foreign_tags.update(
            asked.at, _place(asked), _named(asked), asked.text("new_tag_name").strip(),
            None if given is None else asked.text("new_tag_desc"),
        )  # fmt: skip
    except (NotFound, AlreadyExists) as error:
        raise _failing(error) from None
    return Answer()


@verb("model/tag/destroy", "write")
def destroy(asked: Asked) -> Answer:
    """Removes a tag and its links."""
    try:
        foreign_tags.destroy(asked.at, _place(asked), _named(asked))
    except NotFound as error:
        raise _failing(error) from None
    return Answer()


@verb("model/tag/list", "read")
def listing(asked: Asked) -> Answer:
    """The first tags by name."""
    text = asked.text("limit") or str(LIMIT)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 1000:
        raise InvalidRequest(f"limit must be from 1 to 1000, not {text[:20]!r}")
    found: list[Tag] = []
    with suppress(NotFound):
        found = foreign_tags.listing(asked.at, _place(asked), int(text))
    return Answer({"tags": [{**_shown(tag), "model_count": tag.count} for tag in found]})


@verb("model/tag/retrieve", "read")
def retrieve(asked: Asked) -> Answer:
    """Tags whose names contain a text; or the models of one tag."""
    name = _named(asked)
    try:
        place = _place(asked)
        if not asked.flag("with_model"):
            found = foreign_tags.listing(asked.at, place, foreign_tags.MAX_LISTED, name)
            if not found:
                raise NotFound(f"no tag has {name!r} in its name")
            return Answer({"tags": [_shown(tag) for tag in found]})
        tag = foreign_tags.find(asked.at, place, name)
    except NotFound as error:
        raise _failing(error) from None
    models = [
        {
            "model_id": shard.party.model_id, "model_version": label,
            "model_size": round(shard.version.size / 1024), "role": shard.party.role,
            "party_id": shard.party.party_id,
        }
        for label in foreign_tags.labels(asked.at, place, tag)
        for shard in shards.labelled(asked.at, asked.project, label)
    ]  # fmt: skip
    return Answer({"models": models, "count": len(models)})


def _version(asked: Asked) -> str:
    """The model version that is meant; it must be there."""
    (label,) = asked.need("job_id")
    if not shards.labelled(asked.at, asked.project, label):
        raise Refused(FAILED, f"there is no model of version {label[:100]!r}")
    return label


@verb("model/model_tag/create", "write")
def tag_model(asked: Asked) -> Answer:
    """Tags a model version; a tag that is not there yet is made."""
    label, name, place = _version(asked), _named(asked), _place(asked)
    try:
        try:
            tag = foreign_tags.find(asked.at, place, name)
        except NotFound:
            with suppress(AlreadyExists):
                foreign_tags.create(asked.at, place, name)
            tag = foreign_tags.find(asked.at, place, name)
        foreign_tags.link(asked.at, place, tag, label)
    except (AlreadyExists, NotFound) as error:
        raise _failing(error) from None
    return Answer()


@verb("model/model_tag/remove", "write")
def untag_model(asked: Asked) -> Answer:
    """Takes a tag from a model version."""
    label, name, place = _version(asked), _named(asked), _place(asked)
    try:
        foreign_tags.unlink(asked.at, place, foreign_tags.find(asked.at, place, name), label)
    except NotFound as error:
        raise _failing(error) from None
    return Answer()


@verb("model/model_tag/retrieve", "read")
def tags_of_model(asked: Asked) -> Answer:
    """The tags of a model version."""
    label = _version(asked)
    found = foreign_tags.of_label(asked.at, _place(asked), label)
    return Answer({"tags": [_shown(tag) for tag in found], "count": len(found)})
