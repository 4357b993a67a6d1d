"""A second store in MySQL or MariaDB: rows of 8 MiB slices, in the reference's tables.

Each row holds base64 of a slice as the reference serialises it: a pickle of one bytes object. It is
written and read here by its few fixed bytes; nothing is ever unpickled. All slices of an archive are
written in one transaction.
"""

import base64
import binascii
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.constants import ER

from chalicelib.archives import streams
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

SLICE = 8 * 1024 * 1024
CONNECT_SECONDS = 5
ANSWER_SECONDS = 60
_PYTHON_STR = 49
"""`f_size` is what the reference's interpreter needs for the text, and that is this much more."""
_MODELS, _COMPONENTS = "t_machine_learning_model", "t_machine_learning_component"
_TIMES = (
    "f_create_time BIGINT, f_create_date DATETIME, f_update_time BIGINT, f_update_date DATETIME"
)
_CONTENT = "f_size BIGINT NOT NULL, f_content LONGTEXT NOT NULL, f_slice_index INT NOT NULL"
# The reference's columns hold 100 characters, less than the names of a federation of ten parties.
_TABLES = {
    _MODELS: f"""CREATE TABLE IF NOT EXISTS {_MODELS} ({_TIMES},
        f_model_id VARCHAR(480) NOT NULL, f_model_version VARCHAR(120) NOT NULL, {_CONTENT},
        PRIMARY KEY (f_model_id, f_model_version, f_slice_index)
        ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin""",
    _COMPONENTS: f"""CREATE TABLE IF NOT EXISTS {_COMPONENTS} (id INT AUTO_INCREMENT PRIMARY KEY,
        {_TIMES}, f_party_model_id VARCHAR(480) NOT NULL, f_model_version VARCHAR(120) NOT NULL,
        f_component_name VARCHAR(160) NOT NULL, {_CONTENT},
        UNIQUE KEY slices (f_party_model_id, f_model_version, f_component_name, f_slice_index)
        ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin""",
}
_DENIED = {ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, 1698}
_BUSY = {ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK}
_TOO_LONG = 1406
_NO_TABLE, _TWICE, _PACKET = 1146, 1062, 1153
_FULL = {1021, 1114, 3}


