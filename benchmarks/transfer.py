"""Pushes and pulls, ours and others', in turns against the same store.

    python -m benchmarks.transfer [--long] [--sections new/sink,new/store,...] [--rounds 5]

Targets: `sink`, which discards and shows what a client can do, and `store`, the embedded S3 server.
Sections: `new/sink`, `new/store` (a new file of random bytes, and its pull, with every rival),
`again` (nothing changed, one byte changed), `tensors` (fine-tunes of GPT-2 medium's layout),
`small/sink`, `small/store` (10,000 files of 1 KiB), `small/far` (to and from a sink whose every answer
comes 30 ms late, as that of a store in another place does), and with `--long` `big` (8 GiB, peak memory).
Results go to `benchmarks/results/transfer.json`, and from there to `docs/benchmarks.md`.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import cases, report, runs, targets
from benchmarks.report import OURS_BY_PARTS
from benchmarks.runs import Measured
from benchmarks.targets import Target

RESULTS = targets.ROOT / "benchmarks" / "results" / "transfer.json"
TOOLS = (
    "boto3", "boto3 sha256", "boto3 tuned sha256", "aws s3 cp", "aws s3 cp sha256", "s5cmd",
    "awscrt", "awscrt sha256", "obstore", "obstore sha256", "mlflow proxied", "mlflow multipart",
)  # fmt: skip
FOLDERS = ("s5cmd", "aws s3 cp")
FAR = 30.0
NOT_RUN = {
    "huggingface_hub": "speaks the Hub's own protocol and not S3; no server of it can be installed",
}


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run was asked to do, and where it may put files."""

    rounds: int
    size: int
    work: Path
    disk: Path
    tools: tuple[str, ...]
    save: Callable[[str, dict[str, Any]], None]

    @contextmanager
    def folder(self, on_disk: bool = False) -> Iterator[Path]:
        """A folder for a while, in memory where that is possible."""
        with tempfile.TemporaryDirectory(
            prefix="bench-", dir=self.disk if on_disk else self.work, ignore_cleanup_errors=True
        ) as name:
            yield Path(name)

    @contextmanager
    def target(
        self, kind: str, served: tuple[Path, ...] = (), far: float = 0.0
    ) -> Iterator[Target]:
        """A fresh store of this kind."""
        with self.folder(on_disk=kind == "store") as folder, ExitStack() as stack:
            made = targets.store(folder) if kind == "store" else targets.sink(folder, served, far)
            yield stack.enter_context(made)

    def ours(
        self,
        target: Target,
        cache: Path,
        action: str,
        name: str,
        path: Path,
        into: Measured,
        connections: str = "",
        verify: str = "",
    ) -> dict[str, Any] | None:
        """One push or pull of ours."""
        command = [sys.executable, "-m", "benchmarks.ours", action, name, str(path)]
        more = {"WEIGHBRIDGE_CONNECTIONS": connections, "WEIGHBRIDGE_VERIFY": verify}
        return runs.run(command, target.our_env(cache) | more, into)

    def prepare(self, target: Target, cache: Path, name: str, path: Path) -> None:
        """The push that comes before the one that is measured; it must succeed."""
        measured = Measured()
        if self.ours(target, cache, "push", name, path, measured) is None:
            raise RuntimeError(f"the push before the measured one failed: {measured.errors[-1]}")


def _documents(found: dict[str, Measured]) -> dict[str, Any]:
    return {name: measured.document() for name, measured in found.items()}


def new(bench: Bench, kind: str) -> None:
    """A new file of random bytes: pushed, and pulled again, by everybody in turns."""
    with bench.folder() as work:
        file = cases.random_file(work / "new.bin", bench.size)
        found: dict[str, dict[str, Measured]] = defaultdict(lambda: defaultdict(Measured))
        for number in range(bench.rounds):
            with bench.target(kind, (file,)) as target:
                _round(bench, target, file, work, number, found)
            print(f"{kind}: round {number + 1} of {bench.rounds}", flush=True)
            contestants = {
                name: {way: measured.document() for way, measured in ways.items()}
                for name, ways in found.items()
            }
            missing = {tool: {"push": {"error": why}} for tool, why in NOT_RUN.items()}
            section = {"bytes": bench.size, "contestants": {**contestants, **missing}}
            # After every round: who has no more time has the rounds so far.
            bench.save(f"new/{kind}", section | {"rounds": number + 1})


def _round(bench: Bench, target: Target, file: Path, work: Path, number: int, found: Any) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        env = target.store_env()
        if any("mlflow" in tool for tool in bench.tools):
            try:
                env["BENCH_MLFLOW"] = stack.enter_context(targets.mlflow(target, folder))
            except (OSError, RuntimeError) as error:
                print(f"mlflow is left out: {error}", file=sys.stderr)
        turns: list[str] = ["ours", "floor", "raw", *bench.tools]
        turns = turns[number % len(turns) :] + turns[: number % len(turns)]
        for name in turns:
            if name == "ours":
                _ours(bench, target, file, work, folder / f"cache{number}", found)
            elif name in ("floor", "raw"):
                _bare(name, target, file, env, found)
            else:
                moved = (file, f"{name.replace(' ', '-')}-{number}")
                _rival(target, name, moved, env, found[name])


