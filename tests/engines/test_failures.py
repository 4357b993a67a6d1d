"""What goes wrong with a second store is told in our words, and changes nothing here."""

import base64
import contextlib
import logging
import pickle
import socket
import threading
import time
from dataclasses import replace

import pytest

from chalicelib.engines import moving, mysql, redis_store
from chalicelib.engines.addresses import parse
from chalicelib.registry import jobs
from tests import engines_servers
from tests.engines.conftest import PLACE
from tests.engines_servers import PASSWORD
from weighbridge.contract.errors import (
    Forbidden,
    IntegrityError,
    NotFound,
    TooLarge,
    Unavailable,
)

pytestmark = pytest.mark.real
REFERENCE_17 = """CREATE TABLE t_machine_learning_model (
    f_model_id VARCHAR(100) NOT NULL, f_model_version VARCHAR(100) NOT NULL,
    f_size BIGINT NOT NULL, f_create_time BIGINT NOT NULL, f_update_time BIGINT NOT NULL,
    f_description TEXT, f_content LONGTEXT NOT NULL, f_slice_index INT NOT NULL,
    PRIMARY KEY (f_model_id, f_model_version, f_slice_index))"""
REFERENCE_19 = """CREATE TABLE t_machine_learning_model (
    f_create_time BIGINT, f_create_date DATETIME, f_update_time BIGINT, f_update_date DATETIME,
    f_model_id VARCHAR(100) NOT NULL, f_model_version VARCHAR(100) NOT NULL,
    f_size BIGINT NOT NULL, f_content LONGTEXT NOT NULL, f_slice_index INT NOT NULL,
    PRIMARY KEY (f_model_id, f_model_version, f_slice_index))"""
COLUMNS = "f_model_id, f_model_version, f_slice_index, f_size, f_content"


def opened(form, **other):
    """The store of an address with some options changed."""
    return moving.opened(parse({**form, **other}))


def dead_port():
    """A port that refuses connections."""
    return engines_servers.free_port()


@pytest.mark.parametrize("kind", ["mysql", "redis", "tencent_cos", "s3"])
def test_wrong_credentials_are_refused(stores, archive, request, kind):
    """With the store's name, and without the password."""
    if kind in ("mysql", "redis"):
        form, wrong = request.getfixturevalue(f"{kind}_form"), {"password": "wrong-password-77"}
    else:
        form = request.getfixturevalue("object_forms")[kind]
        wrong = {"SecretKey" if kind == "tencent_cos" else "secret_key": "wrong-password-77"}
    with pytest.raises(Forbidden, match=kind) as caught, opened(form, **wrong) as engine:
        moving.store(stores, engine, PLACE, archive)
    assert "wrong-password-77" not in caught.value.message


