"""Values as people read them, each beside its exact form. Pure text: markup is `render.py`'s."""

import json
import math
import re
from datetime import datetime
from typing import Any

MINUS, TIMES, DASH = "\u2212", "\u00d7", "\u2013"
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_COUNTS = ("", "k", "M", "B", "T")
_DIRECTIONAL = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_VISIBLE = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}
_VISIBLE |= dict.fromkeys((*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF), 0xFFFD)
_SPACE = re.compile(r"\s+")


def visible(text: str) -> str:
    """`text` with a visible sign for each control character and lone surrogate."""
    return text.translate(_VISIBLE)


def flat(text: str) -> str:
    """`text` on one line and without overrides, for titles and attributes."""
    return _SPACE.sub(" ", visible(_DIRECTIONAL.sub("\ufffd", text))).strip()


def undirected(text: str) -> str:
    """`text` without overrides of its direction, for longer texts."""
    return _DIRECTIONAL.sub("\ufffd", text)


def clipped(text: str, most: int) -> str:
    """The beginning of `text`, with an ellipsis where something is left out."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def size(value: int) -> str:
    """Bytes in decimal units: `90.9 MB`."""
    amount, unit = float(value), 0
    while amount >= 999.5 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{value} B" if not unit else f"{amount:.3g} {_SIZES[unit]}"


def exact_size(value: int) -> str:
    """Bytes with thousands separated."""
    return f"{value:,} byte{'' if value == 1 else 's'}"


def count(value: int) -> str:
    """A count in short: `22.7M`; below ten thousand it is exact."""
    if abs(value) < 10_000:
        return f"{value:,}"
    amount, unit = float(value), 0
    while abs(amount) >= 999.5 and unit < len(_COUNTS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g}{_COUNTS[unit]}" if abs(amount) < 1e6 else f"{amount:.3g}"


def number(value: float) -> str:
    """A metric with six significant digits."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.6g}"
    return MINUS + text[1:] if text.startswith("-") else text


def rough(value: float) -> str:
    """A statistic with four significant digits."""
    text = f"{value:.4g}"
    return MINUS + text[1:] if text.startswith("-") else text


def exact(value: Any) -> str:
    """A value without loss: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def signed(value: float) -> str:
    """A difference with its sign."""
    sign = "+" if value > 0 else MINUS if value < 0 else "±"
    return sign + number(abs(value))


def grown(value: int) -> str:
    """A difference of sizes with its sign."""
    return ("+" if value > 0 else MINUS) + size(abs(value))


def moment(text: str) -> str:
    """An ISO time as `21 Nov 2026, 09:10 UTC`; anything else as it is."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{found.day} {found:%b %Y, %H:%M} UTC"


def day(text: str) -> str:
    """An ISO time as `21 Nov 2026`; anything else as it is."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{found.day} {found:%b %Y}"


def shape(dimensions: Any) -> str:
    """A tensor's shape: `384 × 1536`; a scalar has none."""
    return f" {TIMES} ".join(str(d) for d in dimensions) or "scalar"


def share(part: float) -> str:
    """A share in percent: `0.25 %`; one too small to show is still told."""
    percent = 100 * part
    return f"{percent:.3g} %" if percent >= 0.001 or not percent else "less than 0.001 %"


def plural(amount: int, word: str) -> str:
    """`1 version`, `3 versions`."""
    return f"{amount:,} {word}{'' if amount == 1 else 's'}"
