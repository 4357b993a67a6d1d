"""Real servers for tests: each on loopback, on a free port, gone when its block ends.

A server outlives neither its block nor the test process, however that dies: it stops when its
standard input ends.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINISTACK_PYTHON = ROOT / ".venv-ministack" / "bin" / "python"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
AWS_ENV = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Stack:
    """A running server: its address, and the variables that point AWS tools at it."""

    endpoint: str
    env: Mapping[str, str]
    pid: int


@contextlib.contextmanager
def ministack(auth: bool = False, data: Path | None = None) -> Iterator[Stack]:
    """Emulated AWS; with `auth` it enforces IAM, with `data` it keeps its state there."""
    if not MINISTACK_PYTHON.exists():
        raise RuntimeError("MiniStack is not installed: run `make .venv-ministack`")
    command = [str(MINISTACK_PYTHON), str(ROOT / "infra" / "local" / "ministack_server.py")]
    command += [
        "--with-stdin",
        *(["--auth"] if auth else []),
        *(["--data", str(data)] if data else []),
    ]
    with tempfile.TemporaryDirectory(prefix="ministack-") as folder:
        log = Path(folder) / "server.log"
        # Nothing of our own environment: it executes code as Lambda would.
        env = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, **AWS_ENV}
        with log.open("wb") as output:
            server = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
        with server:
            try:
                assert server.stdout
                endpoint = server.stdout.readline().decode().strip()
                _wait_for(server, f"{endpoint}/_ministack/health", log)
                yield Stack(endpoint, {**AWS_ENV, "AWS_ENDPOINT_URL": endpoint}, server.pid)
            finally:
                _stop(server)


def _wait_for(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while url.startswith("http") and server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            pass
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """Stops the server and whatever it started: they share a process group of their own."""
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
