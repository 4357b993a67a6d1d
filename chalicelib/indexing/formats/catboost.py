"""CatBoost's own format: `CBM1`, a length, and a FlatBuffers table (catboost/libs/model/flatbuffers).

The table is read field by field: each offset is followed only if it stays inside the table, and only as
many members of a vector as the facts show are looked at.
"""

import struct
from collections.abc import Mapping
from typing import Any

from chalicelib.indexing.formats import texts
from chalicelib.indexing.formats.jsonscan import BadJson, strict
from chalicelib.indexing.formats.ranged import Ranged
from weighbridge.contract.types import Facts, Port

MAGIC = b"CBM1"
MAX_REQUESTS = 200
"""Pages of the table that are fetched: its parts are scattered over it."""
MAX_INPUTS = 64
MAX_INFO = 100
MAX_STRING = 256 * 1024
MAX_NAME = 4096
_PAGE = 64 * 1024
_KEPT_PAGES = 64

# Fields by their place in the schema.
_VERSION, _TREES, _INFO, _PARTS = 0, 1, 2, 3
_DIMENSION, _SIZES = 0, 2
_FEATURES = ((4, "categorical"), (5, "numeric"), (12, "text"), (18, "embedding"))
_FLAT = {"categorical": (1, 2), "numeric": (2, 4), "text": (1, 2), "embedding": (1, 2)}
"""Where a feature of a kind has its place among all features, and its name."""


class Damaged(Exception):
    """An offset or a length leads out of the table."""


def sniff(first: bytes, size: int) -> bool:
    """The signature and a length that is neither nothing nor absurd."""
    return first.startswith(MAGIC) and size >= 16


def read(ranged: Ranged) -> Facts:
    """The facts of a model."""
    core = int.from_bytes(ranged.read(0, 8)[4:], "little")
    if 8 + core > ranged.size:
        return Facts(
            "catboost", problem=f"it is cut short: it claims {core} bytes and has {ranged.size}"
        )
    try:
        return _facts(_Buffer(ranged, 8, core))
    except Damaged as error:
        return Facts("catboost", problem=f"its table is damaged: {error}")


class _Buffer:
    """Bytes `start` to `start + size` of the file, by pages that are fetched once."""

    def __init__(self, ranged: Ranged, start: int, size: int) -> None:
        self.ranged, self.start, self.size = ranged, start, size
        self.pages: dict[int, bytes] = {}
        self.fetched = 0

    def take(self, at: int, length: int) -> bytes:
        """That range, or `Damaged`."""
        if at < 0 or length < 0 or at + length > self.size:
            raise Damaged(f"{length} bytes at {at} of {self.size}")
        begin = self.start + at
        first, last = begin // _PAGE, (begin + max(length, 1) - 1) // _PAGE
        pages = [self._page(n) for n in range(first, last + 1)]
        within = begin - first * _PAGE
        found = (
            b"".join(pages)[within : within + length]
            if len(pages) > 1
            else (pages[0][within : within + length])
        )
        if len(found) != length:
            raise Damaged("it could not be read in full")
        return found

    def _page(self, number: int) -> bytes:
        if number not in self.pages:
            self.fetched += 1
            if self.fetched > MAX_REQUESTS:
                raise Damaged(f"more than {MAX_REQUESTS} pages would have to be read")
            if len(self.pages) >= _KEPT_PAGES:
                del self.pages[next(iter(self.pages))]
            self.pages[number] = self.ranged.read(number * _PAGE, _PAGE)
        return self.pages[number]

    def number(self, form: str, at: int) -> int:
        """A number of a `struct` form."""
        return int(struct.unpack("<" + form, self.take(at, struct.calcsize("<" + form)))[0])

    def follow(self, at: int) -> int:
        """Where the offset at a place points to."""
        return at + self.number("I", at)

    def field(self, table: int, place: int) -> int | None:
        """Where a field of a table stands; None if the table leaves it out."""
        vtable = table - self.number("i", table)
        if 4 + 2 * place + 2 > self.number("H", vtable):
            return None
        offset = self.number("H", vtable + 4 + 2 * place)
        return table + offset if offset else None

    def vector(self, table: int, place: int, width: int) -> tuple[int, int]:
        """How many members the vector of a field has and where they begin."""
        at = self.field(table, place)
        if at is None:
            return 0, 0
        begin = self.follow(at)
        count = self.number("I", begin)
        if begin + 4 + count * width > self.size:
            raise Damaged(f"a vector claims {count} members")
        return count, begin + 4

    def string(self, table: int, place: int, most: int = MAX_STRING) -> str:
        """The text of a field; empty if it is left out or longer than `most` bytes."""
        at = self.field(table, place)
        if at is None:
            return ""
        begin = self.follow(at)
        length = self.number("I", begin)
        if begin + 4 + length > self.size:
            raise Damaged(f"a text claims {length} bytes")
        return "" if length > most else self.take(begin + 4, length).decode("utf-8", "replace")


