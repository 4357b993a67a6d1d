"""The data folder of one server: whose it is now, and the secrets it was born with."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from weighbridge.contract.errors import Conflict, Unavailable


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made at the first start, and the same ever after."""

    admin_token: str = field(repr=False)
    secret: str = field(repr=False)
    s3_access_key: str
    s3_secret_key: str = field(repr=False)


def new_secrets() -> Secrets:
    """Fresh ones."""
    return Secrets(
        admin_token=f"wb_{secrets.token_hex(6)}_{secrets.token_hex(24)}",
        secret=secrets.token_hex(32),
        s3_access_key=f"wb{secrets.token_hex(9)}",
        s3_secret_key=secrets.token_hex(24),
    )


class DataFolder:
    """A folder that one process holds from `__init__` to `close`, or to its death."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock: IO[str] = (self.path / "serve.lock").open("a+")
        except OSError as error:
            raise Unavailable(f"the data folder {self.path} cannot be used: {error}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "?"
            self._lock.close()
            raise Conflict(
                f"the data in {self.path} is being served already, by process {owner}; "
                "stop that one, or choose another folder with --data"
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def close(self) -> None:
        """Lets others have the folder."""
        self._lock.close()

    def secrets(self) -> Secrets:
        """The folder's secrets, made now if it has none. Only its owner can read them."""
        file = self.path / "secrets.json"
        try:
            return Secrets(**json.loads(file.read_text()))
        except FileNotFoundError:
            made = new_secrets()
            write_private(file, json.dumps(asdict(made), indent=2))
            return made
        except (OSError, ValueError, TypeError) as error:
            raise Unavailable(f"{file} cannot be used: {error}") from None


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner can read: whole and on the disk, or not at all."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
