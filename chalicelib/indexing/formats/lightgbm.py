"""LightGBM's text models: a head of `key=value` lines, trees whose sizes the head lists, parameters.

The sizes say where the trees end, so what is behind them is read without the trees.
"""

from chalicelib.indexing.formats import texts
from chalicelib.indexing.formats.ranged import Ranged
from weighbridge.contract.types import Facts, Port

MAX_HEAD = 8 * 1024 * 1024
MAX_TREES = 1_000_000
MAX_INPUTS = 64
TAIL = 64 * 1024
END = b"end of trees"

_SHOWN = (
    "objective", "num_class", "num_tree_per_iteration", "label_index", "monotone_constraints", "version",
)  # fmt: skip
_PARAMS = (
    "boosting", "num_iterations", "learning_rate", "num_leaves", "max_depth", "metric", "linear_tree",
)  # fmt: skip


def sniff(first: bytes, size: int) -> bool:
    """The first two lines of every model."""
    return first.startswith((b"tree\nversion=", b"tree\r\nversion="))


def read(ranged: Ranged) -> Facts:
    """The facts of a model."""
    data, end = _head(ranged)
    if end < 0:
        most = min(ranged.size, MAX_HEAD)
        return Facts("lightgbm", problem=f"its head has no end within {most:,} bytes")
    head = _pairs(data[:end].decode("utf-8", "replace"))
    features = texts.whole(head.get("max_feature_idx", ""), 2**31) + 1
    if "max_feature_idx" not in head or "feature_names" not in head:
        return Facts("lightgbm", problem="its head names no features")
    sizes = head.get("tree_sizes", "").split(" ", MAX_TREES)
    trees = [texts.whole(size) for size in sizes if size]
    names = head["feature_names"].split(" ", MAX_INPUTS)[:MAX_INPUTS]
    infos = head.get("feature_infos", "").split(" ", MAX_INPUTS)
    ports = tuple(
        Port(texts.text(n, 200), _kind(infos[i]) if i < len(infos) else "")
        for i, n in enumerate(names)
    )
    params, finding = _behind(ranged, end, sum(trees))
    boosting = params.get("boosting", "")
    shown: dict[str, object] = {
        **{name: head.get(name) for name in _SHOWN},
        "trees": len(trees), "features": features,
        **{name: params.get(name) for name in _PARAMS},
        "average_output": "yes" if "average_output" in head else None,
    }  # fmt: skip
    cut = finding == CUT
    return Facts(
        "lightgbm", architecture=texts.text(boosting, 60), metadata=texts.metadata(shown),
        inputs=ports, problem=CUT if cut else "", findings=() if cut or not finding else (finding,),
    )  # fmt: skip


CUT = "it is cut short: its trees reach beyond its end"


def _head(ranged: Ranged) -> tuple[bytes, int]:
    """The beginning of the file, and where in it the trees begin (-1: nowhere)."""
    length = 64 * 1024
    while True:
        data = ranged.read(0, min(length, ranged.size))
        found = [at for mark in (b"\nTree=0", b"\n" + END) if (at := data.find(mark)) >= 0]
        if found or len(data) >= min(MAX_HEAD, ranged.size):
            return data, min(found, default=-2) + 1
        length *= 16


def _pairs(text: str) -> dict[str, str]:
    """`key=value` lines and bare words; the first of a name counts."""
    found: dict[str, str] = {}
    for line in text.splitlines()[:1000]:
        name, _, value = line.partition("=")
        found.setdefault(name.strip()[:100], value.strip())
    return found


def _behind(ranged: Ranged, start: int, length: int) -> tuple[dict[str, str], str]:
    """The parameters behind the trees, and what is odd about the place where trees should end."""
    end = start + length
    if end + len(END) > ranged.size:
        return {}, CUT
    finding = ""
    mark = ranged.read(max(0, end - 8), len(END) + 64)
    if END not in mark:
        finding = "its trees do not end where their sizes say"
    tail = ranged.read(max(0, ranged.size - TAIL), TAIL)
    _, _, behind = tail.rpartition(b"\nparameters:")
    params: dict[str, str] = {}
    for line in behind.decode("utf-8", "replace").splitlines()[:1000]:
        if line.startswith("[") and line.endswith("]"):
            name, _, value = line[1:-1].partition(":")
            params.setdefault(name.strip()[:100], value.strip())
    return params, finding


def _kind(info: str) -> str:
    """A range is a number, a list of values a category."""
    if info.startswith("["):
        return "numeric"
    return "unused" if info == "none" else "categorical"
