"""`docs/benchmarks.md` from the results: every contestant, and every bar with what was measured.

python -m benchmarks.report
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.targets import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results" / "transfer.json"
MIB = 1024 * 1024
OURS_BY_PARTS = "ours, verify=parts"
NOT_RIVALS = ("ours", OURS_BY_PARTS, "floor", "sink ceiling", "raw presigned")
TARGETS = {
    "sink": "the discarding sink (what a client can do)",
    "store": "the embedded S3 server (which is itself the limit)",
}
INTRO = """# Benchmarks

Written by `make bench` from `benchmarks/results/transfer.json`; do not edit. `make bench` measures anew on your
machine, `ARGS=--long` adds 8 GiB, `python -m benchmarks.transfer --help` has the rest.

Every contestant is a process of its own; they take turns in each round, the first one changes from round to
round, and the figure is the median of the rounds. Times are of the call, without the start of an interpreter and
its imports; for programs (`aws`, `s5cmd`) they are of the whole program. Client, store and registry share one
machine, of which each section tells: sections may be of different ones, the contestants of a section never are.

A rival is *equal* in integrity if it gives S3 a SHA-256 as the checksum of what it sends (push; those whose name
says so), or if the received file is hashed afterwards (pull, column "hashed"); our pull always hashes. The others
are printed beside. "Under SHA-256" is the share of the sent bytes that came with a SHA-256, as a checksum or in
the signature of the request, which the sink counted.

Our push hashes everything twice: each part, which S3 verifies, and the whole file, whose SHA-256 stands in the
manifest so that anybody can check it with `sha256sum`. A rival that hands S3 checksums of parts hashes once and
knows no digest of the file; the bars name both comparisons, with its push alone and with a hash of the file. Our
pull hashes twice for the same reason; with `--verify parts` it hashes each byte once, as the equal rivals do.

- **sink**: `benchmarks/sink`, an S3 endpoint that receives into a reused buffer, remembers sizes and declared
  digests, and serves the file it is given by `sendfile`. It checks the number of bytes and nothing else.
- **floor**: `benchmarks/floor.py` hashes (SHA-256 of each part, and of the whole file) in threads while others
  send the same bytes over raw sockets. **sink ceiling** is the same without the hashes.
