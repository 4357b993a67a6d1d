"""Real database servers for tests: Debian's MariaDB and Redis, on free ports, in folders of their own."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pymysql
import redis

START_SECONDS = 60.0
STOP_SECONDS = 20.0
PASSWORD = "a secret that only this test knows"


@dataclass
class Server:
    """A running server."""

    host: str
    port: int
    process: "subprocess.Popen[bytes]"
    command: Sequence[str]

    def stop(self) -> None:
        """Ends it, and waits until it has."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(*names: str) -> str:
    """The first of the programs that is installed."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if found:
            return found
    raise RuntimeError(f"{names[0]} is not installed: run `make system`")


@contextlib.contextmanager
def _running(
    command: Sequence[str], folder: Path, port: int, ready: Callable[[], object]
) -> Iterator[Server]:
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    server = Server("127.0.0.1", port, process, command)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                ready()
                break
            except (pymysql.err.Error, redis.RedisError, OSError):
                if process.poll() is not None or time.monotonic() > deadline:
                    text = log.read_text(errors="replace")[-4000:]
                    raise RuntimeError(f"{command[0]} did not start:\n{text}") from None
                time.sleep(0.05)
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def mariadb(*options: str) -> Iterator[Server]:
    """MariaDB with the database `fate_model` and the user `fate`, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="mariadb-") as name:
        folder, port = Path(name), free_port()
        data = folder / "data"
        user = ["--user=root"] if os.geteuid() == 0 else []
        common = ["--no-defaults", f"--datadir={data}", *user]
        # Its tables of time zones and help are of no use here, and half of its start.
        install = [
            program("mariadb-install-db", "mysql_install_db"), *common, "--skip-test-db",
            "--auth-root-authentication-method=normal", "--skip-name-resolve",
        ]  # fmt: skip
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"MariaDB made no data folder:\n{done.stdout}{done.stderr}")
        command = [
            program("mariadbd", "mysqld"), *common, f"--port={port}", "--bind-address=127.0.0.1",
            f"--socket={folder / 's'}", f"--pid-file={folder / 'pid'}", "--skip-name-resolve",
            "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=2", *options,
        ]  # fmt: skip

        def ready() -> None:
            with contextlib.closing(root(port)) as db, db.cursor() as cursor:
                cursor.execute("CREATE DATABASE IF NOT EXISTS fate_model")
                cursor.execute("CREATE USER IF NOT EXISTS fate IDENTIFIED BY %s", (PASSWORD,))
                cursor.execute("GRANT ALL ON fate_model.* TO fate")

        with _running(command, folder, port, ready) as server:
            yield server


def root(port: int, database: str | None = None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    """A connection of the administrator."""
    return pymysql.connect(
        host="127.0.0.1", port=port, user="root", database=database, autocommit=True
    )


@contextlib.contextmanager
def redis_server(*options: str) -> Iterator[Server]:
    """Redis with a password and without persistence, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="redis-") as name:
        folder, port = Path(name), free_port()
        command = [
            program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(folder), "--requirepass", PASSWORD, *options,
        ]  # fmt: skip

        def ready() -> None:
            with contextlib.closing(client(port)) as found:
                found.ping()

        with _running(command, folder, port, ready) as server:
            yield server


def client(port: int) -> redis.Redis:
    """A client of the administrator."""
    return redis.Redis(host="127.0.0.1", port=port, password=PASSWORD)
