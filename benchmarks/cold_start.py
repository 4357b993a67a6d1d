"""What a cold start of the API function costs: the size of its zip, and the CPU of its imports.

    python -m benchmarks.cold_start [--check]

Builds the zip as a deployment does, unpacks it, and imports `app` from it in fresh interpreters that
see nothing else; then makes the clients that the first request makes. The result is printed and
written to benchmarks/results/cold_start.json. With `--check` a missed bar is an error.

CPU and not wall time is held to the bar: a function's share of a core depends on its memory.
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infra import deploy

MAX_ZIP = 5_000_000
MAX_CPU = 0.25
RUNS = 11
RESULT = Path(__file__).parent / "results" / "cold_start.json"
_HEAVIEST = 15

PROBE = """
import sys, time
begun, wall = time.process_time(), time.perf_counter()
sys.path.insert(0, sys.argv[1])
import app
imported = time.process_time()
from chalicelib import wiring
stores = wiring.stores()
stores.table._use()                                     # a first request reads its token here
stores.blobs._client(stores.blobs._access)              # and looks at, or signs for, an object
done = time.process_time()
print(imported - begun, done - begun, time.perf_counter() - wall)
"""
_ENV = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "PATH": os.environ["PATH"],
}


def probe(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """One fresh interpreter that sees only the standard library and the unpacked zip."""
    # -I and -S: no site-packages, no environment, no current folder; -B: the zip is read-only.
    command = [sys.executable, "-I", "-S", "-B", *options, "-c", PROBE, str(folder)]
    return subprocess.run(command, env=_ENV, capture_output=True, text=True, check=True)


def heaviest(folder: Path) -> list[dict[str, Any]]:
    """The imports that take the longest by themselves, in wall time, with the profiler's share."""
    lines = probe(folder, "-X", "importtime").stderr.splitlines()
    found = [re.fullmatch(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)", line) for line in lines]
    rows = [(int(m[1]), m[3]) for m in found if m]
    return [{"module": name, "self_ms": own / 1000} for own, name in sorted(rows)[:-_HEAVIEST:-1]]


def measure() -> dict[str, Any]:
    """Builds, unpacks, and measures."""
    with tempfile.TemporaryDirectory(prefix="cold-start-") as scratch:
        code = deploy.package("dev", Path(scratch) / "package") / "deployment.zip"
        folder = Path(scratch) / "unpacked"
        with zipfile.ZipFile(code) as archive:
            archive.extractall(folder)
        probe(folder)  # the files come into the page cache
        runs = [[float(n) for n in probe(folder).stdout.split()] for _ in range(RUNS)]
        app, cpu, wall = (statistics.median(column) for column in zip(*runs, strict=True))
        return {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "zip_bytes": code.stat().st_size,
            "import_app_cpu_seconds": round(app, 3),
            "cpu_seconds": round(cpu, 3),
            "cpu_seconds_all": [round(run[1], 3) for run in runs],
            "wall_seconds": round(wall, 3),
            "bars": {"zip_bytes": MAX_ZIP, "cpu_seconds": MAX_CPU},
            "heaviest": heaviest(folder),
            "machine": {
                "processor": _processor(),
                "cores": os.cpu_count(),
                "load": round(os.getloadavg()[0], 1),
                "system": platform.platform(),
            },
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("chalice", "botocore", "pynamodb")},
            },
        }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Measures, prints, and writes the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail where a bar is missed")
    check = parser.parse_args().check
    result = measure()
    print(f"zip          {result['zip_bytes'] / 1e6:6.2f} MB   (at most {MAX_ZIP / 1e6:.2f})")
    print(f"import app   {result['import_app_cpu_seconds']:6.3f} s CPU")
    print(f"with clients {result['cpu_seconds']:6.3f} s CPU (at most {MAX_CPU})")
    print(f"             {result['wall_seconds']:6.3f} s wall, load {result['machine']['load']}")
    for row in result["heaviest"]:
        print(f"  {row['self_ms']:6.1f} ms  {row['module']}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if check and (result["zip_bytes"] > MAX_ZIP or result["cpu_seconds"] > MAX_CPU):
        sys.exit("a bar is missed")


if __name__ == "__main__":
    main()
