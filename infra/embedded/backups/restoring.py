"""Restoring a backup into an empty registry: the objects, then the items, those that make projects
visible last. Run again after an interruption, it goes on."""

import http.client
import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

from chalicelib.catalogue import publish
from chalicelib.catalogue.registry_source import RegistrySource
from chalicelib.registry import blobs, keys, projects
from chalicelib.registry.ports import Delete, Item, Key, Put
from chalicelib.registry.stores import Stores
from infra.embedded.backups import contents, records
from infra.embedded.backups.records import Backup, Stored
from infra.embedded.backups.vault import Vault
from weighbridge.contract import cuts, digests
from weighbridge.contract.errors import Conflict, IntegrityError, NotFound, Unavailable

MARK = Key("RESTORE", "MARK")
"""Says that a restore is under way, and of which backup."""
_LAST = (keys.TOKENS, keys.PROJECTS)
_AT_ONCE = 8
_BATCH = 500
_IN_MEMORY = 64 * 1024**2
Tell = Callable[[str], None]


def _quiet(text: str) -> None:
    """Says nothing."""


def verify(vault: Vault, name: str = "", tell: Tell = _quiet) -> Backup:
    """Reads a whole backup. `IntegrityError` names whatever is missing or damaged."""
    backup = records.chosen(vault, name)
    listed = _listed(vault, backup)
    items = sum(1 for _ in records.read_lines(vault, _table(backup), backup.table_sha256))
    if (items, len(listed)) != (backup.items, backup.objects):
        raise IntegrityError(f"the backup {backup.name} has other numbers of items than it says")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda stored: _problem(vault, listed, stored), listed.values())
        bad = [problem for problem in found if problem]
    if bad:
        raise IntegrityError(
            f"the backup {backup.name} is damaged in {len(bad)} of its objects: {'; '.join(bad[:10])}",
            damaged=bad[:1000],
        )
    tell(f"{backup.name}: {backup.items:,} items and {backup.objects:,} objects are as they were")
    return backup


def restore(stores: Stores, vault: Vault, name: str = "", tell: Tell = _quiet) -> Backup:
    """Puts a backup into an empty registry and renders its pages anew.

    Every object is verified on its way, once here and once by the store. `Conflict` if the registry is
    not empty; an `IntegrityError` leaves it without a visible project.
    """
    backup = records.chosen(vault, name)
    listed = _listed(vault, backup)
    _begin(stores, backup)
    etags = _objects(stores, vault, listed)
    tell(f"{backup.objects:,} objects, {backup.bytes:,} bytes are there")
    _items(stores, vault, backup, etags)
    stores.table.write(Delete(MARK))
    tell(f"{backup.items:,} items are there")
    render(stores)
    return backup


def render(stores: Stores) -> None:
    """Renders every page of the registry."""
    publish.publish_static(stores.site)
    source = RegistrySource(stores)
    for record in projects.records(stores):
        publish.publish_all(source, stores.site, record.id, publish.renderer())


def _table(backup: Backup) -> str:
    return f"{records.BACKUPS}{backup.name}/table.gz"


def _listed(vault: Vault, backup: Backup) -> dict[str, Stored]:
    lines = records.read_lines(
        vault, f"{records.BACKUPS}{backup.name}/objects.gz", backup.objects_sha256
    )
    return {stored.key: stored for stored in map(records.stored_of, lines)}


def _begin(stores: Stores, backup: Backup) -> None:
    mark = stores.table.get(MARK)
    if mark is not None:
        if mark.attrs["ref"] != backup.name:
            raise Conflict(
                f"the restore of the backup {mark.attrs['ref']} was begun here: go on with that one "
                f"(--backup {mark.attrs['ref']}), or begin with an empty registry"
            )
        return
    if there := projects.records(stores)[:3]:
        names = ", ".join(record.project.name for record in there)
        raise Conflict(f"the registry is not empty (it has {names}): restore into an empty one")
    stores.table.write(Put(Item(MARK, {"ref": backup.name})))


def _sizes(vault: Vault, listed: Mapping[str, Stored], stored: Stored) -> tuple[int, ...]:
    """How the bytes are cut: not at all, or as the part list beside them says."""
    if "-" not in stored.content:
        return ()
    list_of = listed.get(keys.parts_object(stored.key.split("/")[1], stored.content))
    data = b"".join(vault.read(records.object_name(list_of.content))) if list_of else b""
    return contents.cuts_of(
        stored.content, [part.size for part in cuts.decode(data)] if data else []
    )


