"""Runs the sink.

    python -m benchmarks.sink [--port 0] [--plain] [--far MS] [--serve FILE ...]

Prints its address and serves until its standard input ends or it is stopped. It checks that as many
bytes arrive as were announced, and nothing else: no signature, no digest. Objects are read as a
file of the same size given with `--serve`, as their own content up to 8 MiB, else as zeros.
`--plain` is for tools that cannot be given a port. With `--far` each answer is late, as of a store that
is so many milliseconds away.
`GET /__stats` tells requests by operation; `DELETE /__stats` does and starts anew.
"""

import argparse
import contextlib
import sys
import threading
from pathlib import Path

from benchmarks.sink.server import Sink
from benchmarks.sink.state import State

_PLAIN_PORT = 80


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--serve", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--plain", action="store_true", help="also listen on port 80, if allowed")
    parser.add_argument("--far", type=float, default=0.0, metavar="MS", help="answer so much later")
    options = parser.parse_args()
    state = State(tuple(options.serve))
    sink = Sink(state, options.port, options.far / 1000)
    print(sink.url, flush=True)
    if options.plain:
        with contextlib.suppress(OSError):  # needs a right that not everybody has
            plain = Sink(state, _PLAIN_PORT, options.far / 1000)
            threading.Thread(target=plain.run, name="plain", daemon=True).start()
    threading.Thread(target=sink.run, name="accept", daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
