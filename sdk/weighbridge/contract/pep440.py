"""Versions as PEP 440 writes and orders them: parsed, in canonical form, comparable.

| text | canonical | equal to |
|---|---|---|
| `v1.0`, `1.0 ` | `1.0` | `1`, `1.0.0` |
| `1.0-dev1` | `1.0.dev1` | `1.dev1` |
| `1.0-RC.2` | `1.0rc2` | `1rc2` |
| `1!2.0+Ubuntu-1` | `1!2.0+ubuntu.1` | `1!2+ubuntu.1` |
"""

import re
from dataclasses import dataclass, field
from functools import total_ordering
from typing import Any

from weighbridge.contract.errors import InvalidName

MAX = 256
_VERSION = re.compile(
    r"""
    \s*v?
    (?:(?P<epoch>[0-9]+)!)?
    (?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(?P<pre>alpha|beta|preview|pre|a|b|c|rc)[-_.]?(?P<pre_n>[0-9]+)?)?
    (?:-(?P<post_bare>[0-9]+)|[-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_n>[0-9]+)?)?
    (?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_n>[0-9]+)?)?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?
    \s*
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_LETTERS = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A parsed version. `text` is the canonical form; `normal` is the same for all that are equal.

    Compared as PEP 440 says: `1.0.dev1 < 1.0a1 < 1.0rc1 < 1.0 == 1.0.0 < 1.0+local < 1.0.post1`.
    """

    text: str
    normal: str
    order: tuple[Any, ...] = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.order == other.order

    def __lt__(self, other: "Version") -> bool:
        return self.order < other.order

    def __hash__(self) -> int:
        return hash(self.normal)

    def __str__(self) -> str:
        return self.text


def parse(text: object) -> Version:
    """`text` as a version, or `InvalidName`."""
    match = _VERSION.fullmatch(text) if isinstance(text, str) and len(text) <= MAX else None
    if match is None:
        shown = repr(str(text)[:80])
        raise InvalidName(
            f"{shown} is no version as PEP 440 writes it; write such as 1.4.2 or 2.0rc1"
        )
    epoch = int(match["epoch"] or 0)
    release = tuple(int(part) for part in match["release"].split("."))
    pre = _numbered(match["pre"], match["pre_n"])
    post = match["post_bare"] or ((match["post_n"] or "0") if match["post"] else None)
    dev = (match["dev_n"] or "0") if match["dev"] else None
    local = re.split(r"[-_.]", match["local"].lower()) if match["local"] else []
    tail = f"{pre[0]}{pre[1]}" if pre else ""
    tail += f".post{int(post)}" if post is not None else ""
    tail += f".dev{int(dev)}" if dev is not None else ""
    if local:
        tail += "+" + ".".join(str(int(p)) if p.isdigit() else p for p in local)
    short = release
    while len(short) > 1 and not short[-1]:
        short = short[:-1]
    head = f"{epoch}!" if epoch else ""
    only_dev = pre is None and post is None and dev is not None  # 1.0.dev1 comes before 1.0a1
    order = (
        epoch,
        short,
        (0, *pre) if pre else (-1 if only_dev else 1,),
        -1 if post is None else int(post),
        (0, int(dev)) if dev is not None else (1,),
        tuple((1, int(p), "") if p.isdigit() else (0, 0, p) for p in local),
    )
    return Version(
        head + ".".join(map(str, release)) + tail, head + ".".join(map(str, short)) + tail, order
    )


def _numbered(letter: str | None, number: str | None) -> tuple[str, int] | None:
    if letter is None:
        return None
    small = letter.lower()
    return _LETTERS.get(small, small), int(number or 0)
