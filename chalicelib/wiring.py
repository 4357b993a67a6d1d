"""Builds the stores on first use: the one seam between the registry and its adapters."""

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Protocol

from chalicelib.registry import tokens
from chalicelib.registry.inspection import Fetch, FormlPackage
from chalicelib.registry.ports import Blobs, InboxGrants, Queue, Table
from chalicelib.registry.stores import Stores
from chalicelib.settings import Settings, settings
from weighbridge.contract.errors import RegistryError

_override: list[Stores] = []


def _table(config: Settings) -> Table:
    kind, _, where = config.catalog.partition(":")
    if kind == "sqlite":
        from chalicelib.storage.sqlite import SqliteTable

        return SqliteTable(where)
    from chalicelib.storage.dynamo import DynamoTable

    return DynamoTable(where, config.region, config.dynamodb_endpoint)


def _blobs(config: Settings, bucket: str) -> Blobs:
    from chalicelib.storage.s3 import S3Blobs

    return S3Blobs(
        bucket, config.region, endpoint=config.s3_endpoint,
        public_endpoint=config.s3_public_endpoint, access_key=config.s3_access_key,
        secret_key=config.s3_secret_key, ca_file=config.s3_ca_file,
    )  # fmt: skip


def _queue(config: Settings) -> Queue:
    from chalicelib.storage import queues

    kind, _, where = config.queue.partition(":")
    if kind == "sqlite":
        return queues.SqliteQueue(where)
    if kind == "sqs":
        index_url, render_url, archive_url, *_ = [*where.split(","), "", ""]
        return queues.SqsQueue(index_url, render_url, config.region, archive_url=archive_url)
    return queues.NoQueue()


def _grants(config: Settings) -> InboxGrants | None:
    if not (config.inbox_role or config.inbox_identities):
        return None
    from chalicelib.storage import grants

    return grants.grants(config)


def build(config: Settings) -> Stores:
    """The stores of a configuration."""
    return Stores(
        table=_table(config), blobs=_blobs(config, config.bucket), queue=_queue(config),
        site=_blobs(config, config.site_bucket), grants=_grants(config),
        sign_seconds=config.sign_seconds, lease_seconds=config.lease_seconds,
        stale_seconds=config.stale_seconds, inbox_seconds=config.inbox_seconds,
        announce=not config.store_events, open_uploads=config.open_uploads,
        requests_per_minute=config.requests_per_minute,
        bucket=config.bucket, inspect=_inspect,
    )  # fmt: skip


def _inspect(fetch: Fetch, size: int) -> FormlPackage:
    from chalicelib.indexing import forml_packages

    return forml_packages.inspect(fetch, size)


_OBJECTS_BETWEEN_COLLECTIONS = 50_000


@cache
def _production() -> Stores:
    # Making the clients allocates a great many objects that stay. With Python's default of 700 they
    # are looked through again and again: a fifth of the time of a cold start.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    return build(settings())


def stores() -> Stores:
    """The stores of this process; the edge reaches storage in no other way."""
    return _override[-1] if _override else _production()


@contextmanager
def using(fake: Stores) -> Iterator[Stores]:
    """Runs a block on other stores."""
    _override.append(fake)
    try:
        yield fake
    finally:
        _override.remove(fake)


class Cost(Protocol):
    """Units of the table."""

    @property
    def reads(self) -> float: ...

    @property
    def writes(self) -> float: ...


def costs() -> AbstractContextManager[Cost]:
    """Counts what the block takes of the table."""
    from chalicelib.storage import units

    return units.recorded()


def bootstrap(admin_token: str) -> None:
    """Makes sure that the first administrator's token works."""
    tokens.bootstrap(stores(), admin_token)


def healthy() -> dict[str, str]:
    """`ok`, or what is wrong, per store."""
    state = {}
    for name, store in (("catalog", stores().table), ("blobs", stores().blobs)):
        try:
            store.ping()
            state[name] = "ok"
        except RegistryError as error:
            state[name] = error.message
    return state
