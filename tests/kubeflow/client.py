"""The real `model-registry` client, unmodified, in an environment of its own."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-kubeflow" / "bin" / "python"
DRIVER = Path(__file__).with_name("driver.py")


class KubeflowClient:
    """Somebody who uses the client against a server; every call is a process of its own."""

    def __init__(self, url, token, home):
        if not PYTHON.exists():
            raise RuntimeError("the client is not installed: run `make .venv-kubeflow`")
        self.url, self.token, self.home = url, token, home

    def __call__(self, what, **arguments):
        """What a function of the driver answered."""
        asked = {"url": self.url, "token": self.token, "what": what, "arguments": arguments}
        done = subprocess.run(
            [PYTHON, "-W", "error", DRIVER], input=json.dumps(asked), cwd=self.home,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, (what, done.stdout, done.stderr)
        return json.loads(done.stdout)
