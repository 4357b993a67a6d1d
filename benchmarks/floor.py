"""The floor: the least that a verified push must do, and what the sink itself can take.

    python -m benchmarks.floor URL FILE [--no-hash] [--connections 4] [--part-mib 16]

Some threads hash (SHA-256 of every part, and of the whole file) while others send the same bytes to
`URL` over raw sockets with `sendfile`. There is no S3 in it but the request lines: the sink does not
care. With `--no-hash` it only sends, which is the ceiling of the sink. Prints JSON.
"""

import argparse
import hashlib
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

BLOCK = 1024 * 1024


def spans(size: int, step: int) -> list[tuple[int, int]]:
    """Offsets and sizes of parts."""
    return [(at, min(step, size - at)) for at in range(0, size, step)]


def send(
    address: tuple[str, int], file: Path, parts: "queue.SimpleQueue[tuple[int, int] | None]"
) -> None:
    """Sends parts over one connection until there are none."""
    with socket.create_connection(address) as connection, file.open("rb") as stream:
        while (part := parts.get()) is not None:
            at, left = part
            head = (
                f"PUT /floor/o?uploadId=0&partNumber=1 HTTP/1.1\r\nContent-Length: {left}\r\n\r\n"
            )
            connection.sendall(head.encode())
            while left:
                count = os.sendfile(connection.fileno(), stream.fileno(), at, left)
                at, left = at + count, left - count
            answer = b""
            while b"\r\n\r\n" not in answer:
                more = connection.recv(4096)
                if not more:
                    raise ConnectionError("the sink closed the connection")
                answer += more


def hash_parts(file: Path, parts: list[tuple[int, int]]) -> list[str]:
    """The SHA-256 of each part."""
    found = []
    buffer = memoryview(bytearray(BLOCK))
    with file.open("rb", buffering=0) as stream:
        for at, size in parts:
            digest, left = hashlib.sha256(), size
            stream.seek(at)
            while left and (count := stream.readinto(buffer[: min(left, BLOCK)])):
                digest.update(buffer[:count])
                left -= count
            found.append(digest.hexdigest())
    return found


def hash_whole(file: Path) -> str:
    """The SHA-256 of the file."""
    return hash_parts(file, [(0, file.stat().st_size)])[0]


def run(url: str, file: Path, connections: int, part: int, *, hashing: bool) -> float:
    """Seconds to send the file, and to hash it twice if `hashing`."""
    where = urlsplit(url)
    address = (where.hostname or "127.0.0.1", where.port or 80)
    parts = spans(file.stat().st_size, part)
    todo: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
    for one in [*parts, *([None] * connections)]:
        todo.put(one)
    failures: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> Callable[[], None]:
        def inner() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return inner

    work: list[Callable[[], object]] = [lambda: send(address, file, todo)] * connections
    if hashing:
        work += [lambda: hash_whole(file), lambda: hash_parts(file, parts)]
    threads = [threading.Thread(target=guarded(one)) for one in work]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    if failures:
        raise failures[0]
    return seconds


def main() -> None:
    """Runs once, prints JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--no-hash", action="store_true")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--part-mib", type=int, default=16)
    options = parser.parse_args()
    part = options.part_mib * 1024**2
    seconds = run(options.url, options.file, options.connections, part, hashing=not options.no_hash)
    print(json.dumps({"seconds": seconds, "bytes": options.file.stat().st_size}))


if __name__ == "__main__":
    main()
