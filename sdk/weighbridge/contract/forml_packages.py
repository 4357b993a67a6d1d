"""The manifest of a ForML package (`.4ml`): read as syntax, never imported.

ForML reads it by importing it. We take four assignments of literals, and call anything else code.
"""

import ast
import re
import warnings
from dataclasses import dataclass, field

MANIFEST = "__4ml__.py"
MAX_MANIFEST = 64 * 1024
MAX_NESTING = 100
"""Brackets and signs in a row: more would only exhaust the parser."""

_COOKIE = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
"""PEP 263: Python would decode the source by this, so it could say something else than we see."""


class BadManifest(Exception):
    """A manifest that is not four assignments of literals. `code` says that it would do something."""

    def __init__(self, message: str, *, code: bool = False) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says of itself."""

    name: str
    version: str
    package: str
    modules: dict[str, str] = field(default_factory=dict)


def rival(name: str) -> bool:
    """Whether Python could import this member in place of the manifest, on some file system."""
    parts = name.lower().replace("\\", "/").lstrip("./").split("/")
    if parts[0] == "__pycache__":
        parts = parts[1:] or [""]
    return parts[0].partition(".")[0] == "__4ml__" and name != MANIFEST


def parse(data: bytes) -> Manifest:
    """The manifest of a package's source. Raises `BadManifest`."""
    try:
        source = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadManifest("the manifest is no UTF-8") from None
    cookie = next(filter(None, map(_COOKIE.match, source.splitlines()[:3])), None)
    if cookie and cookie[1].lower().replace("_", "-") not in ("utf-8", "utf8", "ascii"):
        raise BadManifest("the manifest would be read in another encoding", code=True)
    if "\0" in source or sum(source.count(c) for c in "([{-+~") > MAX_NESTING:
        raise BadManifest("the manifest is more than assignments of texts", code=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadManifest(f"the manifest is no Python: {error}"[:300]) from None
    values: dict[str, object] = {}
    for index, node in enumerate(tree.body):
        if index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        name, value = _assigned(node)
        if name in values:
            raise BadManifest(f"the manifest sets {name} twice")
        values[name] = value
    name, version, package = (_text(values, key) for key in ("NAME", "VERSION", "PACKAGE"))
    modules = values.get("MODULES", {})
    if not isinstance(modules, dict) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in modules.items()
    ):
        raise BadManifest("MODULES in the manifest is no mapping of texts")
    return Manifest(name, version, package, modules)


def _assigned(node: ast.stmt) -> tuple[str, object]:
    """The name and the literal of a plain assignment to one of the four names."""
    line = f"line {node.lineno} of the manifest"
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        raise BadManifest(f"{line} is code, not an assignment", code=True)
    target = node.targets[0]
    if not isinstance(target, ast.Name) or target.id not in (
        "NAME",
        "VERSION",
        "PACKAGE",
        "MODULES",
    ):
        raise BadManifest(
            f"{line} sets something else than NAME, VERSION, PACKAGE or MODULES", code=True
        )
    try:
        return target.id, ast.literal_eval(node.value)
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise BadManifest(f"{line} is code: {target.id} is no literal", code=True) from None


def _text(values: dict[str, object], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise BadManifest(f"the manifest sets no {name}")
    return value
