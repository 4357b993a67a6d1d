"""scikit-learn models in the skops format: a zip of arrays and `schema.json`, a tree of typed nodes.

Loading imports and calls what the nodes name, so skops checks each against a list (its persistence guide,
skops.readthedocs.io). This repeats that check without loading, node kind by node kind.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from chalicelib.indexing.formats import listing, texts, zips
from chalicelib.indexing.formats import skops_trusted as trusted
from chalicelib.indexing.formats.jsonscan import BadJson, strict
from chalicelib.indexing.formats.ranged import Ranged
from chalicelib.indexing.formats.zips import BadZip, Member
from weighbridge.contract.types import Facts, Verdict

SCHEMA = "schema.json"
MAX_SCHEMA = 8 * 1024 * 1024
PROTOCOL = 2
"""The newest layout of the schema that this knows."""

_NONE: frozenset[str] = frozenset()
_TRUSTED: Mapping[str, frozenset[str]] = {
    "DictNode": frozenset({"builtins.dict", "collections.OrderedDict"}),
    "DefaultDictNode": frozenset({"collections.defaultdict"}),
    "ListNode": frozenset({"builtins.list"}),
    "SetNode": frozenset({"builtins.set"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "BytesNode": frozenset({"builtins.bytes"}),
    "BytearrayNode": frozenset({"builtins.bytearray"}),
    "FunctionNode": trusted.FUNCTIONS,
    "TypeNode": trusted.TYPES | trusted.DTYPES,
    "ObjectNode": trusted.ESTIMATORS,
    "NdArrayNode": trusted.DTYPES | {"numpy.ndarray"},
    "MaskedArrayNode": frozenset({"numpy.ma.MaskedArray"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "SparseMatrixNode": trusted.SPARSE,
    "LossNode": trusted.LOSSES,
    "PartialNode": _NONE, "ConstructorFromReduceNode": _NONE, "MethodNode": _NONE, "DTypeNode": _NONE,
    "OperatorFuncNode": _NONE, "TreeNode": _NONE, "QuantileForestNode": _NONE,
}  # fmt: skip
_HARMLESS = frozenset({"JsonNode", "SliceNode", "CachedNode"})
_CRASHES = frozenset({
    "sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
})  # fmt: skip


class Damaged(Exception):
    """A node that skops itself could not read."""


def holds(members: tuple[Member, ...]) -> bool:
    """A schema at the top; `read` tells whether it is that of skops."""
    return any(member.name == SCHEMA for member in members)


def read(ranged: Ranged, members: tuple[Member, ...]) -> Facts | None:
    """The facts of a model, None if the schema is another's.

    Loading a model that names types which skops does not trust is unsafe.
    """
    inside = [listing.Entry(m.name, m.size, encrypted=m.encrypted) for m in members]
    judged = listing.judge(
        [e for e in inside if not e.name.endswith(".npz")], sum(m.compressed for m in members)
    )
    schema = next(member for member in members if member.name == SCHEMA)
    try:
        if schema.size > MAX_SCHEMA:
            raise Damaged(f"its schema has {schema.size:,} bytes; {MAX_SCHEMA:,} are read at most")
        document = strict(zips.open_member(ranged, schema, MAX_SCHEMA))
        if not isinstance(document, dict) or "__loader__" not in document:
            return None
        walk = _Walk(document)
    except (BadZip, BadJson, Damaged) as error:
        return Facts("skops", problem=str(error), verdict="unknown", findings=judged.findings)
    verdict: Verdict = "unsafe" if walk.untrusted or judged.verdict == "unsafe" else "safe"
    if verdict == "safe" and (walk.unknown or judged.verdict):
        verdict = "unknown"
    root = texts.text(document.get("__class__"), 100)
    kinds = list(dict.fromkeys(walk.estimators))
    inner = [kind for kind in kinds if kind != root]
    shown: dict[str, object] = {
        "sklearn_version": walk.version, "skops_version": document.get("_skops_version"),
        "protocol": document.get("protocol"), "class": f"{document.get('__module__')}.{root}",
        "types": ", ".join(kinds), "features": walk.features,
        "arrays": sum(m.name.endswith((".npy", ".npz")) for m in members),
        "bytes": sum(m.size for m in members if m.name != SCHEMA),
    }  # fmt: skip
    return Facts(
        "skops", architecture=texts.text(f"{root}({', '.join(inner)})" if inner else root, 200),
        metadata=texts.metadata(shown), verdict=verdict,
        findings=texts.findings([*map(_why, sorted(walk.untrusted)), *walk.unknown, *judged.findings]),
    )  # fmt: skip


def _why(name: str) -> str:
    if name in _CRASHES:
        return f"{name} (runs no code, but its numbers can crash a process that predicts)"
    return name


class _Walk:
    """Every node of the schema, looked at once; `untrusted` are the names that skops would not load."""

    def __init__(self, document: Any) -> None:
        self.untrusted: set[str] = set()
        self.unknown: list[str] = []
        self.estimators: list[str] = []
        self.version = ""
        self.features = 0
        root = _object(document)
        self.protocol = root.get("protocol")
        if isinstance(self.protocol, bool) or not isinstance(self.protocol, int):
            raise Damaged("its schema names no protocol")
        if not 0 <= self.protocol <= PROTOCOL:
            self.unknown.append(f"protocol {self.protocol} is newer than {PROTOCOL}")
        stack = [root]
        while stack:
            stack += reversed([_object(child) for child in self._children(stack.pop())])

    def _children(self, node: dict[str, Any]) -> Iterable[Any]:
        """Checks the node's own names; answers the nodes below it."""
        loader, name = (
            _text(node, "__loader__"),
            f"{_text(node, '__module__')}.{_text(node, '__class__')}",
        )
        if loader in _HARMLESS:
            return ()
        accepted = _TRUSTED.get(loader)
        if accepted is None:
            self.unknown.append(
                f"the node kind {texts.text(loader, 60)} of {texts.text(name, 120)}"
            )
            return ()
        content = node.get("content")
        if loader == "FunctionNode" and self.protocol == 0:
            content = _object(content)
            name = f"{_text(content, 'module_path')}.{_text(content, 'function')}"
        if name not in accepted:
            self.untrusted.add(name)
        return self._below(loader, node, content)

    def _below(self, loader: str, node: dict[str, Any], content: Any) -> Iterable[Any]:
        match loader:
            case "DictNode":
                return [node.get("key_types"), *_object(content).values()]
            case "ListNode" | "SetNode" | "TupleNode":
                return _list(content)
            case "ObjectNode":
                self._object_node(node, content)
                return [] if content is None else [content]
            case "ConstructorFromReduceNode" | "RandomStateNode" | "DTypeNode":
                return [content]
            case "DefaultDictNode":
                return _pick(content, "main", "default_factory")
            case "PartialNode":
                return _pick(content, "func", "args", "kwds", "namespace")
            case "MaskedArrayNode":
                return _pick(content, "data", "mask")
            case "OperatorFuncNode":
                return [node.get("attrs")]
            case "NdArrayNode":
                return [*_list(content), node.get("shape")] if node.get("type") == "json" else []
            case "MethodNode":
                return self._method(content)
            case "RandomGeneratorNode":
                return self._generator(content)
            case "TreeNode" | "LossNode" | "QuantileForestNode":
                return [content, *_pick(node.get("__reduce__"), "args")]
            case _:
                return []

    def _object_node(self, node: dict[str, Any], content: Any) -> None:
        """Notes the estimator, and what its attributes say for themselves."""
        self.estimators.append(texts.text(node.get("__class__"), 100))
        attributes = content.get("content") if isinstance(content, dict) else None
        if not isinstance(attributes, dict):
            return
        if not self.version:
            version = _literal(attributes.get("_sklearn_version"))
            self.version = version if isinstance(version, str) else ""
        if not self.features:
            self.features = texts.whole(_literal(attributes.get("n_features_in_")))

    def _method(self, content: Any) -> list[Any]:
        owner = _object(_object(content).get("obj"))
        owned = f"{_text(owner, '__module__')}.{_text(owner, '__class__')}"
        self.untrusted.add(f"{owned}.{_text(_object(content), 'func')}")
        return [owner]

    def _generator(self, content: Any) -> list[Any]:
        """A generator names its bit generator in a text, which is called all the same."""
        states = _object(content)
        below = _object(_object(states.get("bit_generator")).get("content"))
        name = _literal(below.get("bit_generator"))
        if not isinstance(name, str):
            raise Damaged("a random generator does not name its bit generator")
        full = f"numpy.random.{name}"
        if full not in trusted.BIT_GENERATORS:
            self.untrusted.add(full)
        return list(states.values())


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Damaged("its schema holds something else where a node should be")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Damaged("its schema holds something else where a list of nodes should be")
    return value


def _pick(value: Any, *names: str) -> list[Any]:
    found = _object(value)
    return [found.get(name) for name in names]


def _text(node: dict[str, Any], name: str) -> str:
    value = node.get(name)
    if not isinstance(value, str):
        raise Damaged(f"a node of its schema has no {name}")
    return value


def _literal(node: Any) -> Any:
    """The value of a node that holds JSON."""
    text = node.get("content") if isinstance(node, dict) else None
    if not isinstance(text, str) or len(text) > 1000:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
