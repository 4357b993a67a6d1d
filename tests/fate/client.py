"""The real `flow` 1.x, unmodified, in an environment of its own.

It keeps its settings inside its installed package, so every client here is a copy of that package: tests
that run side by side do not talk to each other's servers.
"""

import json
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-flow1" / "bin" / "python"


class FlowClient:
    """`flow` with settings of its own, in a folder."""

    def __init__(self, home: Path):
        if not PYTHON.exists():
            raise RuntimeError("the client is not installed: run `make .venv-flow1`")
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        (packages,) = (PYTHON.parents[1] / "lib").glob("python*/site-packages")
        shutil.copytree(packages / "flow_client", home / "lib" / "flow_client")
        self._files = 0

    def run(self, *words):
        """What a command printed."""
        done = subprocess.run(
            [PYTHON, "-m", "flow_client.flow", *map(str, words)], cwd=self.home,
            env={"PYTHONPATH": str(self.home / "lib"), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def __call__(self, *words):
        """The JSON that a command printed; the line before it is about torch."""
        text = self.run(*words)
        return json.loads(text[text.index("{") :])

    def ok(self, *words):
        """The answer of a command that must succeed."""
        answer = self(*words)
        assert answer["retcode"] == 0, (words, answer)
        return answer

    def init(self, address, port, *more):
        """Points it at a server; `address` may hold user:token@."""
        self.ok("init", "--ip", address, "--port", port, *more)
        return self

    def conf(self, **fields):
        """A configuration file with these members."""
        self._files += 1
        path = self.home / f"conf{self._files}.json"
        path.write_text(json.dumps(fields))
        return path
