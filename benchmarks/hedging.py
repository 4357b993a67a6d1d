"""Would a second request for the slowest part help? Transfers through the fault tests' proxy, in which
some requests stall, with and without one.

    python -m benchmarks.hedging [--rounds 3] [--parts 48] [--stall 3]

At the end of a transfer, when no part is left to begin, one part at a time whose request has taken more
than three times the median (and a quarter of a second) is asked for once more, and the first answer
counts. Prints a table: seconds (median of the rounds), and by how much more than the file went over the
wire. Loopback only; of the SDK only its connections take part, so that the two ways differ in nothing
else.
"""

import argparse
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from benchmarks.targets import ROOT, environment
from tests.e2e.faults import proxy as faults
from weighbridge.contract.errors import TransferError
from weighbridge.http import Pool

PART = 2 * 1024 * 1024
WORKERS = 8
TIMES = 3.0
LEAST = 0.25
_LOOK = 0.02

Send = Callable[[Pool, int], None]
"""Moves one part."""


@dataclass
class Stalls:
    """A share of the requests stalls."""

    share: float
    rng: random.Random

    def fault(self, *, carries: bool) -> str:
        """The fault of the next request, for the proxy."""
        return "slow" if self.rng.random() < self.share else ""


@dataclass
class Race:
    """One transfer of many parts. `moved` counts parts that went over the wire whole."""

    parts: int
    send: Send
    hedge: bool
    moved: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _begun: dict[int, float] = field(default_factory=dict)
    _done: set[int] = field(default_factory=set)
    _took: list[float] = field(default_factory=list)
    _again: set[int] = field(default_factory=set)

    def run(self) -> float:
        """Seconds until every part is there; requests that lost are cut off."""
        began = time.monotonic()
        pool = Pool(env={})
        threads = [threading.Thread(target=self._work, args=(pool,)) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        while len(self._done) < self.parts:
            time.sleep(_LOOK)
            if self.hedge and len(self._begun) == self.parts:
                self._second(pool)
        seconds = time.monotonic() - began
        pool.interrupt()
        for thread in threads:
            thread.join()
        return seconds

    def _work(self, pool: Pool) -> None:
        while True:
            with self._lock:
                number = len(self._begun)
                if number == self.parts:
                    return
                self._begun[number] = time.monotonic()
            self._one(pool, number)

    def _one(self, pool: Pool, number: int) -> None:
        try:
            self.send(pool, number)
        except TransferError:
            return  # cut off
        with self._lock:
            self.moved += 1
            if number not in self._done:
                self._took.append(time.monotonic() - self._begun[number])
                self._done.add(number)

    def _second(self, pool: Pool) -> None:
        with self._lock:
            left = [n for n in self._begun if n not in self._done | self._again]
            slowest = min(left, key=lambda n: self._begun[n], default=None)
            if slowest is None:
                return
            waited = time.monotonic() - self._begun[slowest]
            if waited < max(LEAST, TIMES * statistics.median(self._took)):
                return
            self._again.add(slowest)
        self._one(pool, slowest)


@contextmanager
def sink() -> Iterator[str]:
    """A fresh sink; answers its address."""
    command = [sys.executable, "-m", "benchmarks.sink"]
    with subprocess.Popen(
        command, env=environment({}), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().decode().strip()
        finally:
            process.stdin.close()


def measured(
    endpoint: str, kind: str, stalls: Stalls, parts: int, hedge: bool
) -> tuple[float, int]:
    """Seconds of one transfer through a fresh proxy, and the parts that went over the wire."""
    with faults.faulty_s3(endpoint, 0, 0.0) as proxy:
        proxy.ways["GET" if kind == "pull" else "PUT"] = stalls  # type: ignore[assignment]

        def pull(pool: Pool, number: int) -> None:
            span = f"bytes={number * PART}-{(number + 1) * PART - 1}"
            pool.send("GET", f"{proxy.url}/b/big", {"Range": span})

        def push(pool: Pool, number: int) -> None:
            pool.send("PUT", f"{proxy.url}/b/part-{number}", {}, bytes(PART))

        race = Race(parts, pull if kind == "pull" else push, hedge)
        return race.run(), race.moved


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hedging")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", type=int, default=48)
    parser.add_argument("--stall", type=float, default=3.0)
    options = parser.parse_args()
    faults.STALL_SECONDS = options.stall
    print("| | share that stalls | alone, s | with a second request, s | more bytes |")
    print("|---|---|---|---|---|")
    with sink() as endpoint:
        with closing(Pool(env={})) as pool:
            pool.send("PUT", f"{endpoint}/b/big", {}, bytes(options.parts * PART))
        for kind in ("pull", "push"):
            for share in (0.0, 0.02, 0.1):
                found: dict[bool, list[tuple[float, int]]] = {False: [], True: []}
                for number in range(options.rounds):
                    for hedge in found:
                        stalls = Stalls(share, random.Random(number))
                        found[hedge].append(measured(endpoint, kind, stalls, options.parts, hedge))
                alone, hedged = (statistics.median(s for s, _ in found[h]) for h in (False, True))
                more = statistics.median(moved for _, moved in found[True]) / options.parts - 1
                print(f"| {kind} | {share:.0%} | {alone:.2f} | {hedged:.2f} | {more:.1%} |")


if __name__ == "__main__":
    main()
