"""What stands for the objects that a loader would make. None of them is ever a real one.

Numbers, text, `None`, tuples and lists stand for themselves. Everything compares by identity, so
that a structure that contains itself is harmless.
"""

from dataclasses import dataclass, field
from typing import Any

Value = Any
"""A plain value or one of the classes below."""


@dataclass(slots=True, eq=False)
class Import:
    """A module's attribute, by the two names that the stream gives; `?` where they are computed."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Call:
    """The result of calling `function`, with what was built into it or added to it afterwards."""

    function: Value
    arguments: Value
    state: Value = None
    items: list[Value] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Dict:
    """A dictionary as pairs in order: keys need no hash here."""

    pairs: list[tuple[Value, Value]] = field(default_factory=list)

    def get(self, name: str) -> Value:
        """The last value under that text key, or None."""
        found = None
        for key, value in self.pairs:
            if isinstance(key, str) and key == name:
                found = value
        return found


@dataclass(slots=True, eq=False)
class Bag:
    """A set or frozen set, as a list."""

    items: list[Value] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Stored:
    """What a persistent id stands for: the loader decides."""

    id: Value


@dataclass(slots=True, eq=False)
class Data:
    """A long text or bytes that stayed where it is."""

    at: int
    length: int
    text: bool = False


@dataclass(slots=True, eq=False)
class Opaque:
    """A value of no interest, or one that cannot be known."""

    why: str = ""
