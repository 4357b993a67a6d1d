"""The head of an HTTP answer, read by a plain loop. The standard library reads it with its parser of
mail, which takes a quarter of the time of sending a small file.
"""

import http.client
from http.client import BadStatusLine, HTTPException, HTTPMessage, LineTooLong, RemoteDisconnected
from io import BufferedReader

_LINE = 65536
_FIELDS = 100


class Answer(http.client.HTTPResponse):
    """An answer as `http.client` makes it, but for how its head is read."""

    def begin(self) -> None:
        """Reads status and header fields; of interim answers too, which are dropped."""
        if self.headers is not None:
            return
        status = 100
        while status == 100:
            protocol, status, reason = _status(self.fp)
            fields = _fields(self.fp)
        self.code = self.status = status
        self.reason = reason
        self.version = 11 if protocol.startswith("HTTP/1.") and protocol != "HTTP/1.0" else 10
        self.headers = self.msg = HTTPMessage()
        for name, value in fields:
            self.headers[name] = value
        known = {name.lower(): value for name, value in reversed(fields)}
        self.chunked = known.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        asked = known.get("connection", "").lower()
        self.will_close = "close" in asked if self.version == 11 else "keep-alive" not in asked
        length = known.get("content-length", "")
        self.length = int(length) if length.isdecimal() and not self.chunked else None
        if status in (204, 304) or 100 <= status < 200 or self._method == "HEAD":
            self.length = 0
        if not self.will_close and not self.chunked and self.length is None:
            self.will_close = True


def _line(stream: BufferedReader, what: str) -> bytes:
    line = stream.readline(_LINE + 1)
    if len(line) > _LINE:
        raise LineTooLong(what)
    return line


def _status(stream: BufferedReader) -> tuple[str, int, str]:
    line = _line(stream, "status line").decode("latin-1")
    if not line:
        raise RemoteDisconnected("Remote end closed connection without response")
    protocol, _, rest = line.partition(" ")
    number, _, reason = rest.strip().partition(" ")
    if not protocol.startswith("HTTP/") or len(number) != 3 or not number.isdecimal():
        raise BadStatusLine(line)
    if not protocol.startswith("HTTP/1.") and protocol != "HTTP/0.9":
        raise http.client.UnknownProtocol(protocol)
    return protocol, int(number), reason.strip()


def _fields(stream: BufferedReader) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while (line := _line(stream, "header line")) not in (b"\r\n", b"\n", b""):
        text = line.decode("latin-1").rstrip("\r\n")
        if len(found) == _FIELDS:
            raise HTTPException(f"the answer has more than {_FIELDS} header fields")
        if text[0] in " \t" and found:  # an old way to go on with a value
            name, value = found[-1]
            found[-1] = (name, f"{value} {text.strip()}".strip())
            continue
        name, colon, value = text.partition(":")
        if colon and name and name == name.strip():  # anything else is no field
            found.append((name, value.strip()))
    return found