def _counted(target: Target, push: Callable[[], dict[str, Any] | None]) -> bool:
    """Runs a push; notes with it what the sink saw. Whether it succeeded."""
    if target.name == "sink":
        targets.told(target, reset=True)
    pushed = push()
    if pushed is not None and target.name == "sink":
        pushed |= targets.told(target, reset=False)
    return pushed is not None


def _ours(
    bench: Bench,
    target: Target,
    file: Path,
    work: Path,
    cache: Path,
    found: dict[str, dict[str, Measured]],
) -> None:
    push = found["ours"]["push"]
    if not _counted(target, lambda: bench.ours(target, cache, "push", "bench/new", file, push)):
        return
    back = work / "ours"
    # The first knows nothing of what is pulled, and neither does the second.
    for name, verify in (("ours", ""), (OURS_BY_PARTS, "parts")):
        pull, fresh = found[name]["pull"], cache.with_name(f"{cache.name}-{verify}")
        bench.ours(target, fresh, "pull", "bench/new@1", back, pull, verify=verify)
        shutil.rmtree(back, ignore_errors=True)


def _bare(name: str, target: Target, file: Path, env: dict[str, str], found: Any) -> None:
    if name == "raw":
        command = [sys.executable, "-m", "benchmarks.raw_put", "multipart", str(file)]
        runs.run(command, env, found["raw presigned"]["push"])
    elif target.name == "sink":
        command = [sys.executable, "-m", "benchmarks.floor", target.endpoint, str(file)]
        runs.run(command, {}, found["floor"]["push"])
        runs.run([*command, "--no-hash"], {}, found["sink ceiling"]["push"])


def _rival(
    target: Target, name: str, moved: tuple[Path, str], env: dict[str, str], found: Any
) -> None:
    file, key = moved
    script = str(targets.ROOT / "benchmarks" / "rivals" / "run.py")
    command = [str(targets.RIVALS / "python"), script, name]
    back = file.with_name("rival")
    push, pull = found["push"], found["pull"]
    if _counted(target, lambda: runs.run([*command, "push", str(file), key], env, push)):
        pulled = runs.run([*command, "pull", str(back), key], env, pull)
        if pulled and pulled["sha256"] != runs.sha256_of(file):
            pull.runs.remove(pulled)
            pull.errors.append("other bytes came back than were sent")
    back.unlink(missing_ok=True)
    shutil.rmtree(file.with_name("rival.folder"), ignore_errors=True)


