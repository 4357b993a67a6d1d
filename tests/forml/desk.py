"""Somebody who works with ForML: a home of its own, a project, and the real command line.

ForML prints its errors and exits with 0, so a command's output is judged, not its code.
"""

import json
import os
import subprocess
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-forml" / "bin" / "python"

SCHEMA = '''
from forml.io import dsl


class Points(dsl.Schema):
    """Numbers, and what is to be learned of them."""

    serial = dsl.Field(dsl.Integer())
    level = dsl.Field(dsl.Float())
    label = dsl.Field(dsl.Float())
'''

SOURCE = """
from demo_points import Points
from forml import project

project.setup(project.Source.query(Points.select(Points.level), Points.label))
"""

PIPELINE = '''
import demo_dependency
import numpy
from forml import flow, project
from forml.pipeline import wrap


class Sum(flow.Actor):
    """Adds up what it is trained on, and all it was trained on before; then adds that to its input."""

    def __init__(self, factor=1.0):
        self.factor = factor
        self.total = 0.0
        self.rounds = 0

    def train(self, features, labels):
        self.total += self.factor * float(numpy.asarray(labels, float).sum())
        self.rounds += 1

    def apply(self, features):
        return numpy.asarray(features, float) + self.total

    def get_state(self):
        return f"{self.total!r} {self.rounds}".encode()

    def set_state(self, state):
        total, rounds = state.decode().split()
        self.total, self.rounds = float(total), int(rounds)

    def get_params(self):
        return {"factor": self.factor}

    def set_params(self, factor):
        self.factor = factor


@wrap.Operator.mapper
class First(Sum):
    pass


@wrap.Operator.mapper
class Second(Sum):
    pass


assert demo_dependency.VALUE == 42
project.setup(First(factor=FACTOR) >> Second(factor=100.0))
'''

CONFIG = """
[REGISTRY]
default = "cloud"

[REGISTRY.cloud]
provider = "weighbridge.forml:Registry"
url = "{url}"
namespace = "{namespace}"
staging = "{staging}"

[RUNNER]
default = "threads"
[RUNNER.threads]
provider = "dask"
scheduler = "threads"
[RUNNER.processes]
provider = "dask"
scheduler = "processes"
num_workers = 2

[FEED]
default = ["lake"]
[FEED.lake]
provider = "monolite"
[FEED.lake.inline]
"demo_points:Points" = [[1, 1.0, 10.0], [2, 2.0, 20.0], [3, 3.0, 30.0]]

[SINK]
default = "stdout"
[SINK.stdout]
provider = "stdout"
"""
ROWS = (1.0, 2.0, 3.0)
LABELS = 60.0


