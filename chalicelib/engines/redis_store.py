"""A second store in Redis: one value per archive, which may expire.

A value is sent and read some MiB at a time, so that memory does not depend on its size. Redis holds
512 MiB in a value at most.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chalicelib.engines.addresses import Address
from chalicelib.engines.ports import Place, Source
from weighbridge.contract.errors import (
    AlreadyExists,
    Forbidden,
    IntegrityError,
    NotFound,
    RegistryError,
    TooLarge,
    Unavailable,
)

MAX_VALUE = 512 * 1024 * 1024
CONNECT_SECONDS = 5
ANSWER_SECONDS = 60
_BLOCK = 4 * 1024 * 1024


class RedisEngine:
    """Archives as values of one database of a Redis server."""

    def __init__(self, address: Address, secrets: Mapping[str, str]) -> None:
        told = address.options
        self._where = address.where
        self._expiry = int(told["ex"])
        secure: dict[str, Any] = {}
        if told["ssl"]:
            secure = {"ssl": True, "ssl_ca_certs": str(told["ssl_ca"]) or None}
        self._redis: Any = redis.Redis(
            host=str(told["host"]),
            port=int(told["port"]),
            db=int(told["db"]),
            username=str(told["username"]) or None,
            password=secrets.get("password") or None,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **secure,
        )
        with self._translated():
            self._redis.ping()

    def exists(self, place: Place) -> bool:
        """Whether there is such a key."""
        with self._translated():
            return bool(self._redis.exists(place.redis_key))

    def put(self, place: Place, source: Source, *, force: bool = False) -> None:
        """One SET: absent keys only unless forced, with the expiry of the address."""
        if source.size > MAX_VALUE:
            raise TooLarge(
                f"{place} has {source.size} bytes, and Redis holds {MAX_VALUE} in a value at most; "
                "choose another store for it",
                limit=MAX_VALUE,
            )
        options = [b"EX", str(self._expiry).encode()] if self._expiry else []
        options += [] if force else [b"NX"]
        with self._translated():
            answer = self._set(place.redis_key.encode(), source, options)
        if answer is None:
            raise AlreadyExists(
                f"the store has an archive of {place} already; force_update replaces it"
            )

    def _set(self, key: bytes, source: Source, options: list[bytes]) -> Any:
        """SET as the protocol writes it; redis-py would want the whole value in memory."""

        def command() -> Iterator[bytes]:
            head = b"*%d\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n"
            yield head % (3 + len(options), len(key), key, source.size)
            sent = 0
            for block in source.blocks():
                sent += len(block)
                yield block
            if sent != source.size:
                raise IntegrityError(f"the archive has {sent} bytes, not {source.size}")
            yield b"\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(o), o) for o in options)

        pool = self._redis.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_packed_command(command())
            return connection.read_response()
        except BaseException:
            connection.disconnect()  # a command that was not sent to its end does nothing
            raise
        finally:
            pool.release(connection)

    def get(self, place: Place) -> Iterator[bytes]:
        """The value by ranges; `IntegrityError` if it changes or expires meanwhile."""
        with self._translated():
            size = int(self._redis.strlen(place.redis_key))
        if not size:
            raise NotFound(f"the store has no archive of {place}; it may have expired")
        return self._blocks(place, size)

    def _blocks(self, place: Place, size: int) -> Iterator[bytes]:
        key = place.redis_key
        with self._translated(), self._redis.pipeline(transaction=True) as guarded:
            guarded.watch(key)
            for start in range(0, size, _BLOCK):
                wanted = min(_BLOCK, size - start)
                block = bytes(guarded.getrange(key, start, start + wanted - 1))
                if len(block) != wanted:
                    raise IntegrityError(f"{place} expired or changed while it was read")
                yield block
            guarded.multi()
            guarded.strlen(key)
            try:
                guarded.execute()
            except redis.WatchError:
                raise IntegrityError(f"{place} changed in the store while it was read") from None

    def delete(self, place: Place) -> bool:
        """Removes the key."""
        with self._translated():
            return bool(self._redis.delete(place.redis_key))

    def close(self) -> None:
        """Ends the connections."""
        self._redis.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except RegistryError:
            raise
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
            raise Forbidden(f"{self._where} refused the password: {_short(error)}") from None
        except redis.exceptions.OutOfMemoryError:
            raise Unavailable(
                f"{self._where} is full (its maxmemory is reached, and nothing may be evicted)",
                retry=False,
            ) from None
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            raise Unavailable(
                f"{self._where} does not answer: {_short(error)}", retry=False
            ) from None
        except redis.RedisError as error:
            if _short(error).startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
                raise Forbidden(f"{self._where} refused the password: {_short(error)}") from None
            raise Unavailable(f"{self._where} failed: {_short(error)}", retry=False) from None


def _short(error: BaseException) -> str:
    return str(error)[:200]
