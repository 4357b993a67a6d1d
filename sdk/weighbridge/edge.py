"""Copies a running edge model registry into a project: records with their ids and dates, and packages.

The registry copied from is only read. What is there already is left alone, so a copy can be repeated; what
was changed there meanwhile is changed here. Every package is verified on its way.
"""

import hashlib
import json
import tempfile
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from weighbridge import packages
from weighbridge.contract import edge, types
from weighbridge.contract.errors import (
    Forbidden,
    IntegrityError,
    InvalidRequest,
    NotFound,
    RegistryError,
    TransferError,
    Unauthenticated,
    Unavailable,
)
from weighbridge.http import Pool, Response
from weighbridge.registry import Registry

LISTED = 100
"""The reference lists no more records than these, and does not say so."""
PRECISIONS = ("fp32", "fp16", "int8", "int4")
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-. ()"
MOST_QUESTIONS = 3000
_FORBIDDEN = frozenset("<%'_")
"""What a filter may not hold, and the letter that stands for any other there."""
_BLOCK = 1024 * 1024
_REDIRECTS = 5
Outcome = Literal["copied", "there", "changed", "failed"]
_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of one record."""

    id: str
    name: str
    version: str
    outcome: Outcome
    reference: str = ""
    size: int = 0
    message: str = ""


class Source:
    """An edge registry that is read. `url` is what its clients are configured with."""

    def __init__(self, url: str, ca_file: str = "") -> None:
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise InvalidRequest(f"{url!r} is no address such as http://127.0.0.1:32002")
        user, _, host = parts.netloc.rpartition("@")
        self.url = urlunsplit((parts.scheme, host, parts.path, "", ""))
        self._headers = {"Accept": "*/*"}
        if user:
            self._headers["Authorization"] = "Basic " + b64encode(user.encode()).decode()
        self._pool = Pool(ca_file)
        self.complete = True
        """False once a list was cut and could not be narrowed down."""

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()

    def _open(self, url: str) -> Response:
        headers = dict(self._headers)
        for _ in range(_REDIRECTS):
            answer = self._pool.open("GET", url, headers)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            with answer:
                answer.read()
                target = answer.headers.get("location", "")
            if target.startswith("/"):
                parts = urlsplit(url)
                target = f"{parts.scheme}://{parts.netloc}{target}"
            if urlsplit(target).netloc != urlsplit(url).netloc:
                headers.pop("Authorization", None)  # it is for the registry, not for its store
            url = target
        raise TransferError(f"{self.url} redirects too often")

    def _json(self, path: str) -> Any:
        """The answer's JSON; None for 404."""
        with self._open(self.url + path) as answer:
            data = answer.read()
        if answer.status == 404:
            return None
        if answer.status in (401, 403):
            kind = Unauthenticated if answer.status == 401 else Forbidden
            raise kind(f"{self.url} asks for credentials: write http://USER:TOKEN@HOST/…")
        if answer.status >= 500:
            raise Unavailable(
                f"{self.url} answers {answer.status} to {path}: a record that it cannot list "
                "makes it do so; delete that one there, or name the others with --id"
            )
        try:
            if answer.status == 200:
                return json.loads(data)
        except ValueError:
            pass
        raise InvalidRequest(f"{self.url}{path} is no edge model registry (status {answer.status})")

    def record(self, own: str) -> dict[str, Any]:
        """One record."""
        found = self._json(f"/models/{quote(own, safe='')}")
        if not isinstance(found, dict):
            raise NotFound(f"{self.url} has no model {own!r}")
        return found

    def records(self) -> list[dict[str, Any]]:
        """Every record that can be found, by id. Where a list is cut, narrower ones are asked for."""
        found: dict[str, dict[str, Any]] = {}
        if self._look({}, found) == LISTED:
            for precision in PRECISIONS:
                self._narrow({"precision": precision}, found)
        return [found[own] for own in sorted(found)]

    def _look(self, query: Mapping[str, str], found: dict[str, dict[str, Any]]) -> int:
        path = "/models" + (f"?{urlencode(query)}" if query else "")
        listed = self._json(path) or []
        if not isinstance(listed, list) or not all(isinstance(r, dict) for r in listed):
            raise InvalidRequest(f"{self.url}{path} is no list of records")
        found |= {str(record.get("id")): record for record in listed}
        return len(listed)

    def _narrow(self, query: dict[str, str], found: dict[str, dict[str, Any]]) -> None:
        """Asks for the parts of a list until none is cut: those whose names hold a letter, then those that
        hold one letter more before or behind it, and so on."""
        waiting, asked = deque([""]), {""}
        while waiting:
            part = waiting.popleft()
            if self._look({**query, "name": part} if part else query, found) < LISTED:
                continue
            if len(asked) > MOST_QUESTIONS:
                self.complete = False
                return
            names = {str(record.get("name")).lower() for record in found.values()}
            if part in names:  # no longer name tells these apart
                self.complete = False
                for version in sorted({str(record.get("version")) for record in found.values()}):
                    if not _FORBIDDEN & set(version):
                        self._look({**query, "name": part, "version": version}, found)
            chars = set("".join(names)) | (set() if part else set(ALPHABET))
            longer = {part + c for c in chars - _FORBIDDEN} | {c + part for c in chars - _FORBIDDEN}
            waiting += sorted(longer - asked)
            asked |= longer

    def fetch(self, own: str, target: Path) -> str:
        """Downloads a package; answers its SHA-256."""
        digest, view = hashlib.sha256(), memoryview(bytearray(_BLOCK))
        with self._open(f"{self.url}/models/{quote(own, safe='')}/files") as answer:
            if answer.status != 200:
                raise TransferError(f"its package is answered with status {answer.status}")
            size = 0
            with target.open("wb") as out:
                while count := answer.readinto(view):
                    digest.update(view[:count])
                    out.write(view[:count])
                    size += count
        promised = answer.headers.get("content-length")
        if promised is not None and int(promised) != size:
            raise TransferError(f"its package ended after {size} of {promised} bytes")
        with target.open("rb") as start:
            if start.read(2) != b"PK":
                raise IntegrityError("its package is no ZIP archive")
        return digest.hexdigest()


