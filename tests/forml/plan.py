"""Faults of a proxy as a test plans them, request by request."""

from collections import deque
from dataclasses import dataclass, field

from tests.e2e.faults.proxy import REFUSALS

REFUSALS["denied"] = (401, "AccessDenied", "Who are you?")
REFUSALS["foreign"] = (404, "NotFound", "No such page")


@dataclass(slots=True)
class Plan:
    """Which requests fail, and how: so many, after some that do not."""

    kind: str = ""
    left: float = 0
    passing: int = 0
    met: deque = field(default_factory=deque)

    def fault(self, *, carries):
        """The fault of the next request, or nothing."""
        if self.passing:
            self.passing -= 1
            return ""
        if not self.kind or self.left <= 0:
            return ""
        self.left -= 1
        self.met.append(self.kind)
        return self.kind

    def set(self, kind, left, passing=0):
        """The next `left` requests fail, after `passing` ones that do not."""
        self.kind, self.left, self.passing = kind, left, passing
        self.met.clear()
