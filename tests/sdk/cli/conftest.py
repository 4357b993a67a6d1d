"""A command line over the fake registry, in a folder of its own."""

import io
from dataclasses import dataclass, field

import pytest

from tests.sdk.cli.fake_registry import FakeRegistry
from tests.sdk.cli.world import world
from weighbridge.cli.main import main

FILES = {
    "model.safetensors": b"weights",
    "epoch-5.safetensors": b"five",
    "out/model.safetensors": b"other weights",
    "out/sub/notes.txt": b"notes",
    "CARD.md": b"# A card\n",
    "old-registry/README": b"no project yet",
    "ca.pem": b"",
    "dag.yaml": b"""
dag:
  parties: [{role: guest, party_id: ['9999']}, {role: host, party_id: ['10000']}]
  conf: {task: {provider: 'acme:2.1.0@k8s'}}
  tasks: {lr_0: {component_ref: lr, conf: {provider: ':@'}}, reader_0: {component_ref: reader}}
""",
    "dag.json": b"""{"dag": {"parties": [{"role": "guest", "party_id": ["9999"]}],
        "tasks": {"lr_0": {"conf": {"provider": "acme:2.1.0@k8s"}}}}}""",
    "broken.json": b"""{"dag": {"parties": [{"role": "guest", "party_id": ["9999"]}],
        "tasks": {"lr_0": {"conf": {"provider": "fate"}}, "psi_0": {"conf": {"provider": "a:1@k8s"}}}}}""",
    "components.json": b'{"lr": {"description": "Logistic regression"}}',
}


@dataclass
class Line:
    """Runs commands; keeps the world, and what a connection was asked for."""

    capsys: object
    client: object = field(default_factory=world)
    asked: list = field(default_factory=list)

    def connect(self, url, token, ca_file):
        self.asked.append((url, token, ca_file))
        return FakeRegistry(self.client)

    def run(self, *words, stdin="", terminal=False):
        """The exit code; `out` and `err` are what was printed."""
        keyboard = io.StringIO(stdin)
        keyboard.isatty = lambda: terminal
        code = main(list(words), connect=self.connect, stdin=keyboard)
        captured = self.capsys.readouterr()
        self.out, self.err = captured.out, captured.err
        return code


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty home with the files that examples name, and no configuration but the address."""
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_CONFIG", str(tmp_path / "home" / "config.json"))
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "cache"))
    for name in ("WEIGHBRIDGE_URL", "WEIGHBRIDGE_TOKEN", "WEIGHBRIDGE_CA_FILE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def line(folder, capsys):
    """A command line over a fresh world."""
    return Line(capsys)
