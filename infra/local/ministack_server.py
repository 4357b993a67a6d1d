"""Emulated AWS in one process: MiniStack on loopback, one port, on disk if wanted.

Runs from an environment of its own (`make .venv-ministack`): MiniStack pins its libraries, and code
that it executes must not find the registry's libraries by accident. It prints its address when the
port is taken, and answers a moment later. It is a model of AWS for tests, not a database.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

# Beside this file, which runs where nothing of the project is installed.
import ministack_edge  # type: ignore[import-not-found]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

READING = ("Get", "Describe", "List", "Query", "Scan", "BatchGet", "TransactGet", "Head")


def environment(port: int, auth: bool, data: Path | None) -> Mapping[str, str]:
    """What MiniStack reads when it is imported: loopback, one port, no containers."""
    settings = {
        "AUTH": "true" if auth else "false",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_HOST": "localhost",
        "SFTP_ENABLED": "0",
    }
    if data:
        for folder in ("state", "s3"):
            (data / folder).mkdir(parents=True, exist_ok=True)
        settings |= {
            "PERSIST_STATE": "1",
            "STATE_DIR": str(data / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(data / "s3"),
        }
    return settings


def changes_state(scope: Scope) -> bool:
    """Whether a request may have changed something: a guess that errs towards yes."""
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return False
    for name, value in scope["headers"]:
        if name.lower() == b"x-amz-target":
            return not value.decode().rpartition(".")[2].startswith(READING)
    return True


class Saver:
    """Writes MiniStack's state to disk soon after a change; it does so itself only at its end."""

    def __init__(self, inner: Application, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._changed = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and remembers that the state has changed."""
        try:
            await self._inner(scope, receive, send)
        finally:
            if changes_state(scope):
                self._changed.set()

    async def run(self) -> None:
        """Saves `seconds` after the first change that is not saved yet, for ever."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(self._seconds)
            self._changed.clear()
            if not await asyncio.to_thread(self._save):
                self._changed.set()

    def _save(self) -> bool:
        """Whether everything was saved; what changes while it is copied is left for next time."""
        import ministack.app as ministack  # type: ignore[import-not-found]
        from ministack.core.persistence import save_state  # type: ignore[import-not-found]

        complete = True
        for service, copy in ministack._build_persistence_save_dict().items():
            try:
                state = copy()
            except RuntimeError:
                complete = False
                continue
            if state is not None:
                save_state(service, state)
        return complete


async def serve(listener: socket.socket, saving: float | None, with_stdin: bool) -> None:
    """Serves until a signal comes, or until standard input ends."""
    import ministack.app as ministack
    from hypercorn.asyncio import serve as run  # type: ignore[import-not-found]
    from hypercorn.config import Config  # type: ignore[import-not-found]

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if with_stdin:
        loop.add_reader(sys.stdin.fileno(), _at_end_of_stdin, stop)
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.backlog = 512
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.loglevel = "WARNING"
    application: Application = ministack.app
    saver = Saver(application, saving) if saving is not None else None
    task = asyncio.create_task(saver.run()) if saver else None
    await run(saver or application, config, shutdown_trigger=stop.wait)
    if task:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _at_end_of_stdin(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        stop.set()


def main() -> None:
    """Reads the command line, takes the port, and serves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=0, help="0: any free one, which is printed")
    parser.add_argument("--auth", action="store_true", help="enforce IAM policies")
    parser.add_argument("--data", type=Path, help="keep everything in this folder")
    parser.add_argument("--save-after", type=float, default=2, help="seconds after a change")
    parser.add_argument("--with-stdin", action="store_true", help="stop when standard input ends")
    options = parser.parse_args()

    listener = socket.create_server(("127.0.0.1", options.port), backlog=512)
    port = listener.getsockname()[1]
    data = options.data.resolve() if options.data else None
    os.environ.update(environment(port, options.auth, data))
    if options.auth:  # a whole account, to deploy to; tests of tables alone start sooner without
        ministack_edge.install(port)
    print(f"http://127.0.0.1:{port}", flush=True)
    asyncio.run(serve(listener, options.save_after if data else None, options.with_stdin))


if __name__ == "__main__":
    main()
