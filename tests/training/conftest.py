"""One server for the frameworks, and programs that train in the environment that has them."""

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.served import Person, serving
from weighbridge import Registry

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-training" / "bin" / "python"
SECONDS = 240


@dataclass(slots=True)
class Trained:
    """How a program that trained ended."""

    code: int
    out: str
    err: str

    def number(self, words):
        """The number that it printed behind these words."""
        [line] = [line for line in self.out.splitlines() if line.startswith(words)]
        return int(line.removeprefix(words))


@dataclass(slots=True)
class Trainer:
    """Starts programs that train, each on a machine of its own: no file of an earlier one is there."""

    person: Person
    made: int = 0

    def start(self, script, *words):
        """A program that runs in the background."""
        if not PYTHON.exists():
            raise RuntimeError("the frameworks are not installed: run `make .venv-training`")
        self.made += 1
        home = self.person.home / f"machine-{self.made}"
        home.mkdir()
        env = {
            **self.person.env(), "PYTHONPATH": str(ROOT / "sdk"), "OMP_NUM_THREADS": "1",
            "WEIGHBRIDGE_CACHE": str(home / "cache"), "WEIGHBRIDGE_CONFIG": str(home / "config"),
            "KERAS_BACKEND": "torch", "KERAS_HOME": str(home), "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "1", "PYTHONFAULTHANDLER": "1",
        }  # fmt: skip
        return subprocess.Popen(
            [PYTHON, script, *map(str, words)], cwd=home, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def end(self, process, head=""):
        """Waits for its end."""
        try:
            out, err = process.communicate(timeout=SECONDS)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGABRT)  # prints where it hangs
                print(*process.communicate())
        return Trained(process.returncode, head + out, err)

    def example(self, name, label):
        """An example of the documentation, to its end."""
        done = self.end(self.start(ROOT / "tests/training/example.py", name, label))
        assert done.code == 0, done.err
        return done

    def killed(self, name, label, at):
        """The same, stopped inside a step, and ended by SIGTERM there."""
        process = self.start(ROOT / "tests/training/example.py", name, label, at)
        head = ""
        for line in process.stdout:
            head += line
            if line.startswith("stopped at"):
                break
        process.send_signal(signal.SIGTERM)
        return self.end(process, head)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running registry."""
    with serving(tmp_path_factory.mktemp("training")) as served:
        yield served


@pytest.fixture
def trainer(server, tmp_path):
    """Somebody who trains."""
    return Trainer(Person(tmp_path, server.url, server.token))


@pytest.fixture
def registry(server):
    """The registry that they push to."""
    with Registry(server.url, server.token) as registry:
        yield registry
