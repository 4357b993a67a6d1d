"""Promotion: a version of a checkpoint's files. No byte is copied; the version holds its own references."""

from contextlib import suppress

from chalicelib.registry import claims, publishing, safety, versions
from chalicelib.registry.checkpoints import CheckpointRecord
from chalicelib.registry.stores import Stores
from weighbridge.contract.errors import (
    Conflict,
    InvalidManifest,
    NotFound,
    RegistryError,
    Unavailable,
)
from weighbridge.contract.types import NewVersion, Promotion, Version, VersionCommit


def promote(stores: Stores, by: str, record: CheckpointRecord, request: Promotion) -> Version:
    """The next version of the model, with the checkpoint's files and metrics. Whatever becomes of the
    checkpoint, the version stays: `source` says where it came from. `HeldBack` for one that its verdict holds back;
    the project's safety policy is applied to the version as to any other, so a checkpoint that was
    released makes a version that needs a release of its own.

    What the checkpoint's version says of itself (params, attributes, provenance, parents) goes along,
    as far as it is known: an open version has said nothing yet.
    """
    found, point = record.version, record.checkpoint
    model, origin = found.model, found.version
    safety.refuse_held(record.reference, point.state, point.verdict)
    entries = versions.files(stores, model.project_id, point.manifest)
    at = (model.project, model.model.name)
    opened = publishing.begin(stores, by, *at, NewVersion(request.key, request.label))
    commit = VersionCommit(
        manifest=point.manifest, files=entries, description=request.description,
        metrics=point.metrics, params=origin.params, tags={**point.tags, **request.tags},
        attributes=origin.attributes, provenance=origin.provenance, parents=origin.parents,
        claims=claims.carry(stores, found, point.claims, opened.number),
    )  # fmt: skip
    try:
        return publishing.commit(stores, by, *at, opened.number, commit, source=record.reference)
    except InvalidManifest:
        _give_up(stores, by, at, opened.number)
        raise NotFound(
            f"the files of {record.reference} are gone: it was evicted meanwhile"
        ) from None
    except Unavailable:
        raise  # asked again with the same key, it goes on
    except RegistryError:
        _give_up(stores, by, at, opened.number)
        raise


def _give_up(stores: Stores, by: str, at: tuple[str, str], number: int) -> None:
    with suppress(Conflict):  # the key was used for another promotion, which stands
        publishing.abort(stores, by, *at, number)