def again(bench: Bench, _: str) -> None:
    """The same file once more, looked at or hashed anew, and with one byte changed."""
    found: dict[str, Measured] = defaultdict(Measured)
    with bench.folder() as work:
        file = cases.random_file(work / "again.bin", bench.size)
        with bench.target("sink", (file,)) as target:
            for number in range(bench.rounds):
                model, cache = f"again{number}/m", work / f"cache{number}"
                bench.prepare(target, cache, model, file)
                bench.ours(target, cache, "push", model, file, found["unchanged, seen before"])
                file.touch()
                bench.ours(target, cache, "push", model, file, found["unchanged, touched"])
                command = [sys.executable, "-m", "benchmarks.ours", "hash", "-", str(file)]
                runs.run(command, {}, found["hashing alone"])
                cases.change_byte(file, bench.size // 2)
                bench.ours(target, cache, "push", model, file, found["one byte changed"])
    bench.save("again", {"bytes": bench.size, "cases": _documents(found)})


def tensors(bench: Bench, _: str) -> None:
    """Fine-tunes of a safetensors model of GPT-2 medium's names and shapes."""
    found: dict[str, Any] = {}
    with bench.folder() as work:
        base = cases.gpt2_medium()
        file, variant = work / "base.safetensors", work / "variant.safetensors"
        cases.write_model(file, base)
        with bench.target("sink", (file, variant)) as target:
            for name, make in cases.VARIANTS.items():
                changed = make(base)
                cases.write_model(variant, changed.tensors)
                model, cache, measured = f"{name}/m", work / f"cache-{name}", Measured()
                bench.prepare(target, cache, model, file)
                bench.ours(target, cache, "push", model, variant, measured)
                bar = {"bar": changed.bar, "formula": changed.formula}
                found[name] = {**measured.document(), **bar}
        size = file.stat().st_size
    bench.save("tensors", {"bytes": size, "cases": found, "rounds": 1})


def small(bench: Bench, kind: str) -> None:
    """Ten thousand files of 1 KiB."""
    found: dict[str, Measured] = defaultdict(Measured)
    with bench.folder() as work:
        folder = cases.small_files(work / "files")
        for number in range(bench.rounds):
            with bench.target(kind) as target:
                command = [sys.executable, "-m", "benchmarks.raw_put", "loop", str(folder)]
                runs.run(command, target.store_env(), found["raw presigned loop"])
                command[3] = "verified"
                runs.run(command, target.store_env(), found["raw presigned loop, verified"])
                bench.ours(target, work / f"c{number}", "push", "s/m", folder, found["ours"])
            section = {"files": cases.SMALL_FILES, "cases": _documents(found)}
            bench.save(f"small/{kind}", section | {"rounds": number + 1})


def far(bench: Bench, kind: str) -> None:
    """Ten thousand files of 1 KiB, and a store that is not on this machine."""
    found: dict[str, Measured] = defaultdict(Measured)
    script = str(targets.ROOT / "benchmarks" / "rivals" / "run.py")
    with bench.folder() as work:
        folder = cases.small_files(work / "files")
        for number in range(bench.rounds):
            with bench.target(kind, far=FAR) as target:
                for name, most in (("ours", ""), ("ours, 8 connections", "8")):
                    model, cache = f"far{most}/m", work / f"c{number}-{most}"
                    back = work / "back"
                    bench.ours(target, cache, "push", model, folder, found[f"{name}, push"], most)
                    bench.ours(
                        target, cache, "pull", f"{model}@1", back, found[f"{name}, pull"], most
                    )
                    shutil.rmtree(back, ignore_errors=True)
                env = target.store_env()
                command = [sys.executable, "-m", "benchmarks.raw_put", "loop", str(folder)]
                runs.run(command, env, found["raw presigned loop, 8 connections, push"])
                for tool in (name for name in FOLDERS if name in bench.tools):
                    command = [str(targets.RIVALS / "python"), script, tool]
                    for action, path in (("push", folder), ("pull", work / "back")):
                        path.mkdir(exist_ok=True)
                        words = [*command, action, str(path), "far/"]
                        runs.run(words, env, found[f"{tool}, {action}"])
                    shutil.rmtree(work / "back", ignore_errors=True)
            section = {"files": cases.SMALL_FILES, "cases": _documents(found)}
            bench.save("small/far", section | {"rounds": number + 1})


def big(bench: Bench, _: str) -> None:
    """8 GiB: the time, and how far memory grows."""
    found: dict[str, Measured] = defaultdict(Measured)
    with bench.folder(on_disk=True) as disk, bench.folder(on_disk=True) as back:
        file = cases.random_file(disk / "big.bin", 8 * 1024**3)
        with bench.target("sink", (file,)) as target:
            bench.ours(target, disk / "cache", "push", "big/m", file, found["push"])
            bench.ours(target, disk / "cache", "pull", "big/m@1", back / "to", found["pull"])
    bench.save("big", {"bytes": 8 * 1024**3, "cases": _documents(found), "rounds": 1})


SECTIONS: dict[str, tuple[Callable[[Bench, str], None], str]] = {
    "new/sink": (new, "sink"),
    "again": (again, "sink"),
    "tensors": (tensors, "sink"),
    "small/sink": (small, "sink"),
    "small/store": (small, "store"),
    "small/far": (far, "sink"),
    "new/store": (new, "store"),
    "big": (big, "sink"),
}


def _versions() -> dict[str, str]:
    script = targets.ROOT / "benchmarks" / "rivals" / "run.py"
    try:
        done = subprocess.run(
            [str(targets.RIVALS / "python"), str(script), "versions"], check=True,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        print(f"no rivals: {error}; `make .venv-bench` installs them", file=sys.stderr)
        return {}
    found: dict[str, str] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measures, writes the results, writes the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transfer", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--sections", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--tools", default=",".join(TOOLS), help="rivals to run, by comma")
    parser.add_argument("--work", type=Path, default=Path("/dev/shm"), help="for files")
    parser.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    # Servers are stopped on the way out, whoever ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = options.sections.split(",") if options.sections else list(SECTIONS)
    if not options.sections and not options.long:
        wanted.remove("big")
    tools = tuple(tool for tool in options.tools.split(",") if tool)
    versions = _versions()
    begun: dict[str, Any] = {}
    failed: list[str] = []

    def save(name: str, section: dict[str, Any]) -> None:
        whole = {**begun, "rounds": options.rounds, **section}
        runs.save(options.results, name, whole, versions)
        if options.results == RESULTS:
            report.write(RESULTS)

    size = options.size_mib * 1024**2
    bench = Bench(options.rounds, size, options.work, options.disk, tools, save)
    for name in wanted:
        measure, kind = SECTIONS[name]
        begun = runs.stamp()
        try:
            measure(bench, kind)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            failed.append(name)
            print(f"{name}: {error}", file=sys.stderr, flush=True)
        else:
            print(f"{name}: measured", flush=True)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
