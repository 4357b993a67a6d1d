"""Whether a registry of a million versions is slower, or costs more, than one of a thousand.

    python -m benchmarks.scale [--versions 1000000] [--models 10000] [--calls 300]

Models and versions are written straight into the table, as copies of items that the registry's own verbs
made. Two registries, the large one and one of 1,000 versions with as many versions per model, are asked in
turns: versions are resolved by number and by alias, first pages and best versions read, aliases moved.
Units are those that DynamoDB would bill; times are of SQLite, on this machine's disk, medians. Results
go to `benchmarks/results/scale.json` and to `docs/cost.md`; exit status 1 if a bar is missed.
"""

import argparse
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import runs
from chalicelib.registry import aliases, keys, models, versions
from chalicelib.registry.stores import Stores
from chalicelib.storage import units
from chalicelib.storage.memory import MemoryBlobs
from chalicelib.storage.memory_queue import MemoryQueue
from chalicelib.storage.sqlite import SqliteTable
from tests.registry_world import publish, setup_model
from weighbridge.contract import references
from weighbridge.contract.types import AliasTarget, ModelChanges, ModelSettings

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "scale.json"
PAGE = ROOT / "docs" / "cost.md"
BEGIN, END = "<!-- scale: begin -->\n", "<!-- scale: end -->\n"
BAR = 1.5
SMALL = 1000
PROJECT = "vision"
_ROWS = 20_000
Row = tuple[Any, ...]


def stores_on(folder: Path) -> Stores:
    """A registry on a new SQLite file."""
    return Stores(
        table=SqliteTable(str(folder / "catalog.sqlite")), blobs=MemoryBlobs(),
        queue=MemoryQueue(), site=MemoryBlobs(),
    )  # fmt: skip


def name_of(number: int) -> str:
    """A model's name."""
    return f"model-{number:05d}"


def fill(folder: Path, count: int, per_model: int) -> Stores:
    """A registry of `count` models with `per_model` versions each, made from one that verbs made."""
    stores = stores_on(folder)
    setup_model(stores, PROJECT, name_of(0))
    settings = ModelSettings("accuracy", {"accuracy": "max"})
    models.change(stores, "ann", PROJECT, name_of(0), ModelChanges(settings=settings))
    publish(
        stores, {"model.bin": b"weights"}, project=PROJECT, model=name_of(0),
        metrics={"accuracy": 0.5},
    )  # fmt: skip
    aliases.move(stores, "ann", PROJECT, name_of(0), "production", AliasTarget("1"))
    first = models.find(stores, PROJECT, name_of(0))
    stores.table.close()
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("PRAGMA synchronous=OFF")
    columns = "pk, sk, state, rev, n, until, ttl, ref, doc"
    own = f"pk = 'M#{first.id}'"
    of_version = database.execute(
        f"SELECT {columns} FROM items WHERE {own} AND sk NOT LIKE 'H#%' AND sk <> 'N'"
    ).fetchall()
    of_model = database.execute(
        f"SELECT {columns} FROM items WHERE sk IN ('M#{name_of(0)}', 'I#{first.id}') "
        f"OR ({own} AND (sk LIKE 'H#%' OR sk = 'N'))"
    ).fetchall()
    insert = f"INSERT OR REPLACE INTO items ({columns}) VALUES (?,?,?,?,?,?,?,?,?)"
    batch: list[Row] = []
    for row in _copies(first.id, of_model, of_version, count, per_model):
        batch.append(row)
        if len(batch) >= _ROWS:
            database.executemany(insert, batch)
            batch.clear()
    database.executemany(insert, batch)
    database.commit()
    database.close()
    return stores


def _copies(
    first: str, of_model: list[Row], of_version: list[Row], count: int, per_model: int
) -> Iterator[Row]:
    score = random.Random(count)
    one = keys.version("", keys.READY, 1).sk
    low = keys.ordered(0.5)
    for number in range(count):
        own = first if number == 0 else f"{number:0{len(first)}x}"
        name = name_of(number)
        for pk, sk, state, rev, n, until, ttl, ref, doc in of_model:
            last = per_model if sk == "N" else n
            place = (pk.replace(first, own), sk.replace(first, own).replace(name_of(0), name))
            text = doc.replace(first, own).replace(name_of(0), name)
            yield (*place, state, rev, last, until, ttl, ref and ref.replace(first, own), text)
        for version in range(1, per_model + 1):
            accuracy = round(score.random(), 6)
            sorts = keys.version("", keys.READY, version).sk
            for pk, sk, state, rev, n, until, ttl, ref, doc in of_version:
                place = sk.replace(one, sorts).replace(low, keys.ordered(accuracy))
                if place.startswith("K#"):
                    place = f"K#{number:032x}{version:032x}"
                elif place.startswith("Q#"):
                    place = f"{place.rpartition('#')[0]}#{sorts.partition('#')[2]}"
                text = doc.replace(first, own).replace(name_of(0), name)
                text = text.replace('"number":1,', f'"number":{version},').replace(
                    '"accuracy":0.5', f'"accuracy":{accuracy}'
                )
                yield pk.replace(first, own), place, state, rev, n, until, ttl, ref, text


