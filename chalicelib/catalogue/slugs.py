"""Addresses of pages and keys of their objects, each builder beside its parser.

    /p/<project>/                              a project
    /p/<project>/<model>/                      a model
    /p/<project>/<model>/versions/<f>-<l>/     its versions with the numbers f to l
    /p/<project>/<model>/<number>/             a version
    /p/<project>/<model>/<number>/checkpoints/ its checkpoints
    /p/<project>/<model>/<number>/checkpoints/<f>-<l>/   those with the numbers f to l
    /p/<project>/<model>/<number>/checkpoints/<point>/   a checkpoint
    /p/<project>/~federated/<model id>/        a federated model: the parties' parts of its versions
    /p/<project>/~providers/                   who runs components of federated jobs
    /p/<project>/~index/                       what search knows of its models; no page

`<project>` is the name in lower case. `<model>` is the name with every UTF-8 byte outside
`[A-Za-z0-9._-]` written as `~XX`; `~~<model id>` where that would be longer than 200 characters. The id
of a federated model is written likewise, `~~<digest>` where it is too long. No model's folder is ever
called `~federated`, `~providers` or `~index`.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode

from chalicelib.catalogue.views import RANGE
from weighbridge.contract.errors import InvalidName

Kind = Literal[
    "project",
    "model",
    "range",
    "version",
    "checkpoints",
    "checkpoint-range",
    "checkpoint",
    "federated",
    "providers",
]
MAX_SLUG = 200
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_RESERVED = frozenset({"index.html", "index.json"})
"""File names of a page: a model of that name must not become a folder in their place."""
_SLUG = re.compile(r"(?:[A-Za-z0-9._-]|~[0-9A-F]{2})+\Z")
_BY_ID = re.compile(r"~~([A-Za-z0-9._-]{1,64})\Z")
_ADDRESS = re.compile(
    r"/p/(?P<project>[a-z0-9][a-z0-9._-]{0,95})/"
    r"(?:(?P<model>[A-Za-z0-9._~-]+)/"
    r"(?:versions/(?P<first>[1-9][0-9]{0,17})-(?P<last>[1-9][0-9]{0,17})/"
    r"|(?P<number>[1-9][0-9]{0,17})/(?:(?P<checkpoints>checkpoints/)"
    r"(?:(?P<low>[1-9][0-9]{0,17})-(?P<high>[1-9][0-9]{0,17})/|(?P<point>[1-9][0-9]{0,17})/)?)?)?)?\Z"
)
_FEDERATED = re.compile(
    r"/p/(?P<project>[a-z0-9][a-z0-9._-]{0,95})/~federated/(?P<id>[A-Za-z0-9._~-]+)/\Z"
)

_PROVIDERS = re.compile(r"/p/(?P<project>[a-z0-9][a-z0-9._-]{0,95})/~providers/\Z")


@dataclass(frozen=True, slots=True)
class ModelSlug:
    """A model's folder, taken apart: its name, or its id where the name is too long (of a federated
    model: its id, or that id's digest)."""

    name: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a static page, taken apart."""

    kind: Kind
    project: str
    model: ModelSlug | None = None
    number: int = 0
    last: int = 0
    point: int = 0
    """The number of a checkpoint, or the first of a range of them, which ends with `last`."""


def project_slug(name: str) -> str:
    """The folder of a project; names are unique regardless of case."""
    return name.lower()


def model_slug(name: str, model_id: str) -> str:
    """The folder of a model. `parse_slug` reverses it."""
    slug = "".join(chr(b) if b in _PLAIN else f"~{b:02X}" for b in name.encode("utf-8"))
    if not slug.strip("."):  # browsers resolve `.` and `..` before they ask
        slug = slug.replace(".", "~2E")
    if slug in _RESERVED:
        slug = f"~{ord(slug[0]):02X}{slug[1:]}"
    return slug if len(slug) <= MAX_SLUG else f"~~{model_id}"


def parse_slug(slug: str) -> ModelSlug:
    """The model that a folder belongs to; `InvalidName` for what `model_slug` would never build."""
    if match := _BY_ID.match(slug):
        return ModelSlug(id=match[1])
    if _SLUG.match(slug):
        data = re.sub(rb"~(..)", lambda m: bytes.fromhex(m[1].decode()), slug.encode("ascii"))
        try:
            name = data.decode("utf-8")
        except UnicodeDecodeError:
            name = ""
        if name and model_slug(name, "") == slug:
            return ModelSlug(name=name)
    raise InvalidName(f"{slug[:80]!r} is no model's folder")


def project_path(project: str) -> str:
    """The address of a project."""
    return f"/p/{project_slug(project)}/"


def model_path(project: str, model: str, model_id: str) -> str:
    """The address of a model."""
    return f"{project_path(project)}{model_slug(model, model_id)}/"


def version_path(project: str, model: str, model_id: str, number: int) -> str:
    """The address of a version."""
    return f"{model_path(project, model, model_id)}{number}/"


def checkpoints_path(project: str, model: str, model_id: str, number: int) -> str:
    """The address of a version's checkpoints."""
    return f"{version_path(project, model, model_id, number)}checkpoints/"


