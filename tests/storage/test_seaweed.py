"""SeaweedFS under our supervision: starting, stopping, dying, announcing."""

import contextlib
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from chalicelib.storage.grants import UserGrants
from chalicelib.storage.s3 import S3Blobs
from chalicelib.storage.s3_client import Access
from infra.embedded import seaweed_files, webhook
from infra.embedded.seaweed import SeaweedFS
from tests.storage.blobs_fixtures import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    free_port,
    seaweed_server,
    send,
)
from weighbridge.contract.errors import Conflict, InvalidRequest, RegistryError, Unsupported

__all__ = ["free_port"]

READY_AFTER_STOP = 10.0
READY_AFTER_KILL = 30.0
ROOT = Path(__file__).resolve().parents[2]


def make(data: Path, **options) -> SeaweedFS:
    return SeaweedFS(data, access_key=ACCESS_KEY, secret_key=SECRET_KEY, **options)


def processes(data: Path) -> list[int]:
    """Every process whose command line names the data folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(data) in (entry / "cmdline").read_text():
                found.append(int(entry.name))
    return found


def until(done: Callable[[], bool], seconds: float = 10.0) -> float:
    """Polls, and answers how long it took."""
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < seconds, "it did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - begun


# Starting and stopping


@pytest.mark.real
def test_objects_survive_a_stop_and_a_kill(tmp_path):
    """What was stored is there after our stop and after SIGKILL of everything, soon enough."""
    with seaweed_server(tmp_path) as running, contextlib.closing(running.blobs()) as blobs:
        endpoint, ports = running.endpoint, running.server.ports
        blobs.put("first", b"1" * 100_000)
        begun = time.monotonic()
        running.server.stop()
        assert time.monotonic() - begun < 30
        assert not processes(tmp_path)
        begun = time.monotonic()
        running.server.start()
        assert time.monotonic() - begun < READY_AFTER_STOP
        assert (running.server.endpoint, running.server.ports) == (endpoint, ports)
        assert blobs.read("first") == b"1" * 100_000
        blobs.put("second", b"2")
        os.killpg(running.server.pid, signal.SIGKILL)
        until(lambda: not running.server.running)
        running.server.stop()
        begun = time.monotonic()
        running.server.start()
        assert time.monotonic() - begun < READY_AFTER_KILL
        assert blobs.read("first") == b"1" * 100_000
        assert blobs.read("second") == b"2"
    assert not processes(tmp_path)


@pytest.mark.real
def test_every_acknowledged_object_survives_a_kill(tmp_path):
    """SIGKILL in the middle of concurrent writes loses none that was acknowledged."""
    stored: dict[str, bytes] = {}
    with seaweed_server(tmp_path) as running, contextlib.closing(running.blobs()) as blobs:

        def write(number: int) -> None:
            data = os.urandom(2000)
            with contextlib.suppress(RegistryError):
                blobs.put(f"w/{number}", data, if_absent=True)
                stored[f"w/{number}"] = data
            if len(stored) == 60:
                os.killpg(running.server.pid, signal.SIGKILL)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(80)))
        assert 60 <= len(stored) < 80
        running.server.stop()
        running.server.start()
        for key, data in stored.items():
            assert blobs.read(key) == data


@pytest.mark.real
def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path):
    """SIGKILL of the process that started it ends every program, and the folder can be used."""
    program = (
        "import sys, time; from pathlib import Path; from infra.embedded.seaweed import SeaweedFS;"
        "s = SeaweedFS(Path(sys.argv[1]), access_key='a', secret_key='b'); s.start();"
        "print('ready', flush=True); time.sleep(600)"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "sdk")])
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )
    with supervisor:
        try:
            assert supervisor.stdout
            assert supervisor.stdout.readline() == b"ready\n"
            assert len(processes(tmp_path)) >= 3
        finally:
            supervisor.kill()
    until(lambda: not processes(tmp_path), 5)
    with make(tmp_path):
        pass
    assert not processes(tmp_path)


@pytest.mark.real
def test_nothing_is_left_when_the_guard_is_killed(tmp_path):
    """SIGKILL of the guard alone ends the programs under it, and we can see that."""
    with make(tmp_path) as server:
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not server.running)
        until(lambda: not processes(tmp_path), 5)


@pytest.mark.real
def test_the_end_of_its_program_is_seen(tmp_path):
    """When the program dies by itself, the guard ends and `running` says so."""
    with make(tmp_path) as server:
        [weed] = [pid for pid in processes(tmp_path) if pid not in (os.getpid(), server.pid)]
        os.kill(weed, signal.SIGKILL)
        until(lambda: not server.running)


@pytest.mark.real
def test_a_data_folder_serves_one_instance(tmp_path, monkeypatch):
    """A second instance on the same folder is refused with a clear message, and harms nothing."""
    monkeypatch.setattr("infra.embedded.seaweed.LOCK_SECONDS", 0.2)
    with make(tmp_path) as server:
        with pytest.raises(Conflict, match=f"in use by another instance.*{os.getpid()}"):
            make(tmp_path).start()
        assert server.running


@pytest.mark.real
def test_all_listeners_are_on_loopback(tmp_path):
    """Without TLS nothing listens but on 127.0.0.1, and nothing answers who has no key."""
    with make(tmp_path) as server:
        pids = [pid for pid in processes(tmp_path) if pid != os.getpid()]
        addresses = listening(pids)
        assert {port for _, port in addresses} == set(server.ports.values())
        assert {host for host, _ in addresses} == {"127.0.0.1"}
        for role, page in (
            ("master", "/dir/assign"),
            ("master", "/col/delete?collection=x"),
            ("filer", "/"),
            ("filer", "/buckets/"),
            ("volume", "/1,01"),
            ("volume", "/ui/index.html"),
            ("s3", "/"),
            ("s3", "/weighbridge-local/started"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{server.ports[role]}{page}", timeout=5)
            refused.value.close()
            assert refused.value.code in (401, 403, 404)


def listening(pids: list[int]) -> set[tuple[str, int]]:
    """The TCP addresses on which the processes listen."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                host, port = fields[1].split(":")
                words = [bytes.fromhex(host[n : n + 8])[::-1] for n in range(0, len(host), 8)]
                found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return found


