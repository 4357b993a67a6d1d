"""`weighbridge serve`: a whole registry on this machine.

Starts the server in a process of its own, from the files that travel in the wheel (or from a
checkout), and leaves its address and token where the other commands look for them.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import weighbridge
from weighbridge.contract.errors import RegistryError, Unsupported

_PATHS = ("data", "tls_cert", "tls_key", "ready_file")
_PLAIN = ("host", "port", "anonymous", "public_url", "s3_endpoint", "s3_public_url")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options; those left out get the server's own defaults."""
    option = parser.add_argument
    option("--port", metavar="N", help="the port of API and pages (8470; 0: a free one)")
    option("--data", metavar="DIR", help="where everything is kept (~/.local/share/weighbridge)")
    option(
        "--anonymous",
        choices=("none", "read", "write", "admin"),
        help="what clients without a token may do; loopback only (none)",
    )
    option("--s3-endpoint", metavar="URL", help="use this S3-compatible store for the bytes")
    option("--host", metavar="ADDRESS", help="listen here (127.0.0.1); others than this need TLS")
    option("--tls-cert", metavar="FILE", help="certificate, with its chain")
    option("--tls-key", metavar="FILE", help="private key of the certificate")
    option("--ca-file", metavar="FILE", help="what this machine's commands shall trust")
    option("--public-url", metavar="URL", help="the address that clients and browsers use")
    option("--s3-public-url", metavar="URL", help="the address of the store as clients reach it")
    option("--ready-file", metavar="FILE", help="written (JSON) once the server answers")


def server_root() -> Path:
    """The folder that holds `app.py`, `chalicelib`, `frontend` and `infra/embedded`.

    Raises `Unsupported` where this installation has none.
    """
    here = Path(__file__).resolve()
    for root in (here.parents[1] / "_server", here.parents[3]):
        if (root / "app.py").is_file() and (root / "infra" / "embedded").is_dir():
            return root
    raise Unsupported("this installation has no server files: `pip install 'weighbridge[local]'`")


def run(args: argparse.Namespace) -> int:
    """Serves until a signal comes; answers the server's exit code."""
    words, env = command(args), environment()
    with _Signals() as signals:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(
                    [*words, f"--control-fd={theirs.fileno()}"],
                    env=env,
                    pass_fds=(theirs.fileno(),),
                )
            signals.to(process)
            told = threading.Thread(target=_remember, args=(ours, args.ca_file), daemon=True)
            told.start()
            code = signals.wait(process)
            # The server's end is closed now, so the thread has nothing left to wait for.
            told.join()
    return code if code >= 0 else 128 - code


def command(args: argparse.Namespace) -> list[str]:
    """The server's command line; paths are made absolute."""
    # -P: the folder we happen to be in must not provide modules.
    words = [sys.executable, "-P", "-m", "infra.embedded"]
    given = vars(args)
    for name in _PLAIN:
        if given.get(name) is not None:
            words.append(f"--{name.replace('_', '-')}={given[name]}")
    for name in _PATHS:
        if given.get(name) is not None:
            path = Path(given[name]).expanduser().absolute()
            words.append(f"--{name.replace('_', '-')}={path}")
    return words


def environment() -> dict[str, str]:
    """What a program of the server needs to find its modules."""
    roots = [str(server_root()), str(Path(weighbridge.__file__).resolve().parents[1])]
    if before := os.environ.get("PYTHONPATH"):
        roots.append(before)
    # glibc raises this bound by itself, and then keeps buffers of many MiB that threads gave back: after
    # a model of 192 MiB went in and out the server held 97 MiB more instead of 34.
    kept = {"MALLOC_MMAP_THRESHOLD_": str(1024 * 1024)}
    return {**kept, **os.environ, "PYTHONPATH": os.pathsep.join(roots)}


def _remember(control: socket.socket, ca_file: str | None) -> None:
    """Waits for the server to be ready, then makes it the one that other commands use."""
    with control.makefile("rb") as lines:
        line = lines.readline()
    if not line:
        return
    from weighbridge import config

    ready = json.loads(line)
    try:
        config.save_server(ready["url"], ready["token"], ca_file)
    except (RegistryError, OSError) as error:
        # The server serves all the same.
        text = f"weighbridge serve: other commands will not find this server: {error}"
        print(text, file=sys.stderr, flush=True)


class _Signals:
    """Hands the signals that end us to the server, and lets it end first."""

    _FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)

    def to(self, process: "subprocess.Popen[bytes]") -> None:
        """Names the server; it gets what came before it was there."""
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def wait(self, process: "subprocess.Popen[bytes]") -> int:
        """Answers the exit code of `process` once it has ended.

        `process.wait()` would lose a signal that comes just before it blocks: its handler runs
        after the call, and that ends with the server. Here every signal leaves a byte to be read.
        """
        while (code := process.poll()) is None:
            self._woken.recv(512)
        return code

    def __enter__(self) -> "_Signals":
        self._wake_before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._handle(signal.SIGCHLD, lambda *_: None)
        for number in self._FORWARDED:
            self._handle(number, self._forward)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wake_before)
        self._woken.close()
        self._wake.close()

    def _handle(self, number: int, handler: Callable[[int, FrameType | None], object]) -> None:
        self._before[number] = signal.signal(number, handler)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        # Ctrl-C in a terminal has reached the server as well: it takes the second for the first.
        if self._process is None:
            self._early.append(number)
        elif self._process.returncode is None:
            self._process.send_signal(number)
