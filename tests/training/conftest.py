"""One server for the frameworks, and programs that train in the environment that has them."""

import ast
import json
import os
import select
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.served import Person, serving, until
from tests.training.example import source
from weighbridge import Registry

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-training" / "bin" / "python"
EXAMPLE = ROOT / "tests" / "training" / "example.py"
SECONDS = 240


def imports(code):
    """The lines of a program that import something."""
    found = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, found))


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
class Running:
    """A program that trains now."""

    pid: int
    home: Path
    nursery: "subprocess.Popen[str]"

    def out(self):
        """What it printed so far."""
        return self._printed("printed.out")

    def err(self):
        """What it complained about so far."""
        return self._printed("printed.err")

    def _printed(self, name):
        path = self.home / name
        return path.read_text() if path.exists() else ""

    def said(self, words):
        """Waits until a whole line begins with these words."""

        def found():
            assert not self.ended(), (self.out(), self.err())
            lines = self.out().split("\n")[:-1]
            return any(line.startswith(words) for line in lines)

        until(found, SECONDS)

    def ended(self):
        """Whether it is over."""
        return bool(select.select([self.nursery.stdout], [], [], 0)[0])

    def kill(self, number):
        """Sends it a signal."""
        os.kill(self.pid, number)

    def end(self):
        """Waits for its end."""
        if not select.select([self.nursery.stdout], [], [], SECONDS)[0]:
            self.kill(signal.SIGABRT)  # prints where it hangs
        code = int(self.nursery.stdout.readline())
        return Trained(code, self.out(), self.err())


@dataclass(slots=True)
class Trainer:
    """Starts programs that train, each on a machine of its own: no file of an earlier one is there."""

    person: Person
    nurseries: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)
    made: int = 0

    def _nursery(self, code):
        """The process that has imported what `code` imports."""
        wanted = imports(code)
        if wanted not in self.nurseries:
            if not PYTHON.exists():
                raise RuntimeError("the frameworks are not installed: run `make .venv-training`")
            home = str(self.person.home)
            env = {
                **self.person.env(), "PYTHONPATH": str(ROOT / "sdk"), "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1", "KERAS_BACKEND": "torch", "KERAS_HOME": home,
                "HF_HOME": home, "HF_HUB_OFFLINE": "1", "PYTHONFAULTHANDLER": "1",
            }  # fmt: skip
            self.nurseries[wanted] = subprocess.Popen(
                [PYTHON, Path(__file__).with_name("nursery.py"), wanted], env=env, cwd=home,
                text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        return self.nurseries[wanted]

    def start(self, script, *words, code=None):
        """A program that runs in the background; `code` is what it imports, if not by itself."""
        nursery = self._nursery(code or Path(script).read_text())
        self.made += 1
        home = self.person.home / f"machine-{self.made}"
        home.mkdir()
        own = {name: str(home / name) for name in ("cache", "config")}
        env = {"WEIGHBRIDGE_CACHE": own["cache"], "WEIGHBRIDGE_CONFIG": own["config"]}
        run = {"script": str(script), "words": [*map(str, words)], "home": str(home), "env": env}
        nursery.stdin.write(json.dumps(run) + "\n")
        answer = nursery.stdout.readline()
        assert answer, f"it ended with {nursery.wait()}"
        return Running(int(answer), home, nursery)

    def example(self, name, label):
        """An example of the documentation, to its end."""
        done = self.start(EXAMPLE, name, label, code=source(name)).end()
        assert done.code == 0, done.err
        return done

    def killed(self, name, label, at):
        """The same, stopped inside a step, and ended by SIGTERM there."""
        running = self.start(EXAMPLE, name, label, at, code=source(name))
        running.said("stopped at")
        running.kill(signal.SIGTERM)
        return running.end()

    def close(self):
        """Ends all that was started."""
        for nursery in self.nurseries.values():
            nursery.stdin.close()
            try:
                nursery.wait(20)
            except subprocess.TimeoutExpired:
                nursery.kill()
                nursery.wait()
            nursery.stdout.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running registry."""
    with serving(tmp_path_factory.mktemp("training")) as served:
        yield served


@pytest.fixture
def trainer(server, tmp_path):
    """Somebody who trains."""
    made = Trainer(Person(tmp_path, server.url, server.token))
    yield made
    made.close()


@pytest.fixture
def registry(server):
    """The registry that they push to."""
    with Registry(server.url, server.token) as registry:
        yield registry
