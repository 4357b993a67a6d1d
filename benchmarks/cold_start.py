"""What a cold start of the API costs: the size of the zip, and the CPU time of its imports.

    python -m benchmarks.cold_start [--runs 9] [--top 15] [--zip deployment.zip]

Each run is a fresh interpreter that sees nothing but the unpacked zip, as Lambda does: it imports
`app` and makes the S3 and DynamoDB clients. The figure is CPU time after the interpreter is up, the
median of the runs, with the bytecode that the zip brings. At 1,024 MB a function has 0.58 of a core.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

from infra import deploy

RESULT = Path(__file__).parent / "results" / "cold_start.json"
MAX_ZIP = 5_000_000
MAX_CPU = 0.25
_RUN = """
import sys, time
sys.path.insert(0, sys.argv[1])
began = time.process_time()
import app
imported = time.process_time()
from chalicelib.wiring import stores
made = stores()
made.blobs._s3
made.table._use()
import json
print(json.dumps([imported - began, time.process_time() - began, sorted(sys.modules)]))
"""
ENV = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "PATH": os.environ.get("PATH", os.defpath),
}


def unpacked(archive: Path, folder: Path) -> Path:
    """The files of a zip, as Lambda would see them."""
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder)
    return folder


def run(code: Path, *options: str) -> tuple[float, float, list[str], str]:
    """CPU seconds of importing `app`, the same with clients, the modules loaded, and what the
    interpreter printed to standard error."""
    # -S: nothing that is installed may stand in for what the zip lacks; -B: as on a read-only disk.
    command = [sys.executable, "-S", "-E", "-B", *options, "-c", _RUN, str(code)]
    done = subprocess.run(
        command, cwd=code, env=ENV, capture_output=True, text=True, check=True, timeout=60
    )
    imported, everything, modules = json.loads(done.stdout)
    return imported, everything, modules, done.stderr


def heaviest(code: Path) -> list[tuple[str, float, float]]:
    """Imports with their own and their cumulated milliseconds, the heaviest first."""
    rows = []
    for line in run(code, "-X", "importtime")[3].splitlines():
        parts = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and parts[0].strip().isdigit():
            rows.append((parts[2].strip(), int(parts[0]) / 1000, int(parts[1]) / 1000))
    return sorted(rows, key=lambda row: row[1], reverse=True)


def conditions() -> dict[str, object]:
    """Under which a figure was taken."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "bars": {"zip_bytes": MAX_ZIP, "cpu_seconds": MAX_CPU},
        "machine": {
            "processor": models[0] if models else platform.machine(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("botocore", "chalice", "pynamodb")},
        },
    }


def main() -> None:
    """Packages, measures, prints; ends with 1 where a bar is missed."""
    about, _, usage = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cold_start", description=about, epilog=usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--top", type=int, default=15, help="imports to list")
    parser.add_argument("--zip", type=Path, help="measure this one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cold-start-") as folder:
        archive = options.zip or deploy.package("dev", Path(folder) / "out") / "deployment.zip"
        code = unpacked(archive, Path(folder) / "task")
        runs = [run(code) for _ in range(options.runs)]
        importing = statistics.median(r[0] for r in runs)
        everything = statistics.median(r[1] for r in runs)
        best = min(r[1] for r in runs)
        size = archive.stat().st_size
        print(f"zip                          {size / 1e6:8.2f} MB  (bar {MAX_ZIP / 1e6:.0f})")
        print(f"CPU, import app              {importing:8.3f} s")
        print(
            f"CPU, with S3 and DynamoDB    {everything:8.3f} s   (bar {MAX_CPU}; best {best:.3f})"
        )
        print(f"modules                      {len(runs[0][2]):8}")
        print(f"\n{'ms own':>8} {'ms all':>8}  import")
        for name, own, cumulated in heaviest(code)[: options.top]:
            print(f"{own:8.1f} {cumulated:8.1f}  {name}")
    figures = {
        "zip_bytes": size,
        "import_app_cpu_seconds": round(importing, 3),
        "cpu_seconds": round(everything, 3),
        "cpu_seconds_all": [round(r[1], 3) for r in runs],
    }
    RESULT.write_text(json.dumps({**figures, **conditions()}, indent=1) + "\n", encoding="utf-8")
    if size > MAX_ZIP or everything > MAX_CPU:
        sys.exit(1)


if __name__ == "__main__":
    main()
