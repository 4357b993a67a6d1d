"""How S3 spells entity tags and file names in headers."""

from urllib.parse import quote


def quoted(etag: str) -> str:
    """An entity tag as HTTP's conditions want it."""
    return f'"{etag}"'


def bare(etag: str) -> str:
    """An entity tag without its quotes: some stores answer it so in some places."""
    return etag.strip('"')


def disposition(filename: str) -> str:
    """The Content-Disposition that makes a browser save under `filename` (RFC 6266)."""
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
