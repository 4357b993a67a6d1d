"""`weighbridge serve`: start, stop, restart, kill, and what it refuses."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import tomllib
from pathlib import Path

import pytest

from tests.e2e.embedded import serving
from tests.infra.asking import over_http

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving.serve(tmp_path_factory.mktemp("serve") / "data") as served:
        yield served


def api(served, method, path, body=None, token=None):
    headers = {"Authorization": f"Bearer {served.token if token is None else token}"}
    data = None if body is None else json.dumps(body).encode()
    return over_http(served.port, method, path, data, Content_Type="application/json", **headers)


def page(served, path, cookie=""):
    return over_http(served.port, "GET", path, **({"Cookie": cookie} if cookie else {}))


def sign_in(served):
    """The cookie of a browser that opened a fresh one-time link."""
    link = api(served, "POST", "/api/tickets", {}).json["url"]
    reply = page(served, link.removeprefix(served.url))
    assert reply.status == 303
    return reply.headers["set-cookie"].split(";")[0]


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_health_needs_no_token_and_everything_else_does(served):
    """The server says that it is well to anybody, and nothing more."""
    assert over_http(served.port, "GET", "/api/health").json["status"] == "ok"
    assert over_http(served.port, "GET", "/api/whoami").status == 401
    assert api(served, "GET", "/api/whoami", token="wb_x_y").status == 401
    assert api(served, "GET", "/api/whoami").status == 200


def test_the_commands_find_the_server_by_themselves(served):
    """`serve` left its address and token where the other commands look."""
    env = {k: v for k, v in served.env.items() if k not in ("WEIGHBRIDGE_URL", "WEIGHBRIDGE_TOKEN")}
    config = Path(env["WEIGHBRIDGE_CONFIG"])
    until(config.exists)
    assert config.stat().st_mode & 0o077 == 0
    shown = json.loads(serving.run(env, "whoami", "--json", cwd=served.data.parent))
    assert served.token not in json.dumps(shown)


def test_the_printed_link_signs_one_browser_in_once(served):
    """The link leads home with a cookie that opens pages; the second use does not."""
    path = served.ticket.removeprefix(served.url)
    assert served.ticket in served.output()
    assert page(served, "/").status == 303
    reply = page(served, path)
    cookie = reply.headers["set-cookie"].split(";")[0]
    assert "HttpOnly" in reply.headers["set-cookie"]
    assert page(served, "/", cookie).status == 200
    assert "set-cookie" not in page(served, path).headers


def test_the_cookie_does_not_open_the_api(served):
    """A browser that is signed in still has no token."""
    reply = over_http(served.port, "GET", "/api/projects", Cookie=sign_in(served))
    assert reply.status == 401


def test_what_is_pushed_is_stored_indexed_and_rendered(served, tmp_path):
    """One push goes through the API, the store, its webhook, the queue, the functions, the site."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    serving.run(served.env, "push", "Vision/digits", str(file), cwd=tmp_path)
    cookie = sign_in(served)
    address = "/p/vision/digits/1/"
    assert page(served, address).status == 303
    # The page may first show the version as it was being pushed, without files.
    until(lambda: b"model.safetensors" in page(served, address, cookie).body)
    shown = page(served, address, cookie)
    assert shown.status == 200
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    facts = "/api/projects/Vision/models/digits/versions/1/facts"
    until(lambda: b'"safetensors"' in api(served, "GET", facts).body)
    style = page(served, "/static/../secrets.json", cookie)
    assert style.status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
    ],
)
def test_a_page_on_another_origin_gets_nothing(served, headers, status):
    """Even with the token, a foreign Host or page writes nothing and is told nothing."""
    name = f"foreign-{status}-{len(str(headers))}"
    sent = {"Authorization": f"Bearer {served.token}", "Content_Type": "application/json"} | headers
    body = json.dumps({"name": name}).encode()
    reply = over_http(served.port, "POST", "/api/projects", body, **sent)
    assert reply.status == status
    assert set(reply.json) == {"error"}
    assert not [n for n in reply.headers if n.startswith("access-control")]
    assert api(served, "GET", f"/api/projects/{name}").status == 404


def test_a_rebound_name_reads_nothing(served):
    """A page whose DNS name was pointed at loopback reads neither API, page nor asset."""
    for path in ("/api/health", "/", "/sign-in", "/p/vision/", "/static/site.css"):
        reply = over_http(served.port, "GET", path, Host=f"rebound.example:{served.port}")
        assert reply.status == 421


