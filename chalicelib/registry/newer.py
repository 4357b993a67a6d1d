"""What a later version of this code may have written into an item, and this one must not lose.

While a deployment is exchanged, and after one that was taken back, items are read and changed by code that
does not know all of their fields. Reading passes over what is unknown; who replaces a whole document puts it
back. Later versions add fields at the top of a document, never inside a value that is replaced as one.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any


@cache
def _known(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


def rest(doc: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The fields of a stored document that `kind` does not have."""
    known = _known(kind)
    return {name: value for name, value in doc.items() if name not in known}