@pytest.mark.parametrize("kind", ["mysql", "redis", "tencent_cos", "s3"])
def test_a_dead_server_is_told(stores, archive, request, kind):
    """At once, as unavailable and not to be tried again by the worker."""
    if kind in ("mysql", "redis"):
        form, dead = request.getfixturevalue(f"{kind}_form"), {"port": dead_port()}
    else:
        form = request.getfixturevalue("object_forms")[kind]
        name = "Endpoint" if kind == "tencent_cos" else "endpoint"
        dead = {name: f"http://127.0.0.1:{dead_port()}"}
    began = time.monotonic()
    with pytest.raises(Unavailable, match=kind) as caught, opened(form, **dead) as engine:
        moving.store(stores, engine, PLACE, archive)
    assert caught.value.details["retry"] is False
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("kind", ["mysql", "redis"])
def test_a_server_that_accepts_and_says_nothing_does_not_hold_us(request, kind, monkeypatch):
    """Reading and connecting have a limit."""
    monkeypatch.setattr(mysql, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(mysql, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(redis_store, "ANSWER_SECONDS", 1)
    form = request.getfixturevalue(f"{kind}_form")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(Unavailable), opened(form, port=port):
            pass
        assert time.monotonic() - began < 10


def test_a_full_redis_keeps_nothing(stores, archive, redis_form, redis_server):
    """`maxmemory` is reached and nothing may be evicted: told so, and no key appears."""
    with contextlib.closing(engines_servers.client(redis_server.port)) as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("maxmemory", "2mb")
        try:
            with opened(redis_form) as engine:
                with pytest.raises(Unavailable, match="full"):
                    moving.store(stores, engine, PLACE, archive)
                assert not engine.exists(PLACE)
        finally:
            admin.config_set("maxmemory", "0")


def test_a_key_of_redis_expires(stores, project_id, archive, redis_form, redis_server):
    """`ex` is set, and what has expired is not found."""
    with (
        contextlib.closing(engines_servers.client(redis_server.port)) as admin,
        opened(redis_form, ex="300") as engine,
    ):
        moving.store(stores, engine, PLACE, archive)
        assert 290 < admin.ttl(PLACE.redis_key) <= 300
        assert admin.get(PLACE.redis_key) == stores.blobs.read(archive.key)
        admin.pexpire(PLACE.redis_key, 1)
        until = time.monotonic() + 10
        while engine.exists(PLACE) and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(NotFound, match="expired"):
            moving.restore(stores, project_id, engine, PLACE)
        moving.store(stores, engine, PLACE, archive)
        blocks = engine.get(PLACE)
        next(blocks)
        admin.delete(PLACE.redis_key)
        with pytest.raises(IntegrityError, match="expired or changed"):
            list(blocks)
        moving.store(stores, engine, PLACE, archive)
        blocks = engine.get(PLACE)
        next(blocks)
        admin.setrange(PLACE.redis_key, 5_000_000, b"other")
        with pytest.raises(IntegrityError, match="changed"):
            list(blocks)
    assert [h.key for h in stores.blobs.list("archives/").heads] == [archive.key]


def test_redis_takes_512_mib_at_most(stores, archive, redis_form):
    """Said before a byte is sent."""
    with opened(redis_form) as engine:
        with pytest.raises(TooLarge, match="536870912"):
            moving.store(stores, engine, PLACE, replace(archive, size=redis_store.MAX_VALUE + 1))
        assert not engine.exists(PLACE)


def slices(data):
    """What the reference puts into rows: base64 of a pickle of each 8 MiB."""
    for start in range(0, len(data), mysql.SLICE):
        yield base64.b64encode(pickle.dumps(data[start : start + mysql.SLICE])).decode()


def insert(tables, data, extra=""):
    """The rows of the reference."""
    names = COLUMNS + (", f_create_time, f_update_time" if extra else "")
    for index, text in enumerate(slices(data)):
        row = (PLACE.party_model_id, PLACE.model_version, index, len(text) + 49, text)
        more = (1, 1) if extra else ()
        marks = ", ".join(["%s"] * (len(row) + len(more)))
        tables.execute(
            f"INSERT INTO t_machine_learning_model ({names}) VALUES ({marks})", (*row, *more)
        )


@pytest.mark.parametrize(("table", "extra"), [(REFERENCE_17, "times"), (REFERENCE_19, "")])
def test_tables_of_the_reference_are_read_and_written(
    stores, project_id, archive, mysql_form, tables, table, extra
):
    """What it stored comes back, and what we store is in its form, to the byte."""
    data = stores.blobs.read(archive.key)
    tables.execute(table)
    insert(tables, data, extra)
    with opened(mysql_form) as engine:
        assert engine.exists(PLACE)
        assert moving.restore(stores, project_id, engine, PLACE).sha256 == archive.sha256
        moving.store(stores, engine, PLACE, archive, force=True)
        tables.execute(f"SELECT {COLUMNS} FROM t_machine_learning_model ORDER BY f_slice_index")
        rows = tables.fetchall()
    assert b"".join(pickle.loads(base64.b64decode(row[4])) for row in rows) == data
    assert [len(row[4]) + 49 for row in rows] == [row[3] for row in rows]


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("size", [0, 1, 255, 256, 70_000])
def test_the_form_of_a_slice_is_read_without_unpickling(protocol, size):
    """Every protocol that Python 3 has written; ours is what protocol 3 makes."""
    data = bytes(range(256)) * 300
    data = data[:size]
    text = base64.b64encode(pickle.dumps(data, protocol))
    assert mysql.unpickled(text, "x") == data
    if protocol == 3:
        assert mysql.pickled(data) == pickle.dumps(data, 3)


def test_anything_else_in_a_slice_is_refused():
    """Another object, code, more than one, cut short, no base64: never executed."""

    class Evil:
        def __reduce__(self):
            return print, ("executed",)

    for raw in (
        pickle.dumps(Evil()), pickle.dumps([b"x"]), pickle.dumps("x"), pickle.dumps(b"x")[:-1],
        pickle.dumps(b"x") * 2, b"", b"\x80", b"\x80\x04", b"\x80\x04B\xff\xff\xff\xff",
    ):  # fmt: skip
        with pytest.raises(IntegrityError):
            mysql.unpickled(base64.b64encode(raw), "x")
    with pytest.raises(IntegrityError):
        mysql.unpickled(b"!!!!", "x")


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        ("DELETE FROM t_machine_learning_model WHERE f_slice_index = 1", "some slices"),
        ("DELETE FROM t_machine_learning_model WHERE f_slice_index = 0", "some slices"),
        ("UPDATE t_machine_learning_model SET f_content = 'AAAA' WHERE f_slice_index = 2", "form"),
        (
            "UPDATE t_machine_learning_model SET f_content = LEFT(f_content, 4000) "
            "WHERE f_slice_index = 1",
            "cut short",
        ),
    ],
)
def test_half_written_slices_are_told(
    stores, project_id, archive, mysql_form, tables, spoil, error
):
    """A gap, a missing beginning, a damaged row: an error, and nothing is left here."""
    with opened(mysql_form) as engine:
        moving.store(stores, engine, PLACE, archive)
        assert tables.execute(spoil) == 1
        with pytest.raises(IntegrityError, match=error):
            moving.restore(stores, project_id, engine, PLACE)
    assert [h.key for h in stores.blobs.list("archives/").heads] == [archive.key]