# Refusals


def test_a_taken_port_is_named(tmp_path):
    """A port that another program has is refused before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port} on 127.0.0.1 is taken"):
            make(tmp_path, s3_port=port).start()
    assert not processes(tmp_path)


def test_a_platform_without_the_program_is_told_what_to_do(tmp_path, monkeypatch):
    """Without the package the message says how to get it, and the way around it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(Unsupported, match=r"weighbridge serve needs .*--s3-endpoint"):
        make(tmp_path / "data").start()
    assert not (tmp_path / "data").exists()


def test_a_network_needs_tls(tmp_path):
    """An address that others reach is served with a certificate or not at all."""
    with pytest.raises(InvalidRequest, match="needs a TLS certificate"):
        make(tmp_path, host="0.0.0.0")
    with pytest.raises(InvalidRequest, match="both a certificate and its key"):
        make(tmp_path, tls_cert=tmp_path / "cert.pem")


@pytest.mark.real
def test_a_failed_start_says_why_and_leaves_nothing(tmp_path):
    """When the program ends at its start, the error quotes it, and the folder is free again."""
    (tmp_path / "volumes").write_text("a file where a folder should be")
    with pytest.raises((RegistryError, OSError)):
        make(tmp_path).start()
    (tmp_path / "volumes").unlink()
    (tmp_path / "filer").mkdir()
    (tmp_path / "filer" / "00").write_text("a file where a database should be")
    with pytest.raises(RegistryError, match=r"weed\.log ends with: .*\S"):
        make(tmp_path).start(15)
    assert not processes(tmp_path)
    (tmp_path / "filer" / "00").unlink()
    with make(tmp_path) as server:
        assert server.running


def test_ports_stay_as_they_were(tmp_path, free_port):
    """Ports are kept for the next start; one that is taken meanwhile is replaced, not another."""
    kept = tmp_path / "ports.json"
    first = seaweed_files.choose_ports(kept, {}, "127.0.0.1", False)
    assert len(set(first.values())) == len(first) == 8
    assert seaweed_files.choose_ports(kept, {}, "127.0.0.1", False) == first
    with socket.create_server(("127.0.0.1", first["filer"])):
        second = seaweed_files.choose_ports(kept, {}, "127.0.0.1", False)
    assert {role for role in first if first[role] != second[role]} == {"filer"}
    third = seaweed_files.choose_ports(kept, {"s3": free_port}, "127.0.0.1", False)
    assert third["s3"] == free_port
    kept.write_text("not JSON")
    assert len(seaweed_files.choose_ports(kept, {}, "127.0.0.1", True)) == 10


