"""Running contestants: each a process, in turns, medians; a failure is a reason and not a gap."""

import hashlib
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.targets import ROOT, environment

_SECONDS = 900
_REASON = 300


@dataclass(slots=True)
class Measured:
    """The runs of one contestant in one direction; `errors` are why runs failed."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Medians of every figure, the single times, and the reasons of failures."""
        if not self.runs:
            return {"error": self.errors[-1] if self.errors else "not run"}
        figures = [name for name, value in self.runs[0].items() if isinstance(value, (int, float))]
        found: dict[str, Any] = {
            name: round(statistics.median(run[name] for run in self.runs), 4) for name in figures
        }
        found["runs"] = [round(run["seconds"], 4) for run in self.runs]
        if self.errors:
            found["failed"] = len(self.errors)
            found["error"] = self.errors[-1]
        return found


def run(
    command: Sequence[str], env: Mapping[str, str], measured: Measured
) -> dict[str, Any] | None:
    """One run; None if it failed, and `measured` has the reason."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*map(str, command)], env=environment(env), cwd=ROOT, capture_output=True, text=True,
            timeout=_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        wall = time.monotonic() - began
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
            raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
        found: dict[str, Any] = {**json.loads(done.stdout.splitlines()[-1]), "process": wall}
    except (OSError, RuntimeError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        measured.errors.append(f"{type(error).__name__}: {error}"[:_REASON])
        return None
    measured.runs.append(found)
    return found


@cache
def sha256_of(file: Path) -> str:
    """The digest of a file that does not change."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def machine() -> dict[str, str]:
    """What it ran on."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 1024**3:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def stamp() -> dict[str, Any]:
    """When a section was measured, of which commit, and how busy the machine was besides."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
    asked = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=20)
        commit = done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    return {"date": now, "commit": commit, "load_before": round(os.getloadavg()[0], 2)}


def save(file: Path, name: str, section: Mapping[str, Any], versions: Mapping[str, str]) -> None:
    """Puts one section and its machine into the result file; the others stay as they were."""
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    whole = {**section, "machine": machine()}
    document = {"versions": dict(versions), "sections": {**kept.get("sections", {}), name: whole}}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