def _facts(buffer: _Buffer) -> Facts:
    root = buffer.follow(0)
    version = buffer.string(root, _VERSION)
    trees = buffer.field(root, _TREES)
    if trees is None or not version:
        raise Damaged("it holds no trees")
    body = buffer.follow(trees)
    dimension = buffer.field(body, _DIMENSION)
    count, _ = buffer.vector(body, _SIZES, 4)
    ports, features = _inputs(buffer, body)
    info = _info(buffer, root)
    params = _document(info, "params")
    loss = _at(params, "loss_function", "type")
    output = _at(_document(info, "class_params"), "class_names")
    shown: dict[str, object] = {
        "objective": loss,
        "trees": count,
        "features": features,
        "dimension": buffer.number("i", dimension) if dimension is not None else None,
        "classes": ", ".join(texts.text(c, 60) for c in output[:50])
        if isinstance(output, list)
        else None,
        "boosting": _at(params, "boosting_options", "boosting_type"),
        "iterations": _at(params, "boosting_options", "iterations"),
        "learning_rate": _at(params, "boosting_options", "learning_rate"),
        "depth": _at(params, "tree_learner_options", "depth"),
        "grow_policy": _at(params, "tree_learner_options", "grow_policy"),
        "version": _release(info.get("catboost_version_info", "")),
        "layout": version,
        **{k: v for k, v in info.items() if k in ("model_guid", "train_finish_time")},
    }
    own = {k: v for k, v in info.items() if k not in _OWN}
    kind = "oblivious trees" if shown["grow_policy"] in (None, "SymmetricTree") else "trees"
    return Facts(
        "catboost", architecture=kind, metadata=texts.metadata({**shown, **own}), inputs=ports
    )


_OWN = frozenset({
    "params", "training", "output_options", "class_params", "catboost_version_info", "model_guid",
    "train_finish_time",
})  # fmt: skip


def _inputs(buffer: _Buffer, body: int) -> tuple[tuple[Port, ...], int]:
    """The features in the order in which the model takes them, and how many there are."""
    found: list[tuple[int, Port]] = []
    total = 0
    for place, kind in _FEATURES:
        count, begin = buffer.vector(body, place, 4)
        total += count
        flat, name = _FLAT[kind]
        for n in range(min(count, MAX_INPUTS - len(found))):
            feature = buffer.follow(begin + 4 * n)
            at = buffer.field(feature, flat)
            index = buffer.number("i", at) if at is not None else -1
            title = buffer.string(feature, name, MAX_NAME) or str(index)
            found.append((index, Port(texts.text(title, 200), kind)))
    return tuple(port for _, port in sorted(found, key=lambda f: f[0])), total


def _info(buffer: _Buffer, root: int) -> dict[str, str]:
    """Key and value of the first entries that the model was saved with."""
    count, begin = buffer.vector(root, _INFO, 4)
    found = {}
    for n in range(min(count, MAX_INFO)):
        entry = buffer.follow(begin + 4 * n)
        found[buffer.string(entry, 0, MAX_NAME)] = buffer.string(entry, 1)
    return found


def _document(info: Mapping[str, str], name: str) -> Any:
    try:
        return strict(info.get(name, "{}").encode())
    except BadJson:
        return {}


def _at(document: Any, *path: str) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _release(text: str) -> str:
    """`1.2.10` of the line `Branch: tags/v1.2.10`."""
    _, found, rest = text.partition("Branch: tags/v")
    return rest.split(maxsplit=1)[0] if found and rest.split() else ""
