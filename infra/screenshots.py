"""`python -m infra.screenshots`: photographs every page type of the catalogue into `docs/images`.

The registry is a small `infra.demo.large`, in memory; the browser is Debian's Chromium.
"""

import argparse
import base64
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, sync_playwright

from chalicelib.registry import models, projects, providers, publishing
from chalicelib.registry.stores import Stores
from infra.demo import inventory, large
from infra.demo.catalogue_server import CHROMIUM, FLAGS, Served, serving
from weighbridge.contract import manifests
from weighbridge.contract.types import (
    NewModel,
    NewProject,
    NewProvider,
    NewVersion,
    VersionCommit,
)

FOLDER = Path(__file__).parents[1] / "docs" / "images"
PLAN = large.Plan(versions=700, long=140, series=240)
QUALITY = 86
MOST = 150_000
FEDERATED = "arbiter-10000#guest-9999#host-10000#model"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: what is opened, how wide, and what is done before."""

    name: str
    path: str
    width: int = 1280
    height: int = 860
    scheme: Literal["light", "dark"] = "light"
    before: Callable[[Page], None] = lambda page: None


def _compare(*refs: str) -> str:
    return f"/compare?{urlencode([('ref', ref) for ref in refs])}"


def _columns(page: Page) -> None:
    """Opens the list of columns and chooses two that are not there."""
    page.locator("h2#versions").scroll_into_view_if_needed()
    page.locator("details.columns > summary").click()
    for name in ("precision/dent", "precision/crack"):
        page.locator(".choose").get_by_label(name, exact=True).check()
    page.evaluate("document.getElementById('versions').scrollIntoView({ block: 'start' })")


def _to(anchor: str) -> Callable[[Page], None]:
    """Scrolls to a section."""
    script = "id => document.getElementById(id).scrollIntoView({ block: 'start' })"
    return lambda page: page.evaluate(script, anchor)


def _search(page: Page) -> None:
    page.locator("#hits .hit").first.wait_for()


SHOTS = (
    Shot("home", "/"),
    Shot("project", "/p/vision/"),
    Shot("model", "/p/vision/weld-seam/"),
    Shot("model-lineage", "/p/vision/weld-seam/", before=_to("lineage")),
    Shot("columns", "/p/vision/defect-classes/", 1440, before=_columns),
    Shot("version", "/p/language/sentence-encoder/latest/"),
    Shot("version-tensors", "/p/language/sentence-encoder/latest/", before=_to("tensors")),
    Shot("checkpoints", "/p/speech/wakeword/latest/checkpoints/"),
    Shot("checkpoint", "/p/speech/wakeword/latest/checkpoints/120/"),
    Shot("compare", _compare("vision/weld-seam@18", "vision/weld-seam@production")),
    Shot("compare-tensors", _compare("vision/weld-seam@18", "vision/weld-seam@production"),
         before=_to("tensors")),
    Shot("compare-checkpoints", _compare("speech/wakeword@latest:1", "speech/wakeword@latest:last")),
    Shot("search", "/search?q=accuracy+%3E+0.95+tag%3Aedge+by%3Aada", before=_search),
    Shot("activity", "/activity"),
    Shot("providers", "/p/models/~providers/"),
    Shot("federated", "/p/models/~federated/arbiter-10000~23guest-9999~23host-10000~23model/"),
    Shot("sign-in", "/sign-in", height=620),
    Shot("not-found", "/p/vision/nothing-here/", height=520),
    Shot("model-dark", "/p/vision/weld-seam/", scheme="dark"),
    Shot("compare-dark", _compare("vision/weld-seam@18", "vision/weld-seam@production"),
         scheme="dark"),
    Shot("model-phone", "/p/vision/weld-seam/", 390, 844),
    Shot("compare-phone", _compare("vision/weld-seam@18", "vision/weld-seam@production"), 390, 844),
)  # fmt: skip


def fill(stores: Stores, send: large.Send) -> None:
    """The registry that is photographed."""
    add_parties(replace(stores, now=lambda: inventory.BASE), send)
    large.fill(stores, PLAN, send)


def add_parties(stores: Stores, send: large.Send) -> None:
    """What only federated projects have: providers, and a model in parts."""
    projects.create(
        stores, "ada", NewProject("models", "Models that several parties train together.")
    )
    for version, device in (("2.2.0", "local"), ("2.2.0", "k8s"), ("2.1.0", "local")):
        place = {"path": "/opt/fate"}
        if device == "k8s":
            place = {"image": f"federated/fate:{version}", "namespace": "fate"}
        components = {
            name: {"description": about}
            for name, about in (
                ("psi", "Private set intersection"), ("hetero_lr", "Logistic regression over columns"),
                ("hetero_secureboost", "Boosted trees over columns"), ("evaluation", "Metrics of a model"),
            )
        }  # fmt: skip
        new = NewProvider("fate", version, device, place, components=components)
        providers.register(stores, "ada", "models", new)
    files = large.upload(stores, "models", {"model.bin": bytes(range(256)) * 900}, send)
    for party in ("arbiter#10000", "guest#9999", "host#10000"):
        name = f"{party}#{FEDERATED}"
        models.create(stores, "ada", "models", NewModel(name))
        for job in ("202611010900000000010", "202611020900000000010"):
            if party == "host#10000" and job.startswith("20261102"):
                continue  # a part that has not arrived
            key = secrets.token_hex(16)
            opened = publishing.begin(stores, "ada", "models", name, NewVersion(key, job))
            commit = VersionCommit(manifests.digest(files), files, metrics={"auc": 0.91})
            publishing.commit(stores, "ada", "models", name, opened.number, commit)


def take(browser: Browser, served: Served, shot: Shot, latest: Callable[[str], str]) -> bytes:
    """One picture."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.scheme,
        locale="en-GB", timezone_id="UTC", reduced_motion="reduce",
    )  # fmt: skip
    if shot.path != "/sign-in":
        served.admit(context)
    page = context.new_page()
    page.goto(served.address + latest(shot.path), wait_until="networkidle")
    shot.before(page)
    wire = context.new_cdp_session(page)
    asked = {"format": "webp", "quality": QUALITY}
    data = base64.b64decode(wire.send("Page.captureScreenshot", asked)["data"])
    context.close()
    return data


