"""Records → index documents: what search knows of models and versions, cut to what an index bears.

    /p/<project>/~index/models-<0..f>.json           models, by the first hex digit of their id
    /p/<project>/<model>/versions/<f>-<l>/search.json  the ready versions with the numbers f to l

A new version changes one of each, however many there are. Documents are pure functions of records.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from chalicelib.catalogue import formats, slugs
from chalicelib.catalogue.links import model_link
from weighbridge.contract import codec
from weighbridge.contract.types import Model, Version

FORMAT = 1
SHARDS = "0123456789abcdef"
VERSIONS = "search.json"
CARD = 2000
DESCRIPTION = 1000
VERSION_DESCRIPTION = 300
MOST_PAIRS = 64
"""Metrics, params or tags of one version that search knows, the first by name."""
MOST_ALIASES = 50
TEXT = 120


def shard_of(model_id: str) -> str:
    """The shard that holds a model; ids that do not begin with a hex digit share the first."""
    first = model_id[:1].lower()
    return first if first and first in SHARDS else SHARDS[0]


def shard_name(shard: str) -> str:
    """The file name of a shard."""
    return f"models-{shard}.json"


def shard_key(project: str, shard: str) -> str:
    """The key of a shard in the site store."""
    return slugs.object_key(slugs.index_path(project), shard_name(shard))


def versions_path(model_path: str, number: int) -> str:
    """The address of the document that holds a version."""
    first, last = slugs.range_of(number)
    return f"{model_path}versions/{first}-{last}/{VERSIONS}"


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ("", {}, [], None)}


def _cut(values: Mapping[str, Any]) -> dict[str, Any]:
    return {formats.clipped(name, TEXT): values[name] for name in sorted(values)[:MOST_PAIRS]}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {k: formats.clipped(formats.exact(v), TEXT) for k, v in _cut(values).items()}


def model_entry(model: Model, card: str, latest: Version | None) -> dict[str, Any]:
    """What a shard says of a model. `latest` is its newest ready version."""
    metric = model.settings.main_metric
    value = latest.metrics.get(metric) if latest else None
    known = {} if value is None or not metric else {"metric": metric, "value": codec.encode(value)}
    return {"id": model.id, "name": model.name, "path": model_link(model)} | _filled({
        "description": formats.clipped(model.description, DESCRIPTION),
        "card": formats.clipped(card, CARD), "tags": _texts(model.tags),
        "aliases": dict(sorted(model.aliases.items())[:MOST_ALIASES]), **known,
        "highest": latest.number if latest else None,
        "formats": list(latest.formats) if latest else [],
    })  # fmt: skip


def shard_document(project: str, entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A shard of the models of a project."""
    ordered = sorted(entries, key=lambda entry: str(entry["id"]))
    return {"kind": "models", "format": FORMAT, "project": project, "models": ordered}


def version_entry(version: Version) -> dict[str, Any]:
    """What the index says of a version."""
    return _filled({
        "number": version.number, "label": version.label,
        "description": formats.clipped(version.description, VERSION_DESCRIPTION),
        "aliases": list(version.aliases[:MOST_ALIASES]),
        "metrics": codec.encode(_cut(version.metrics)), "params": _texts(version.params),
        "tags": _texts(version.tags), "formats": list(version.formats), "verdict": version.verdict,
        "by": version.created_by, "published": version.published, "size": version.size or None,
    })  # fmt: skip


def versions_document(model: Model, versions: Iterable[Version]) -> dict[str, Any]:
    """The versions of a range, newest first."""
    return {
        "kind": "entries", "format": FORMAT, "model": f"{model.project}/{model.name}",
        "versions": [version_entry(version) for version in versions],
    }  # fmt: skip
