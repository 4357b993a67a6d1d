"""What the catalogue costs its readers and its writers, measured on a large registry.

    python -m benchmarks.pages [--versions 2000] [--long 10000] [--series 5000] [--folder DIR]

Fills a registry (`infra.demo.large`), renders it twice and compares, checks every link, counts the objects
that one more version writes, opens every page type in headless Chromium over loopback, and then starts
`weighbridge serve` on the same data to see how soon a new version shows. Results go to
`benchmarks/results/pages.json` and into the table of `docs/catalogue.md`; exit status 1 if a bar is missed.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, sync_playwright

from benchmarks import pages_report
from chalicelib.catalogue import checking, drain, publish, shelf, slugs
from chalicelib.catalogue.registry_source import RegistrySource
from chalicelib.registry import models, projects, providers, publishing
from chalicelib.registry.stores import Stores
from chalicelib.storage.memory import MemoryBlobs
from infra.demo import inventory, large
from infra.demo.catalogue_server import CHROMIUM, FLAGS, Served, serving
from infra.demo.server import running
from infra.embedded.worker import GATHERED
from weighbridge import Registry
from weighbridge.contract import manifests
from weighbridge.contract.types import NewModel, NewProject, NewProvider, NewVersion, VersionCommit

RESULT = Path(__file__).parent / "results" / "pages.json"
ROUNDS = 7
PUSHES = 5
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
BARS = {"paint_ms": 300.0, "transfer": 150_000, "html": 300_000}
FEDERATED = "arbiter-10000#guest-9999#host-10000#model"
FEW = ("vision", "ten-so-far")


def wide() -> list[str]:
    """References of versions with 40 metrics each, the oldest first."""
    return [f"vision/{inventory.WIDE}@{number}" for number in range(1, 7)]


def addresses(plan: large.Plan, last: int) -> dict[str, str]:
    """Every page type, and the heaviest of its kind. `last` is the version with the long series."""
    vision, wide_ = "/p/vision/", f"/p/vision/{inventory.WIDE}/"
    nightly, series = (
        f"/p/vision/{inventory.NIGHTLY[1]}/",
        f"/p/speech/{inventory.SERIES[1]}/{last}/",
    )
    top = slugs.range_of(plan.long)[0]

    def compare(*refs: str, **more: str) -> str:
        return f"/compare?{urlencode([*(('ref', ref) for ref in refs), *more.items()])}"

    encoder = "language/sentence-encoder"
    point = f"speech/{inventory.SERIES[1]}@{last}"
    return {
        "home": "/", "activity": "/activity", "project": vision, "model": "/p/vision/weld-seam/",
        "model, 40 metrics": wide_, f"model, {plan.long:,} versions": nightly,
        "versions": f"{nightly}versions/{top}-{top + 99}/", "versions, 40 metrics": f"{wide_}versions/1-100/",
        "version": f"{wide_}3/", "version, 218 tensors": f"/p/{encoder}/1/",
        f"checkpoints, {plan.series:,}": f"{series}checkpoints/",
        "checkpoint range": f"{series}checkpoints/1-100/", "checkpoint": f"{series}checkpoints/2/",
        "compare two": compare(f"{encoder}@1", f"{encoder}@latest"), "compare six": compare(*wide()),
        "compare, all shown": compare(f"{encoder}@1", f"{encoder}@latest", all="1"),
        "compare checkpoints": compare(f"{point}:1", f"{point}:last"),
        "search": "/search?q=accuracy+%3E+0.9", "providers": slugs.providers_path("models"),
        "federated model": slugs.federated_path("models", FEDERATED), "sign-in": "/sign-in",
        "not found": "/p/vision/nothing-here/",
    }  # fmt: skip


def _more(stores: Stores) -> None:
    """What the demo has not: a provider, a federated model, and a model with ten versions."""
    projects.create(
        stores, "ada", NewProject("models", "Parts of models that several parties train.")
    )
    components = {
        f"psi_{number}": {"description": "Private set intersection"} for number in range(12)
    }
    provider = NewProvider("fate", "2.2.0", "local", {"path": "/opt/fate"}, components=components)
    providers.register(stores, "ada", "models", provider)
    for party in ("arbiter#10000", "guest#9999", "host#10000"):
        models.create(stores, "ada", "models", NewModel(f"{party}#{FEDERATED}"))
        for job in ("202611010900000000010", "202611020900000000010"):
            _version(stores, "models", f"{party}#{FEDERATED}", job)
    models.create(stores, "ada", FEW[0], NewModel(FEW[1]))
    for _ in range(10):
        _version(stores, *FEW)


def _version(stores: Stores, project: str, model: str, label: str = "") -> int:
    """One more version, without files of its own."""
    opened = publishing.begin(
        stores, "ada", project, model, NewVersion(os.urandom(16).hex(), label)
    )
    request = VersionCommit(manifests.digest(()), metrics={"accuracy": 0.9}, params={"seed": 7})
    publishing.commit(stores, "ada", project, model, opened.number, request)
    return opened.number


class _Counted(MemoryBlobs):
    """A site that counts what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def put(self, key: str, *args: Any, **options: Any) -> str:  # type: ignore[override]
        """As the store does."""
        self.written.append(key)
        return super().put(key, *args, **options)  # type: ignore[return-value]