def verbs(stores: Stores, count: int, per_model: int) -> dict[str, Callable[[random.Random], None]]:
    """What is measured, each on a model that is drawn."""

    def record(draw: random.Random) -> models.ModelRecord:
        return models.find(stores, PROJECT, name_of(draw.randrange(count)))

    def by_number(draw: random.Random) -> None:
        number = draw.randrange(1, per_model + 1)
        selector = references.parse_version(str(number))
        found = versions.of_model(stores, record(draw), selector)
        assert found.number == number

    def by_alias(draw: random.Random) -> None:
        selector = references.parse_version("production")
        versions.resolve(stores, PROJECT, name_of(draw.randrange(count)), selector)

    def first_page(draw: random.Random) -> None:
        found = versions.listing(stores, record(draw), limit=50)
        assert len(found.items) == min(50, per_model)

    def best(draw: random.Random) -> None:
        found = versions.best(stores, record(draw), "accuracy")
        assert found.version.metrics["accuracy"] > 0

    stage: dict[int, int] = {}

    def move(draw: random.Random) -> None:
        number = draw.randrange(1, count)
        # Always to another version: to the same one would be no move.
        stage[number] = stage.get(number, 0) % per_model + 1
        target = AliasTarget(str(stage[number]))
        aliases.move(stores, "ann", PROJECT, name_of(number), "stage", target)

    def listed(draw: random.Random) -> None:
        found = models.listing(stores, PROJECT, prefix="", limit=10, page=None)
        assert len(found.items) == 10

    return {
        "resolve a version by number": by_number, "resolve an alias": by_alias,
        "first page of 50 versions": first_page, "best version by a metric": best,
        "move an alias": move, "first page of 10 models": listed,
    }  # fmt: skip


def measure(places: dict[str, tuple[Stores, int, int]], calls: int) -> dict[str, Any]:
    """Medians and units of each verb in each place, in turns."""
    draws = {where: random.Random(7) for where in places}
    ways = {where: verbs(*place) for where, place in places.items()}
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    cost: dict[str, dict[str, set[tuple[float, float]]]] = defaultdict(lambda: defaultdict(set))
    for turn in range(calls):
        for verb in next(iter(ways.values())):
            order = list(places) if turn % 2 else list(places)[::-1]
            for where in order:
                began = time.perf_counter()
                with units.recorded() as used:
                    ways[where][verb](draws[where])
                seconds[verb][where].append(time.perf_counter() - began)
                cost[verb][where].add((used.reads, used.writes))
    found: dict[str, Any] = {}
    for verb, times in seconds.items():
        medians = {where: statistics.median(times[where]) for where in places}
        found[verb] = {
            "ms": {where: round(1000 * median, 3) for where, median in medians.items()},
            "ratio": round(medians["large"] / medians["small"], 3),
            "units": {where: sorted(cost[verb][where]) for where in places},
        }
    return found


def table(document: dict[str, Any]) -> str:
    """The section of the documentation."""
    lines = [
        f"{document['versions']:,} versions in {document['models']:,} models beside {SMALL:,} versions with as "
        f"many per model ({document['date'][:10]}, SQLite of {document['megabytes']:,} MB, medians of "
        f"{document['calls']}; `python -m benchmarks.scale`). Bar: the same units, 1.5 times the time.",
        "",
        "| verb | read, write units, small | large | ms, small | large | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for verb, one in document["verbs"].items():
        small, large = (_units(one["units"][where]) for where in ("small", "large"))
        ms = one["ms"]
        lines.append(
            f"| {verb} | {small} | {large} | {ms['small']:.2f} | {ms['large']:.2f} | {one['ratio']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _units(found: list[list[float]]) -> str:
    return " or ".join(f"{reads:g}, {writes:g}" for reads, writes in found)


def main() -> None:
    """Fills, measures, writes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--versions", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--dry-run", action="store_true", help="write no results")
    options = parser.parse_args()
    per_model = options.versions // options.models
    with tempfile.TemporaryDirectory(prefix="bench-scale-", dir=options.folder) as name:
        places = {}
        for where, count in (("small", SMALL // per_model), ("large", options.models)):
            folder = Path(name, where)
            folder.mkdir()
            began = time.monotonic()
            places[where] = (fill(folder, count, per_model), count, per_model)
            print(f"{where}: {count} models in {time.monotonic() - began:.0f} s", flush=True)
        size = (Path(name) / "large" / "catalog.sqlite").stat().st_size
        found = measure(places, options.calls)
        for stores, _, _ in places.values():
            stores.table.close()
    document = {
        **runs.stamp(), "versions": options.versions, "models": options.models,
        "calls": options.calls, "megabytes": size // 10**6, "verbs": found,
    }  # fmt: skip
    print(json.dumps(document, indent=1))
    if not options.dry_run:
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        text = before + BEGIN + table(document) + END + rest.split(END)[1]
        PAGE.write_text(text, encoding="utf-8")
    missed = [
        verb for verb, one in found.items()
        if one["ratio"] > BAR or one["units"]["small"] != one["units"]["large"]
    ]  # fmt: skip
    sys.exit(f"missed by: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
