"""A person at the catalogue, from signing in to signing out, on a phone and on a wide screen."""

import json
import re
import struct
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.served import Person, until

pytestmark = [pytest.mark.real, pytest.mark.browser]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]  # fmt: skip
RUNS = (  # accuracy, hidden width, the version it was made from
    (0.91, 32, ""), (0.94, 32, "@1"), (0.97, 64, "@2"), (0.95, 64, "@1"),
)  # fmt: skip


def weights(hidden, seed):
    """A small safetensors model; its output layer is the same in all versions."""
    shapes = {"hidden.weight": [16, hidden], "hidden.bias": [hidden], "output.bias": [10]}
    header, data = {}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        value = 0.5 if name == "output.bias" else seed / 8
        header[name] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(data), len(data) + 4 * count],
        }
        data += struct.pack("<f", value) * count
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture(scope="module")
def model(embedded, tmp_path_factory):
    """A model with four versions, twelve metrics each, related to each other; `production` is the third."""
    person = Person(tmp_path_factory.mktemp("author"), embedded.url, embedded.token)
    name = f"person-{uuid.uuid4().hex[:6]}/digits"
    for number, (accuracy, hidden, parent) in enumerate(RUNS, 1):
        (person.home / "model.safetensors").write_bytes(weights(hidden, number))
        metrics = {"accuracy": accuracy, "loss": round(1 - accuracy, 2)}
        metrics |= {f"recall_{digit}": round(accuracy - digit / 100, 3) for digit in range(10)}
        words = [
            word for metric, value in metrics.items() for word in ("--metric", f"{metric}={value}")
        ]
        words += ["--parent", f"{name}{parent}"] if parent else []
        person.ok("push", name, "model.safetensors", "--param", f"hidden={hidden}", *words)
    person.ok("model", "set", name, "--main-metric", "accuracy", "--direction", "accuracy=max")
    person.ok("alias", f"{name}@3", "production")
    until(lambda: "F32" in person.ok("show", f"{name}@3").out)
    # Pages follow by seconds; one that is not there yet would be a 404 on the browser's console.
    embedded.settled()
    return name


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        chosen = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield chosen
        chosen.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_a_person_finds_compares_and_takes_a_model(browser, embedded, model, width):
    """From the sign-in form to the sign-out button, by keyboard where that is quicker."""
    project, name = model.split("/")
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    problems = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))

    def fits():
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url

    # Signs in.
    page.goto(f"{embedded.url}/p/{project}/")
    page.get_by_label("Token").fill(embedded.token)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{embedded.url}/p/{project}/")
    expect(page.get_by_role("link", name="production @3")).to_be_visible()
    fits()
    nothing = context.request.get(f"{embedded.url}/p/{project}/not-there/")
    assert nothing.status == 404
    assert "Nothing here" in nothing.text()
    # Searches, without touching the mouse.
    page.keyboard.press("/")
    page.keyboard.type(f"project:{project} kind:model {name}")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=**")
    expect(page.locator("#hits .hit")).to_have_count(1)
    fits()
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{embedded.url}/p/{project}/{name}/")
    expect(page.get_by_role("checkbox", name="Compare version")).to_have_count(len(RUNS))
    # Sorts by the main metric, best first.
    page.get_by_role("button", name="accuracy").click()
    rows = page.locator("#versions-table tbody th.lead")
    assert rows.evaluate_all("all => all.map((h) => h.dataset.v)") == ["3", "4", "2", "1"]
    # Chooses a column that the page does not show by itself.
    page.locator("details.columns > summary").click()
    page.get_by_role("group", name="Columns of metrics").get_by_label("recall_9").check()
    page.keyboard.press("Escape")
    expect(page.get_by_role("columnheader", name="recall_9")).to_be_visible()
    assert "m:recall_9" in parse_qs(urlsplit(page.url).query)["column"]
    fits()
    # Copies the pull command.
    page.get_by_role("button", name="Copy the command").first.click()
    expect(page.get_by_role("button", name="Copy the command").first).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"weighbridge pull {model}@production --to digits"
    # Chooses three versions and compares them.
    for number in (1, 2, 3):
        page.get_by_label(f"Compare version {number}", exact=True).check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page).to_have_url(re.compile(r"/compare\?"))
    chosen = parse_qs(urlsplit(page.url).query)["ref"]
    assert sorted(chosen) == [f"{model}@{number}" for number in (1, 2, 3)]
    fits()
    # Reads a change of a tensor; what is the same is shown on demand.
    changed = page.locator("tr", has=page.get_by_role("rowheader", name="hidden.weight"))
    expect(changed).to_contain_text("F32 [16 × 32]")
    expect(changed).to_contain_text("F32 [16 × 64]")
    expect(changed).to_contain_text("reshaped")
    same = page.get_by_role("rowheader", name="output.bias")
    expect(same).to_have_count(0)
    page.get_by_role("link", name="Show all").click()
    expect(same).to_be_visible()
    page.get_by_role("link", name="Differences only").click()
    expect(same).to_have_count(0)
    # Follows the lineage: from the third version to what it was made from, and on.
    page.get_by_role("link", name=f"{model}@3").first.click()
    lineage = page.get_by_role("region", name="Lineage")
    for parent in (2, 1):
        lineage.get_by_role("link", name=f"@{parent}").first.click()
        expect(page).to_have_url(f"{embedded.url}/p/{project}/{name}/{parent}/")
    expect(lineage.get_by_role("link", name="@4")).to_be_visible()
    fits()
    # Signs out: the address that was open asks who is there, and nothing is left in the browser.
    page.goto(f"{embedded.url}/")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    page.goto(f"{embedded.url}/p/{project}/{name}/")
    expect(page).to_have_url(re.compile("/sign-in"))
    assert name not in page.inner_text("body")
    assert (
        context.request.get(f"{embedded.url}/p/{project}/index.json", max_redirects=0).status == 303
    )
    assert page.evaluate("localStorage.length") == 0
    context.close()
    assert problems == []


@pytest.mark.parametrize("width", [390, 1440])
def test_lists_and_versions_read_with_scripts_off(browser, embedded, model, width):
    """Tables, aliases, metrics, files and the pull command are in the pages themselves."""
    project, name = model.split("/")
    context = browser.new_context(
        java_script_enabled=False, viewport={"width": width, "height": 900}
    )
    page = context.new_page()
    page.goto(f"{embedded.url}/sign-in")
    page.get_by_label("Token").fill(embedded.token)
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{embedded.url}/p/{project}/")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("checkbox")).to_have_count(len(RUNS))
    expect(page.get_by_text("6 more metrics on each version's own page.")).to_be_visible()
    expect(page.get_by_text(f"weighbridge pull {model}@production")).to_be_visible()
    page.get_by_role("rowheader").get_by_role("link", name="@3").click()
    for text in ("recall_9", "model.safetensors", "16 × 64"):
        expect(page.get_by_text(text).first).to_be_visible()
    context.close()
