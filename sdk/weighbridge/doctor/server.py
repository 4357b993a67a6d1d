"""The server itself: is it there, which version, does its clock agree, who may call it."""

import socket
import ssl
import time
from calendar import timegm
from datetime import datetime
from urllib.parse import urlsplit

from weighbridge import __version__
from weighbridge.connections import Trust
from weighbridge.contract.errors import RegistryError, Unauthenticated
from weighbridge.contract.types import Health
from weighbridge.doctor.visit import CONNECT_SECONDS, Visit
from weighbridge.transfer.progress import duration

CLOCK_FAILS = 300.0
"""S3 refuses what was signed 15 minutes off; with less than this it still works, and tokens expire wrongly."""
CLOCK_WARNS = 30.0
EXPIRES_SOON = 14 * 86400.0


def reach(visit: Visit) -> bool:
    """Whether a registry answers there at all; without one nothing else can be looked at."""
    try:
        before = time.time()
        reply = visit.pool.send("GET", f"{visit.url}/api/health", {"Accept": "application/json"})
        after = time.time()
    except RegistryError as error:
        visit.fail("health", error.message, "start the server, or correct the address")
        return False
    if 300 <= reply.status < 400:
        where = reply.headers.get("location", "elsewhere")
        visit.fail("health", f"redirected to {where}", "examine that address instead")
        return False
    try:
        found: Health = visit.stranger.call(Health, "GET", "health")
    except RegistryError as error:
        found_text = error.message
        if reply.status == 503 and b'"degraded"' in reply.body:
            found_text = reply.body[:500].decode("utf-8", "replace")
        visit.fail(
            "health", f"status {reply.status}: {found_text}",
            "see the server's log: its table or its object store does not answer",
        )  # fmt: skip
        return False
    visit.ok("health", f"table and store answer, {1000 * (after - before):.0f} ms")
    _version(visit, found.version)
    _clock(visit, found.time, before, after)
    return True


def _version(visit: Visit, version: str) -> None:
    if version == __version__:
        visit.ok("version", f"{version} here and there")
    else:
        visit.warn(
            "version", f"the server is {version}, this client {__version__}",
            "update the older one; the server first",
        )  # fmt: skip


def _clock(visit: Visit, told: str, before: float, after: float) -> None:
    try:
        moment = datetime.fromisoformat(told)
    except ValueError:
        visit.fail("clock", f"the server tells the time {told!r}", "update the server")
        return
    theirs = timegm(moment.utctimetuple()) + moment.microsecond / 1e6
    visit.ahead = theirs - (before + after) / 2
    if abs(visit.ahead) <= CLOCK_WARNS:
        visit.ok("clock", f"the server's is {abs(visit.ahead):.1f} s off ours")
        return
    word = "ahead of" if visit.ahead > 0 else "behind"
    seen = f"the server's is {duration(abs(visit.ahead))} {word} ours"
    remedy = "set the wrong one right (NTP): signed requests and tokens depend on it"
    (visit.fail if abs(visit.ahead) > CLOCK_FAILS else visit.warn)("clock", seen, remedy)


def transport(visit: Visit) -> None:
    """Whether the way to the server is encrypted, and for how long its certificate is good."""
    if not visit.secure:
        if visit.local:
            visit.ok("tls", "plain HTTP on this machine")
        else:
            visit.fail(
                "tls", "plain HTTP: tokens travel in the clear",
                "give the server a certificate (docs/how-to/serve-a-network.md), or a proxy that has one",
            )  # fmt: skip
        return
    target = urlsplit(visit.url)
    host = target.hostname or ""
    try:
        context = Trust(visit.config.ca_file).context()
        with (
            socket.create_connection((host, target.port or 443), CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            certificate = encrypted.getpeercert() or {}
            protocol = encrypted.version()
    except (OSError, ssl.SSLError) as error:
        visit.skip("tls", f"the certificate could not be looked at: {error}")
        return
    until = ssl.cert_time_to_seconds(str(certificate.get("notAfter", "Jan  1 00:00:00 1970 GMT")))
    left = until - time.time()
    seen = f"{protocol}, its certificate is good for {left / 86400:.0f} days"
    if left < EXPIRES_SOON:
        visit.warn("tls", seen, "renew it")
    else:
        visit.ok("tls", seen)


def anonymous(visit: Visit) -> None:
    """Whether callers without a token are refused."""
    try:
        visit.stranger.whoami()
    except Unauthenticated:
        visit.ok("anonymous", "callers without a token are refused")
        return
    except RegistryError as error:
        visit.warn("anonymous", error.message, "such a call should be answered with 401")
        return
    note = visit.warn if visit.local else visit.fail
    note(
        "anonymous", "callers without a token are let in",
        "start the server without --anonymous (WEIGHBRIDGE_ANONYMOUS=none)",
    )  # fmt: skip
