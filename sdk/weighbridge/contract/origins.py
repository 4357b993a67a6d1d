"""Which requests a server on somebody's own machine may answer when a browser could be behind them.

Loopback is no boundary: any page that is open in a browser can send requests to it. `serve` and
`proxy` ask `refusal` before anything else. Knows neither web framework nor sockets.
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SAFE = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Doors:
    """The names a server answers to (as in `Host`), and the origins its own pages have."""

    hosts: frozenset[str]
    origins: frozenset[str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request gets nothing, and the status that says so."""

    status: int
    message: str


def doors(port: int, *, tls: bool = False, urls: Iterable[str] = ()) -> Doors:
    """What a server on `port` answers to: the names of loopback, and those in `urls`."""
    scheme = "https" if tls else "http"
    wanted = [f"{scheme}://{name}:{port}" for name in _LOOPBACK]
    hosts: set[str] = set()
    origins: set[str] = set()
    for url in (*wanted, *urls):
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is not an address such as https://models.example.org")
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        default = _DEFAULT_PORTS[parts.scheme]
        spelled = [f"{name}:{parts.port or default}"]
        if (parts.port or default) == default:
            spelled.append(name)
        hosts.update(spelled)
        origins.update(f"{parts.scheme}://{host}" for host in spelled)
    return Doors(frozenset(hosts), frozenset(origins))


def refusal(open_doors: Doors, method: str, header: Callable[[str], str]) -> Refusal | None:
    """None if the request may be looked at. `header(name)` is "" where the request has none.

    A foreign `Host` is DNS rebinding. A write must not come from another origin's page. A read may
    be a person who follows a link, but not a page that embeds or fetches what is ours.
    """
    if header("Host").strip().lower() not in open_doors.hosts:
        return Refusal(421, "this server does not answer to that host name")
    site = header("Sec-Fetch-Site").strip().lower()
    foreign = site not in ("", "same-origin", "none")
    if method.upper() in _SAFE:
        if foreign and not _followed_link(header):
            return Refusal(403, "a page of another site may not read this")
        return None
    if foreign:
        return Refusal(403, "a page of another site may not change anything here")
    origin = header("Origin").strip().lower()
    if origin and origin not in open_doors.origins:
        return Refusal(403, "a page of another origin may not change anything here")
    return None


def loopback(host: str) -> bool:
    """Whether `host` is a name or address of this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _followed_link(header: Callable[[str], str]) -> bool:
    mode, dest = header("Sec-Fetch-Mode").lower(), header("Sec-Fetch-Dest").lower()
    return mode == "navigate" and dest in ("", "document")
