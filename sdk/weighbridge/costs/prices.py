"""Prices as data: those that Amazon lists for one region on one day, in US dollars, without taxes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Price:
    """`dollars` for `per` units; the first `free` units of each month cost nothing, for ever."""

    dollars: float
    per: float
    unit: str
    free: float = 0.0


@dataclass(frozen=True, slots=True)
class Prices:
    """All that a registry is billed for."""

    region: str
    day: str
    prices: dict[str, Price]


PRICES = Prices(
    "us-east-1", "2026-11-21",
    {
        "store bytes": Price(0.023, 1, "GB-month"),
        "store writes": Price(0.005, 1e3, "PUT, COPY or LIST"),
        "store reads": Price(0.0004, 1e3, "GET or HEAD"),
        "table bytes": Price(0.25, 1, "GB-month", 25),
        "table recovery": Price(0.20, 1, "GB-month"),
        "table writes": Price(0.625, 1e6, "write unit"),
        "table reads": Price(0.125, 1e6, "read unit"),
        "api requests": Price(3.50, 1e6, "request"),
        "function calls": Price(0.20, 1e6, "call", 1e6),
        "function time": Price(0.0000166667, 1, "GB-second", 400e3),
        "queue requests": Price(0.40, 1e6, "request", 1e6),
        "logs": Price(0.50, 1, "GB", 5),
        "alarms": Price(0.10, 1, "alarm", 10),
        "transfer out": Price(0.09, 1, "GB", 100),
    },
)  # fmt: skip
