"""Which server, which token: argument first, then environment, then the file that `login` wrote.

A token is bound to the address it was stored for: it is never offered to another server. Nothing
here touches the network.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from weighbridge.contract.errors import InvalidRequest
from weighbridge.files import write_atomically

Verify = Literal["whole", "parts"]
"""What proves a pulled file: its SHA-256 and its blob id, or its blob id alone where that is of parts."""
CACHE_LIMIT = 20 * 1024**3
MOST_CONNECTIONS = 64
LIMIT_OF_CONNECTIONS = 512
_UNITS = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?(B|[KMGT]i?B)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Config:
    """A server's address (without a trailing slash), the token for it, and extra certificates."""

    url: str
    token: str = ""
    ca_file: str = ""

    def __repr__(self) -> str:
        token = "***" if self.token else ""
        return f"Config(url={self.url!r}, token={token!r}, ca_file={self.ca_file!r})"


def path(env: Mapping[str, str] | None = None) -> Path:
    """Where the configuration file is: `$WEIGHBRIDGE_CONFIG`, else under `~/.config`."""
    env = os.environ if env is None else env
    if named := env.get("WEIGHBRIDGE_CONFIG"):
        return Path(named)
    base = env.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    return Path(base) / "weighbridge" / "config.json"


def cache_folder(env: Mapping[str, str] | None = None) -> Path:
    """Where journals and pulled files are kept: `$WEIGHBRIDGE_CACHE`, else under `~/.cache`."""
    env = os.environ if env is None else env
    if named := env.get("WEIGHBRIDGE_CACHE"):
        return Path(named)
    base = env.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(base) / "weighbridge"


def cache_limit(env: Mapping[str, str] | None = None) -> int:
    """How many bytes of pulled files are kept: `$WEIGHBRIDGE_CACHE_LIMIT`, else what
    `save_cache_limit` stored in the cache folder, else 20 GiB."""
    env = os.environ if env is None else env
    if named := env.get("WEIGHBRIDGE_CACHE_LIMIT"):
        return size(named, "WEIGHBRIDGE_CACHE_LIMIT")
    try:
        stored = (cache_folder(env) / "limit").read_text("ascii")
    except (OSError, ValueError):
        return CACHE_LIMIT
    return size(stored, "the stored limit of the cache")


def save_cache_limit(limit: int, env: Mapping[str, str] | None = None) -> None:
    """Stores the limit in the cache folder."""
    folder = cache_folder(env)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / "limit", str(limit).encode("ascii"))


def size(text: str, what: str = "the size") -> int:
    """`20GiB`, `500 MB` or `1024` as bytes, or `InvalidRequest` that names `what`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidRequest(f"{what} is {text[:40]!r}, which is no size; write such as 20GiB or 0")
    return int(float(match[1]) * _UNITS[(match[2] or "B").lower()])


def seconds(name: str, default: float, env: Mapping[str, str] | None = None) -> float:
    """The time in the variable `name`, or `InvalidRequest` if it is none."""
    env = os.environ if env is None else env
    text = env.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", text) or not float(text):
        raise InvalidRequest(f"{name} is {text[:40]!r}; write a number of seconds, such as 60")
    return float(text)


def connections(env: Mapping[str, str] | None = None) -> int:
    """How many connections to a store a push or pull may have: `$WEIGHBRIDGE_CONNECTIONS`, else 64."""
    text = (os.environ if env is None else env).get("WEIGHBRIDGE_CONNECTIONS", "")
    if not text:
        return MOST_CONNECTIONS
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= LIMIT_OF_CONNECTIONS:
        raise InvalidRequest(
            f"WEIGHBRIDGE_CONNECTIONS is {text[:40]!r}; write a number from 1 to "
            f"{LIMIT_OF_CONNECTIONS}"
        )
    return int(text)


def verify(asked: str | None = None, env: Mapping[str, str] | None = None) -> Verify:
    """What proves a pulled file: what is `asked` for, else `$WEIGHBRIDGE_VERIFY`, else `whole`."""
    told = (os.environ if env is None else env).get("WEIGHBRIDGE_VERIFY") or "whole"
    text, what = (told, "WEIGHBRIDGE_VERIFY") if asked is None else (asked, "verify")
    if text == "parts":
        return "parts"
    if text == "whole":
        return "whole"
    raise InvalidRequest(f"{what} is {text[:40]!r}; write whole or parts")


def normal_url(url: str) -> str:
    """`url` without a trailing slash, or `InvalidRequest` if it is no HTTP address."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(
            f"{url!r} is no address of a server: write http://HOST:PORT or https://…"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidRequest("a server's address has no user name, query or fragment")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def load(
    url: str | None = None,
    token: str | None = None,
    ca_file: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Config:
    """The server to use. Raises `InvalidRequest` when no address is known anywhere."""
    env = os.environ if env is None else env
    stored = _read(path(env))
    chosen = url or env.get("WEIGHBRIDGE_URL") or str(stored.get("current") or "")
    if not chosen:
        raise InvalidRequest(
            "no server is known: start one with `weighbridge serve`, sign in with "
            "`weighbridge login URL`, or set WEIGHBRIDGE_URL"
        )
    chosen = normal_url(chosen)
    servers = stored.get("servers")
    known = servers.get(chosen, {}) if isinstance(servers, dict) else {}
    if token is None:
        token = env.get("WEIGHBRIDGE_TOKEN") or str(known.get("token") or "")
    if ca_file is None:
        ca_file = env.get("WEIGHBRIDGE_CA_FILE") or str(known.get("ca_file") or "")
    return Config(chosen, token, ca_file)


def save_server(
    url: str, token: str, ca_file: str | None = None, env: Mapping[str, str] | None = None
) -> Path:
    """Remembers a server and makes it the default; only its owner can read the file."""
    file = path(env)
    stored = _read(file)
    address = normal_url(url)
    servers = stored.get("servers")
    entry = {"token": token} | ({"ca_file": str(Path(ca_file).absolute())} if ca_file else {})
    document = {
        "current": address,
        "servers": (servers if isinstance(servers, dict) else {}) | {address: entry},
    }
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(file, json.dumps(document, indent=2).encode("utf-8"), mode=0o600)
    return file


def forget(url: str | None = None, env: Mapping[str, str] | None = None) -> bool:
    """Forgets one server (the current one unless named); says whether it was known."""
    file = path(env)
    stored = _read(file)
    servers = stored.get("servers")
    servers = dict(servers) if isinstance(servers, dict) else {}
    address = normal_url(url) if url else str(stored.get("current") or "")
    known = servers.pop(address, None) is not None
    if not servers:
        file.unlink(missing_ok=True)
        return known
    current = stored.get("current")
    document = {
        "current": current if current in servers else next(reversed(servers)),
        "servers": servers,
    }
    write_atomically(file, json.dumps(document, indent=2).encode("utf-8"), mode=0o600)
    return known


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"the configuration {file} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequest(f"the configuration {file} is not a JSON object; remove it")
    return document
