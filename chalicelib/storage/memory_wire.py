"""What travels between a client and the object store in memory."""

from dataclasses import dataclass, field
from typing import Protocol


class Request(Protocol):
    """What `execute` needs of a signed request: the port's and the wire's type both fit."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store answered to a signed request."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
