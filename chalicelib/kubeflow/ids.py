"""Ids as Kubeflow's clients know them: texts of positive whole numbers of nine digits at most (the client
itself refuses longer ones). Models and versions get theirs when they are first shown, and keep them.

Only artifacts have longer ones, which are made of their version's: so an artifact needs no number of its own.
"""

import re
from collections.abc import Iterable

from chalicelib.registry import foreign_ids
from chalicelib.registry.foreign_ids import Numbered
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.errors import InvalidRequest

_ARTIFACTS = 10**4
_LEAST = 10**13
"""Ids of artifacts of versions begin here; those of artifacts without a version are shorter."""
MAX_ARTIFACTS = 500
_TEXT = re.compile(r"[1-9][0-9]{0,8}\Z|[1-9][0-9]{13}\Z", re.ASCII)


def number(text: object, what: str) -> int:
    """The number that an id is; an error that names what it is the id of."""
    if not isinstance(text, str) or not _TEXT.match(text):
        raise InvalidRequest(
            f"{str(text)[:60]!r} cannot be the id of the {what}: ids are whole numbers from 1 on"
        )
    return int(text)


def of_models(at: Stores, records: Iterable[ModelRecord]) -> dict[str, str]:
    """The ids of models of one project, by our own."""
    found = list(records)
    if not found:
        return {}
    numbers = foreign_ids.numbers(at, found[0].project_id, [Numbered(r.id) for r in found])
    return {own.model_id: str(n) for own, n in numbers.items()}


def of_versions(at: Stores, records: Iterable[VersionRecord]) -> dict[tuple[str, int], str]:
    """The ids of versions of one project, by model and number; those of their models have number 0."""
    found = list(records)
    if not found:
        return {}
    wanted = [Numbered(r.model.id, n) for r in found for n in (0, r.number)]
    numbers = foreign_ids.numbers(at, found[0].model.project_id, wanted)
    return {(own.model_id, own.version): str(n) for own, n in numbers.items()}


def of_artifact(version: str, index: int) -> str:
    """The id of an artifact, by the id of its version."""
    return str(_LEAST + int(version) * _ARTIFACTS + index)


def artifact(text: object) -> tuple[str, int]:
    """The id of an artifact's version and its index there; of one without a version an empty text and its
    number."""
    found = number(text, "artifact")
    if found < _LEAST:
        return "", found
    version, index = divmod(found - _LEAST, _ARTIFACTS)
    return str(version), index
