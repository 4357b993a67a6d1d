"""The grammar of names. A `ProjectName` (and so on) exists only if it is legal.

| name | grammar |
|---|---|
| project | `[A-Za-z0-9][A-Za-z0-9._-]*`, 96 at most; unique regardless of case |
| model | free text without `/ @ :` and control characters, 1 to 1,000 bytes of UTF-8 |
| label | any text without control characters, 1 to 256 bytes |
| alias | starts with a letter, then `[A-Za-z0-9._-]*`, 96 at most; not `latest`, not `v` + digits |
| component, step name | free text without `/` and control characters, 0 to 256 bytes |
| metric, param, tag key | free text without control characters, 1 to 256 bytes |
| file path | relative, `/`-separated, no empty, `.` or `..` segment, no control characters, no `\\`, 1,024 bytes |
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import NewType

from weighbridge.contract.errors import InvalidManifest, InvalidName

ProjectName = NewType("ProjectName", str)
ModelName = NewType("ModelName", str)
AliasName = NewType("AliasName", str)
Label = NewType("Label", str)
Component = NewType("Component", str)
FilePath = NewType("FilePath", str)

MAX_PROJECT = 96
MAX_MODEL = 1000
MAX_LABEL = 256
MAX_ALIAS = 96
MAX_KEY = 256
MAX_PATH = 1024

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]*\Z")
_VERSION_LIKE = re.compile(r"[vV][0-9]+\Z")


def _shown(text: str) -> str:
    """The offending value, safe to print and never longer than a line."""
    return repr(text if len(text) <= 80 else text[:77] + "…")


def _free_text(kind: str, text: object, most: int, forbidden: str = "", least: int = 1) -> str:
    if not isinstance(text, str):
        raise InvalidName(f"a {kind} must be text, not {type(text).__name__}")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidName(f"the {kind} {_shown(text)} is not valid Unicode") from None
    if size < least:
        raise InvalidName(f"a {kind} must not be empty")
    if size > most:
        raise InvalidName(f"the {kind} {_shown(text)} has {size} bytes; {most} at most", limit=most)
    for char in text:
        if unicodedata.category(char) in ("Cc", "Cs") or char in "\u2028\u2029":
            raise InvalidName(f"the {kind} {_shown(text)} contains a control character")
        if char in forbidden:
            raise InvalidName(f"the {kind} {_shown(text)} contains {char!r}, which is reserved")
    return text


def project_name(text: object) -> ProjectName:
    """`text` as a project name."""
    if not isinstance(text, str) or not _PROJECT.match(text) or len(text) > MAX_PROJECT:
        raise InvalidName(
            f"the project name {_shown(str(text))} is not legal: use 1 to {MAX_PROJECT} letters, "
            "digits, '.', '_' or '-', starting with a letter or digit"
        )
    return ProjectName(text)


def model_name(text: object) -> ModelName:
    """`text` as a model name."""
    name = _free_text("model name", text, MAX_MODEL, "/@:")
    if name in (".", ".."):
        raise InvalidName(f"the model name {name!r} is reserved")
    if name != name.strip():
        raise InvalidName(f"the model name {_shown(name)} begins or ends with a space")
    return ModelName(name)


def alias_name(text: object) -> AliasName:
    """`text` as an alias; `latest` and what looks like a version number are reserved."""
    if not isinstance(text, str) or not _ALIAS.match(text) or len(text) > MAX_ALIAS:
        raise InvalidName(
            f"the alias {_shown(str(text))} is not legal: use 1 to {MAX_ALIAS} letters, digits, "
            "'.', '_' or '-', starting with a letter"
        )
    if text.lower() == "latest" or _VERSION_LIKE.match(text):
        raise InvalidName(f"the alias {text!r} is reserved; choose another")
    return AliasName(text)


def label(text: object) -> Label:
    """`text` as a version label."""
    return Label(_free_text("label", text, MAX_LABEL))


def component(text: object) -> Component:
    """`text` as a component (may be empty)."""
    return Component(_free_text("component", text, MAX_KEY, "/", least=0))


def step_name(text: object) -> str:
    """`text` as a checkpoint's name (may be empty)."""
    return _free_text("checkpoint name", text, MAX_KEY, "/", least=0)


def key(kind: str, text: object) -> str:
    """`text` as the key of a metric, param or tag; `kind` is used in the error."""
    return _free_text(kind, text, MAX_KEY)


def file_path(text: object) -> FilePath:
    """`text` as the path of a file inside a version."""
    try:
        path = _free_text("file path", text, MAX_PATH, "\\")
    except InvalidName as error:
        raise InvalidManifest(error.message, **error.details) from None
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise InvalidManifest(f"the path {_shown(path)} is absolute; use a relative path")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise InvalidManifest(f"the path {_shown(path)} has an empty, '.' or '..' segment")
    return FilePath(path)


def check_paths(paths: Iterable[str]) -> None:
    """Refuses a list in which a path stands twice, or one is a folder of another."""
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise InvalidManifest(f"the path {_shown(path)} stands twice", path=path)
        seen.add(path)
    for path in seen:
        parts = path.split("/")
        for end in range(1, len(parts)):
            parent = "/".join(parts[:end])
            if parent in seen:
                raise InvalidManifest(
                    f"{_shown(parent)} is both a file and a folder (of {_shown(path)})", path=path
                )
