"""A registry, and every kind of second store on a real server."""

import contextlib
from collections.abc import Iterator

import pymysql
import pytest

from chalicelib.archives import packing
from chalicelib.engines import moving
from chalicelib.engines.addresses import parse
from chalicelib.engines.ports import Place
from chalicelib.registry import projects
from chalicelib.settings import settings
from tests import engines_servers
from tests.engines_servers import PASSWORD, Server
from tests.registry_world import setup_model, upload, world
from tests.storage.blobs_fixtures import seaweed  # noqa: F401

PLACE = Place("guest#9999#arbiter-10000#guest-9999#host-10000#model", "202006122009345696314")
FILES = {
    "define/define_meta.yaml": b"component_define: {}\n",
    "variables/data/lr/model/LRModelParam": bytes(range(256)) * 4096 * 20,  # 20 MiB: three slices
    "empty": b"",
}
KINDS = ["mysql", "redis", "tencent_cos", "s3", "directory"]


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """One MariaDB for all tests of a process."""
    with engines_servers.mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """One Redis for all tests of a process."""
    with engines_servers.redis_server() as server:
        yield server


@pytest.fixture
def stores(tmp_path):
    """A registry with the model `vision/digits`; jobs are done at once."""
    made, _ = world(tmp_path, working=True)
    setup_model(made)
    yield made
    made.table.close()


@pytest.fixture
def project_id(stores):
    """The id of the project `vision`."""
    return projects.find(stores, "vision").id


@pytest.fixture
def archive(stores, project_id):
    """A model as an archive."""
    members = [packing.of_file(entry) for entry in upload(stores, "vision", FILES)]
    return packing.assemble(stores, project_id, members)


@pytest.fixture
def mysql_form(mariadb):
    """The reference's address form of an empty database."""
    with contextlib.closing(engines_servers.root(mariadb.port)) as db, db.cursor() as cursor:
        cursor.execute("DROP DATABASE fate_model")
        cursor.execute("CREATE DATABASE fate_model")
    return {
        "storage": "mysql", "database": "fate_model", "user": "fate", "password": PASSWORD,
        "host": mariadb.host, "port": mariadb.port, "max_connections": 10, "stale_timeout": 10,
    }  # fmt: skip


@pytest.fixture
def redis_form(redis_server):
    """The reference's address form of an empty Redis."""
    with contextlib.closing(engines_servers.client(redis_server.port)) as found:
        found.flushall()
        found.config_set("maxmemory", "0")
    return {
        "storage": "redis", "host": redis_server.host, "port": str(redis_server.port), "db": 0,
        "password": PASSWORD, "ex": None,
    }  # fmt: skip


@pytest.fixture
def root_folder(tmp_path, monkeypatch):
    """The folder below which second stores may be."""
    folder = tmp_path / "second"
    monkeypatch.setenv("WEIGHBRIDGE_FATE_STORE_ROOT", str(folder))
    settings.cache_clear()
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def object_forms(seaweed):  # noqa: F811
    """Addresses of an empty bucket of SeaweedFS: as Tencent's, and as any other."""
    bucket = seaweed.site_bucket  # each bucket takes room for volumes: not one per test
    with contextlib.closing(seaweed.blobs(bucket)) as blobs:
        blobs.delete([head.key for head in blobs.list("").heads])
    cos = {
        "storage": "tencent_cos", "Region": "us-east-1", "SecretId": seaweed.access_key,
        "SecretKey": seaweed.secret_key, "Bucket": bucket, "Endpoint": seaweed.endpoint,
        "Addressing": "path",
    }  # fmt: skip
    plain = {
        "storage": "s3", "bucket": bucket, "endpoint": seaweed.endpoint, "prefix": "fate/",
        "access_key": seaweed.access_key, "secret_key": seaweed.secret_key,
    }  # fmt: skip
    return {"tencent_cos": cos, "s3": plain}


@pytest.fixture(params=KINDS)
def form(request):
    """An address of each kind of store, all empty."""
    if request.param == "mysql":
        return request.getfixturevalue("mysql_form")
    if request.param == "redis":
        return request.getfixturevalue("redis_form")
    if request.param == "directory":
        request.getfixturevalue("root_folder")
        return {"storage": "directory", "path": "fate"}
    return request.getfixturevalue("object_forms")[request.param]


@pytest.fixture
def engine(form):
    """The open store of an address."""
    with moving.opened(parse(form)) as made:
        yield made


@pytest.fixture
def tables(mariadb):
    """The administrator's cursor in the store's database."""
    db: pymysql.Connection = engines_servers.root(mariadb.port, "fate_model")
    with contextlib.closing(db), db.cursor() as cursor:
        yield cursor
