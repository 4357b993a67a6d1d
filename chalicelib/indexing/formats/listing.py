"""What an archive holds, judged by names, links and sizes: nothing is unpacked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from posixpath import dirname

from chalicelib.indexing.formats import texts
from weighbridge.contract.types import Verdict

MAX_RATIO = 200
BIG = 1024**3
"""An archive that unpacks to less than this is no bomb, whatever its ratio."""
MAX_NAMES = 40
MAX_DEEP = 255
MAX_WORK = 200_000
"""Folders compared with links, over all members: a fraction of a second."""

_DRIVE = re.compile(r"[A-Za-z]:")
_CODE = re.compile(r"\.(?:py[cod]?|so|dll|dylib|sh|exe|bat|dill)$", re.I)
_NESTED = re.compile(
    r"\.(?:zip|tar|gz|tgz|bz2|tbz2?|xz|txz|zst|7z|rar|jar|whl|egg|4ml|skops|npz|keras)$", re.I
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of an archive. `link` is what a symbolic link points to, `hard` that it is a hard one.

    `special` names what is neither file, folder nor link.
    """

    name: str
    size: int = 0
    link: str | None = None
    hard: bool = False
    special: str = ""
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What the entries amount to."""

    metadata: dict[str, str]
    verdict: Verdict
    findings: tuple[str, ...]


_GRAVITY: tuple[Verdict, ...] = ("", "safe", "unknown", "unsafe")


def graver(*verdicts: Verdict) -> Verdict:
    """The gravest of several verdicts on one file."""
    return max(verdicts, key=_GRAVITY.index)


def wrong(name: str) -> str:
    """Why unpacking a member of this name could write outside the folder; empty if it cannot."""
    if "\0" in name:
        return "its name holds a zero byte"
    if name.startswith(("/", "\\")):
        return "its name is an absolute path"
    if _DRIVE.match(name):
        return "its name begins with a drive letter"
    if ".." in name and ".." in re.split(r"[/\\]", name):
        return "its name leads out of the folder"
    if name.count("/") > MAX_DEEP:
        return f"it lies more than {MAX_DEEP} folders deep"
    return ""


def leads_out(name: str, target: str, *, hard: bool) -> bool:
    """Whether a link at `name` points outside the folder that the archive is unpacked to."""
    if "\0" in target or target.startswith(("/", "\\")) or _DRIVE.match(target):
        return True
    depth = 0
    base = "" if hard else dirname(name.rstrip("/"))
    for part in re.split(r"[/\\]", f"{base}/{target}"):
        if part in ("", "."):
            continue
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


class _Links:
    """The symbolic links met so far: what lies below one is written elsewhere than its name says."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.work = 0

    def above(self, path: str) -> str:
        """The link that a path goes through, if there is one."""
        if not self.names:
            return ""
        parts = path.strip("/").split("/")[:MAX_DEEP]
        self.work += len(parts)
        if self.work > MAX_WORK:
            return ""
        for n in range(1, len(parts)):
            if (above := "/".join(parts[:n])) in self.names:
                return above
        return ""


def judge(entries: Iterable[Entry], stored: int, *, complete: bool = True) -> Judged:
    """What the entries are and whether unpacking or loading them is safe, `stored` bytes as they lie.

    Unsafe: names and links that lead out, devices, bombs. Unknown: names that stand twice, and what was
    not looked into.
    """
    unsafe: list[str] = []
    unknown: list[str] = []
    seen: set[str] = set()
    through = _Links()
    names: list[str] = []
    files = folders = links = unpacked = encrypted = 0
    code: list[str] = []
    nested: list[str] = []
    for entry in entries:
        shown = repr(texts.text(entry.name, 120))
        if reason := wrong(entry.name):
            unsafe.append(f"{shown}: {reason}")
        key = entry.name.rstrip("/")
        if key in seen and not (entry.name.endswith("/") and entry.size == 0):
            unknown.append(f"{shown} stands twice")
        seen.add(key)
        if link := through.above(key):
            unsafe.append(f"{shown} is written through the link {texts.text(link, 120)!r}")
        if entry.special:
            unsafe.append(f"{shown} is {entry.special}")
        elif entry.link is not None:
            links += 1
            inside = entry.link if entry.hard else f"{dirname(key)}/{entry.link}"
            if leads_out(entry.name, entry.link, hard=entry.hard) or (
                ".." in entry.link and through.above(inside)
            ):
                where = texts.text(entry.link, 120)
                unsafe.append(f"{shown} links to {where!r}, outside the archive")
            if not entry.hard:
                through.names.add(key)
        elif entry.name.endswith("/"):
            folders += 1
        else:
            files += 1
            unpacked += entry.size
            encrypted += entry.encrypted
            if len(names) < MAX_NAMES:
                names.append(texts.text(entry.name, 120))
            if _CODE.search(entry.name):
                code.append(shown)
            elif _NESTED.search(entry.name):
                nested.append(shown)
    if unpacked > BIG and unpacked > MAX_RATIO * max(stored, 1):
        unsafe.append(
            f"it unpacks to {unpacked:,} bytes, {unpacked // max(stored, 1):,} times its size"
        )
    if encrypted:
        unknown.append(f"{_many(encrypted, 'member')} encrypted")
    if code:
        unknown.append(f"{_many(len(code), 'member')} that may run code when loaded: {_some(code)}")
    if nested:
        unknown.append(f"{_many(len(nested), 'archive')} within, not looked into: {_some(nested)}")
    if not complete or through.work > MAX_WORK:
        unknown.append(f"only the first {_many(len(seen), 'member')} were looked at")
    shown_names = ", ".join(names) + (" …" if files > len(names) else "")
    metadata = {
        "files": files,
        "folders": folders,
        "links": links,
        "unpacked": unpacked,
        "names": shown_names,
    }
    verdict: Verdict = "unsafe" if unsafe else "unknown" if unknown else ""
    return Judged(
        texts.metadata({k: v for k, v in metadata.items() if v}), verdict,
        texts.findings([*unsafe, *unknown]),
    )  # fmt: skip


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _some(shown: list[str]) -> str:
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3:,} more" if len(shown) > 3 else "")
