"""How many requests one machine's server answers, as ratios to a route that does nothing, in one run.

    python -m benchmarks.load [--requests 10000] [--clients 32] [--rounds 5]

The server is `weighbridge serve`'s own process, on SQLite and SeaweedFS, with a no-op Chalice route more;
clients are threads of a second process with kept connections, on the same two cores. First each kind of
request alone, in turns; then 10,000 mixed requests from 32 clients, none of which may fail. Bounded in
count, loopback only. Results go to `benchmarks/results/load.json` and to `docs/cost.md`; exit status 1
if a bar is missed.
"""

import argparse
import hashlib
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import runs
from weighbridge import Registry
from weighbridge.contract import codec, digests, manifests
from weighbridge.contract.manifests import FileEntry

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "load.json"
PAGE = ROOT / "docs" / "cost.md"
BEGIN, END = "<!-- load: begin -->\n", "<!-- load: end -->\n"
BARS = {"resolve an alias": 0.5, "begin and commit": 0.1}
MODELS = 8
DATA = b"the weights of a small version"
_START_SECONDS = 120.0
_ATTEMPTS = 6


@dataclass(slots=True)
class Caller:
    """Somebody with a token and one connection, who works at one of the models. What says that it is to be
    tried again is tried again a little later, as the SDK does; that is counted."""

    url: str
    token: str
    model: str
    files: list[dict[str, Any]]
    manifest: str
    retried: int = 0
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        where = urlsplit(self.url)
        self.connection = http.client.HTTPConnection(
            where.hostname or "", where.port or 80, timeout=60
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; RuntimeError if it is an error."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        for attempt in range(_ATTEMPTS):
            self.connection.request(method, path, data, headers)
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.status < 300:
                return json.loads(text)
            if answer.status != 503:
                break
            self.retried += 1
            time.sleep(random.uniform(0, 0.1 * 2**attempt))
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")

    def nothing(self) -> None:
        """The route that does nothing."""
        self.ask("GET", "/api/nothing")

    def resolve(self) -> None:
        """A version by its alias."""
        self.ask("GET", f"{self.model}/versions/production")

    def page(self) -> None:
        """The first page of versions."""
        self.ask("GET", f"{self.model}/versions?limit=50")

    def bundle(self) -> None:
        """A version with its files, signed."""
        self.ask("GET", f"{self.model}/versions/1/bundle")

    def move(self) -> None:
        """An alias of one's own, moved."""
        name = f"a-{threading.get_ident()}"
        self.ask("PUT", f"{self.model}/aliases/{name}", {"version": "1"})

    def publish(self) -> None:
        """A version whose file is there: opened, committed."""
        key = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
        number = self.ask("POST", f"{self.model}/versions", {"key": key})["number"]
        body = {"manifest": self.manifest, "files": self.files, "metrics": {"accuracy": 0.5}}
        self.ask("POST", f"{self.model}/versions/{number}/commit", body)


KINDS: dict[str, Callable[[Caller], None]] = {
    "nothing": Caller.nothing, "resolve an alias": Caller.resolve,
    "first page of versions": Caller.page, "sign a version's files": Caller.bundle,
    "move an alias": Caller.move, "begin and commit": Caller.publish,
}  # fmt: skip
MIX = (
    ("resolve an alias", 60), ("first page of versions", 10), ("sign a version's files", 15),
    ("move an alias", 5), ("begin and commit", 10),
)  # fmt: skip


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, str]]:
    """Address and token of a running one."""
    ready = folder / "ready.json"
    command = [
        sys.executable, "-P", "-m", "benchmarks.load_server", "--port=0", f"--data={folder / 'data'}",
        f"--ready-file={ready}",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sdk'}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            time.sleep(0.05)
        found = json.loads(ready.read_text())
        yield found["url"], found["token"]
    finally:
        process.terminate()
        process.wait(30)


def alone(callers: list[Caller], kind: str, count: int) -> float:
    """Requests (or pairs of them) a second of one kind, by all callers together."""
    call = KINDS[kind]
    began = time.monotonic()
    with ThreadPoolExecutor(len(callers)) as pool:
        shares = [pool.submit(_repeat, call, caller, count // len(callers)) for caller in callers]
        for share in shares:
            share.result()
    return count // len(callers) * len(callers) / (time.monotonic() - began)


def _repeat(call: Callable[[Caller], None], caller: Caller, count: int) -> None:
    for _ in range(count):
        call(caller)


def mixed(callers: list[Caller], count: int) -> dict[str, Any]:
    """What became of `count` requests of all kinds, and how long they took."""
    kinds, weights = zip(*MIX, strict=True)
    order = random.Random(11).choices(kinds, weights, k=count)
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    errors: Counter[str] = Counter()
    lock = threading.Lock()
    todo = iter(order)

    def work(caller: Caller) -> None:
        while True:
            with lock:
                kind = next(todo, None)
            if kind is None:
                return
            began = time.monotonic()
            try:
                KINDS[kind](caller)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                with lock:
                    errors[str(error)[:200]] += 1
                continue
            with lock:
                took[kind].append(time.monotonic() - began)

    began = time.monotonic()
    with ThreadPoolExecutor(len(callers)) as pool:
        for done in [pool.submit(work, caller) for caller in callers]:
            done.result()
    seconds = time.monotonic() - began
    every = sorted(second for times in took.values() for second in times)
    return {
        "requests": count, "clients": len(callers), "seconds": round(seconds, 2),
        "per_second": round(count / seconds, 1), "errors": dict(errors),
        "ms": {"median": _ms(every, 0.5), "p99": _ms(every, 0.99), "worst": _ms(every, 1)},
        "p99_ms": {kind: _ms(sorted(times), 0.99) for kind, times in took.items()},
    }  # fmt: skip


def _ms(ordered: list[float], share: float) -> float:
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


def prepared(url: str, token: str, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The models that are asked for; files and manifest of what is published."""
    path = folder / "model.bin"
    path.write_bytes(DATA)
    with Registry(url, token) as registry:
        for number in range(MODELS):
            registry.push(f"load/model-{number}", path, metrics={"accuracy": 0.4})
            registry.client.move_alias("load", f"model-{number}", "production", "1")
    digest = digests.sha256_of(DATA)
    entry = FileEntry("model.bin", len(DATA), digest, digests.single_blob(digest, len(DATA)))
    files: list[dict[str, Any]] = codec.encode((entry,))
    return files, manifests.digest([entry])


def table(document: dict[str, Any]) -> str:
    """The section of the documentation."""
    mix = document["mixed"]
    lines = [
        f"One machine's server on 2 cores that it shares with its clients and its store "
        f"({document['date'][:10]}, medians of {document['rounds']}; `python -m benchmarks.load`).",
        "",
        f"| by {document['clients']} clients | a second | of a no-op Chalice route | bar |",
        "|---|---|---|---|",
    ]
    for kind, one in document["alone"].items():
        bar = BARS.get(kind, "")
        lines.append(f"| {kind} | {one['per_second']:,.0f} | {one['ratio']:.2f} | {bar} |")
    shares = ", ".join(f"{weight} % {kind}" for kind, weight in MIX)
    lines += [
        "",
        f"{mix['requests']:,} mixed requests from {mix['clients']} clients ({shares}): "
        f"{sum(mix['errors'].values())} errors (and {document['retried']} answers that said to try "
        f"again), {mix['per_second']:,.0f} a second, median "
        f"{mix['ms']['median']:.0f} ms, 99th percentile {mix['ms']['p99']:.0f} ms.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, writes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=512, help="requests of a kind in a round")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of those alone, by comma")
    parser.add_argument("--dry-run", action="store_true", help="write no results")
    options = parser.parse_args()
    wanted = dict.fromkeys(["nothing", *options.kinds.split(",")])
    document: dict[str, Any] = {
        **runs.stamp(), "rounds": options.rounds, "clients": options.clients,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bench-load-") as name, server(Path(name)) as found:
        files, manifest = prepared(*found, Path(name))
        callers = [
            Caller(*found, f"/api/projects/load/models/model-{i % MODELS}", files, manifest)
            for i in range(options.clients)
        ]
        rates: dict[str, list[float]] = {kind: [] for kind in wanted}
        for _ in range(options.rounds):
            for kind in wanted:
                rates[kind].append(alone(callers, kind, options.count))
        document["mixed"] = mixed(callers, options.requests)
        document["retried"] = sum(caller.retried for caller in callers)
    base = rates["nothing"]
    document["alone"] = {
        kind: {
            "per_second": round(statistics.median(of_kind), 1),
            "ratio": round(statistics.median(
                one / plain for one, plain in zip(of_kind, base, strict=True)), 3),
        }
        for kind, of_kind in rates.items()
    }  # fmt: skip
    print(json.dumps(document, indent=1))
    if not options.dry_run:
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        text = before + BEGIN + table(document) + END + rest.split(END)[1]
        PAGE.write_text(text, encoding="utf-8")
    missed = [
        kind
        for kind, bar in BARS.items()
        if kind in wanted and document["alone"][kind]["ratio"] < bar
    ]
    missed += ["errors"] if document["mixed"]["errors"] else []
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
