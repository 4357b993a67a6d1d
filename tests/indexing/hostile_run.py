"""Describes every hostile file in a process that dies if anything is executed, opened or imported.

Run by test_hostile.py; prints one line of JSON per file.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
from chalicelib.indexing import formats  # noqa: E402
from chalicelib.indexing.formats.ranged import Ranged  # noqa: E402
from tests.indexing import corpus  # noqa: E402

FORBIDDEN = (
    "exec", "import", "compile", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pickle.",
    "marshal.", "urllib.", "http.", "tempfile.", "webbrowser.", "sqlite3.", "code.", "pty.",
)  # fmt: skip
armed = False


def guard(event, arguments):
    """Ends the process at the first thing that a reader of bytes has no business with."""
    if not armed:
        return
    writes = event == "open" and arguments[1] not in ("r", "rb", None)
    if writes or event.startswith(FORBIDDEN):
        os.write(2, f"{event} {arguments!r}\n".encode())
        os._exit(99)


def describe(name, data):
    """The facts of a file in memory."""
    return formats.describe(Ranged(lambda s, n: data[s : s + n], len(data), name))


def held():
    """The most that this process held, in MiB. What `getrusage` says is inherited from the parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def main():
    """One line per file."""
    global armed
    for _, name, data in corpus.harmless():
        describe(name, data)  # codecs and lazy imports are loaded by now
    for part in ("raw-unicode-escape", "cp437", "latin-1", "ascii"):
        b"x".decode(part)
    sys.addaudithook(guard)
    for what, name, data in corpus.hostile():
        armed = True
        start = time.process_time()
        facts = describe(name, data)
        seconds = time.process_time() - start
        armed = False
        peak = held()
        print(json.dumps([what, facts.format, facts.verdict, seconds, peak, list(facts.findings)]))


if __name__ == "__main__":
    main()