def test_only_loopback_is_listened_on(served):
    """No process of the server listens on an address that others could reach."""
    inodes = set()
    for process in serving.family(served.process.pid):
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].split(":")[0])
    assert listening
    assert set(listening) <= {"0100007F", "00000000000000000000000001000000"}


def test_a_taken_port_is_one_clear_line(served, tmp_path):
    """A second server on the same port says what to do, and ends with 1."""
    with serving.serve_failing(tmp_path / "data", f"--port={served.port}") as (code, output):
        assert code == 1
        assert f"port {served.port}" in output
        assert "--port" in output
        assert len(output.strip().splitlines()) == 1


def test_a_second_server_on_the_same_data_is_refused(served):
    """The data of a running server is not touched by another."""
    log = served.data.with_name("second.out")
    words = [*serving.cli(), "serve", f"--data={served.data}", "--port=0"]
    with log.open("w") as output:
        done = subprocess.run(
            words, stdout=output, stderr=output, env=served.env, cwd=served.data.parent, timeout=30
        )
    assert done.returncode == 1
    assert f"process {served.pid}" in log.read_text()
    assert len(log.read_text().strip().splitlines()) == 1
    assert api(served, "GET", "/api/health").status == 200


def test_what_cannot_be_served_safely_is_a_usage_error(tmp_path):
    """Anonymous access to a network ends with 2 before anything is made."""
    words = ("--anonymous=admin", "--public-url=https://models.example")
    with serving.serve_failing(tmp_path / "data", *words) as (code, output):
        assert code == 2
        assert "loopback only" in output
    assert not (tmp_path / "data").exists()


def test_a_missing_dependency_is_one_clear_line(tmp_path):
    """Without the extra, the message says what to install."""
    broken = tmp_path / "modules" / "cheroot"
    broken.mkdir(parents=True)
    text = "raise ModuleNotFoundError(\"No module named 'cheroot'\", name='cheroot')"
    (broken / "__init__.py").write_text(text)
    env = {"PYTHONPATH": f"{serving.ROOT / 'sdk'}{os.pathsep}{broken.parent}"}
    with serving.serve_failing(tmp_path / "data", env=env) as (code, output):
        assert code == 1
        assert "weighbridge[local]" in output
        assert len(output.strip().splitlines()) == 1


def test_a_clean_stop_is_quick_and_a_restart_finds_everything(tmp_path):
    """Ctrl-C ends everything in 8 s; the next start is ready soon (2 to 4 s), with data and secrets."""
    data = tmp_path / "data"
    with serving.serve(data) as first:
        assert first.seconds < 60
        assert api(first, "POST", "/api/projects", {"name": "kept"}).status == 201
        idle = socket.create_connection(("127.0.0.1", first.port))
        kept = http.client.HTTPConnection("127.0.0.1", first.port, timeout=10)
        kept.request("GET", "/api/health")
        kept.getresponse().read()
        assert first.stop() < serving.STOP_SECONDS
        idle.close()
        kept.close()
        assert first.process.returncode == 0
        token = first.token
    with serving.serve(data) as again:
        assert again.seconds < 60
        assert again.token == token
        assert api(again, "GET", "/api/projects/kept").status == 200
        assert again.stop(signal.SIGTERM) < serving.STOP_SECONDS
        assert again.process.returncode == 0


