"""Runs the long tests, group by group, and notes each one's result when it ends.

    python -m tests.long.run [--group transfer,size] [--workers N] [--resume] [--fuzz-seconds 600]

What else is given goes to pytest. Groups whose tests may run together use the workers; all others run
one test after the other. `--resume` leaves out what passed since the code that it speaks for last changed.
"""

import argparse
import functools
import os
import signal
import subprocess
import sys

import pytest

from tests.long.age import History
from tests.long.groups import GROUPS, NAMES
from tests.long.results import FILE, ROOT, Recorder, done, load, stamp

FUZZ_SECONDS = 600


def main(words=None) -> int:
    """Runs what is asked for; answers the highest exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.run", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--group", default=",".join(NAMES), help="of " + ", ".join(NAMES))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--fuzz-seconds", type=float, default=FUZZ_SECONDS, help="per format")
    options, rest = parser.parse_known_args(words)
    wanted = options.group.split(",")
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        parser.error(f"no such group: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    # Ended by a signal, a run stops as by Ctrl-C: what was done is kept, and its servers end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if len(wanted) == 1:
        [group] = (group for group in GROUPS if group.name == wanted[0])
        return run(group, options, rest)
    own = ["--workers", str(options.workers), "--fuzz-seconds", str(options.fuzz_seconds)]
    own += ["--resume"] if options.resume else []
    # Each group in a process of its own: what one leaves in memory is not measured in another.
    codes = [again([*own, "--group", name, *rest]) for name in wanted]
    return max(codes)


def again(words) -> int:
    """This program for one group; ends it if it is ended itself."""
    process = subprocess.Popen([sys.executable, "-m", "tests.long.run", *words])
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


def unchanged(history: History):
    """Whether a commit has the code of today in the folders of a group."""

    @functools.cache
    def speaks(name: str, commit: str) -> bool:
        folders = next(group.folders for group in GROUPS if group.name == name)
        return not history.missing and history.has(commit) and not history.since(commit, folders)

    return speaks


def run(group, options, rest) -> int:
    """One group, in this process."""
    os.environ["FUZZ_SECONDS"] = str(options.fuzz_seconds)
    about = stamp()
    recorder = Recorder(about)
    command = ["-m", "long", "--no-skips", "-v", "-p", "no:cacheprovider", *rest, *group.tests]
    if group.together and options.workers > 1:
        command += ["-n", str(options.workers), "--dist", "load"]
    if options.resume:
        for name in done(load(FILE), options.fuzz_seconds, unchanged(History(ROOT))):
            command += ["--deselect", name]
    code = pytest.main(command, plugins=[recorder])
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and options.resume:
        return 0
    whole = not (options.resume or rest)
    if whole and code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        recorder.forget_others([group.name])
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
