"""The server process: starts the parts in order, serves until it is told to stop, and stops them in
reverse. Everything it starts ends with it, however it ends.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from infra.embedded.data_folder import write_private
from infra.embedded.options import Options
from infra.embedded.stack import Stack
from weighbridge.contract.errors import RegistryError, Unavailable, Unsupported

STOP_SECONDS = 7.5
"""After this the process ends whatever still runs; the parts are given less."""
_CHECK_SECONDS = 0.5


class Stopped(BaseException):
    """A signal came before the server was ready."""


class Signals:
    """SIGINT, SIGTERM and SIGHUP: an exception in the main thread until `ready`, then a flag."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._ready = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._came)

    def ready(self) -> None:
        """From now on a signal only sets `stop`."""
        self._ready = True

    def _came(self, *_: object) -> None:
        first = not self.stop.is_set()
        self.stop.set()
        if first and not self._ready:
            raise Stopped


def run(options: Options) -> int:
    """Serves; answers the exit code: 0 after a signal, 1 where something failed."""
    # What lies in the data folder is nobody else's to read.
    os.umask(0o077)
    try:
        signals = Signals()
        with ExitStack() as parts, _bounded_stop():
            stack = Stack(options, parts)
            with _needs_extra():
                stack.start()
            signals.ready()
            _announce(stack, options, signals.stop)
            while not signals.stop.wait(_CHECK_SECONDS):
                stack.check()
            print("Stopping …", file=sys.stderr, flush=True)
    except Stopped:
        pass
    except RegistryError as error:
        print(f"weighbridge serve: {error.message}", file=sys.stderr, flush=True)
        return 1
    return 0


def _announce(stack: Stack, options: Options, stop: threading.Event) -> None:
    """Tells people and programs where the server is."""
    link = stack.ticket()
    print(f"Weighbridge serves {stack.url} (data in {stack.folder.path})")
    if link:
        print(f"Open the catalogue: {link} (works once, for five minutes)")
    print("Ctrl-C stops it.", flush=True)
    ready = json.dumps(
        {
            "url": stack.url,
            "token": stack.secrets.admin_token,
            "ticket": link,
            "pid": os.getpid(),
            "s3": os.environ["WEIGHBRIDGE_S3_ENDPOINT"],
        }
    )
    if options.ready_file:
        try:
            write_private(options.ready_file.absolute(), ready)
        except OSError as error:
            raise Unavailable(f"{options.ready_file} cannot be written: {error}") from None
    if options.control_fd is not None:
        with contextlib.suppress(OSError):
            os.write(options.control_fd, ready.encode("utf-8") + b"\n")
        watch = threading.Thread(target=_watch, args=(options.control_fd, stop), daemon=True)
        watch.start()


def _watch(control: int, stop: threading.Event) -> None:
    """Stops the server when whoever started it has closed the other end, or died."""
    with contextlib.suppress(OSError):
        while os.read(control, 64):
            pass
    stop.set()


@contextmanager
def _bounded_stop() -> Iterator[None]:
    """Once the block is left, the process ends within `STOP_SECONDS`, even if a part hangs: what it
    started goes down with it, and everything acknowledged is on the disk."""
    try:
        yield
    finally:
        end = threading.Timer(STOP_SECONDS, os._exit, (1,))
        end.daemon = True
        end.start()


@contextmanager
def _needs_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise Unsupported(
            f"the module {error.name!r} is missing: `pip install 'weighbridge[local]'` brings "
            "what a server needs"
        ) from error
