"""Runs an example of docs/how-to/training.md under another label, in the environment that has the
frameworks. With a number, it stops for good inside the step that takes that snapshot, which is a
moment like any other for SIGTERM to come.

    python example.py NAME LABEL [SNAPSHOT]
"""

import re
import select
import sys
from pathlib import Path

from weighbridge.training import Checkpointer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "training.md"


def source(name):
    """The code of an example."""
    return re.search(rf"```python {name}\n(.*?)```", PAGE.read_text(), re.S)[1]


def told(function):
    """`resume`, which also prints where it goes on."""

    def resume(self, *args):
        found = function(self, *args)
        print("resumed at", found.step if found else 0, flush=True)
        return found

    return resume


def stopping(function, at):
    """A method that takes snapshots, which never comes back from number `at`."""
    taken = 0

    def take(self, step, *args, **options):
        nonlocal taken
        accepted = function(self, step, *args, **options)
        taken += accepted
        if taken == at:
            print("stopped at", step, flush=True)
            # Not for ever at once: a signal just before a wait without end would not end it.
            while True:
                select.select([], [], [], 0.1)
        return accepted

    return take


def main():
    """Runs it in a module of its own, as a script is."""
    name, label, *at = sys.argv[1:]
    Checkpointer.resume = told(Checkpointer.resume)
    if at:
        Checkpointer.snapshot = stopping(Checkpointer.snapshot, int(at[0]))
        Checkpointer.defer = stopping(Checkpointer.defer, int(at[0]))
    code = compile(source(name).replace('"run-1"', repr(label)), f"{name}.py", "exec")
    exec(code, {"__name__": "__main__"})


if __name__ == "__main__":
    main()