def test_a_missing_end_is_told(stores, project_id, archive, mysql_form, tables):
    """By the hash that was recorded, or where the archive is opened."""
    from chalicelib.archives import unpacking
    from weighbridge.contract.errors import InvalidRequest

    with opened(mysql_form) as engine:
        moving.store(stores, engine, PLACE, archive)
        tables.execute("DELETE FROM t_machine_learning_model WHERE f_slice_index = 2")
        with pytest.raises(IntegrityError, match="sha256"):
            moving.restore(stores, project_id, engine, PLACE, sha256=archive.sha256)
        short = moving.restore(stores, project_id, engine, PLACE)
    with pytest.raises(InvalidRequest, match=r"cut short|no zip"):
        unpacking.unpack(stores, project_id, short.key)


def test_a_name_that_does_not_fit_the_reference_s_column_is_not_cut(
    stores, archive, mysql_form, tables
):
    """Two federations would become one: refused, with what to do about it."""
    tables.execute(REFERENCE_19)
    long = replace(PLACE, party_model_id=f"guest#1#{'host-' + '_'.join(map(str, range(90)))}#model")
    with opened(mysql_form) as engine:
        with pytest.raises(TooLarge, match="widen"):
            moving.store(stores, engine, long, archive)
        tables.execute("DROP TABLE t_machine_learning_model")
        moving.store(stores, engine, long, archive)
        assert engine.exists(long)


def test_a_connection_that_is_lost_half_way_leaves_no_slice(stores, archive, mysql_form, tables):
    """The transaction is the server's to undo."""
    with opened(mysql_form) as engine:
        moving.store(stores, engine, replace(PLACE, model_version="other"), archive)
        real = moving._Object.blocks

        def cut(self):
            for number, block in enumerate(real(self)):
                if number == 3:
                    tables.execute(
                        "SELECT id FROM information_schema.processlist WHERE user='fate'"
                    )
                    for (thread,) in tables.fetchall():
                        tables.execute(f"KILL {thread}")
                yield block

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(moving._Object, "blocks", cut)
            with pytest.raises(Unavailable):
                moving.store(stores, engine, PLACE, archive)
    tables.execute("SELECT COUNT(*) FROM t_machine_learning_model WHERE f_model_version <> 'other'")
    assert tables.fetchone() == (0,)


def copy(stores, job):
    """A job that stores the newest archive at the address it was given."""
    (head,) = stores.blobs.list("archives/").heads
    digest = job.args["sha256"]
    found = moving.packing.Archive(head.key, head.size, digest, 0)
    with moving.opened(moving.of_job(job, job.args["address"])) as engine:
        moving.store(stores, engine, PLACE, found)
    return {"stored": True}


jobs.register("test.copy", "tests.engines.test_failures:copy")


def everywhere(stores):
    """All that the table and the queue hold, as text."""
    db = stores.table._connections
    with db.reading() as connection:
        names = [
            r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        rows = [r for n in names for r in connection.execute(f'SELECT * FROM "{n}"')]
    return repr(rows) + repr(stores.queue.sent)


def test_a_password_in_a_request_is_used_and_kept_nowhere(
    stores, project_id, archive, mysql_form, caplog
):
    """Not in the table, the queue's message, the job, an answer or the log; before and after."""
    caplog.set_level(logging.DEBUG)
    secret = mysql_form["password"]
    stores.queue.stores = None
    public, secrets = moving.given(parse(mysql_form))
    assert secret not in repr(parse(mysql_form))
    args = {"address": public, "sha256": archive.sha256}
    job = jobs.submit(stores, project_id, "test.copy", "ann", args, secrets=secrets)
    assert secret not in everywhere(stores)
    (message,) = stores.queue.take("archive")
    assert message["share"]
    jobs.work(stores, message["project"], message["job"], message["share"])
    done = jobs.find(stores, project_id, job.id)
    assert done.result == {"stored": True}
    assert secret not in everywhere(stores)
    assert "share" not in everywhere(stores)
    assert secret not in repr(done)
    assert secret not in caplog.text


def test_a_failed_job_tells_why(stores, project_id, archive, redis_form):
    """The error of the store is the error of the job, and is final."""
    threads = threading.active_count()
    public, secrets = moving.given(parse({**redis_form, "password": "wrong-password-77"}))
    args = {"address": public, "sha256": archive.sha256}
    job = jobs.run(stores, project_id, "test.copy", "ann", args, secrets=secrets)
    assert job.state == "failed"
    assert isinstance(job.failure(), Forbidden)
    assert "wrong-password-77" not in repr(job)
    public, secrets = moving.given(parse({**redis_form, "port": dead_port()}))
    args = {"address": public, "sha256": archive.sha256}
    job = jobs.run(stores, project_id, "test.copy", "ann", args, secrets=secrets)
    assert (job.state, job.attempts) == ("failed", 1)
    assert isinstance(job.failure(), Unavailable)
    assert threading.active_count() <= threads
    assert PASSWORD not in repr(job)