class _Remembered:
    """Files of the registry that never change (manifests, facts, claims), fetched once: rendering all pages
    would spend its time on a thousand fetches of the same ones."""

    def __init__(self, blobs: Any) -> None:
        self._blobs, self._known = blobs, dict[Any, bytes]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def read(self, *args: Any, **options: Any) -> bytes:
        """As the store does."""
        asked = (args, *options.items())
        if asked not in self._known:
            self._known[asked] = self._blobs.read(*args, **options)
        return self._known[asked]


def contents(site: MemoryBlobs) -> Iterator[tuple[str, bytes]]:
    """Every object of a site."""
    for key in shelf.keys_under(site, ""):
        yield key, site.read(key)


def rendered(stores: Stores) -> tuple[MemoryBlobs, dict[str, Any]]:
    """The site as changes made it and as it is made anew from nothing, compared, its links followed."""
    begun = time.perf_counter()
    drain.everything(stores)
    publish.publish_static(stores.site)
    first = time.perf_counter() - begun
    anew = MemoryBlobs()
    begun = time.perf_counter()
    source = RegistrySource(stores)
    for project_id, _ in source.summaries():
        publish.publish_all(source, anew, project_id)
    publish.publish_static(anew)
    second = time.perf_counter() - begun
    store = checking.Store(stores.site)
    found = checking.check(store, contents(anew), source.now(), False)
    sizes = {key: len(data) for key, data in contents(anew)}
    html = {key: size for key, size in sizes.items() if key.endswith(".html")}
    largest = max(html, key=lambda key: html[key])
    return anew, {
        "objects": len(sizes), "pages": found.pages, "bytes": sum(sizes.values()),
        "largest_html": {"key": largest, "bytes": html[largest]},
        "seconds_from_changes": round(first, 1), "seconds_anew": round(second, 1),
        "different": len(found.stale), "missing": len(found.missing), "strays": len(found.strays),
        "broken_links": len(found.broken),
    }  # fmt: skip


def one_more(stores: Stores, site: _Counted) -> dict[str, Any]:
    """What one more version writes, for a model with ten and for the one with very many."""
    found = {}
    for project, model in (FEW, inventory.NIGHTLY):
        project_id = projects.find(stores, project).id
        _version(stores, project, model)  # whatever the first one in a new range writes
        drain.project(stores, project_id)
        site.written.clear()
        number = _version(stores, project, model)
        begun = time.perf_counter()
        drain.project(stores, project_id)
        took = time.perf_counter() - begun
        found[f"{project}/{model}@{number}"] = {
            "objects": len(site.written), "seconds": round(took, 3), "keys": sorted(site.written),
        }  # fmt: skip
    return found


