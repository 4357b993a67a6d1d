"""Clocks that disagree: what a refused request tells of them. Pure but for this machine's own clock."""

import re
import time
from calendar import timegm
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlsplit

from weighbridge.transfer.progress import duration

TOLERATED = 300.0
"""Seconds that no store minds."""
_SIGNED = re.compile(r"\d{8}T\d{6}Z")


def text(url: str, date: str, now: float | None = None) -> str:
    """Why a store that answered with this `Date` refused a request that was signed just now: by how
    much its clock and the signer's differ. Empty if they agree or say nothing."""
    query = {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    signed = _moment(query.get("X-Amz-Date", ""))
    told = when(date)
    if signed is None or told is None:
        return ""
    ahead = told - signed
    lifetime = query.get("X-Amz-Expires", "")
    longest = float(lifetime) if lifetime.isascii() and lifetime.isdigit() else TOLERATED
    if -TOLERATED <= ahead <= max(longest, TOLERATED):
        return ""
    here = time.time() if now is None else now
    return (
        f"the store's clock is {duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} that of "
        f"the server, which signs ({_clock(told)} and {_clock(signed)}; here it is {_clock(here)}): "
        "set the wrong one right"
    )


def when(date: str) -> float | None:
    """Epoch seconds of an HTTP date; None if it is none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _moment(stamp: str) -> float | None:
    if not _SIGNED.fullmatch(stamp):
        return None
    try:
        return float(timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return None


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
