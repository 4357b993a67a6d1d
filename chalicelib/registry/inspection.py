"""The port through which the registry looks into a file that it is asked to publish."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Fetch = Callable[[int, int], bytes]
"""Reads a range of a file: where it starts, and how many bytes."""


@dataclass(frozen=True, slots=True)
class FormlPackage:
    """What a ForML package says of itself; `problem` says why it is none, or not to be trusted."""

    name: str
    version: str
    problem: str = ""


class Inspector(Protocol):
    """Looks into a package by ranges; what is hostile is a problem, never an exception."""

    def __call__(self, fetch: Fetch, size: int) -> FormlPackage:
        """What the package of `size` bytes says."""