def wheel(folder):
    """A dependency as a wheel, so that a release needs no index."""
    path = folder / "demo_dependency-1.0-py3-none-any.whl"
    info = "demo_dependency-1.0.dist-info"
    files = {
        "demo_dependency.py": "VALUE = 42\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: demo-dependency\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


class Program:
    """A running `tests.forml.program`, which has imported ForML; each command is a fork of it."""

    def __init__(self, home, env):
        if not PYTHON.exists():
            raise RuntimeError("ForML is not installed: run `make .venv-forml`")
        path = f"{ROOT}{os.pathsep}{ROOT / 'sdk'}"
        self.process = subprocess.Popen(
            [PYTHON, "-m", "tests.forml.program"], cwd=home, env={**env, "PYTHONPATH": path},
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def _told(self):
        line = self.process.stdout.readline()
        assert line, "the program with ForML ended"
        return json.loads(line)

    def start(self, words, out, env, wait=False):
        """Starts a command whose output goes to a file; answers the number of its process."""
        asked = {"words": [str(w) for w in words], "out": str(out), "env": env, "wait": wait}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return self._told()["pid"]

    def run(self, words, out, env):
        """The exit code and the output of a command."""
        self.start(words, out, env, wait=True)
        return self._told()["code"], out.read_text()

    def end(self):
        """Ends it."""
        self.process.stdin.close()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.stdout.close()


@dataclass(slots=True)
class Desk:
    """A person with ForML. Actions run in `shared`; the command line in a program of the person's own,
    because ForML reads its configuration when it is imported."""

    home: Path
    url: str
    token: str
    shared: Program
    namespace: str = "forml"
    name: str = "demo-project"
    extra: dict = field(default_factory=dict)

    def __post_init__(self):
        self.home.mkdir(parents=True, exist_ok=True)
        self.place = self.home / "forml"
        self.place.mkdir(exist_ok=True)
        (self.place / "demo_points.py").write_text(SCHEMA)
        self.configure()

    place: Path = field(init=False)
    running: Program | None = None
    count: int = 0

    def configure(self, url=None, namespace=None, more=""):
        """Writes ForML's configuration."""
        text = CONFIG.format(
            url=url or self.url, namespace=namespace or self.namespace,
            staging=self.home / "staging",
        )  # fmt: skip
        (self.place / "config.toml").write_text(text + more)

    def env(self):
        """The environment of this person's commands."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WEIGHBRIDGE_", "FORML_"))}
        return {
            **kept, "FORML_HOME": str(self.place), "PYTHONPATH": str(ROOT / "sdk"),
            "WEIGHBRIDGE_TOKEN": self.token, "WEIGHBRIDGE_CONFIG": str(self.home / "config.json"),
            "WEIGHBRIDGE_CACHE": str(self.home / "cache"), "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1", "PIP_NO_INDEX": "1", "HOME": str(self.home),
            "TEST_URL": self.url, "TEST_NAMESPACE": self.namespace,
            "TEST_STAGING": str(self.home / "staging"), **self.extra,
        }  # fmt: skip

    def _own(self):
        if self.running is None:
            self.running = Program(self.home, self.env())
        return self.running

    def _out(self):
        self.count += 1
        return self.home / f"out-{self.count}"

    def start(self, *words):
        """A command of its own that runs in the background: its process and the file of its output."""
        out = self._out()
        return self._own().start(words, out, self.env()), out

    def _do(self, *words):
        return self.shared.run(("do", *words), self._out(), self.env())

    def end(self):
        """Ends the program."""
        if self.running is not None:
            self.running.end()

    def forml(self, *words, cwd=None):
        """The output of a command of ForML."""
        return self._own().run(("cli", cwd or self.home, *words), self._out(), self.env())[1]

    def run(self, *words):
        """The answer of an action; it must not raise."""
        code, out = self._do(*words)
        assert code == 0, out
        return json.loads(out.splitlines()[-1].removeprefix("answer "))

    def killed(self, *words):
        """An action that ends by a signal."""
        code, out = self._do(*words)
        assert code < 0, out

    @property
    def tree(self):
        """The folder of the project."""
        return self.home / self.name

    def init(self, version="0.1.0", factor=1.0):
        """`forml project init`, then what the person writes."""
        out = self.forml("project", "init", self.name)
        assert self.tree.is_dir(), out
        self.write(version, factor)

    def write(self, version, factor=1.0):
        """The project at a version."""
        package = self.name.replace("-", "_")
        found = wheel(self.home)
        (self.tree / "pyproject.toml").write_text(
            f'[project]\nname = "{self.name}"\nversion = "{version}"\n'
            f'dependencies = ["demo-dependency @ {found.as_uri()}"]\n'
            f'[tool.forml]\npackage = "{package}"\n'
        )
        (self.tree / package / "source.py").write_text(SOURCE)
        (self.tree / package / "pipeline.py").write_text(PIPELINE.replace("FACTOR", repr(factor)))

    def release(self):
        """`forml project release`."""
        return self.forml("project", "--path", self.tree, "release")

    def model(self, *words, runner="threads"):
        """`forml model …`."""
        return self.forml("model", "-R", runner, *words)

    def listed(self, *words):
        """`forml model list …`, word by word."""
        return self.forml("model", "list", *words).split()

    def applied(self, *words, runner="threads"):
        """The predictions of `forml model apply …`."""
        return numbers(self.model("apply", self.name, *words, runner=runner))


def numbers(output):
    """The floats of a printed result."""
    found = []
    for word in output.replace("[", " ").replace("]", " ").replace(",", " ").split():
        try:
            found.append(float(word))
        except ValueError:
            continue
    return found


def expected(rounds, factor=1.0):
    """What two sums predict after so many trainings on the same rows."""
    total = rounds * (factor * LABELS + 100.0 * LABELS)
    return [row + total for row in ROWS]
