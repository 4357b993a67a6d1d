"""How many read and write units an operation costs, as DynamoDB bills them.

Both engines report here; whoever wants to know opens `with units.recorded() as u:`. Threads see
the recorder only if they run in a copy of the caller's context.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

READ_UNIT, WRITE_UNIT = 4096, 1024


@dataclass(frozen=True, slots=True)
class Operation:
    """One request to the table and what it cost."""

    name: str
    reads: float = 0
    writes: float = 0


@dataclass(slots=True)
class Recorded:
    """What was reported while the recorder was open."""

    operations: list[Operation] = field(default_factory=list)

    @property
    def reads(self) -> float:
        """Read units in all."""
        return sum(operation.reads for operation in self.operations)

    @property
    def writes(self) -> float:
        """Write units in all."""
        return sum(operation.writes for operation in self.operations)


_open: ContextVar[tuple[Recorded, ...]] = ContextVar("units", default=())


@contextmanager
def recorded() -> Iterator[Recorded]:
    """Collects what the operations in this block cost; blocks may be nested."""
    mine = Recorded()
    token = _open.set((*_open.get(), mine))
    try:
        yield mine
    finally:
        _open.reset(token)


def recording() -> bool:
    """Whether anybody wants to know: engines need not count otherwise."""
    return bool(_open.get())


def report(name: str, *, reads: float = 0, writes: float = 0) -> None:
    """Adds one operation to every open recorder."""
    for recorder in _open.get():
        recorder.operations.append(Operation(name, reads, writes))


def of_read(size: int) -> int:
    """A strongly consistent read of one item; of an absent one too (size 0)."""
    return max(1, -(-size // READ_UNIT))


def of_query(sizes: Iterable[int]) -> int:
    """A strongly consistent query: the sizes are added up, then rounded."""
    return of_read(sum(sizes))


def of_write(before: int, after: int, *, transactional: bool = False) -> int:
    """A write, failed condition or transactional check: the larger of the item's two sizes."""
    return max(1, -(-max(before, after) // WRITE_UNIT)) * (2 if transactional else 1)