class MySqlEngine:
    """Archives as rows of one database."""

    def __init__(self, address: Address, secrets: Mapping[str, str]) -> None:
        told = address.options
        self._where = address.where
        with self._translated():
            self._db = pymysql.connect(
                host=str(told["host"]),
                port=int(told["port"]),
                user=str(told["user"]),
                password=secrets.get("password", ""),
                database=str(told["database"]),
                charset="utf8mb4",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                write_timeout=ANSWER_SECONDS,
                autocommit=True,
                ssl_ca=str(told["ssl_ca"]) or None,
                # What does not fit is an error, never cut off: two names would become one.
                init_command="SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
            )

    def exists(self, place: Place) -> bool:
        """Whether there is a slice of it."""
        table, where, values = _rows(place)
        with self._translated():
            return bool(self._ask(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1", values))  # noqa: S608

    def put(self, place: Place, source: Source, *, force: bool = False) -> None:
        """Replaces or inserts all slices in one transaction."""
        table = _rows(place)[0]
        with self._translated(), self._db.cursor() as cursor:
            if self._ask(f"SELECT 1 FROM {table} LIMIT 1", ()) is None:  # noqa: S608
                cursor.execute(_TABLES[table])
            self._db.begin()
            try:
                self._replace(cursor, place, source, force)
                self._db.commit()
            except BaseException:
                self._undo()
                raise

    def _replace(self, cursor: Any, place: Place, source: Source, force: bool) -> None:
        table, where, values = _rows(place)
        cursor.execute(
            f"SELECT f_slice_index FROM {table} WHERE {where} LIMIT 1 FOR UPDATE",  # noqa: S608
            values,
        )
        there = cursor.fetchone() is not None
        if there and not force:
            raise _taken(place)
        if there:
            cursor.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608
        names = ", ".join(_columns(place))
        # Columns that every generation of the reference has, and none of them lacks a value.
        insert = (
            f"INSERT INTO {table} (f_create_time, f_update_time, f_size, f_content, "  # noqa: S608
            f"f_slice_index, {names}) VALUES (%s, %s, %s, %s, %s{', %s' * len(values)})"
        )
        for index, data in enumerate(streams.pieces(source.blocks(), SLICE)):
            text = base64.b64encode(pickled(data)).decode("ascii")
            now = int(time.time() * 1000)
            row = (now, now, len(text) + _PYTHON_STR, text, index, *values)
            try:
                cursor.execute(insert, row)
            except pymysql.err.IntegrityError as error:
                if error.args[0] == _TWICE:
                    raise _taken(place) from None
                raise

    def get(self, place: Place) -> Iterator[bytes]:
        """The slices one by one; `IntegrityError` if one is missing or damaged."""
        table, where, values = _rows(place)
        with self._translated():
            found = self._ask(
                f"SELECT f_slice_index FROM {table} WHERE {where} ORDER BY f_slice_index",  # noqa: S608
                values,
            )
        if not found:
            raise NotFound(f"the store has no archive of {place}")
        indexes = [int(row[0]) for row in found]
        if indexes != list(range(len(indexes))):
            raise IntegrityError(
                f"the store holds only some slices of {place}: it was not stored to the end"
            )
        return self._slices(place, len(indexes))

    def _slices(self, place: Place, count: int) -> Iterator[bytes]:
        table, where, values = _rows(place)
        one = f"SELECT CAST(f_content AS BINARY) FROM {table} WHERE {where} AND f_slice_index = %s"  # noqa: S608
        for index in range(count):
            with self._translated():
                rows = self._ask(one, (*values, index))
            if not rows:
                raise IntegrityError(f"{place} was removed from the store while it was read")
            data = unpickled(rows[0][0], f"slice {index} of {place}")
            if len(data) != SLICE and index + 1 < count:
                raise IntegrityError(f"slice {index} of {place} has {len(data)} bytes, not {SLICE}")
            yield data

    def delete(self, place: Place) -> bool:
        """Removes the slices."""
        if not self.exists(place):
            return False
        table, where, values = _rows(place)
        with self._translated(), self._db.cursor() as cursor:
            return bool(cursor.execute(f"DELETE FROM {table} WHERE {where}", values))  # noqa: S608

    def close(self) -> None:
        """Ends the connection."""
        if self._db.open:
            self._db.close()

    def _ask(self, query: str, values: tuple[Any, ...]) -> Any:
        """The rows; None if there is no such table."""
        with self._db.cursor() as cursor:
            try:
                cursor.execute(query, values)
            except pymysql.err.ProgrammingError as error:
                if error.args[0] == _NO_TABLE:
                    return None
                raise
            return cursor.fetchall()

    def _undo(self) -> None:
        try:
            self._db.rollback()
        except pymysql.err.Error:
            self.close()  # the server rolls back what a lost connection had begun

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except RegistryError:
            raise
        except pymysql.err.Error as error:
            raise self._error(error) from None
        except OSError as error:
            raise Unavailable(f"{self._where} does not answer: {error}", retry=False) from None

    def _error(self, error: pymysql.err.Error) -> RegistryError:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        text = str(error.args[1])[:200] if len(error.args) > 1 else type(error).__name__
        if code in _DENIED:
            return Forbidden(f"{self._where} refused the user: {text}")
        if code == _TOO_LONG:
            return TooLarge(
                f"{self._where}: {text}; widen that column of its table (the reference made it for "
                "100 characters)"
            )
        if code == _PACKET:
            return TooLarge(
                f"{self._where} takes no slice of 8 MiB: set its max_allowed_packet to 16M"
            )
        if code in _FULL:
            return Unavailable(f"{self._where} has no room: {text}", retry=False)
        if code in _BUSY:
            return Unavailable(f"{self._where}: another writes the same; try again", retry=False)
        return Unavailable(f"{self._where} failed: {text} ({code})", retry=False)


def _columns(place: Place) -> tuple[str, ...]:
    if place.component:
        return "f_party_model_id", "f_model_version", "f_component_name"
    return "f_model_id", "f_model_version"


def _rows(place: Place) -> tuple[str, str, tuple[str, ...]]:
    """Table, condition and values of the rows of an archive."""
    where = " AND ".join(f"{name} = %s" for name in _columns(place))
    if place.component:
        return _COMPONENTS, where, (place.party_model_id, place.model_version, place.component)
    return _MODELS, where, (place.party_model_id, place.model_version)


def _taken(place: Place) -> AlreadyExists:
    return AlreadyExists(f"the store has an archive of {place} already; force_update replaces it")


def pickled(data: bytes | bytearray) -> bytes:
    """What `pickle.dumps(data, 3)` makes of bytes."""
    length = len(data)
    head = b"C" + bytes([length]) if length < 256 else b"B" + struct.pack("<I", length)
    return b"".join((b"\x80\x03", head, data, b"q\x00."))


def unpickled(text: bytes, what: str) -> bytes:
    """The bytes of a row: base64 of a pickle (protocols 3 to 5) of one bytes object, and nothing else."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise IntegrityError(f"{what} is damaged: it is no base64") from None
    at = 2
    if raw[:2] not in (b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise IntegrityError(f"{what} is not in the form that FATE-Flow stores")
    if raw[at : at + 1] == b"\x95":  # a frame, which short ones have
        at += 9
    if raw[at : at + 1] == b"C":
        start, length = at + 2, raw[at + 1] if len(raw) > at + 1 else 0
    elif raw[at : at + 1] == b"B" and len(raw) >= at + 5:
        start, length = at + 5, int(struct.unpack_from("<I", raw, at + 1)[0])
    else:
        raise IntegrityError(f"{what} is not in the form that FATE-Flow stores")
    end = b"q\x00." if raw[1] == 3 else b"\x94."
    if raw[start + length :] != end:
        raise IntegrityError(f"{what} is damaged: it is cut short, or more than one slice")
    return raw[start : start + length]