def copy(
    registry: Registry,
    source: Source,
    project: str,
    ids: Sequence[str] = (),
    *,
    dry_run: bool = False,
    told: Callable[[int], object] = lambda count: None,
) -> Iterator[Copied]:
    """Copies the records of those ids, else all, one by one. A record that fails does not stop the others.

    `told` hears how many there are.
    """
    records = [source.record(own) for own in ids] if ids else source.records()
    told(len(records))
    for record in records:
        own, name, version = (str(record.get(key) or "") for key in ("id", "name", "version"))
        try:
            yield _one(registry, source, project, record, own, dry_run)
        except (RegistryError, OSError) as error:
            text = error.message if isinstance(error, RegistryError) else str(error)
            yield Copied(own, name, version, "failed", message=text)


def said(record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """Attributes and metrics that stand for a record. Unset fields are left out."""
    attributes: dict[str, Any] = {edge.VERSION: str(record.get("version") or "")}
    precision = record.get("precision") or list(edge.DEFAULT_PRECISION)
    given = precision if isinstance(precision, list) else [precision]
    attributes[edge.PRECISION] = [str(one).lower() for one in given]
    for name in (*edge.TEXTS, edge.CREATED, edge.CHANGED):
        if isinstance(record.get(name), str) and record[name]:
            attributes[name] = record[name]
    for name in edge.DOCUMENTS:
        if record.get(name) not in (None, {}, []):
            attributes[name] = record[name]
    score = record.get("score")
    metrics = {edge.SCORE: float(score)} if isinstance(score, (int, float)) and score else {}
    return attributes, metrics


def _one(
    registry: Registry,
    source: Source,
    project: str,
    record: Mapping[str, Any],
    own: str,
    dry_run: bool,
) -> Copied:
    name, version = str(record.get("name") or ""), str(record.get("version") or "")
    if len(own) < 16 or not set(own) <= _ID:
        raise InvalidRequest(
            "its id is shorter than 16, or holds other than letters, digits, '_' and '-'; nobody "
            "can read it"
        )
    attributes, metrics = said(record)
    try:
        there: types.Version | None = registry.client.package(project, own)
    except NotFound:
        there = None
    if there is not None:
        return _again(registry, record, there, attributes, metrics, dry_run)
    model = f"{project}/{edge.model_of(name)}"
    size = record.get("size")
    if dry_run:
        return Copied(own, name, version, "copied", model, size if isinstance(size, int) else 0)
    with tempfile.TemporaryDirectory(prefix="weighbridge-edge-") as folder:
        target = Path(folder, "package")
        digest = source.fetch(own, target)
        bytes_ = target.stat().st_size
        if isinstance(size, int) and size != bytes_:
            attributes[edge.SIZE] = size  # somebody has changed what it says
        done = registry.push(
            model, target, as_name=_file_name(record), attributes=attributes, metrics=metrics,
            package=own, provenance=types.Provenance(), fingerprints=False, stats=False, wait=0,
        )  # fmt: skip
    packages.check(registry.client, project, own, digest, bytes_, attributes, "the record")
    return Copied(own, name, version, "copied", done.reference, bytes_)


def _file_name(record: Mapping[str, Any]) -> str:
    last = str(record.get("file_url") or "").rpartition("/")[2]
    safe = "".join(c for c in last if c.isprintable() and c not in '\\:*?"<>|').strip()
    return safe if safe not in ("", ".", "..") else "model.zip"


def _again(
    registry: Registry,
    record: Mapping[str, Any],
    there: types.Version,
    attributes: dict[str, Any],
    metrics: dict[str, float],
    dry_run: bool,
) -> Copied:
    """What is there already: as it is, unless the record says something else by now."""
    own, name, version = str(record["id"]), str(record["name"]), str(record["version"])
    reference = f"{there.project}/{there.model}@{there.number}"
    if (there.attributes.get(edge.NAME) or edge.name_of(there.model)) != name:
        attributes[edge.NAME] = name
    size = there.package.size if there.package else 0
    if isinstance(record.get("size"), int) and record["size"] != size:
        attributes[edge.SIZE] = record["size"]
    same = all(there.attributes.get(key) == value for key, value in attributes.items())
    if same and all(there.metrics.get(key) == value for key, value in metrics.items()):
        return Copied(own, name, version, "there", reference, size)
    if not dry_run:
        registry.client.change_version(
            there.project, there.model, there.number, metrics=metrics, attributes=attributes
        )
    return Copied(own, name, version, "changed", reference, size)


def open_source(url: str, ca_file: str = "") -> "closing[Source]":
    """A source for the length of a `with` block."""
    return closing(Source(url, ca_file))
