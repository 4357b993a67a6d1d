"""Small files of our own, written so that a reader sees the old content or the new, never half."""

import os
import secrets
from pathlib import Path


def write_atomically(file: Path, data: bytes, mode: int = 0o666) -> None:
    """Replaces `file` by `data` in one step; `mode` is subject to the process's umask."""
    draft = file.with_name(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
