"""Runs programs that train, one after the other, each in a fork of this process, which has imported what
they import: to import a framework takes longer than to train with it does here.

    python nursery.py IMPORTS        (Python code)

Each line of standard input is a JSON object: `script`, `words`, `home`, `env`. Its answers are the fork's
process id, and then, when that ended, its exit code (negative: the signal). Output goes to the files
`printed.out` and `printed.err` in `home`. A fork ends as any interpreter does; it is a program of its own
to all that it runs.
"""

import ctypes
import json
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1
OUT, ERR = "printed.out", "printed.err"


def dies_with_its_parent():
    """Nobody trains on when the tests are gone, however they ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def become(run):
    """Makes this fork the program that was asked for, up to its first line."""
    dies_with_its_parent()
    os.chdir(run["home"])
    os.environ.update(run["env"])
    for number, name, how in ((0, os.devnull, os.O_RDONLY), (1, OUT, None), (2, ERR, None)):
        opened = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_APPEND if how is None else how, 0o600
        )
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = [run["script"], *run["words"]]


def main():
    """Forks for each line; a fork returns the run that it is."""
    dies_with_its_parent()
    exec(sys.argv[1], {})
    for line in sys.stdin:
        run = json.loads(line)
        pid = os.fork()
        if not pid:
            become(run)
            return run
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


if __name__ == "__main__":
    mine = main()
    if mine:
        kept = runpy.run_path(mine["script"], run_name="__main__")  # as a script's names are kept
