"""The proxy that the environment asks for, by the usual variables."""

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from weighbridge.contract.errors import TransferError


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; `headers` sign in to it."""

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.host}:{self.port}"


def proxy_for(scheme: str, host: str, port: int | None, env: Mapping[str, str]) -> Proxy | None:
    """The proxy for requests to `host`. None for loopback, and for what `NO_PROXY` names."""
    text = env.get(f"{scheme}_proxy", "")
    if not text and scheme == "https":
        text = env.get("HTTPS_PROXY", "")
    if not text and scheme == "http" and "REQUEST_METHOD" not in env:
        # Under CGI, a caller's `Proxy:` header would arrive in this variable.
        text = env.get("HTTP_PROXY", "")
    text = text or env.get("all_proxy", "") or env.get("ALL_PROXY", "")
    if not text or _loopback(host):
        return None
    if _excepted(host, port, env.get("no_proxy", "") or env.get("NO_PROXY", "")):
        return None
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme != "http" or not parts.hostname:
        raise TransferError(
            f"the proxy for {scheme} must be an http:// address; {parts.scheme}:// is not supported"
        )
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        token = base64.b64encode(pair.encode("utf-8")).decode("ascii")
        headers["Proxy-Authorization"] = f"Basic {token}"
    return Proxy(parts.hostname, parts.port or 80, headers)


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _excepted(host: str, port: int | None, names: str) -> bool:
    for name in (part.strip().lower() for part in names.split(",")):
        if name == "*":
            return True
        bare, _, only = name.partition(":") if name.count(":") == 1 else (name, "", "")
        if only and only != str(port):
            continue
        bare = bare.lstrip("*").lstrip(".")
        if not bare:
            continue
        if host == bare or host.endswith(f".{bare}") or _within(host, bare):
            return True
    return False


def _within(host: str, network: str) -> bool:
    if "/" not in network:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
