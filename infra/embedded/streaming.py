"""Long bodies: files of forms go on to the store as they come, packages come from it as they are asked for.

Stands between the front and the API, which answers in memory. Of a form it hands on the fields and the
first bytes of each file, and says in a header what the file has become (`chalicelib/api/forms.py`). Which
routes take long files, the facades declare there.
"""

import io
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from multipart import MultipartError, PushMultipartParser

from chalicelib.api import facades, forms
from chalicelib.registry.receiving import Arrived, Opener
from infra.embedded.wsgi import raw_target
from weighbridge.contract import codec
from weighbridge.contract.errors import RegistryError, TooLarge

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger("weighbridge.streaming")
SHORT = 4 * 1024 * 1024
"""Bodies up to this length are the API's own business."""
MAX_CHUNKED = 150 * 1024**3
"""What a body without a length may hold: so much fits into 10,000 parts of the usual size."""
_BLOCK = 1024 * 1024
_READ = 4 * 1024 * 1024
_START = 64
_ARRIVED = "HTTP_" + forms.ARRIVED.upper().replace("-", "_")
SEND = "x-weighbridge-send"

Admit = Callable[[str], Opener]
"""Who may send a long file, by the request's `Authorization`; answers what takes one, or raises."""


class Read(Protocol):
    """Reads a range of an object."""

    def __call__(self, key: str, start: int = 0, length: int | None = None) -> bytes: ...


class LongBodies:
    """WSGI middleware around the API."""

    def __init__(
        self,
        api: "WSGIApplication",
        admit: Admit,
        read: Read,
        streamed: Collection[tuple[str, str]] = facades.STREAMED,
    ) -> None:
        self._api, self._admit, self._read, self._streamed = api, admit, read, streamed

    def takes(self, environ: "WSGIEnvironment") -> bool:
        """Whether the body of this request is taken here, however long it is."""
        path = raw_target(environ).partition("?")[0]
        if (environ["REQUEST_METHOD"], path) not in self._streamed:
            return False
        long = environ.get("wsgi.input_terminated") or _length(environ) > SHORT
        return bool(long) and bool(_boundary(environ))

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answers one request."""
        environ.pop(_ARRIVED, None)
        form = _Form(environ, self._admit) if self.takes(environ) else None
        if form is not None:
            form.take()
        answer = _Answer(environ, start_response, self._read)
        try:
            body = answer.finish(self._api(environ, answer.start))
        except BaseException:
            if form is not None:
                form.give_up()
            raise
        if form is not None and answer.status >= 400:
            form.give_up()
        return body


def _length(environ: "WSGIEnvironment") -> int:
    return int(environ.get("CONTENT_LENGTH") or 0)


def _boundary(environ: "WSGIEnvironment") -> str:
    return forms.boundary(str(environ.get("CONTENT_TYPE", "")))


class _Form:
    """One form on its way in."""

    def __init__(self, environ: "WSGIEnvironment", admit: Admit) -> None:
        self._environ, self._admit = environ, admit
        self._begun: list[Any] = []
        self._told: dict[str, Any] = {}

    def take(self) -> None:
        """Sends the files on, and leaves the rest of the body for the API."""
        body, blocks = b"", _blocks(self._environ)
        try:
            body = self._short(blocks)
        except MultipartError as error:
            _log.info("a long form is malformed: %s", error)
            self.give_up()
        except RegistryError as error:
            self.give_up()
            self._told = {"error": {**error.body()["error"], "status": error.status}}
        for _ in blocks:  # the sender sees no answer before all is read
            pass
        self._environ["wsgi.input"] = io.BytesIO(body)
        self._environ["wsgi.input_terminated"] = False
        self._environ["CONTENT_LENGTH"] = str(len(body))
        self._environ[_ARRIVED] = json.dumps(self._told)

    def _short(self, blocks: Iterable[bytes]) -> bytes:
        opener = self._admit(str(self._environ.get("HTTP_AUTHORIZATION", "")))
        limit = _boundary(self._environ)
        most = _length(self._environ) or MAX_CHUNKED
        mark = b"--" + limit.encode("latin-1")
        kept, incoming, start, number = bytearray(), None, b"", -1
        with PushMultipartParser(limit, max_segment_count=forms.MAX_PARTS) as parser:
            for block in blocks:
                for event in parser.parse(block):
                    if event is None:
                        if incoming is not None:
                            arrived: Arrived = incoming.end()
                            self._told[str(number)] = codec.encode(arrived)
                            kept += start
                        kept += b"\r\n"
                        incoming, start = None, b""
                    elif isinstance(event, (bytes, bytearray)):
                        if incoming is None:
                            kept += event
                        else:
                            start += bytes(event[: _START - len(start)])
                            incoming.write(bytes(event))
                    else:
                        number += 1
                        kept += mark + b"\r\n" + _headers(event.headerlist)
                        if event.filename is not None:
                            incoming = opener(most)
                            self._begun.append(incoming)
                    if len(kept) > forms.MAX_FIELDS:
                        raise TooLarge(
                            f"the fields of a form hold {forms.MAX_FIELDS} bytes at most",
                            limit=forms.MAX_FIELDS,
                        )
        return bytes(kept) + mark + b"--\r\n"

    def give_up(self) -> None:
        """Frees what was sent of files that became nothing."""
        for incoming in self._begun:
            try:
                incoming.abort()
            except Exception:
                _log.exception("parts of an upload are left to the sweep")


def _headers(given: Iterable[tuple[str, str]]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in given if name != "Content-Length")
    return (lines + "\r\n").encode()


def _blocks(environ: "WSGIEnvironment") -> Iterator[bytes]:
    """The body of a request in blocks, as far as it is not yet read; `TooLarge` if it has no end."""
    stream: InputStream = environ["wsgi.input"]
    chunked = bool(environ.get("wsgi.input_terminated"))
    rest = MAX_CHUNKED if chunked else _length(environ)
    while rest > 0:
        block = stream.read(min(_BLOCK, rest))
        if not block:
            return
        rest -= len(block)
        yield block


class _Answer:
    """One answer on its way out."""

    def __init__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", read: Read
    ) -> None:
        self._environ, self._start, self._read = environ, start_response, read
        self._line, self._headers = "", list[tuple[str, str]]()
        self.status = 0

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        """Takes what the API starts with; the answer itself starts in `finish`."""
        self._line, self._headers = status, headers
        self.status = int(status[:3])
        return lambda data: None

    def finish(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """The body: the API's own, or the object that it named."""
        named = next((v for name, v in self._headers if name.lower() == SEND), "")
        if not named:
            self._start(self._line, self._headers)
            return body
        for _ in body:
            pass
        size, kind, key = named.split(" ", 2)
        dropped = (SEND, "content-length", "content-type")
        kept = [pair for pair in self._headers if pair[0].lower() not in dropped]
        headers = [*kept, ("Content-Type", kind), ("Content-Length", size)]
        if self._environ["REQUEST_METHOD"] == "HEAD":
            self._start(self._line, headers)
            return []
        first = self._read(key, 0, _READ)  # what fails now is still an error, not half an answer
        self._start(self._line, headers)
        return self._parts(key, int(size), first)

    def _parts(self, key: str, size: int, first: bytes) -> Iterator[bytes]:
        yield first
        sent = len(first)
        while sent < size:
            block = self._read(key, sent, min(_READ, size - sent))
            if not block:
                _log.error("the object %s ends %d bytes early", key, size - sent)
                return
            sent += len(block)
            yield block
