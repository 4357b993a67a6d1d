"""What every indexer owes to those who read its facts: texts that can be stored, and lists that end."""

import json
from collections.abc import Iterable, Mapping, Sequence

MAX_TEXT = 2000
MAX_ENTRIES = 100
MAX_FINDINGS = 100
MAX_FINDING = 300


def text(value: object, most: int = MAX_TEXT) -> str:
    """`value` as storable text, `most` characters at most: JSON where it is no text or number.

    Half a surrogate pair, which JSON may spell but no table stores, becomes a question mark.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        shown = "true" if value else "false"
    elif isinstance(value, str):
        shown = value
    else:
        try:
            shown = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            return "(not shown)"
    return shown[:most].encode("utf-8", "replace").decode("utf-8")


def metadata(pairs: Mapping[str, object]) -> dict[str, str]:
    """The first hundred entries that say something, as texts."""
    kept = {text(k, 200): text(v) for k, v in list(pairs.items())[: 10 * MAX_ENTRIES]}
    return dict([(k, v) for k, v in kept.items() if v][:MAX_ENTRIES])


def findings(found: Iterable[str]) -> tuple[str, ...]:
    """The first hundred findings, each once; what is left out is counted in a last one."""
    unique: Sequence[str] = list(dict.fromkeys(text(f, MAX_FINDING) for f in found))
    if len(unique) <= MAX_FINDINGS:
        return tuple(unique)
    return (*unique[: MAX_FINDINGS - 1], f"and {len(unique) - MAX_FINDINGS + 1:,} more")


def whole(value: object, most: int = 2**53) -> int:
    """A count as a file claims it, as a number or as text; 0 where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value <= most else 0
