"""What a search costs whoever types: time per key over 50,000 entries, bytes transferred, in Chromium.

    python -m benchmarks.search [--entries 50000] [--models 40] [--rounds 3]

The index is made by the code that publishes it, from models and versions that look like real ones: one
model has a fifth of all versions. It is served by the front of `weighbridge serve` over loopback. The
time per key is from the input event until the browser has laid the results out, without the time until
the next frame. Results go to `benchmarks/results/search.json`; exit status 1 if the bar is missed.
"""

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from chalicelib.api import cookie
from chalicelib.catalogue import publish, slugs
from chalicelib.catalogue.render import HEADERS, canonical
from chalicelib.catalogue.searching import answering, index
from chalicelib.catalogue.views import RANGE, SearchView
from chalicelib.storage.memory import MemoryBlobs
from infra.embedded.front import Front
from infra.embedded.http_server import Server
from weighbridge.contract import origins
from weighbridge.contract.types import Model, ModelSettings, Version

RESULT = Path(__file__).parent / "results" / "search.json"
BAR_MS = 50.0
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PROJECTS = ("vision", "text", "speech")
QUERIES = (
    "model-7", "accuracy > 0.9 tag:edge format:onnx", "a", "kind:version", "-draft lr<=1e-3",
    "quantised encoder", "verdict:unsafe by:ci-*", "label:2.1.*", "nowhere to be found",
)  # fmt: skip
_WORDS = (
    "encoder", "decoder", "wider", "hidden", "layer", "cosine", "schedule", "quantised", "distilled",
    "from", "the", "october", "set", "with", "less", "dropout", "and", "more", "data", "draft",
)  # fmt: skip
_KEY = """
(text) => {
  const box = document.querySelector("input[name=q]");
  box.value = text;
  const before = performance.now();
  box.dispatchEvent(new Event("input", { bubbles: true }));
  document.getElementById("hits").getBoundingClientRect();
  return performance.now() - before;
}
"""


class _Counted(MemoryBlobs):
    """A store that counts what it gives out: what the browser did not have."""

    def __init__(self) -> None:
        super().__init__()
        self.documents = self.bytes = 0

    def read(self, key: str, start: int = 0, length: int | None = None, etag: str = "") -> bytes:
        """As the store does."""
        data = super().read(key, start, length, etag)
        self.documents, self.bytes = self.documents + 1, self.bytes + len(data)
        return data


def _text(rng: random.Random, most: int) -> str:
    return " ".join(rng.choices(_WORDS, k=rng.randrange(2, most)))


def _version(model: Model, number: int, rng: random.Random) -> Version:
    names = ("accuracy", "loss", "f1", "seconds", "val/top5")
    return Version(
        model.project, model.name, number, "ready",
        label=f"{number // 100}.{number // 10 % 10}.{number % 10}" if number % 2 else "",
        description=_text(rng, 12) if number % 3 == 0 else "",
        metrics={name: round(rng.random(), 6) for name in names},
        params={"lr": 10 ** -rng.randrange(1, 6), "hidden": 2 ** rng.randrange(4, 12),
                "optimizer": rng.choice(("adam", "sgd", "lamb")), "epochs": rng.randrange(1, 90)},
        tags={"device": rng.choice(("edge", "cpu", "gpu"))} if number % 2 else {},
        formats=rng.choice((("onnx",), ("safetensors",), ("gguf",), ("torch",))),
        verdict=rng.choice(("safe", "safe", "safe", "unknown", "unsafe")), size=rng.randrange(10**9),
        created_by=rng.choice(("ada", "grace", "ci-nightly")), published="2026-11-20T08:00:00.000Z",
    )  # fmt: skip


