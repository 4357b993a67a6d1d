"""An archive of a party's model, too large for a form: sent like any file, and taken in by a restore."""

from contextlib import suppress
from pathlib import Path

from weighbridge.contract import types
from weighbridge.contract.errors import AlreadyExists, InvalidRequest, NotFound
from weighbridge.fate.syncing import named
from weighbridge.registry import Registry
from weighbridge.sources import PathLike, Source
from weighbridge.transfer.journal import open_journal
from weighbridge.transfer.notes import NOTHING
from weighbridge.transfer.progress import Watcher, watching
from weighbridge.transfer.upload import Uploader
from weighbridge.writing import journal_folder, stat_cache

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")


def upload_archive(
    registry: Registry,
    path: PathLike,
    ref: str,
    *,
    dry_run: bool = False,
    progress: Watcher | None = None,
) -> types.WaitingArchive:
    """Sends a zip and names it as the archive of `PROJECT/ROLE#PARTY_ID#MODEL_ID@=VERSION`; it waits
    for a day. The project is made if it is missing. An interrupted upload goes on where it was when
    this is called again."""
    project, model, label = named(ref)
    file = Path(path)
    with file.open("rb") as stream:
        if stream.read(4) not in SIGNATURES:
            raise InvalidRequest(f"{file} is no zip: give an archive that FATE exported")
    if dry_run:
        return types.WaitingArchive(model, label, "", file.stat().st_size, "")
    client = registry.client
    try:
        client.project(project)
    except NotFound:  # as `flow model import` and `fate import` make it
        with suppress(AlreadyExists):
            client.create_project(project)
    where = str(file.absolute())
    journal = open_journal(journal_folder(), "archive", client.url, ref, where)
    try:
        uploader = Uploader(
            client, project, journal, watching(progress), stats=stat_cache(), wanted=NOTHING
        )
        [entry] = uploader.send([Source(file, "archive.zip")], ref).entries
        parked = client.park_archive(project, model, label, entry.blob)
        journal.finish()
    finally:
        journal.close()
    return parked
