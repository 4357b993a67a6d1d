"""FATE's own 2.x client, unmodified, in an installation of its own per test: its settings live inside it."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.fate.v2.conftest import archive

ROOT = Path(__file__).parents[3]
ENVIRONMENT = ROOT / ".venv-flow2"
SECONDS = 60


@dataclass(slots=True)
class Flow2:
    """`flow`, as somebody at a terminal runs it."""

    folder: Path
    person: object = None
    project: str = ""

    @classmethod
    def install(cls, folder: Path):
        """A copy of the package, as `make .venv-flow2` installed it."""
        python = ENVIRONMENT / "bin" / "python"
        if not python.exists():
            raise RuntimeError("the client is not installed: run `make .venv-flow2`")
        [package] = ENVIRONMENT.glob("lib/python3*/site-packages/fate_client")
        shutil.copytree(package, folder / "own" / "fate_client")
        return cls(folder)

    def text(self, *words):
        """What a command prints; its exit code says nothing but that it did not crash."""
        done = subprocess.run(
            [ENVIRONMENT / "bin" / "python", "-c",
             "from fate_client.flow_cli.flow import flow_cli; flow_cli()", *map(str, words)],
            cwd=self.folder, capture_output=True, text=True, timeout=SECONDS,
            env={"PYTHONPATH": str(self.folder / "own"), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def run(self, *words):
        """The JSON that a command prints."""
        return json.loads(self.text(*words))

    def ok(self, *words):
        """The data of a command that must succeed."""
        found = self.run(*words)
        assert found.get("code") == 0, (words, found)
        return found.get("data")

    def point(self, ip, port):
        """Writes an address into the settings, where `flow init` refuses it."""
        file = self.folder / "own" / "fate_client" / "settings.yaml"
        text = file.read_text().replace("ip: 127.0.0.1", f"ip: {ip}").replace("9380", str(port))
        file.write_text(text)

    def file(self, name, content):
        """A file in its folder; JSON, a zip of a tree, or bytes."""
        path = self.folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif name.endswith(".zip"):
            path.write_bytes(archive(content))
        else:
            path.write_text(json.dumps(content))
        return path
