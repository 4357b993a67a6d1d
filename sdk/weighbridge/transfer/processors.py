"""Whether this machine has processor time to spare. Known on Linux; elsewhere nothing is said."""

from collections.abc import Callable
from pathlib import Path

Ticks = tuple[int, int]
"""Time that all processors had nothing to do, and time in all, since the machine was started."""


def ticks() -> Ticks | None:
    """What the kernel counted so far (`man 5 proc_stat`); None where it does not tell."""
    try:
        with Path("/proc/stat").open("rb") as stream:
            name, *fields = stream.readline().split()
        counts = [int(field) for field in fields[:8]]
    except (OSError, ValueError):
        return None
    # user, nice, system, idle, waiting for a disk, interrupts twice, stolen by other machines
    return (counts[3] + counts[4], sum(counts)) if name == b"cpu" and len(counts) == 8 else None


class Processors:
    """The share of the processors that nobody used, from one look to the next."""

    def __init__(self, look: Callable[[], Ticks | None] = ticks) -> None:
        self._look = look
        self._before = look()

    def spare(self) -> float | None:
        """From 0 to 1, since the last time or the beginning; None if it is not known."""
        before, now = self._before, self._look()
        self._before = now
        if before is None or now is None or now[1] <= before[1]:
            return None
        return max(0.0, now[0] - before[0]) / (now[1] - before[1])
