"""From what a registry holds and does to what is billed. Pure.

What a verb writes and reads in the table is measured (docs/cost.md, and a test holds these figures against
it); what it takes of functions and store besides are assumptions, each named here.
"""

from dataclasses import dataclass

from weighbridge.costs.prices import PRICES, Prices

GB = 1e9
DAYS = 30.0
MEMORY_GB = 1.0
"""What each function has (`.chalice/config.json`)."""
SWEEPS = 12 * 24 * DAYS
"""One every five minutes."""
SWEEP_SECONDS = 0.5
SWEEP_READS = 6
"""Read units of a sweep over a project in which nothing is due."""
SWEEP_LISTS = 2
"""Lists of unfinished uploads of a sweep, per project."""
POLLS = 5 * 3 * 60 * 24 * DAYS
"""What Lambda asks an idle queue: five long polls of 20 seconds at any time."""
QUEUES = 3
LOG_GB = 1e-6
"""What a call logs: 1 KB."""
VERSION_GB = 8e-6
CHECKPOINT_GB = 5e-6
"""What a version, and a checkpoint, takes of the table: 8 and 5 KB with all its items."""


@dataclass(frozen=True, slots=True)
class Verb:
    """What one use of it takes. `seconds` are those of all functions together; `messages` go through
    queues, each sent, received and deleted."""

    calls: int
    seconds: float
    reads: float
    writes: float
    puts: int = 0
    gets: int = 0
    messages: int = 0


VERBS = {
    # begin, plan, done, commit; then the event is indexed and the pages are rendered
    "push": Verb(4, 3.0, 70, 23, puts=14, gets=10, messages=2),
    "checkpoint": Verb(3, 2.5, 60, 22, puts=12, gets=8, messages=2),
    "alias": Verb(1, 1.2, 40, 8, puts=6, gets=4, messages=1),
    # one call answers files and addresses; the manifest is read from the store
    "pull": Verb(1, 0.1, 8, 0, gets=3),
    "read": Verb(1, 0.05, 5, 0),
}


@dataclass(frozen=True, slots=True)
class Use:
    """What a registry holds, and what is done with it on a day. `out_gb` leaves the region in a month."""

    projects: int = 1
    versions: int = 0
    checkpoints: int = 0
    bytes: int = 0
    pushes: float = 0.0
    checkpoints_a_day: float = 0.0
    aliases: float = 0.0
    pulls: float = 0.0
    reads: float = 0.0
    out_gb: float = 0.0
    alarms: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill: so many units, and what they cost."""

    name: str
    amount: float
    unit: str
    dollars: float


@dataclass(frozen=True, slots=True)
class Bill:
    """A month's bill, and the part of it that is due when nobody does anything."""

    region: str
    day: str
    lines: tuple[Line, ...]
    total: float
    idle: float


def estimate(use: Use, prices: Prices = PRICES, *, free_tier: bool = False) -> Bill:
    """The bill of a month. With `free_tier`, what Amazon gives each account for nothing is left out."""
    lines = _lines(_amounts(use), prices, free_tier)
    idle = Use(use.projects, use.versions, use.checkpoints, use.bytes, alarms=use.alarms)
    resting = _lines(_amounts(idle), prices, free_tier)
    return Bill(
        prices.region, prices.day, lines, sum(line.dollars for line in lines),
        sum(line.dollars for line in resting),
    )  # fmt: skip


def _amounts(use: Use) -> dict[str, float]:
    """Units of everything in a month."""
    a_day = {
        "push": use.pushes, "checkpoint": use.checkpoints_a_day, "alias": use.aliases,
        "pull": use.pulls, "read": use.reads,
    }  # fmt: skip
    done = [(VERBS[name], count * DAYS) for name, count in a_day.items()]
    calls = sum(verb.calls * count for verb, count in done)
    messages = sum(verb.messages * count for verb, count in done)
    invoked = calls + messages + SWEEPS
    seconds = sum(verb.seconds * count for verb, count in done) + SWEEP_SECONDS * SWEEPS
    table = use.versions * VERSION_GB + use.checkpoints * CHECKPOINT_GB
    return {
        "store bytes": use.bytes / GB,
        "store writes": sum(verb.puts * count for verb, count in done)
        + SWEEP_LISTS * SWEEPS * use.projects,
        "store reads": sum(verb.gets * count for verb, count in done),
        "table bytes": table,
        "table recovery": table,
        "table writes": sum(verb.writes * count for verb, count in done),
        "table reads": sum(verb.reads * count for verb, count in done)
        + SWEEP_READS * SWEEPS * use.projects,
        "api requests": calls,
        "function calls": invoked,
        "function time": seconds * MEMORY_GB,
        "queue requests": 3 * messages + QUEUES * POLLS,
        "logs": invoked * LOG_GB,
        "alarms": float(use.alarms),
        "transfer out": use.out_gb,
    }


def _lines(amounts: dict[str, float], prices: Prices, free_tier: bool) -> tuple[Line, ...]:
    found = []
    for name, amount in amounts.items():
        price = prices.prices[name]
        billed = max(0.0, amount - price.free) if free_tier else amount
        found.append(Line(name, amount, price.unit, billed / price.per * price.dollars))
    return tuple(found)