def test_acknowledged_writes_survive_kill_9_of_everything(tmp_path):
    """`kill -9` of every process in the middle of 200 concurrent writes: what was answered is
    there after a restart, within 30 s, in the catalogue too."""
    data = tmp_path / "data"
    acknowledged, lock, enough = [], threading.Lock(), threading.Event()

    def write(served, thread):
        for number in range(25):
            name = f"project-{thread}-{number}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                if api(served, "POST", "/api/projects", {"name": name}).status == 201:
                    with lock:
                        acknowledged.append(name)
            if len(acknowledged) >= 80:
                enough.set()

    with serving.serve(data) as first:
        threads = [threading.Thread(target=write, args=(first, n)) for n in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        first.kill_everything()
        for thread in threads:
            thread.join()
    assert 80 <= len(acknowledged) < 200
    with serving.serve(data) as again:
        assert again.seconds < 30
        for name in acknowledged:
            assert api(again, "GET", f"/api/projects/{name}").status == 200
        cookie = sign_in(again)
        until(lambda: all(page(again, f"/p/{n}/", cookie).status == 200 for n in acknowledged), 60)


@pytest.mark.parametrize("victim", ["command", "server", "store"])
def test_whoever_is_killed_takes_the_others_along(tmp_path, victim):
    """However one part dies, no other part stays behind."""
    with serving.serve(tmp_path / "data") as served:
        served.family = serving.family(served.process.pid)
        store = [p for p in served.family if "weed" in p.command and "guard" not in p.command]
        pid = {"command": served.process.pid, "server": served.pid, "store": store[0].pid}[victim]
        os.kill(pid, signal.SIGKILL)
        served.process.wait(20)
        assert served.process.returncode != 0
        serving.gone(served.family, 15)
        if victim == "store":
            assert "SeaweedFS ended by itself" in served.output()


@pytest.mark.parametrize("delay", [0.1, 0.6, 1.2, 2.0])
def test_a_signal_during_the_start_ends_it(tmp_path, delay):
    """A signal before the server is ready leaves nothing behind, at any moment."""
    served = serving.start(tmp_path / "data")
    try:
        time.sleep(delay)  # the moment is what is tested; nothing is waited for
        assert served.stop(signal.SIGTERM) < serving.STOP_SECONDS
        assert "Traceback" not in served.output()
    finally:
        serving.end(served)


def test_anonymous_readers_read_and_do_not_write(tmp_path):
    """With --anonymous read, pages and reading need no token; writing does."""
    with serving.serve(tmp_path / "data", "--anonymous=read") as served:
        assert api(served, "POST", "/api/projects", {"name": "shown"}).status == 201
        assert over_http(served.port, "GET", "/api/projects/shown").status == 200
        refused = over_http(
            served.port, "POST", "/api/projects", b'{"name":"x"}', Content_Type="application/json"
        )
        assert refused.status in (401, 403)
        assert page(served, "/").status == 200
        until(lambda: page(served, "/p/shown/").status == 200)
        reply = over_http(served.port, "GET", "/api/projects", Host="rebound.example")
        assert reply.status == 421


def test_it_runs_from_an_installed_wheel(tmp_path):
    """With the files laid out as pyproject.toml puts them into the wheel, and no checkout in sight,
    the server runs, also from a folder that holds modules of the same names."""
    wheel = tomllib.loads((serving.ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    targets = wheel["targets"]["wheel"]
    site = tmp_path / "site"
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(serving.ROOT / targets["packages"][0], site / "weighbridge", ignore=without)
    for source, target in targets["force-include"].items():
        if (serving.ROOT / source).is_dir():
            shutil.copytree(serving.ROOT / source, site / target, ignore=without)
        else:
            (site / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(serving.ROOT / source, site / target)
    for name in ("app.py", "chalicelib.py", "infra.py"):
        (tmp_path / name).write_text("raise RuntimeError('the wrong module')")
    with serving.serve(tmp_path / "data", env={"PYTHONPATH": str(site)}) as served:
        assert api(served, "GET", "/api/health").status == 200
        assert page(served, "/sign-in").status == 200
        commands = [p.command for p in serving.family(served.process.pid)]
        assert any(str(site) in command for command in commands)
        assert not any(str(serving.ROOT / "infra") in command for command in commands)


def test_another_store_can_be_used(tmp_path):
    """With --s3-endpoint the bytes go there, with keys from the environment."""
    from infra.embedded.seaweed import SeaweedFS

    keys = {"access_key": "other", "secret_key": "s" * 32}
    with SeaweedFS(tmp_path / "store", **keys) as store:
        env = {
            "WEIGHBRIDGE_S3_ACCESS_KEY": "other",
            "WEIGHBRIDGE_S3_SECRET_KEY": "s" * 32,
            "WEIGHBRIDGE_BUCKET": "other-artifacts",
            "WEIGHBRIDGE_SITE_BUCKET": "other-site",
        }
        words = (f"--s3-endpoint={store.endpoint}",)
        with serving.serve(tmp_path / "data", *words, env=env) as served:
            assert not (served.data / "objects").exists()
            file = tmp_path / "weights.bin"
            file.write_bytes(b"bytes")
            serving.run(served.env, "push", "p/m", str(file), cwd=tmp_path)
            cookie = sign_in(served)
            until(lambda: page(served, "/p/p/m/1/", cookie).status == 200)
