"""Values of HTTP headers, as stores and browsers want them."""

from urllib.parse import quote


def quoted(etag: str) -> str:
    """An entity tag as HTTP's conditions want it."""
    return f'"{etag}"'


def bare(etag: str) -> str:
    """An entity tag without its quotes: some stores answer it so in some places."""
    return etag.strip('"')


def disposition(filename: str, plain: bool = False) -> str:
    """The Content-Disposition that makes a browser save under `filename` (RFC 6266).

    With `plain` the name stands unquoted at the very end: FATE's client takes everything behind
    `filename=` for it, quotes included.
    """
    unsafe = '"\\%' if not plain else '"\\'
    ascii_only = "".join(
        c if c.isascii() and c.isprintable() and c not in unsafe else "_" for c in filename
    )
    if plain:
        return f"attachment; filename={ascii_only}"
    return f"attachment; filename=\"{ascii_only}\"; filename*=UTF-8''{quote(filename, safe='')}"
