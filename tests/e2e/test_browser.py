"""The catalogue in a real browser: sign in, find a model, choose two versions, compare, sign out."""

import json
import struct
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.served import until

pytestmark = [pytest.mark.real, pytest.mark.browser]

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / ".local" / "screenshots"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]  # fmt: skip


def weights(hidden):
    """A small safetensors model whose hidden layer has that width."""
    header, offset = {}, 0
    shapes = {"hidden.weight": [64, hidden], "hidden.bias": [hidden], "output.bias": [10]}
    for name, shape in shapes.items():
        size = 4
        for n in shape:
            size *= n
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        chosen = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield chosen
        chosen.close()


@pytest.fixture
def page(browser):
    """A page whose console must stay clean."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    problems = []
    opened.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("dialog", lambda dialog: problems.append(f"dialog {dialog.message}"))
    yield opened
    context.close()
    assert not [p for p in problems if "404" not in p and "401" not in p], problems


@pytest.fixture
def model(person):
    """A model with two versions and checkpoints."""
    name = f"b{uuid.uuid4().hex[:6]}/digits"
    for hidden, accuracy, rate in ((32, 0.91, 0.05), (64, 0.97, 0.1)):
        (person.home / "model.safetensors").write_bytes(weights(hidden))
        person.ok("push", name, "model.safetensors", "--metric", f"accuracy={accuracy}",
                  "--param", f"rate={rate}", "--param", f"hidden={hidden}")  # fmt: skip
    person.ok("model", "set", name, "--main-metric", "accuracy", "--direction", "accuracy=max")
    (person.home / "ck").write_bytes(b"x")
    person.ok("checkpoint", "push", f"{name}@2", "ck", "--step", "5", "--metric", "loss=0.3")
    until(lambda: "F32" in person.ok("show", f"{name}@2").out)
    return name


def test_a_person_signs_in_compares_two_versions_and_signs_out(page, person, embedded, model):
    """Sign-in form, home, project, model, compare with differences, version, checkpoints, sign-out."""
    project, name = model.split("/")
    page.goto(embedded.url)
    expect(page).to_have_url(f"{embedded.url}/sign-in?next=%2F")
    page.get_by_label("Token").fill("wb_wrong_token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("wrong or was revoked")).to_be_visible()
    page.get_by_label("Token").fill(embedded.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{embedded.url}/")
    page.get_by_role("link", name=project).first.click()

    def listed(role, wanted, **named):
        page.reload()  # what changed in a burst shows seconds later
        return page.get_by_role(role, **named).count() >= wanted

    until(lambda: listed("link", 1, name=name))
    page.get_by_role("link", name=name).first.click()
    until(lambda: listed("checkbox", 2))
    for number in ("1", "2"):
        page.get_by_role("checkbox").nth(int(number) - 1).check()
    page.get_by_role("button", name="Compare", exact=True).click()
    for text in ("accuracy", "rate", "hidden.weight", "reshaped", "F32 [64 × 32]"):
        expect(page.get_by_text(text).first).to_be_visible()
    expect(page.get_by_text("output.bias")).not_to_be_visible()
    expect(page.get_by_text("better").first).to_be_visible()
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "compare.png", full_page=True)
    page.get_by_role("link", name=f"{model}@2").first.click()
    expect(page.get_by_text("model.safetensors").first).to_be_visible()
    page.goto(f"{embedded.url}/p/{project}/{name}/2/checkpoints/")
    until(lambda: listed("columnheader", 1, name="loss"))
    page.goto(f"{embedded.url}/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in*")
    page.goto(f"{embedded.url}/p/{project}/{name}/")
    assert "/sign-in" in page.url


def test_the_pages_read_without_scripts(browser, person, embedded, model):
    """With scripts off, a one-time link opens the catalogue and every page reads."""
    project, name = model.split("/")
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    link = person.json("open")["url"]
    page.goto(link)
    page.goto(f"{embedded.url}/p/{project}/{name}/")

    def listed():
        page.reload()
        return page.get_by_role("checkbox").count() == 2

    until(listed)
    for box in page.get_by_role("checkbox").all()[:2]:
        box.check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("reshaped").first).to_be_visible()
    page.get_by_label("Search models and versions").fill(f"project:{project} accuracy > 0.95")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=**")

    def found():
        page.reload()  # what changed in a burst shows seconds later
        return page.get_by_role("status").inner_text() == "2 results."

    until(found)
    expect(page.get_by_role("link", name=f"{name}@2")).to_be_visible()
    context.close()


def test_a_page_of_another_origin_learns_nothing(browser, embedded, tmp_path):
    """Scripts of another origin can neither read from the server nor write to it."""
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>other</title>")

        def log_message(self, *args):
            pass

    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    context = browser.new_context()
    page = context.new_page()
    try:
        page.goto(f"http://localhost:{other.server_port}/")
        script = """async ([url, method]) => {
            try {
                const answer = await fetch(url, {method, body: method == 'POST' ? '{}' : undefined,
                                                 mode: 'cors', credentials: 'include'});
                return 'read ' + answer.status;
            } catch (error) { return 'refused'; }
        }"""
        for path, method in (("/api/health", "GET"), ("/", "GET"), ("/api/projects", "POST")):
            assert page.evaluate(script, [embedded.url + path, method]) == "refused"
    finally:
        context.close()
        other.shutdown()
        other.server_close()


def test_a_person_searches(page, person, embedded, model):
    """Sign in, `/`, type, arrows, Enter: the version is found by its metric, and by its files' format."""
    project, name = model.split("/")
    page.goto(person.json("open")["url"])
    page.goto(f"{embedded.url}/p/{project}/")
    page.keyboard.press("/")
    page.keyboard.type(f"model:{name} project:{project} accuracy > 0.95 format:safetensors")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=**")

    def listed():
        page.reload()  # the server's answer stands until somebody types
        found = page.locator(f'#hits a[href="/p/{project}/{name}/2/"]').count()
        # The model's own hit comes with the next batch.
        return found and page.locator("#hits .hit").count() == 2

    until(listed)
    expect(page.get_by_role("status")).to_have_text("2 results.")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{embedded.url}/p/{project}/{name}/2/")