def _problem(vault: Vault, listed: Mapping[str, Stored], stored: Stored) -> str:
    name = records.object_name(stored.content)
    try:
        sizes = _sizes(vault, listed, stored)
        for _ in contents.checked(vault.read(name), stored.content, sizes, name):
            pass
    except NotFound:
        return f"{name} ({stored.key}) is missing"
    except (IntegrityError, ValueError):
        return f"{name} ({stored.key}) has other bytes"
    return ""


def _objects(stores: Stores, vault: Vault, listed: Mapping[str, Stored]) -> dict[str, str]:
    """Puts every object where it was; the entity tags that they have now, by key."""

    def one(stored: Stored) -> tuple[str, str]:
        return stored.key, _object(stores, vault, listed, stored)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(pool.map(one, listed.values()))


def _object(stores: Stores, vault: Vault, listed: Mapping[str, Stored], stored: Stored) -> str:
    """Puts one object, unless it is there already; its entity tag."""
    if stored.key.startswith("blobs/") and (etag := _there(stores, stored)):
        return etag
    name = records.object_name(stored.content)
    try:
        sizes = _sizes(vault, listed, stored)
        blocks = contents.checked(vault.read(name), stored.content, sizes, f"{name} ({stored.key})")
        if sizes:
            upload = stores.blobs.create_multipart(
                stored.key, digests.parse_blob(stored.content).scheme
            )
            sent = [
                stores.blobs.put_part(stored.key, upload, number, part)
                for number, part in enumerate(contents.pieces(blocks, sizes), 1)
            ]
            stores.blobs.complete_multipart(stored.key, upload, sent)
        elif stored.size <= _IN_MEMORY:
            kind = (
                "application/json" if stored.key.endswith(".json") else "application/octet-stream"
            )
            return stores.blobs.put(stored.key, b"".join(blocks), kind)
        else:
            _stream(stores, stored, blocks)
    except NotFound:
        raise IntegrityError(f"the backup lacks {name} ({stored.key})") from None
    if not (etag := _there(stores, stored)):
        raise IntegrityError(f"the store holds other bytes of {stored.key} than were sent")
    return etag


def _there(stores: Stores, stored: Stored) -> str:
    """The entity tag of an object that the store vouches for."""
    try:
        head = stores.blobs.head(stored.key)
    except NotFound:
        return ""
    if not head.sha256 or head.size != stored.size:
        return ""
    wanted = stored.content if "-" in stored.content else f"s-{stored.content}-{stored.size}"
    scheme = digests.parse_blob(wanted).scheme
    return head.etag if blobs.named(head, scheme) == wanted else ""


def _stream(stores: Stores, stored: Stored, blocks: Iterable[bytes]) -> None:
    """Sends what is too large for memory by a signed PUT, which the store verifies."""
    checksum = digests.to_base64(digests.sha256(stored.content))
    signed = stores.blobs.sign_put(stored.key, checksum, stored.size, 3600)
    target = urlsplit(signed.url)
    connection = (
        http.client.HTTPSConnection(target.netloc, context=ssl.create_default_context())
        if target.scheme == "https"
        else http.client.HTTPConnection(target.netloc)
    )
    with closing(connection):
        try:
            connection.request(
                signed.method, f"{target.path}?{target.query}", blocks, signed.headers
            )
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{target.netloc} broke off: {error}; run it again") from None
    if answer.status not in (200, 412):
        raise Unavailable(f"the store answers {answer.status} to {stored.key}; run it again")


def _items(stores: Stores, vault: Vault, backup: Backup, etags: Mapping[str, str]) -> None:
    """Writes every item: tokens late, projects last, since nothing is visible without them."""
    late: list[Item] = []
    batch: list[Put | Delete] = []
    for line in records.read_lines(vault, _table(backup), backup.table_sha256):
        item = records.item_of(line)
        if item.key.pk in _LAST:
            late.append(item)
            continue
        if item.key.sk == "PART":
            # A part is copied only while its object has this tag, and here it may have another.
            item = Item(item.key, item.attrs, {**item.doc, "etag": etags.get(item.doc["key"], "")})
        batch.append(Put(item))
        if len(batch) == _BATCH:
            stores.table.write_many(batch)
            batch.clear()
    stores.table.write_many(batch)
    for partition in _LAST:
        stores.table.write_many([Put(item) for item in late if item.key.pk == partition])