def test_secrets_are_private(tmp_path):
    """Files that hold keys can be read by their owner only."""
    hook = seaweed_files.Webhook("http://127.0.0.1:1/", "a token")
    seaweed_files.write_configuration(tmp_path, tmp_path, "a", "s3cret", hook)
    files = {path.name: path for path in tmp_path.iterdir()}
    assert {"keys.json", "s3.json", "security.toml", "notification.toml"} <= set(files)
    assert "s3cret" in files["s3.json"].read_text()
    assert all(path.stat().st_mode & 0o077 == 0 for path in files.values())
    keys = files["keys.json"].read_text()
    seaweed_files.write_configuration(tmp_path, tmp_path, "b", "other", None)
    assert files["keys.json"].read_text() == keys


# Serving a network


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of its own for 127.0.0.2."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=weighbridge.test", "-addext", "subjectAltName=IP:127.0.0.2"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.mark.real
def test_others_reach_s3_over_tls_and_nothing_else(tmp_path, certificate, free_port):
    """With an address and a certificate, S3 alone listens there, and speaks TLS."""
    cert, key = certificate
    options = {"host": "127.0.0.2", "s3_port": free_port, "tls_cert": cert, "tls_key": key}
    with seaweed_server(tmp_path, **options) as running:
        server = running.server
        assert server.public_endpoint == f"https://127.0.0.2:{free_port}"
        public = S3Blobs(
            running.bucket, REGION, running.endpoint, server.public_endpoint, ACCESS_KEY, SECRET_KEY
        )
        trust = ssl.create_default_context(cafile=str(cert))
        with contextlib.closing(public):
            public.put("x", b"through the inner door")
            answer = send(public.sign_get("x", 60), context=trust)
            assert (answer.status, answer.body) == (200, b"through the inner door")
        outer = S3Blobs(
            running.bucket, REGION, server.public_endpoint, "", ACCESS_KEY, SECRET_KEY, str(cert)
        )
        with contextlib.closing(outer):
            etag = outer.put("y", b"through the outer door", if_absent=True)
            assert outer.head("y").etag == etag
        # Users that are made inside are known outside at once.
        access = Access(REGION, running.endpoint, ACCESS_KEY, SECRET_KEY)
        given = UserGrants(access, running.bucket).grant("inbox/p/", 60)
        guest = S3Blobs(
            running.bucket, REGION, server.public_endpoint, "", given.access_key,
            given.secret_key, str(cert),
        )  # fmt: skip
        with contextlib.closing(guest):
            until(lambda: stored(guest, "inbox/p/x"))
            with pytest.raises(ClientError, match="AccessDenied"):
                guest.put("blobs/x", b"x")
        pids = [pid for pid in processes(tmp_path) if pid != os.getpid()]
        outside = {port for host, port in listening(pids) if host == "127.0.0.2"}
        assert outside == {free_port, server.ports["public_grpc"]}
        # The second is SeaweedFS's inner protocol: it wants a certificate that nobody has.
        anyone = ssl.create_default_context(cafile=str(cert))
        assert not speaks(("127.0.0.2", server.ports["public_grpc"]), None)
        assert not speaks(("127.0.0.2", server.ports["public_grpc"]), anyone)
        assert speaks(("127.0.0.1", server.ports["s3_grpc"]), None), "the check itself works"


def stored(blobs: S3Blobs, key: str) -> bool:
    """Whether the store takes an object from these credentials."""
    with contextlib.suppress(ClientError):
        blobs.put(key, b"x")
        return True
    return False


