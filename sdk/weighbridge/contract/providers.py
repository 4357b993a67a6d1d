"""Names of providers, `name:version@device`, and what a registration must say.

Each part is free text without `:`, `@` and control characters, 1 to 128 bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from weighbridge.contract import names
from weighbridge.contract.errors import InvalidName, RegistryError
from weighbridge.contract.types.providers import Device, NewProvider, Protocol

DEVICES: tuple[str, ...] = get_args(Device)
PROTOCOLS: tuple[str, ...] = get_args(Protocol)
MAX_PART = 128
MAX_COMPONENTS = 1000
_WILD = ("", "*")

Problems = dict[str, list[str]]
"""What is wrong, by field."""


@dataclass(frozen=True, slots=True, order=True)
class ProviderName:
    """The three parts of a provider's name."""

    name: str
    version: str
    device: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}@{self.device}"


def _split(text: str) -> tuple[str, str, str]:
    head, at, device = text.partition("@")
    name, colon, version = head.partition(":")
    if text.count(":") != 1 or text.count("@") != 1 or not (colon and at):
        raise InvalidName(f"{text[:120]!r} is no provider: write name:version@device")
    return name, version, device


def _checked(found: ProviderName) -> ProviderName:
    for what, text in (("name", found.name), ("version", found.version)):
        if problem := part_problem(text):
            raise InvalidName(f"the {what} of the provider {str(found)[:120]!r} {problem}")
    if found.device not in DEVICES:
        raise InvalidName(
            f"the device of the provider {str(found)[:120]!r} must be one of {', '.join(DEVICES)}"
        )
    return found


def part_problem(text: str) -> str:
    """What is wrong with a provider's name or version; empty if nothing."""
    try:
        names.key("provider", text)
    except RegistryError:
        return "must be text without control characters, and not be empty"
    if len(text.encode()) > MAX_PART:
        return f"may have {MAX_PART} bytes at most"
    if text in _WILD or text != text.strip() or set(":@") & set(text):
        return "must not be '*', contain ':' or '@', or begin or end with a space"
    return ""


def parse(text: str) -> ProviderName:
    """`name:version@device` in its parts, or `InvalidName`."""
    return _checked(ProviderName(*_split(text)))


def choose(value: str, default: ProviderName) -> ProviderName:
    """The provider that a DAG's value means: each part that is empty or `*` is that of the default, and so
    is all of an empty value."""
    if not value:
        return default
    name, version, device = (
        mine if text in _WILD else text
        for text, mine in zip(
            _split(value), (default.name, default.version, default.device), strict=True
        )
    )
    return _checked(ProviderName(name, version, device))


# What a registration must say

_TEXT, _OBJECT, _LIST = "must be text", "must be an object", "must be a list"


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and value else f"{_TEXT}, and not be empty"


def _any_text(value: Any) -> str:
    return "" if isinstance(value, str) else _TEXT


def _object(value: Any) -> str:
    return "" if isinstance(value, dict) else _OBJECT


def _optional(check: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "" if value is None else check(value)


_METADATA: Mapping[str, Mapping[str, Callable[[Any], str]]] = {
    "local": {"path": _text, "venv": _optional(_any_text)},
    "docker": {"base_url": _any_text, "image": _text},
    "k8s": {"image": _text, "namespace": _text, "config": _optional(_object)},
}
_MAY_MISS = ("venv", "config")

_BFIA_TEXTS = (
    "componentName", "title", "provider", "version", "description", "desVersion", "storageEngine",
)  # fmt: skip
_BFIA_LISTS = ("roleList", "inputParam", "inputData", "outputData", "result")


def problems(new: NewProvider) -> Problems:
    """Everything that is wrong with a registration, by field; empty if it can be saved."""
    found: Problems = {}
    for field, text in (("name", new.name), ("version", new.version)):
        if problem := part_problem(text):
            found[field] = [problem]
    if new.device not in DEVICES:
        found["device"] = [f"must be one of {', '.join(DEVICES)}, not {new.device[:80]!r}"]
    else:
        for name, check in _METADATA[new.device].items():
            value = new.metadata.get(name)
            if name not in new.metadata and name not in _MAY_MISS:
                found[f"metadata.{name}"] = [f"is missing, and a {new.device} provider needs it"]
            elif problem := check(value):
                found[f"metadata.{name}"] = [problem]
    if new.protocol not in PROTOCOLS:
        found["protocol"] = [f"must be one of {', '.join(PROTOCOLS)}, not {new.protocol[:80]!r}"]
    found |= _component_problems(new)
    return found


def _component_problems(new: NewProvider) -> Problems:
    found: Problems = {}
    if len(new.components) > MAX_COMPONENTS:
        return {"components_description": [f"{MAX_COMPONENTS} components at most"]}
    for name, description in new.components.items():
        place = f"components_description.{name[:120]}"
        try:
            names.key("component", name)
        except RegistryError as error:
            found[place] = [error.message]
            continue
        if new.protocol == "bfia":
            found |= _bfia_problems(place, description)
    return found


def _bfia_problems(place: str, description: Any) -> Problems:
    """What is wrong with a description of that standard: the members it names must have their types."""
    if not isinstance(description, dict):
        return {place: [_OBJECT]}
    found: Problems = {}
    for member in ("componentName", "inputData", "outputData"):
        if member not in description:
            found[f"{place}.{member}"] = ["is missing, and the bfia protocol needs it"]
    for member in _BFIA_TEXTS:
        if problem := _optional(_any_text)(description.get(member)):
            found[f"{place}.{member}"] = [problem]
    for member in _BFIA_LISTS:
        value = description.get(member, [])
        if not isinstance(value, list):
            found[f"{place}.{member}"] = [_LIST]
        elif member != "roleList" and not all(isinstance(entry, dict) for entry in value):
            found[f"{place}.{member}"] = ["must be a list of objects"]
    return found
