"""What SeaweedFS reads: its configuration files, and the ports that nobody else has.

Knows file formats and flags; nothing of processes.
"""

import contextlib
import json
import os
import random
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from weighbridge.contract.errors import Conflict

LOOPBACK = "127.0.0.1"
_ROLES = ("s3", "s3_grpc", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc")
_PUBLIC_ROLES = ("public", "public_grpc")
_RANGE = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections, so a kept port stays free."""


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_ports(kept: Path, wanted: dict[str, int], host: str, public: bool) -> dict[str, int]:
    """A port for every listener: the wanted, else that of last time, else a free one.

    Remembers them in the file `kept`. A wanted port that is taken is a `Conflict`.
    """
    last: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        last = json.loads(kept.read_text())
    chosen: dict[str, int] = {}
    for role in _ROLES + (_PUBLIC_ROLES if public else ()):
        where = host if role in _PUBLIC_ROLES else LOOPBACK
        if port := wanted.get(role, 0):
            if not is_free(port, where):
                raise Conflict(
                    f"port {port} on {where} is taken by another program; choose another port"
                )
        else:
            taken = {*chosen.values(), *wanted.values()}
            candidates = [last.get(role, 0), *random.sample(_RANGE, 200)]
            port = next(p for p in candidates if p and p not in taken and is_free(p, where))
        chosen[role] = port
    write_private(kept, json.dumps(last | chosen))
    return chosen


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _kept_keys(path: Path) -> dict[str, str]:
    """Secrets of the parts of SeaweedFS among each other; made once per data folder."""
    with contextlib.suppress(FileNotFoundError):
        return dict(json.loads(path.read_text()))
    names = ("volume_write", "volume_read", "filer_write", "filer_read")
    keys = {name: secrets.token_hex(32) for name in names}
    write_private(path, json.dumps(keys))
    return keys


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where object events go; the token comes as `Authorization: Bearer`."""

    url: str
    token: str = ""


def write_configuration(
    conf: Path, data: Path, access_key: str, secret_key: str, webhook: Webhook | None
) -> None:
    """Writes every file that SeaweedFS looks for, so that it finds none of anybody else's."""
    keys = _kept_keys(conf / "keys.json")
    identity = {
        "name": "weighbridge",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    write_private(conf / "s3.json", json.dumps({"identities": [identity]}))
    # Without these any local program, or a page in a browser, could ask the volume server or the
    # filer for objects, or delete them.
    security = "\n".join(
        f'[jwt.{section}]\nkey = "{keys[key]}"\nexpires_after_seconds = 60'
        for section, key in (
            ("signing", "volume_write"),
            ("signing.read", "volume_read"),
            ("filer_signing", "filer_write"),
            ("filer_signing.read", "filer_read"),
        )
    )
    write_private(conf / "security.toml", security)
    store = f"[leveldb2]\nenabled = true\ndir = {json.dumps(str(data / 'filer'))}\n"
    write_private(conf / "filer.toml", store)
    write_private(conf / "master.toml", "")
    write_private(conf / "notification.toml", _notification(webhook))


def _notification(webhook: Webhook | None) -> str:
    if webhook is None:
        return "[notification.webhook]\nenabled = false\n"
    lines: Iterable[str] = (
        "[notification.webhook]",
        "enabled = true",
        f"endpoint = {json.dumps(webhook.url)}",
        f"bearer_token = {json.dumps(webhook.token)}",
        'event_types = ["create", "update", "rename"]',
        'path_prefixes = ["/buckets/"]',
        "timeout_seconds = 5",
        "max_retries = 10",
        "backoff_seconds = 1",
        "max_backoff_seconds = 5",
    )
    return "\n".join(lines) + "\n"
