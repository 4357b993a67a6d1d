"""The same bytes at a second place: as a clone that shares blocks, a hard link, or a copy."""

import os
import secrets
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Literal

try:
    import fcntl
except ImportError:  # a system without it locks open files by itself
    fcntl = None  # type: ignore[assignment]

Link = Literal["auto", "copy", "hard", "reflink"]
_FICLONE = 0x40049409
"""Of Linux on most processors; where the number differs, the system refuses it."""
_SEEKING = threading.Lock()
_STEP = 64 * 1024 * 1024


def reflink(source: FileIO, target: FileIO) -> bool:
    """Makes `target` share the blocks of `source`; False where the file system cannot."""
    if fcntl is None or not sys.platform.startswith("linux"):
        return False
    try:
        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except OSError:
        return False
    return True


def copy(source: FileIO, target: FileIO, size: int) -> None:
    """Copies `size` bytes, inside the system where it can."""
    left = size
    if hasattr(os, "copy_file_range"):
        try:
            while left:
                count = os.copy_file_range(source.fileno(), target.fileno(), min(left, _STEP))
                if not count:
                    return
                left -= count
        except OSError:
            if left != size:
                raise
    if left:
        shutil.copyfileobj(source, target, 1024 * 1024)


def write_all(stream: FileIO, data: memoryview, offset: int) -> None:
    """Writes all of `data` at a position of an open file, from any thread."""
    while data:
        count = _write_at(stream, data, offset)
        data, offset = data[count:], offset + count


def _write_at(stream: FileIO, data: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(stream.fileno(), data, offset)
    with _SEEKING:
        stream.seek(offset)
        return stream.write(data)


def lock(stream: FileIO, *, shared: bool) -> bool:
    """Locks an open file until it is closed, without waiting; False if another holds it."""
    if fcntl is None:
        return True
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(stream.fileno(), how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: then there are none.
        return True
    return True


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A name beside `path` for a file that is to become it; nothing of it stays behind."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def works(link: Link, source: Path, target: Path) -> bool:
    """Whether files of the folder `source` can be linked so into the folder `target`. Tries it."""
    if link == "copy":
        return True
    try:
        source.mkdir(parents=True, exist_ok=True, mode=0o700)
        with draft_of(source / ".try") as first, draft_of(target / ".weighbridge-try") as second:
            first.write_bytes(b"x" * 4096)
            if link == "hard":
                os.link(first, second)
                return True
            with first.open("rb", buffering=0) as old, second.open("xb", buffering=0) as new:
                return reflink(old, new)
    except OSError:
        return False
