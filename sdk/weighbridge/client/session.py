"""One request to the API and its typed answer: addresses, the token, retries, errors."""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar
from urllib.parse import quote, urlencode

from weighbridge.contract import codec, errors, references
from weighbridge.contract.references import CheckpointSelector, VersionSelector
from weighbridge.http import Pool, Reply
from weighbridge.retries import Retries

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)
VersionLike = int | str | VersionSelector
CheckpointLike = int | str | CheckpointSelector

PAGE = 1000
"""The largest page a list answers with."""


class Page(Protocol[Item]):
    """What every paged answer has."""

    @property
    def items(self) -> tuple[Item, ...]:
        """The items of this page."""

    @property
    def next(self) -> str | None:
        """Continues the list; None at the end."""


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """An answer with the entity tag that it came with."""

    value: T
    tag: str = ""


class Session:
    """Sends requests under `/api` of one server. Constructing it does nothing on the network."""

    def __init__(
        self,
        url: str,
        token: str = "",
        ca_file: str | None = None,
        *,
        pool: Pool | None = None,
        retries: Retries | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.pool = pool or Pool(ca_file or "")
        self.retries = retries or Retries()
        self._token = token

    def branch(self) -> Self:
        """A client whose requests can be interrupted by themselves (`pool.interrupt`); it shares
        connections with this one."""
        twin = copy(self)
        twin.pool = self.pool.branch()
        return twin

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def call(
        self,
        answer: type[T],
        method: str,
        *segments: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        repeatable: bool = True,
    ) -> T:
        """The decoded answer to one request; retried where the failure is passing.

        A request that is not `repeatable` is repeated only if the server cannot have acted on it.
        """
        reply = self._send(method, segments, query, body, repeatable, {})
        return self._decoded(answer, reply)

    def revisit(
        self,
        answer: type[T],
        *segments: str,
        query: Mapping[str, object] | None = None,
        known: Known[T] | None = None,
    ) -> Known[T]:
        """The answer to a GET that carries an entity tag; `known` itself if it is still the answer,
        which then is not sent again."""
        extra = {"If-None-Match": known.tag} if known is not None and known.tag else {}
        reply = self._send("GET", segments, query, None, True, extra)
        if reply.status == 304 and known is not None:
            return known
        return Known(self._decoded(answer, reply), reply.headers.get("etag", ""))

    def _send(
        self,
        method: str,
        segments: tuple[str, ...],
        query: Mapping[str, object] | None,
        body: object,
        repeatable: bool,
        extra: Mapping[str, str],
    ) -> Reply:
        path = "/".join(quote(segment, safe="") for segment in segments)
        url = f"{self.url}/api/{path}"
        if pairs := [(k, v) for k, v in (query or {}).items() if v not in (None, "")]:
            url += "?" + urlencode(pairs, doseq=True)
        headers = {"Accept": "application/json", **extra}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(codec.encode(body), allow_nan=False).encode("utf-8")
        return self.retries.send(
            self.pool, method, url, headers, data, repeatable=repeatable, server=self.url
        )

    def _decoded(self, answer: type[T], reply: Reply) -> T:
        if 300 <= reply.status < 400:
            raise errors.TransferError(
                f"{self.url} redirects to {reply.headers.get('location', 'elsewhere')!r}; "
                "use the final address"
            )
        document = _json(reply.body)
        if reply.status >= 400:
            raise errors.from_body(reply.status, document)
        try:
            return codec.decode(answer, document)
        except errors.InvalidRequest as error:
            raise errors.RegistryError(
                f"the answer of {self.url} is not understood ({error.message}); "
                "is it a Weighbridge server, and not older than this client?"
            ) from None

    def _pages(self, page: Callable[[str | None], Page[T]]) -> Iterator[T]:
        token: str | None = None
        while True:
            part = page(token)
            yield from part.items
            token = part.next
            if not token:
                return


def version_text(version: VersionLike) -> str:
    """A version selector as a path segment. Labels are escaped twice, so that gateways that treat
    `%2F` on their own never meet one."""
    selector = (
        version if isinstance(version, VersionSelector) else references.parse_version(str(version))
    )
    if selector.kind == "label":
        return "=" + quote(selector.value, safe="")
    return references.build_version(selector)


def checkpoint_text(checkpoint: CheckpointLike) -> str:
    """A checkpoint selector as a path segment."""
    selector = (
        checkpoint
        if isinstance(checkpoint, CheckpointSelector)
        else references.parse_checkpoint(str(checkpoint))
    )
    if selector.kind == "best" and selector.value:
        return "best=" + quote(selector.value, safe="")
    return references.build_checkpoint(selector)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None
