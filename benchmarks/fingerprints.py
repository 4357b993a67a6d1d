"""What it costs to note tensors while they are pushed: fingerprints, and statistics per type.

    python -m benchmarks.fingerprints [--mib 1024] [--runs 3]

Everything is in memory and in one thread: SHA-256 as a push reckons it, XXH3-128, statistics of random
weights of each type. Then whole scans as a push makes them, fingerprints in the reading thread and
statistics in another: beside a reader that only hashes, how fast it still is, and what part of the
numbers the statistics saw. The figure is the median of the runs, in MB/s of tensor bytes.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from weighbridge.transfer.fingerprints import TensorScan, Wanted
from weighbridge.transfer.statistics import Feed
from weighbridge.transfer.tensor_table import Entry

RESULT = Path(__file__).parent / "results" / "fingerprints.json"
DOCUMENT = Path("docs/how-to/fingerprints.md")
BEGIN = "<!-- fingerprints: written by `python -m benchmarks.fingerprints` -->"
END = "<!-- end of fingerprints -->"
BLOCK = 1024 * 1024
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4,
          "I8": 1}  # fmt: skip
Feeder = Callable[[memoryview], object]


def weights(dtype: str, size: int) -> memoryview:
    """Normally distributed numbers of a type, as a model has them."""
    numbers = np.random.default_rng(1).standard_normal(size // 8, np.float32) / 50
    found: NDArray[Any]
    if dtype == "BF16":
        found = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    elif dtype in ("F8_E4M3", "F8_E5M2"):
        # Both keep the sign and most of the exponent of a 16-bit float in its upper byte.
        found = (numbers.astype(np.float16).view(np.uint16) >> 8).astype(np.uint8)
    elif dtype.startswith("I"):
        found = (numbers * 1000).astype(f"i{WIDTHS[dtype]}")
    else:
        found = numbers.astype(f"f{WIDTHS[dtype]}")
    whole = np.tile(found, -(-size // found.nbytes))
    return memoryview(whole).cast("B")[:size]


def rate(data: memoryview, runs: int, make: Callable[[], Feeder]) -> float:
    """MB/s of something that is fed with blocks: the median of the runs."""
    found = []
    for _ in range(runs):
        feed = make()
        began = time.perf_counter()
        for start in range(0, len(data), BLOCK):
            feed(data[start : start + BLOCK])
        found.append(len(data) / (time.perf_counter() - began) / 1e6)
    return statistics.median(found)


def _statistics(dtype: str) -> Callable[[], Feeder]:
    def make() -> Feeder:
        feed, at = Feed(dtype), 0

        def block(data: memoryview) -> None:
            nonlocal at
            feed.add(at, data)
            at += len(data)

        return block

    return make


def scanned(data: memoryview, dtype: str, runs: int, wanted: Wanted | None) -> dict[str, float]:
    """A reader that hashes, with a scan beside it: its MB/s, and the share of numbers seen."""
    shape = (len(data) // WIDTHS[dtype],)
    rates, seen = [], []
    for _ in range(runs):
        entry = Entry("w", dtype, shape, 0, len(data))
        scan = TensorScan([entry], len(data), wanted) if wanted else None
        whole = hashlib.sha256()
        began = time.perf_counter()
        for start in range(0, len(data), BLOCK):
            block = data[start : start + BLOCK]
            whole.update(block)
            if scan is not None:
                scan.update(block)
        claims = scan.finish() if scan is not None else ()
        rates.append(len(data) / (time.perf_counter() - began) / 1e6)
        seen += [c.statistics.seen / prod(shape) for c in claims if c.statistics]
    return {
        "mb_per_second": round(statistics.median(rates)),
        **({"seen": round(statistics.median(seen), 3)} if seen else {}),
    }


def measure(size: int, runs: int) -> dict[str, Any]:
    """All figures."""
    data = weights("F32", size)
    hashes = {
        "sha256": round(rate(data, runs, lambda: hashlib.sha256().update)),
        "xxh3_128": round(rate(data, runs, lambda: xxhash.xxh3_128().update)),
    }
    found: dict[str, Any] = {"hashes": hashes, "statistics": {}, "push": {}}
    for dtype in WIDTHS:
        data = weights(dtype, size)
        found["statistics"][dtype] = round(rate(data, runs, _statistics(dtype)))
        if dtype in ("F32", "BF16", "F8_E4M3"):
            found["push"][dtype] = {
                "nothing": scanned(data, dtype, runs, None),
                "fingerprints": scanned(data, dtype, runs, Wanted(True, False)),
                "statistics": scanned(data, dtype, runs, Wanted(True, True)),
                "whole": scanned(data, dtype, runs, Wanted(True, True, whole=True)),
            }
    return found


def table(figures: dict[str, Any]) -> str:
    """The section of the how-to."""
    where = figures["machine"]
    lines = [
        "## What it costs",
        "",
        f"{figures['mib']} MiB in memory, {where['processor']}, {where['cores']} cores, "
        f"{figures['date']}, median of {figures['runs']}; MB/s of tensor bytes.",
        "",
        "| one thread, nothing else | MB/s |",
        "|---|---|",
        f"| SHA-256 | {figures['hashes']['sha256']:,} |",
        f"| XXH3-128 | {figures['hashes']['xxh3_128']:,} |",
        *(f"| statistics of {d} | {n:,} |" for d, n in figures["statistics"].items()),
        "",
        "A reader that hashes blocks (SHA-256, one thread) with a scan beside it as a push has it. "
        "*Seen* is the share of the numbers that the statistics of a default push are of.",
        "",
        "| tensor | hashing only | + fingerprints | + statistics | seen | all numbers (`--stats`) |",
        "|---|---|---|---|---|---|",
    ]
    for dtype, row in figures["push"].items():
        rates = {key: f"{found['mb_per_second']:,}" for key, found in row.items()}
        seen = f"{100 * row['statistics']['seen']:.1f} %"
        lines.append(
            f"| {dtype} | {rates['nothing']} | {rates['fingerprints']} | {rates['statistics']} "
            f"| {seen} | {rates['whole']} |"
        )
    return "\n".join(lines)


def conditions() -> dict[str, Any]:
    """Under which the figures were taken."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {
            "processor": models[0] if models else platform.machine(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "xxhash")},
        },
    }


def written(text: str, section: str) -> str:
    """The document with its section replaced, or added at the end."""
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2] or "\n"
    return f"{head.rstrip()}\n\n{BEGIN}\n\n{section}\n\n{END}{tail}"


def main() -> None:
    """Measures, prints, and writes the results and their section of the how-to."""
    about, _, usage = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fingerprints", description=about, epilog=usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    before = conditions()
    figures = {
        **measure(options.mib * 1024**2, options.runs), "mib": options.mib, "runs": options.runs,
        **before,
    }  # fmt: skip
    RESULT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    section = table(figures)
    print(section)
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8"), section), "utf-8")


if __name__ == "__main__":
    main()
