r"""References to versions and checkpoints: the one place that builds and parses them.

    reference  = project "/" model [ "@" version ] [ ":" checkpoint ]
    version    = digits | alias | "=" label | "latest"
    checkpoint = digits | "last" | "best" [ "=" metric ]

Inside a label or a metric, `%`, `:` and `@` are written as `%25`, `%3A`, `%40`. A reference without
`@` means the model (or its latest version, where a version is needed).
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from weighbridge.contract import names
from weighbridge.contract.errors import InvalidName

_DIGITS = re.compile(r"[0-9]{1,18}\Z")


@dataclass(frozen=True, slots=True)
class VersionSelector:
    """Which version of a model: by number, alias, label, or the latest."""

    kind: Literal["number", "alias", "label", "latest"]
    value: str = ""

    @property
    def number(self) -> int:
        """The number, for kind `number`."""
        return int(self.value)


@dataclass(frozen=True, slots=True)
class CheckpointSelector:
    """Which checkpoint of a version: by number, the last, or the best by a metric."""

    kind: Literal["number", "last", "best"]
    value: str = ""

    @property
    def number(self) -> int:
        """The number, for kind `number`."""
        return int(self.value)


LATEST = VersionSelector("latest")


@dataclass(frozen=True, slots=True)
class Reference:
    """A model, one of its versions, or one of that version's checkpoints."""

    project: names.ProjectName
    model: names.ModelName
    version: VersionSelector | None = None
    checkpoint: CheckpointSelector | None = None

    def __str__(self) -> str:
        return build(self)


def _quote(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A").replace("@", "%40")


def build_version(selector: VersionSelector) -> str:
    """`7`, `production`, `=1.4.2` or `latest`: what stands behind the `@`."""
    if selector.kind == "label":
        return "=" + _quote(selector.value)
    return "latest" if selector.kind == "latest" else selector.value


def parse_version(text: str) -> VersionSelector:
    """The selector that `text` (what stands behind the `@`) means."""
    if text == "latest":
        return LATEST
    if text.startswith("="):
        return VersionSelector("label", names.label(unquote(text[1:])))
    if _DIGITS.match(text):
        number = int(text)
        if number < 1:
            raise InvalidName("version numbers start at 1")
        return VersionSelector("number", str(number))
    return VersionSelector("alias", names.alias_name(text))


def build_checkpoint(selector: CheckpointSelector) -> str:
    """`12`, `last`, `best` or `best=loss`: what stands behind the `:`."""
    if selector.kind == "number":
        return selector.value
    return f"best={_quote(selector.value)}" if selector.value else selector.kind


def parse_checkpoint(text: str) -> CheckpointSelector:
    """The selector that `text` (what stands behind the `:`) means."""
    if text in ("last", "best"):
        return CheckpointSelector("last" if text == "last" else "best")
    if text.startswith("best="):
        return CheckpointSelector("best", names.key("metric name", unquote(text[5:])))
    if _DIGITS.match(text) and int(text) >= 1:
        return CheckpointSelector("number", str(int(text)))
    raise InvalidName(
        f"{text[:80]!r} names no checkpoint: use a number, 'last', 'best' or 'best=METRIC'"
    )


def build(reference: Reference) -> str:
    """The text of a reference; `parse(build(r)) == r`."""
    text = f"{reference.project}/{reference.model}"
    if reference.version is not None:
        text += "@" + build_version(reference.version)
    if reference.checkpoint is not None:
        text += ":" + build_checkpoint(reference.checkpoint)
    return text


def parse(text: str) -> Reference:
    """The reference that `text` means, or `InvalidName`."""
    project, slash, rest = text.partition("/")
    if not slash:
        raise InvalidName(f"{text[:80]!r} is no reference: write PROJECT/MODEL[@VERSION]")
    rest, colon, checkpoint = rest.partition(":")
    model, at, version = rest.partition("@")
    return Reference(
        project=names.project_name(project),
        model=names.model_name(model),
        version=parse_version(version) if at else None,
        checkpoint=parse_checkpoint(checkpoint) if colon else None,
    )