def main(argv: Sequence[str]) -> int:
    """Takes all pictures, or those named."""
    parser = argparse.ArgumentParser(prog="python -m infra.screenshots", description=__doc__)
    parser.add_argument("names", nargs="*", help="which; all by default")
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    large_ones = []
    with tempfile.TemporaryDirectory() as folder:
        stores, secret = _registry(Path(folder))
        try:
            with serving(stores, secret) as served, sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                for shot in SHOTS:
                    if args.names and shot.name not in args.names:
                        continue
                    data = take(browser, served, shot, lambda path: _numbered(stores, path))
                    (args.out / f"{shot.name}.webp").write_bytes(data)
                    print(f"{shot.name:20}{len(data):>8,} B", flush=True)
                    large_ones += [shot.name] if len(data) > MOST else []
                browser.close()
        finally:
            stores.table.close()  # type: ignore[attr-defined]
    if large_ones:
        print(f"larger than {MOST:,} bytes: {', '.join(large_ones)}", file=sys.stderr)
    return 1 if large_ones else 0


def _registry(folder: Path) -> tuple[Stores, str]:
    """A filled and rendered registry in memory, and the secret that its cookies are signed with."""
    from chalicelib.catalogue import drain, publish
    from chalicelib.settings import settings
    from chalicelib.storage.memory import MemoryBlobs, MemoryQueue
    from chalicelib.storage.sqlite import SqliteTable

    secret = secrets.token_hex(20)
    os.environ["WEIGHBRIDGE_SECRET"] = secret
    settings.cache_clear()
    blobs = MemoryBlobs()
    table = SqliteTable(str(folder / "catalog.sqlite"))
    stores = Stores(table=table, blobs=blobs, queue=MemoryQueue(), site=MemoryBlobs())
    fill(stores, lambda request, data: blobs.execute(request, data))
    drain.everything(stores)
    publish.publish_static(stores.site)
    return stores, secret


def _numbered(stores: Stores, path: str) -> str:
    """Static pages are of numbers: `latest` in an address becomes one."""
    if not path.startswith("/p/") or "/latest/" not in path:
        return path
    from chalicelib.registry import versions

    _, _, project, model, *_ = path.split("/")
    record = models.find(stores, project, model)
    return path.replace("/latest/", f"/{versions.newest(stores, record, 1)[0].number}/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