- **raw presigned**: `benchmarks/raw_put.py`, a presigned multipart upload with no hash and no plan.
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise and what was measured; `limit` is the largest value that keeps it."""

    text: str
    value: float
    limit: float
    unit: str
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.limit

    def row(self) -> str:
        """A row of the table."""
        verdict = "met" if self.met else "**not met**"
        note = f" ({self.note})" if self.note else ""
        return (
            f"| {self.text}{note} | {_number(self.value)} {self.unit} "
            f"| {_number(self.limit)} {self.unit} | {verdict} |"
        )


def equal(name: str) -> bool:
    """Whether the store is told a SHA-256 by this contestant."""
    return name == "ours" or name.endswith("sha256")


def write(results: Path = RESULTS, page: Path | None = None) -> None:
    """Writes the page."""
    document = json.loads(results.read_text())
    target = page or results.parents[2] / "docs" / "benchmarks.md"
    target.write_text("\n".join(lines(document)) + "\n")


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    sections = document["sections"]
    yield INTRO
    yield "Rivals: " + ", ".join(f"{k} {v}" for k, v in document["versions"].items()) + ".\n"
    yield "## Bars\n"
    yield "| promise | measured | bar | |\n|---|---|---|---|"
    for bar in bars(sections):
        yield bar.row()
    for kind, what in TARGETS.items():
        if section := sections.get(f"new/{kind}"):
            yield f"\n## New file of {section['bytes'] // MIB} MiB, to {what}\n"
            yield _when(section)
            yield from _contestants(section)
    titles = {
        "again": "The same file again", "tensors": "Fine-tunes of GPT-2 medium's layout",
        "small/sink": "10,000 files of 1 KiB, to the sink",
        "small/store": "10,000 files of 1 KiB, to the embedded S3 server",
        "small/far": "10,000 files of 1 KiB, to and from a sink that answers 30 ms late",
        "big": "8 GiB",
    }  # fmt: skip
    for name, title in titles.items():
        if section := sections.get(name):
            yield f"\n## {title}\n"
            yield _when(section)
            yield from _cases(section)


def bars(sections: Mapping[str, Any]) -> Iterator[Bar]:
    """Every bar that the results can say something about."""
    for kind in TARGETS:
        section = sections.get(f"new/{kind}")
        if section and "seconds" in section["contestants"].get("ours", {}).get("push", {}):
            yield from _new_bars(kind, section["contestants"])
    if section := sections.get("again"):
        yield from _again_bars(section["cases"])
    if section := sections.get("tensors"):
        for name, case in section["cases"].items():
            if "sent" in case:
                yield Bar(f"{name}: bytes sent", case["sent"], case["bar"], "B", case["formula"])
    yield from _small_bars(sections)
    if section := sections.get("big"):
        for way, case in section["cases"].items():
            if "grown" in case:
                yield Bar(f"8 GiB {way}: memory above idle", case["grown"] / MIB, 256, "MiB")


def _seconds(ways: Mapping[str, Any], way: str, field: str = "seconds") -> float | None:
    found = ways.get(way, {}).get(field)
    return float(found) if found is not None else None


def _new_bars(kind: str, found: Mapping[str, Any]) -> Iterator[Bar]:
    push = _seconds(found["ours"], "push") or 0.0
    pull = _seconds(found["ours"], "pull")
    limits = [("boto3", 3.0), ("mlflow proxied", 7.0)] if kind == "sink" else []
    for name, times in limits:
        if other := _seconds(found.get(name, {}), "push"):
            text = f"push to the {kind}: {times:g} times {name}"
            yield Bar(text, push, other / times, "s", f"{other / push:.2f} times")
    if (best := _best(found, "push", "seconds")) is not None:
        yield Bar(f"push to the {kind}: ahead of every equal rival", push, best[0], "s", best[1])
    if (best := _best(found, "push", "seconds", digest=True)) is not None:
        text = f"push to the {kind}: ahead of every equal rival and a hash of the file"
        yield Bar(text, push, best[0], "s", best[1])
    named = ("floor", 1.35) if kind == "sink" else ("raw presigned", 1.15)
    if other := _seconds(found.get(named[0], {}), "push"):
        text = f"push to the {kind}: within {named[1]} times the {named[0]}"
        yield Bar(text, push, other * named[1], "s", f"{push / other:.2f} times")
    if pull is None:
        return
    if kind == "sink" and (other := _seconds(found.get("mlflow proxied", {}), "pull")):
        note = f"{other / pull:.2f} times"
        yield Bar("pull from the sink: 3 times mlflow proxied", pull, other / 3, "s", note)
    if (best := _best(found, "pull", "verified")) is not None:
        yield Bar(f"pull from the {kind}: ahead of every equal rival", pull, best[0], "s", best[1])
        if (once := _seconds(found.get(OURS_BY_PARTS, {}), "pull")) is not None:
            text = f"pull from the {kind}, each byte hashed once by all: ahead of every equal rival"
            yield Bar(text, once, best[0], "s", best[1])


def _best(
    found: Mapping[str, Any], way: str, field: str, *, digest: bool = False
) -> tuple[float, str] | None:
    """The fastest equal rival; with `digest`, counting what a SHA-256 of its file takes besides."""
    times = [
        (seconds + (_digest(ways) or 0.0 if digest else 0.0), name)
        for name, ways in found.items()
        if name not in NOT_RIVALS and (way == "pull" or equal(name))
        if (seconds := _seconds(ways, way, field)) is not None
        if not digest or _digest(ways) is not None
    ]
    return min(times, default=None)


def _digest(ways: Mapping[str, Any]) -> float | None:
    """What hashing the whole file took where it was pulled."""
    plain, verified = _seconds(ways, "pull"), _seconds(ways, "pull", "verified")
    return verified - plain if plain is not None and verified is not None else None


def _again_bars(cases: Mapping[str, Any]) -> Iterator[Bar]:
    seen, touched = cases.get("unchanged, seen before", {}), cases.get("unchanged, touched", {})
    hashing = cases.get("hashing alone", {}).get("seconds")
    if "sent" in touched:
        yield Bar("unchanged: object bytes sent", touched["sent"], 0, "B")
        if hashing:
            note = f"{touched['seconds'] / hashing:.2f} times"
            text = "unchanged, touched: 1.2 times hashing alone"
            yield Bar(text, touched["seconds"], hashing * 1.2, "s", note)
    if "seconds" in seen:
        yield Bar("unchanged since the last push", seen["seconds"], 0.3, "s")


def _small_bars(sections: Mapping[str, Any]) -> Iterator[Bar]:
    for kind in TARGETS:
        section = sections.get(f"small/{kind}")
        ours = section["cases"].get("ours", {}) if section else {}
        if not section or "seconds" not in ours:
            continue
        files = section["files"]
        if kind == "sink":
            rate = f"{files / ours['seconds']:.0f} files/s"
            yield Bar(
                "10,000 files to the sink: 1,000 files/s", ours["seconds"], files / 1000, "s", rate
            )
            calls = ours["requests"] - ours["parts"]
            limit = files / 1000 + 2
            yield Bar("10,000 files: API calls, making the project included", calls, limit, "calls")
        else:
            for name, text in (("", ""), (", verified", " with checksum and condition")):
                raw = section["cases"].get(f"raw presigned loop{name}", {}).get("seconds")
                if raw:
                    note = f"{ours['seconds'] / raw:.2f} times"
                    what = f"10,000 files to the store: 1.3 times the raw presigned loop{text}"
                    yield Bar(what, ours["seconds"], raw * 1.3, "s", note)


def _contestants(section: Mapping[str, Any]) -> Iterator[str]:
    size, found = section["bytes"], section["contestants"]
    yield "| | equal | under SHA-256 | push s | MB/s | pull s | hashed s | S3 requests | note |"
    yield "|---|---|---|---|---|---|---|---|---|"

    def order(name: str) -> float:
        return found[name].get("push", {}).get("seconds", 1e9)  # type: ignore[no-any-return]

    for name in sorted(found, key=order):
        push, pull = found[name].get("push", {}), found[name].get("pull", {})
        seconds = push.get("seconds")
        rate = f"{size / seconds / 1e6:.0f}" if seconds else ""
        said = "yes" if equal(name) else "" if name in NOT_RIVALS else "no"
        ours = name in ("ours", OURS_BY_PARTS)
        verified = pull.get("seconds") if ours else pull.get("verified")
        note = push.get("error") or pull.get("error") or ""
        share = f"{push['declared']:.0%}" if "declared" in push else ""
        cells = [
            f"**{name}**" if ours else name, said, share, _number(seconds), rate,
            _number(pull.get("seconds")), _number(verified), _number(push.get("s3_requests")),
            note.replace("|", "/").replace("\n", " "),
        ]  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


def _cases(section: Mapping[str, Any]) -> Iterator[str]:
    yield "| | s | sent, bytes | reused, bytes | requests | memory above idle | note |"
    yield "|---|---|---|---|---|---|---|"
    for name, case in section["cases"].items():
        grown = f"{case['grown'] / MIB:.0f} MiB" if "grown" in case else ""
        cells = [
            name, _number(case.get("seconds")), _number(case.get("sent")),
            _number(case.get("reused")), _number(case.get("requests")), grown,
            case.get("error") or case.get("formula") or "",
        ]  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


def _when(section: Mapping[str, Any]) -> str:
    rounds = f"medians of {section['rounds']}" if section["rounds"] > 1 else "one run"
    of = f"commit {section['commit']}, " if section.get("commit") else ""
    machine = ", ".join(f"{k} {v}" for k, v in section["machine"].items())
    return (
        f"{section['date']}, {of}{rounds}; load of the machine before: {section['load_before']}.\n"
        f"Machine: {machine}.\n"
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.2f}"


if __name__ == "__main__":
    write()