def speaks(address: tuple[str, int], context: ssl.SSLContext | None) -> bool:
    """Whether a server answers the opening of HTTP/2 with settings of its own."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=3) as plain:
        wrapped = context.wrap_socket(plain, server_hostname=address[0]) if context else plain
        with contextlib.closing(wrapped):
            wrapped.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            return wrapped.recv(64)[3:4] == b"\x04"
    return False


# Announcements

Received = tuple[float, str, dict]


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Received]]]:
    """An HTTP server that keeps the announcements it gets."""
    got: list[Received] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((time.monotonic(), self.headers.get("Authorization", ""), body))
            self.send_response(204)
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/events", got
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.real
def test_new_objects_are_announced_at_once(tmp_path, receiver):
    """Puts, copies and completed uploads are announced in well under a second; nothing else is."""
    url, got = receiver
    options = {"webhook_url": url, "webhook_token": "a token"}

    def facts() -> list[tuple[str, str]]:
        return [fact for _, _, body in list(got) for fact in webhook.objects(body)]

    with (
        seaweed_server(tmp_path, **options) as running,
        contextlib.closing(running.blobs()) as blobs,
    ):
        waits = []
        for number in range(20):
            key = f"inbox/p/3#é {number}"
            blobs.put(key, b"x")
            waits.append(until(lambda key=key: (running.bucket, key) in facts()))
        assert sorted(waits)[15] < 0.2
        assert {token for _, token, _ in got} == {"Bearer a token"}
        upload = blobs.create_multipart("big")
        part = blobs.sign_part("big", upload, 1, "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=", 60)
        assert send(part, b"foo").status == 200
        blobs.adopt("inbox/p/3#é 0", blobs.head("inbox/p/3#é 0").etag, "copy")
        before = len(facts())
        blobs.complete_multipart("big", upload, blobs.parts("big", upload))
        until(lambda: (running.bucket, "big") in facts()[before:])
        blobs.delete(["copy", "inbox/p/3#é 1"])
        blobs.put("last", b"")
        until(lambda: (running.bucket, "last") in facts())
        known = {f"inbox/p/3#é {n}" for n in range(20)} | {"big", "copy", "last"}
        assert {key for bucket, key in facts() if bucket == running.bucket} == known
        assert sum(key == "inbox/p/3#é 1" for _, key in facts()) == 1, "a deletion is no news"


@pytest.mark.real
def test_writes_go_on_while_nobody_listens(tmp_path, free_port):
    """A receiver that is down delays no write; what it missed is not announced again."""
    with (
        seaweed_server(tmp_path, webhook_url=f"http://127.0.0.1:{free_port}/") as running,
        contextlib.closing(running.blobs()) as blobs,
    ):
        begun = time.monotonic()
        for number in range(20):
            blobs.put(f"x/{number}", b"x")
        assert time.monotonic() - begun < 5
        assert len(blobs.list("x/").heads) == 20


ENTRY = {"name": "file", "attributes": {"file_size": 1}}


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ({"event_type": "create", "key": "/buckets/b/a/file"}, [("b", "a/file")]),
        ({"event_type": "update", "key": "/buckets/b/file"}, [("b", "file")]),
        ({"event_type": "rename", "key": "/buckets/b/.uploads/1/0001.part"}, [("b", "to/file")]),
        ({"event_type": "delete", "key": "/buckets/b/file"}, []),
        ({"event_type": "create", "key": "/buckets/b/.uploads/1/0001.part"}, []),
        ({"event_type": "create", "key": "/buckets/b/x.versions/v1"}, []),
        ({"event_type": "create", "key": "/buckets/.system/owners/x"}, []),
        ({"event_type": "create", "key": "/buckets/b"}, []),
        ({"event_type": "create", "key": "/etc/iam/identities/x"}, []),
        ({"event_type": "create", "key": 7}, []),
        ({"event_type": "create"}, []),
        ({}, []),
    ],
)
def test_announcements_become_facts(body, facts):
    """Only a written object of a bucket is a fact; of a rename the new name counts."""
    message: dict = {"new_entry": ENTRY}
    if body.get("event_type") == "rename":
        message["new_parent_path"] = "/buckets/b/to"
    assert webhook.objects(body | {"message": message}) == facts
    assert webhook.objects(body | {"message": {"new_entry": ENTRY | {"is_directory": True}}}) == []
    assert webhook.objects(body | {"message": {}}) == []
    assert webhook.objects(body | {"message": "text"}) == []


def test_a_port_that_another_takes_meanwhile_is_replaced(tmp_path, monkeypatch):
    """Between choosing a port and listening there, somebody else may be faster."""
    chosen = []
    choose = seaweed_files.choose_ports
    with socket.create_server(("127.0.0.1", 0)) as faster:

        def late(*given):
            found = choose(*given)
            if not chosen:
                found["s3"] = faster.getsockname()[1]
            chosen.append(found)
            return found

        monkeypatch.setattr(seaweed_files, "choose_ports", late)
        with SeaweedFS(tmp_path / "store", access_key="a" * 16, secret_key="s" * 32) as store:
            assert store.running
            assert store.ports["s3"] != faster.getsockname()[1]
    assert len(chosen) == 2
