"""What pushing checkpoints costs a training step: the time of steps with it and without it, in one run.

    python -m benchmarks.training [--pairs 6]

A server on this machine, and programs that train (`benchmarks/training_run.py`) in `.venv-training`:
a transformer with the PyTorch helper, and LightGBM with its callback. Each run alternates blocks of
steps in which a checkpoint is taken and pushed with blocks in which none is; which comes first changes
from pair to pair. The figure is the ratio of the blocks' times, the snapshot itself included. Client,
server and store share this machine, which a real trainer does not. Nothing is asserted.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.served import Person, serving

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "training.json"
PAGE = ROOT / "docs" / "how-to" / "training.md"
PYTHON = ROOT / ".venv-training" / "bin" / "python"
BEGIN, END = "<!-- benchmark: begin -->\n", "<!-- benchmark: end -->\n"
CASES = ("torch", "lightgbm")
BAR = 1.05
_SECONDS = 1800


def measure(case: str, person: Person, pairs: int) -> dict[str, Any]:
    """One run: its blocks, and what follows from them."""
    env = {
        **person.env(), "PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)]),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [str(PYTHON), "-m", "benchmarks.training_run", case, str(pairs)]
    done = subprocess.run(
        command, cwd=person.home, env=env, capture_output=True, text=True, check=False,
        timeout=_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    ratios = [one / other for one, other in zip(found["with"], found["without"], strict=True)]
    return {
        **found,
        "ratio": round(sum(found["with"]) / sum(found["without"]), 4),
        "ratio_median": round(statistics.median(ratios), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
    }


def conditions() -> dict[str, Any]:
    """Under which the figures were taken."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "commit": commit,
        "bar": BAR,
        "machine": {
            "processor": models[0] if models else platform.machine(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
        },
    }


def table(document: dict[str, Any]) -> str:
    """The section of the documentation."""
    machine = document["machine"]
    lines = [
        f"{document['date']}, commit {document['commit']}, {machine['cores']} cores "
        f"({machine['processor']}), load before {machine['load']}; training on one thread, server and "
        "store on the same machine.",
        "",
        "| | checkpoint | every | snapshot | step without | step with | ratio | median of blocks |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        one = document[case]
        without, pushing = (
            1000 * sum(one[way]) / len(one[way]) / one["steps"] for way in ("without", "with")
        )
        lines.append(
            f"| {one['what']} | {one['bytes'] / 1e6:.1f} MB | {one['steps']} steps "
            f"| {1000 * one['snapshot_seconds']:.0f} ms | {without:.1f} ms | {pushing:.1f} ms "
            f"| {one['ratio']:.3f} | {one['ratio_median']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, prints, and writes the result and its section of the documentation."""
    about, _, usage = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=about, epilog=usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--pairs", type=int, default=6, help="pairs of blocks")
    options = parser.parse_args()
    document = conditions()
    with tempfile.TemporaryDirectory(prefix="bench-training-") as folder:
        home = Path(folder)
        with serving(home) as served:
            person = Person(home, served.url, served.token)
            for case in CASES:
                document[case] = measure(case, person, options.pairs)
                print(case, json.dumps(document[case]), flush=True)
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + table(document) + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
