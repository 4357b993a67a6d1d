"""`weighbridge serve` and the command line, as a person runs them: real processes, real stores."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

READY_SECONDS = 180
"""How long a server may take to start: for a machine that has much else to do."""


@dataclass(slots=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """Its output as JSON."""
        return json.loads(self.out)


@dataclass(slots=True)
class Person:
    """Somebody at a terminal of their own: a configuration, a cache and a folder."""

    home: Path
    url: str = ""
    token: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    def env(self):
        """The environment of their commands."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("WEIGHBRIDGE_")}
        own = {
            "WEIGHBRIDGE_CONFIG": str(self.home / "config.json"),
            "WEIGHBRIDGE_CACHE": str(self.home / "cache"),
            **({"WEIGHBRIDGE_URL": self.url, "WEIGHBRIDGE_TOKEN": self.token} if self.url else {}),
        }
        return {**kept, **own, **self.extra}

    def start(self, *words, **options):
        """A command that runs in the background."""
        command = [sys.executable, "-m", "weighbridge.cli", *map(str, words)]
        return subprocess.Popen(
            command, cwd=self.home, env=self.env(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip

    def run(self, *words, seconds=120):
        """A command, to its end."""
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=seconds)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        return Outcome(process.returncode, out, err)

    def ok(self, *words):
        """A command that must succeed."""
        outcome = self.run(*words)
        assert outcome.code == 0, (words, outcome)
        return outcome

    def json(self, *words):
        """The JSON of a command that must succeed."""
        return self.ok(*words, "--json").json


@dataclass(slots=True)
class Served:
    """A running server."""

    url: str
    token: str
    data: Path
    process: "subprocess.Popen[bytes]"
    seconds: float

    @property
    def secrets(self):
        """The keys of its store."""
        return json.loads((self.data / "secrets.json").read_text())

    def s3(self):
        """A boto3 client of the store, as its operator."""
        import boto3
        from botocore.config import Config

        ready = json.loads((self.data.parent / "ready.json").read_text())
        found = self.secrets
        return boto3.client(
            "s3", endpoint_url=ready["s3"], region_name="us-east-1",
            aws_access_key_id=found["s3_access_key"],
            aws_secret_access_key=found["s3_secret_key"],
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )  # fmt: skip

    def settled(self):
        """Waits until its queue is empty: what was sent so far is indexed, and the pages tell it."""
        queue = f"file:{self.data / 'queue.sqlite'}?mode=ro"

        def empty():
            with contextlib.closing(sqlite3.connect(queue, uri=True)) as database:
                return not database.execute("SELECT 1 FROM messages WHERE NOT dead").fetchone()

        until(empty)

    def tree(self):
        """The processes of the server: itself and all below."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    waiting += [int(p) for p in task.read_text().split()]
                except OSError:
                    continue
        return found

    def kill(self):
        """SIGKILL to every process at once."""
        pids = self.tree()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in pids), 20)

    def stop(self):
        """Ctrl-C; answers how long it took."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
        return time.monotonic() - started


def until(condition, seconds=60, every=0.1):
    """Waits for a condition; fails when it takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(every)


def serve(home: Path, *options: str, port: int = 0, extra: dict[str, str] | None = None) -> Served:
    """Starts `weighbridge serve` on `home`/data and waits until it answers."""
    ready = home / "ready.json"
    ready.unlink(missing_ok=True)
    words = [
        sys.executable, "-m", "weighbridge.cli", "serve", "--port", str(port), "--data",
        str(home / "data"), "--ready-file", str(ready), *options,
    ]  # fmt: skip
    started = time.monotonic()
    log = (home / "serve.log").open("ab")
    process = subprocess.Popen(
        words,
        env=Person(home, extra=extra or {}).env(),
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
    )
    log.close()
    try:
        while not ready.exists():
            assert process.poll() is None, (home / "serve.log").read_text()
            assert time.monotonic() - started < READY_SECONDS, (home / "serve.log").read_text()
            time.sleep(0.05)
    except BaseException:  # nobody else knows of it yet
        process.terminate()
        process.wait()
        raise
    found = json.loads(ready.read_text())
    return Served(found["url"], found["token"], home / "data", process, time.monotonic() - started)


@contextlib.contextmanager
def serving(home: Path, *options: str, extra: dict[str, str] | None = None) -> Iterator[Served]:
    """A server for the length of a block; stopped cleanly, killed if that fails."""
    served = serve(home, *options, extra=extra)
    try:
        yield served
    finally:
        try:
            served.stop()
        except subprocess.TimeoutExpired:
            served.kill()
            raise
