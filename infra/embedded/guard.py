"""Runs programs exactly as long as the process that holds the other end of standard input.

Started as a script: `guard.py '[[PROGRAM, ARGUMENT…], …]'`. Any byte on standard input asks the
programs to stop; its end, or the end of any one program, kills them all. Whatever kills the
process that started the guard closes standard input, so nothing is left behind.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def _dies_with_us() -> Callable[[], None]:
    """For the guard's own death by SIGKILL: Linux then kills its children, others do not."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    guard = os.getpid()

    def ask() -> None:
        if libc:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(1)

    return ask


def main(commands: list[list[str]]) -> int:
    """Runs the commands; answers the exit status of the first that ended by itself, else 0."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    before_exec = _dies_with_us()
    children: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            # The lock of the data folder is inherited: it is taken until the last program ends.
            children.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    close_fds=False,
                    preexec_fn=before_exec,  # safe: this process has one thread
                )
            )
        while True:
            readable, _, _ = select.select([0, woken], [], [])
            if woken in readable:
                os.read(woken, 512)
                for child in children:
                    if child.poll() is not None:
                        return child.returncode or 1
            if 0 in readable:
                if not os.read(0, 1):
                    return 0
                for child in children:
                    child.terminate()
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        for child in children:
            child.wait()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