def checkpoint_path(project: str, model: str, model_id: str, number: int, point: int) -> str:
    """The address of a checkpoint."""
    return f"{checkpoints_path(project, model, model_id, number)}{point}/"


def checkpoint_range_path(project: str, model: str, model_id: str, number: int, point: int) -> str:
    """The address of the range page on which a checkpoint stands."""
    first, last = range_of(point)
    return f"{checkpoints_path(project, model, model_id, number)}{first}-{last}/"


def range_of(number: int) -> tuple[int, int]:
    """The first and last number of the range page on which a version (or checkpoint) stands."""
    first = (number - 1) // RANGE * RANGE + 1
    return first, first + RANGE - 1


def range_path(project: str, model: str, model_id: str, number: int) -> str:
    """The address of the range page on which a version stands."""
    first, last = range_of(number)
    return f"{model_path(project, model, model_id)}versions/{first}-{last}/"


def federated_path(project: str, model_id: str) -> str:
    """The address of a federated model."""
    digest = hashlib.sha256(model_id.encode()).hexdigest()[:32]
    return f"{project_path(project)}~federated/{model_slug(model_id, digest)}/"


def providers_path(project: str) -> str:
    """The address of a project's providers."""
    return f"{project_path(project)}~providers/"


def index_path(project: str) -> str:
    """The folder of what search knows of a project's models."""
    return f"{project_path(project)}~index/"


def parse_path(path: str) -> Address:
    """The page that an address means; `InvalidName` for what no builder here would build."""
    if parties := _FEDERATED.match(path):
        return Address("federated", parties["project"], parse_slug(parties["id"]))
    if providers := _PROVIDERS.match(path):
        return Address("providers", providers["project"])
    match = _ADDRESS.match(path)
    if not match:
        raise InvalidName(f"{path[:200]!r} is no address of a page")
    project = match["project"]
    if match["model"] is None:
        return Address("project", project)
    model = parse_slug(match["model"])
    if match["number"]:
        number = int(match["number"])
        if match["point"]:
            return Address("checkpoint", project, model, number, point=int(match["point"]))
        if match["low"]:
            low, high = _range(path, match["low"], match["high"])
            return Address("checkpoint-range", project, model, number, high, low)
        kind: Kind = "checkpoints" if match["checkpoints"] else "version"
        return Address(kind, project, model, number)
    if match["first"]:
        return Address("range", project, model, *_range(path, match["first"], match["last"]))
    return Address("model", project, model)


def _range(path: str, first: str, last: str) -> tuple[int, int]:
    found = int(first), int(last)
    if found != range_of(found[0]):
        raise InvalidName(f"{path[:200]!r} is no range of {RANGE} numbers")
    return found


def compare_path(references: Sequence[str], everything: bool = False) -> str:
    """The address that compares versions and checkpoints, in this order; `everything`: with what is the
    same."""
    pairs = [("ref", reference) for reference in references]
    return "/compare?" + urlencode(
        [*pairs, ("all", "1")] if everything else pairs, errors="replace"
    )


def api_path(project: str, model: str = "") -> str:
    """The API's address of a project or model, as clients write it."""
    path = f"/api/projects/{quote(project, safe='')}"
    return f"{path}/models/{quote(model, safe='')}" if model else path


def object_key(path: str, name: str = "index.html") -> str:
    """The key, in the site store, of a file of the page at `path`."""
    return f"{path.lstrip('/')}{name}"


def folder(path: str) -> str:
    """The prefix, in the site store, of a page and of all pages below it."""
    return path.lstrip("/")
