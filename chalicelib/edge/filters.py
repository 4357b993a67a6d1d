"""What `GET /models` may be asked: six filters, and paging as an extra."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.edge.answers import words

SUBSTRING = ("name", "project_name", "category", "architecture", "precision")
EXACT = "version"
PAGING = ("page_size", "page_token")
_FORBIDDEN = ("<", "%", "'")
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters that were given, the empty ones included."""

    wanted: dict[str, str]
    size: int
    token: str

    @property
    def narrow(self) -> bool:
        """Whether some filter has a value: then to find nothing is an error."""
        return any(self.wanted.values())

    @property
    def query(self) -> str:
        """Names the list, so that a page token fits no other."""
        return "edge/" + repr(sorted(self.wanted.items()))

    def match(self, record: Mapping[str, Any]) -> bool:
        """Whether all filters hold. An empty `version` fits none, any other empty filter all."""
        for name, value in self.wanted.items():
            if name == EXACT:
                if record[name] != value:
                    return False
                continue
            found = record[name]
            texts = found if isinstance(found, list) else [found or ""]
            folded = value.casefold()
            if folded and not any(folded in text.casefold() for text in texts):
                return False
        return True


def read(query: Mapping[str, str]) -> Filters:
    """The filters of a query (of a repeated key the last), or the refusal."""
    known = (*SUBSTRING, EXACT, *PAGING)
    if unknown := [name for name in query if name not in known]:
        raise words(422, "Invalid query parameter(s): " + ", ".join(unknown))
    wanted = {name: value for name, value in query.items() if name not in PAGING}
    for name, value in wanted.items():
        if any(char in value for char in _FORBIDDEN):
            raise words(400, f"The value of the query parameter '{name}' contains <, % or '.")
    size = query.get("page_size", "")
    if size and not (size.isascii() and size.isdigit() and 1 <= int(size[:9]) <= MAX_PAGE):
        raise words(400, f"page_size must be a whole number from 1 to {MAX_PAGE}.")
    return Filters(wanted, int(size or 0), query.get("page_token", ""))
