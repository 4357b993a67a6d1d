"""The options of the server process, and what they may be combined with."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from chalicelib.settings import Anonymous
from weighbridge.contract import origins
from weighbridge.contract.errors import InvalidRequest

PORT = 8470
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for, checked."""

    data: Path
    host: str = "127.0.0.1"
    port: int = PORT
    anonymous: Anonymous = "none"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public_url: str = ""
    s3_endpoint: str = ""
    s3_public_url: str = ""
    ready_file: Path | None = None
    control_fd: int | None = None

    @property
    def network(self) -> bool:
        """Whether others than this machine are served."""
        return not origins.loopback(self.host)

    def address(self, port: int) -> str:
        """Where browsers and clients reach the server, once its port is known."""
        if self.public_url:
            return self.public_url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{port}"


def default_data(env: Mapping[str, str]) -> Path:
    """Where data lies unless told: `$XDG_DATA_HOME/weighbridge`, else under `~/.local/share`."""
    base = env.get("XDG_DATA_HOME", "")
    return (Path(base) if base else Path("~/.local/share").expanduser()) / "weighbridge"


def parse(argv: Sequence[str], env: Mapping[str, str] = os.environ) -> Options:
    """The options in `argv`; argparse ends the process where they are malformed."""
    parser = argparse.ArgumentParser(prog="weighbridge serve", allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=default_data(env))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--anonymous", choices=("none", "read", "write", "admin"), default="none")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--public-url", type=_url, default="")
    parser.add_argument("--s3-endpoint", type=_url, default="")
    parser.add_argument("--s3-public-url", type=_url, default="")
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--control-fd", type=int, help=argparse.SUPPRESS)
    return checked(Options(**vars(parser.parse_args(argv))))


def checked(options: Options) -> Options:
    """The same options; `InvalidRequest` where they cannot be combined safely."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise InvalidRequest("--tls-cert and --tls-key go together")
    for file in (options.tls_cert, options.tls_key):
        if file and not os.access(file, os.R_OK):
            raise InvalidRequest(f"{file} cannot be read")
    if not 0 <= options.port < 65536:
        raise InvalidRequest(f"{options.port} is no port")
    elsewhere = options.network or not _local_url(options.public_url)
    if options.anonymous != "none" and elsewhere:
        raise InvalidRequest("--anonymous works on loopback only: others need tokens")
    if options.network and not options.tls_cert:
        raise InvalidRequest(
            f"serving {options.host} needs --tls-cert and --tls-key, for tokens travel with every "
            "request (or serve loopback behind a proxy that speaks TLS, with --public-url)"
        )
    if options.host in _WILDCARDS and not options.public_url:
        raise InvalidRequest(
            f"--host {options.host} needs --public-url, the address that clients use"
        )
    if options.tls_cert and options.public_url and not options.public_url.startswith("https:"):
        raise InvalidRequest("--public-url must be an https:// address where TLS is on")
    if options.s3_public_url and not options.s3_endpoint and not options.tls_cert:
        raise InvalidRequest("--s3-public-url needs --tls-cert and --tls-key (or --s3-endpoint)")
    if options.public_url and elsewhere and not options.tls_cert and not options.s3_public_url:
        raise InvalidRequest(
            "--public-url needs --s3-public-url as well: clients send bytes straight to the store"
        )
    return options


def _url(text: str) -> str:
    if not text:
        return ""
    parts = urlsplit(text)
    try:
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        port_is_number = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_number:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as https://host:8470")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise argparse.ArgumentTypeError(f"{text!r} must be an address without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _local_url(url: str) -> bool:
    return not url or origins.loopback(urlsplit(url).hostname or "")