def site(entries: int, models: int) -> Iterator[tuple[str, bytes]]:
    """The index documents of a registry with so many models and versions, by key."""
    rng = random.Random(50_000)
    ordinary = (entries - models) * 4 // 5 // max(1, models - 1)
    shards: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for place in range(models):
        many = entries - models - ordinary * (models - 1) if place == 0 else ordinary
        model = Model(
            PROJECTS[place % 3], f"model-{place}", f"{rng.getrandbits(80):020x}",
            description=_text(rng, 14), tags={"team": rng.choice(_WORDS)},
            settings=ModelSettings("accuracy", {"accuracy": "max"}), aliases={"production": many},
        )  # fmt: skip
        found = [_version(model, number, rng) for number in range(many, 0, -1)]
        for start in range(0, many, RANGE):
            part = found[max(0, many - start - RANGE) : many - start]
            path = slugs.range_path(model.project, model.name, model.id, start + 1)
            data = canonical(index.versions_document(model, part))
            yield slugs.object_key(path, index.VERSIONS), data
        card = " ".join(_text(rng, 12) for _ in range(30))
        shown = index.model_entry(model, card, found[0])
        shards.setdefault((model.project, index.shard_of(model.id)), []).append(shown)
    for (project, shard), shown_ in shards.items():
        yield index.shard_key(project, shard), canonical(index.shard_document(project, shown_))


def _page(keys: set[str]) -> Callable[..., Iterable[bytes]]:
    """The search page, as the API answers it."""
    view = SearchView(None, indexes=answering.among(keys, PROJECTS))
    body = publish.renderer().render(answering.search_page(view))

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), *HEADERS.items()])
        return [body]

    return application


def keys_of(page: Page, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every key of every query, typed letter by letter and taken back."""
    found: dict[str, list[float]] = {}
    for text in QUERIES:
        steps = [text[:end] for end in range(1, len(text) + 1)]
        for _ in range(rounds):
            page.evaluate(_KEY, "")
            found.setdefault(text, []).extend(page.evaluate(_KEY, step) for step in steps)
    return found


def measure(entries: int, models: int, rounds: int) -> dict[str, Any]:
    """Everything, once."""
    store = _Counted()
    raw = packed = documents = 0
    keys = set()
    for key, data in site(entries, models):
        store.put(key, data, "application/json")
        keys.add(key)
        documents, raw, packed = (
            documents + 1,
            raw + len(data),
            packed + len(gzip.compress(data, 6)),
        )
    static, signed = publish.renderer().root / "static", cookie.read_keys("b" * 40)
    server = Server(("127.0.0.1", 0), None)
    server.prepare()
    port = int(server.bind_addr[1])
    server.wsgi_app = Front(
        _page(keys), origins.doors(port), static, store, signed, open_pages=True
    )
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            address = f"http://127.0.0.1:{port}/search"
            found = _in_browser(browser.new_page(), address, rounds, store)
            browser.close()
    finally:
        server.stop()
        thread.join()
    return {"entries": entries, "models": models, "documents": documents, "bytes": raw,
            "bytes_gzip": packed, **found}  # fmt: skip


def _in_browser(page: Page, address: str, rounds: int, store: _Counted) -> dict[str, Any]:
    loads = []
    for _ in range(2):
        store.documents = store.bytes = 0
        began = time.perf_counter()
        page.goto(address)
        page.locator("input[name=q]").press_sequentially("m")  # who types has the index read
        page.locator("#search[aria-busy=false]").wait_for(timeout=300_000)
        loads.append({"seconds": round(time.perf_counter() - began, 3), "documents": store.documents,
                      "bytes": store.bytes})  # fmt: skip
    typed = keys_of(page, rounds)
    every = sorted(took for times in typed.values() for took in times)
    return {
        "loads": loads, "keys": len(every), "median_ms": round(statistics.median(every), 2),
        "p99_ms": round(every[int(len(every) * 0.99)], 2), "worst_ms": round(every[-1], 2),
        "worst_ms_by_query": {text: round(max(times), 2) for text, times in typed.items()},
        "heap_mb": round(page.evaluate("performance.memory.usedJSHeapSize") / 1e6, 1),
        "found": page.evaluate("document.getElementById('said').textContent"),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, writes the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search")
    parser.add_argument("--entries", type=int, default=50_000)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(arguments)
    found = measure(args.entries, args.models, args.rounds)
    found |= {"bar_ms": BAR_MS, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
              "load": round(os.getloadavg()[0], 1)}  # fmt: skip
    print(json.dumps(found, indent=1))
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if found["p99_ms"] <= BAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
