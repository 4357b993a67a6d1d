"""`weighbridge serve` as a person would start it, for tests; and everything it started."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
READY_SECONDS = 40.0
STOP_SECONDS = 8.0


@dataclass
class Served:
    """A running server. `pid` is that of the server's own process, below the command's."""

    process: "subprocess.Popen[str]"
    data: Path
    env: dict[str, str]
    log: Path
    url: str = ""
    token: str = ""
    ticket: str = ""
    pid: int = 0
    s3: str = ""
    seconds: float = 0.0
    family: list["Process"] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def output(self) -> str:
        return self.log.read_text()

    def stop(self, number: int = signal.SIGINT) -> float:
        """Asks it to stop; answers how long it took. Every process it started must be gone."""
        self.family = family(self.process.pid)
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(READY_SECONDS)
        took = time.monotonic() - began
        assert alive(self.family) == [], "processes were left behind"
        return took

    def kill_everything(self) -> None:
        """`kill -9` of every process at once, as far as that goes."""
        self.family = family(self.process.pid)
        for process in self.family:
            process.kill()
        self.process.wait(READY_SECONDS)
        gone(self.family)


@dataclass(frozen=True)
class Process:
    """A process, told apart from a later one with the same number by when it began."""

    pid: int
    began: str
    command: str

    @property
    def alive(self) -> bool:
        return _stat(self.pid) is not None and self.began == _began(self.pid)

    def kill(self) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def family(root: int) -> list[Process]:
    """A process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            parents[int(entry.name)] = int(stat[1])
    found, fresh = [root], [root]
    while fresh:
        fresh = [pid for pid, parent in parents.items() if parent in fresh]
        found += fresh
    return [Process(pid, began, _command(pid)) for pid in found if (began := _began(pid))]


def alive(processes: Sequence[Process]) -> list[Process]:
    return [process for process in processes if process.alive]


def gone(processes: Sequence[Process], seconds: float = 10.0) -> None:
    """Waits until none of them is there."""
    deadline = time.monotonic() + seconds
    while left := alive(processes):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


@contextlib.contextmanager
def serve(data: Path, *words: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    """Runs `weighbridge serve` on `data` and a free port until the block ends."""
    served = start(data, *words, env=env)
    try:
        wait_until_ready(served)
        yield served
    finally:
        end(served)


def start(data: Path, *words: str, env: dict[str, str] | None = None) -> Served:
    """Starts it, without waiting. `end` must follow."""
    data.parent.mkdir(parents=True, exist_ok=True)
    log = data.with_name(f"{data.name}.out")
    environment = client_env(data) | (env or {})
    if not any(word.startswith("--port") for word in words):
        words = ("--port=0", *words)
    ready = ready_file(data)
    ready.unlink(missing_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [*cli(), "serve", f"--data={data}", f"--ready-file={ready}", *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=data.parent,
            text=True,
            start_new_session=True,
        )
    return Served(process, data, environment, log)


def wait_until_ready(served: Served, seconds: float = READY_SECONDS) -> None:
    """Returns once the server answers; fails with what it printed if it ends instead."""
    began = time.monotonic()
    ready = ready_file(served.data)
    while not ready.exists():
        assert served.process.poll() is None, served.output()
        assert time.monotonic() - began < seconds, served.output()
        time.sleep(0.02)
    served.seconds = time.monotonic() - began
    for name, value in json.loads(ready.read_text()).items():
        setattr(served, name, value)
    served.env |= {"WEIGHBRIDGE_URL": served.url, "WEIGHBRIDGE_TOKEN": served.token}


def end(served: Served) -> None:
    """Leaves nothing behind, whatever happened to the test."""
    everything = [*served.family, *family(served.process.pid)]
    if served.process.poll() is None:
        served.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            served.process.wait(STOP_SECONDS + 2)
    for process in everything:
        process.kill()
    served.process.wait(10)


def cli() -> list[str]:
    """The command line of `weighbridge`."""
    return [sys.executable, "-m", "weighbridge.cli"]


def run(env: dict[str, str], *words: str, prefix: Sequence[str] = (), cwd: Path) -> str:
    """One command of the CLI; answers what it printed, fails if it failed."""
    done = subprocess.run(
        [*prefix, *cli(), *words], env=env, cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


def client_env(data: Path) -> dict[str, str]:
    """An environment with a home of its own, and nothing of the caller's registry in it."""
    home = data.parent / f"{data.name}.home"
    home.mkdir(exist_ok=True, parents=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WEIGHBRIDGE_", "AWS_"))}
    return kept | {
        "PYTHONPATH": str(ROOT / "sdk"),
        "HOME": str(home),
        "WEIGHBRIDGE_CONFIG": str(home / "config.json"),
        "WEIGHBRIDGE_CACHE": str(home / "cache"),
    }


def ready_file(data: Path) -> Path:
    return data.with_name(f"{data.name}.ready")


def _stat(pid: int) -> Any:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields


def _began(pid: int) -> str:
    stat = _stat(pid)
    return stat[19] if stat else ""


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:2000]
    except (FileNotFoundError, ProcessLookupError):
        return ""


@contextlib.contextmanager
def serve_failing(
    data: Path, *words: str, env: dict[str, str] | None = None
) -> Iterator[tuple[int, str]]:
    """Runs a `serve` that must end by itself; gives its exit code and what it printed."""
    served = start(data, *words, env=env)
    try:
        yield served.process.wait(READY_SECONDS), served.output()
    finally:
        end(served)
