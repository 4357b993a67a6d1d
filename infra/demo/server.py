"""Starts and stops the embedded stack for the demo, and reads its pages as a browser would."""

import http.client
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60
STOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Server:
    """A running `weighbridge serve`."""

    url: str
    token: str
    process: "subprocess.Popen[bytes]"

    def get(self, path: str, cookie: str = "") -> tuple[int, dict[str, str], str]:
        """Status, headers and text of a page."""
        where = urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def sign_in(self, link: str) -> str:
        """The cookie that a one-time link gives."""
        _, headers, _ = self.get(urlsplit(link).path)
        return headers["set-cookie"].split(";")[0]

    def wait_for(
        self, path: str, cookie: str, words: list[str], seconds: float = 60, every: float = 0.2
    ) -> str:
        """The page at `path` once it holds all of `words`; rendering follows a change by seconds."""
        deadline = time.monotonic() + seconds
        while True:
            status, _, text = self.get(path, cookie)
            missing = [word for word in words if word not in text]
            if status == 200 and not missing:
                return text
            if time.monotonic() > deadline:
                raise SystemExit(f"demo: {path} ({status}) does not show {missing}")
            time.sleep(every)


@contextmanager
def running(data: Path, port: int) -> Iterator[Server]:
    """The embedded stack on `data`, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [
            sys.executable, "-m", "infra.embedded", "--data", str(data), "--port", str(port),
            "--ready-file", str(ready),
        ]  # fmt: skip
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not ready.exists():
                if process.poll() is not None:
                    raise SystemExit(process.returncode or 1)
                if time.monotonic() > deadline:
                    raise SystemExit("demo: the server did not become ready in time")
                time.sleep(0.1)
            found = json.loads(ready.read_text())
            yield Server(found["url"], found["token"], process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