def opened(browser: Browser, served: Served, path: str) -> dict[str, Any]:
    """One page, a few times, from another page of the site and without a cache: first paint (median),
    bytes on the wire, bytes of HTML."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    served.admit(context)
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    wire.send("Network.setCacheDisabled", {"cacheDisabled": True})
    loaded: list[float] = []
    wire.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    paints, sizes = [], []
    html = status = 0
    for _ in range(ROUNDS):
        page.goto(served.address + "/sign-in?next=%2F", wait_until="networkidle")
        loaded.clear()
        answer = page.goto(served.address + path, wait_until="networkidle")
        status, html = answer.status if answer else 0, len(answer.body()) if answer else 0
        paints.append(page.evaluate(_PAINT))
        sizes.append(sum(loaded))
    context.close()
    return {
        "path": path, "status": status, "paint_ms": round(statistics.median(paints), 1),
        "paint_worst_ms": round(max(paints), 1), "transfer": round(max(sizes)), "html": html,
    }  # fmt: skip


def measured(stores: Stores, secret: str, plan: large.Plan, last: int) -> dict[str, Any]:
    """Every page type in Chromium."""
    found = {}
    with serving(stores, secret) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened(browser, served, "/")  # the browser's own first start is not the page's
        for name, path in addresses(plan, last).items():
            found[name] = opened(browser, served, path)
            print(f"{name:28}{found[name]}", flush=True)
        browser.close()
    return found


def shown(data: Path) -> dict[str, Any]:
    """Seconds from the end of a push until the model's page on the local stack names the new version: of
    one that comes after a quiet while, and of one right behind it, which is kept for the next rendering."""
    found = {}
    with (
        running(data, 0) as server,
        Registry(server.url, server.token) as registry,
        tempfile.TemporaryDirectory() as folder,
    ):
        cookie = server.sign_in(registry.client.ticket().url)
        file = Path(folder) / "model.bin"

        def push(project: str, model: str, patience: float) -> float:
            file.write_bytes(os.urandom(4096))
            pushed = registry.push(f"{project}/{model}", [file], metrics={"accuracy": 0.9})
            begun = time.perf_counter()
            number = pushed.reference.rpartition("@")[2]
            page = f"/p/{project}/{model}/"
            server.wait_for(page, cookie, [f"{page}{number}/"], patience, every=0.02)
            return time.perf_counter() - begun

        for name in (FEW, inventory.NIGHTLY):
            push(*name, patience=600)  # makes the pages that this server's own store has not yet
            alone, behind = [], []
            for _ in range(PUSHES):
                time.sleep(GATHERED["render"] + 0.5)
                alone.append(push(*name, patience=60))
                behind.append(push(*name, patience=60))
            found["/".join(name)] = {
                "alone": round(statistics.median(alone), 2), "worst": round(max(alone), 2),
                "behind": round(statistics.median(behind), 2), "pushes": PUSHES,
            }  # fmt: skip
    return found


def missed(found: Mapping[str, Any]) -> list[str]:
    """What does not keep its promise."""
    said = [
        f"{name}: {what} {page[what]:,} > {bar:,}"
        for name, page in found["pages"].items()
        for what, bar in BARS.items()
        if not 0 <= page[what] <= bar
    ]
    site = found["site"]
    said += [
        f"{k}: {site[k]}" for k in ("different", "missing", "strays", "broken_links") if site[k]
    ]
    if site["largest_html"]["bytes"] > BARS["html"]:
        said.append(f"{site['largest_html']}")
    if len({entry["objects"] for entry in found["one_more"].values()}) != 1:
        said.append("one more version writes more objects where there are more versions")
    return said


def measure(plan: large.Plan, folder: Path) -> dict[str, Any]:
    """Everything, once."""
    from chalicelib.settings import settings
    from infra.embedded import opening

    data = folder / "data"
    with running(data, 0):
        pass  # which makes the data folder
    with ExitStack() as parts:
        made = opening.stores(data, parts)
        counted = _Counted()
        stores = replace(made, site=counted, blobs=_Remembered(made.blobs))
        begun = time.perf_counter()
        large.fill(stores, plan, large.put, lambda text: print(text, flush=True))
        filled = time.perf_counter() - begun
        _more(stores)
        _, site = rendered(stores)
        print(json.dumps(site), flush=True)
        record = models.find(stores, *inventory.SERIES)
        last = RegistrySource(stores).newest(record.project_id, record.model, 1)[0].number
        pages = measured(replace(stores, blobs=made.blobs), settings().secret, plan, last)
        more = one_more(stores, counted)
    return {
        "models": plan.models, "versions": plan.versions + plan.long, "long": plan.long, "series": plan.series,
        "seconds_to_fill": round(filled, 1), "site": site, "one_more": more, "pages": pages,
        "seconds_until_shown": shown(data),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, writes the result and the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages")
    parser.add_argument("--versions", type=int, default=large.Plan().versions)
    parser.add_argument("--long", type=int, default=large.Plan().long)
    parser.add_argument("--series", type=int, default=large.Plan().series)
    parser.add_argument(
        "--folder", type=Path, help="where the registry is made, instead of a temporary folder"
    )
    parser.add_argument("--dry-run", action="store_true", help="write no result")
    args = parser.parse_args(arguments)
    plan = large.Plan(args.versions, args.long, args.series)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = measure(plan, Path(folder))
    found |= {"bars": BARS, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
              "load": round(os.getloadavg()[0], 1)}  # fmt: skip
    print(json.dumps(found, indent=1))
    if not args.dry_run:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
        pages_report.write()
    said = missed(found)
    print("\n".join(said) or "every bar is met")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
