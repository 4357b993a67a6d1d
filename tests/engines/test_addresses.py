"""Addresses in the reference's form: what is taken, what is refused, and where secrets go."""

import json

import pytest
import yaml

from chalicelib.engines import addresses, directories, moving
from chalicelib.engines.addresses import parse, read, resolved
from chalicelib.engines.ports import Place
from chalicelib.settings import settings
from weighbridge.contract.errors import InvalidRequest, Unavailable, Unsupported

MYSQL = {
    "storage": "mysql", "database": "fate_model", "user": "fate", "password": "s3cret",
    "host": "127.0.0.1", "port": 3306, "max_connections": 10, "stale_timeout": 10,
}  # fmt: skip
REDIS = {"storage": "redis", "host": "127.0.0.1", "port": 6379, "db": 0, "password": "s3cret",
         "ex": None}  # fmt: skip
COS = {"storage": "tencent_cos", "Region": "ap-guangzhou", "SecretId": "s3cret-id",
       "SecretKey": "s3cret", "Bucket": "models-125"}  # fmt: skip


def test_the_forms_of_every_generation_are_taken():
    """Names that changed between releases mean the same."""
    assert parse(MYSQL).options["database"] == "fate_model"
    old = {"storage": "mysql", "name": "fate_model", "user": "fate", "passwd": "s3cret",
           "host": "127.0.0.1", "port": "3306"}  # fmt: skip
    assert parse(old) == parse(MYSQL)
    assert parse(REDIS).options["ex"] == 0
    assert parse({**REDIS, "ex": "60"}).options["ex"] == 60
    cos = parse(COS)
    assert addresses.endpoint(cos) == "https://cos.ap-guangzhou.myqcloud.com"
    assert cos.options["Addressing"] == "virtual"


@pytest.mark.parametrize("form", [MYSQL, REDIS, COS], ids=lambda f: f["storage"])
def test_secrets_stand_apart(form):
    """What may be stored and shown holds none of them, nor does a printed address."""
    address = parse(form)
    assert "s3cret" not in repr(address)
    public, secrets = moving.given(address)
    assert "s3cret" not in json.dumps(public)
    assert parse({**public, **secrets}) == address


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({}, "storage"),
        ({"storage": "oracle"}, "oracle"),
        ({"storage": "mysql"}, "host"),
        ({**MYSQL, "prot": 1}, "prot"),
        ({**MYSQL, "port": "many"}, "port"),
        ({**MYSQL, "port": 0}, "port"),
        ({**MYSQL, "port": True}, "port"),
        ({**MYSQL, "host": ["a"]}, "host"),
        ({**MYSQL, "password": "env:PATH"}, "reference"),
        ({**COS, "SecretKey": "secretsmanager:weighbridge/x"}, "reference"),
        ({**COS, "SecretId": ""}, "SecretId"),
        ({**COS, "Endpoint": "ftp://x"}, "endpoint"),
        ({**COS, "Addressing": "odd"}, "addressing"),
        ({**REDIS, "ex": -1}, "ex"),
    ],
)
def test_what_cannot_be_used_is_named(form, named):
    """The option, and what it should be."""
    with pytest.raises(InvalidRequest, match=named):
        parse(form)


def test_references_are_followed_in_the_worker_alone(monkeypatch):
    """The configuration may hold them; what is not there is named, and its value nowhere."""
    monkeypatch.setenv("MODEL_DB_PASSWORD", "s3cret")
    config = read(json.dumps({
        "enable_model_store": True, "model_store_address": {**MYSQL, "password": "env:MODEL_DB_PASSWORD"},
    }))  # fmt: skip
    assert config.enabled
    assert config.address.configured
    assert config.address.secrets == {"password": "env:MODEL_DB_PASSWORD"}
    assert config.address.public() == {"configured": True, "storage": "mysql"}
    assert resolved(config.address, {}.__getitem__) == {"password": "s3cret"}
    monkeypatch.delenv("MODEL_DB_PASSWORD")
    with pytest.raises(Unavailable, match="MODEL_DB_PASSWORD"):
        resolved(config.address, {}.__getitem__)
    for reference, answer in (
        ("weighbridge/db", "s3cret"),
        ("weighbridge/db#pw", '{"pw": "s3cret"}'),
    ):
        address = parse({**MYSQL, "password": f"secretsmanager:{reference}"}, configured=True)
        assert resolved(address, {"weighbridge/db": answer}.__getitem__) == {"password": "s3cret"}
    with pytest.raises(Unavailable, match="other"):
        resolved(
            parse({**MYSQL, "password": "secretsmanager:x#other"}, configured=True), lambda _: "{}"
        )


def test_the_reference_s_own_file_is_the_configuration(tmp_path):
    """`service_conf.yaml` as it is, with all that it holds besides."""
    file = tmp_path / "service_conf.yaml"
    content = {
        "use_registry": False, "enable_model_store": False, "fateflow": {"host": "127.0.0.1"},
        "model_store_address": REDIS,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(content))
    assert read(str(file)).address == parse(REDIS, configured=True)
    assert not read(str(file)).enabled
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert read(str(tmp_path / "x.json")) == read(str(file))
    assert read("") == addresses.Config()


@pytest.mark.parametrize(
    "text",
    ["/nowhere.yaml", "{", "{[", '{"model_store_address": 1}', '{"enable_model_store": true}',
     '{"enable_model_store": "yes", "model_store_address": {}}'],
)  # fmt: skip
def test_a_configuration_that_cannot_be_used_is_told(text):
    """By the name of the setting, or of what is wrong in it."""
    with pytest.raises(InvalidRequest, match=r"WEIGHBRIDGE_FATE_STORE|enable_model_store"):
        read(text)


def test_the_keys_are_the_reference_s():
    """In buckets, folders and Redis."""
    place = Place("guest#9999#guest-9999#model", "2020")
    assert place.object_key == "FATEFlow/PipelinedModel/guest#9999#guest-9999#model/2020.zip"
    assert place.redis_key == "FATEFlow:PipelinedModel:guest#9999#guest-9999#model:2020"
    part = Place("guest#9999#guest-9999#model", "2020", "lr_0")
    assert part.object_key == (
        "FATEFlow/PipelinedComponent/guest#9999#guest-9999#model/2020/lr_0.zip"
    )


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "a\\b", "a\nb", "x" * 1001])
@pytest.mark.parametrize("field", ["party_model_id", "model_version", "component"])
def test_names_that_are_paths_are_refused(name, field):
    """Before a store is asked."""
    if field == "component" and not name:
        return
    given = {"party_model_id": "a", "model_version": "b", "component": "c", field: name}
    with pytest.raises(InvalidRequest):
        Place(**given)


def test_folders_are_confined_to_the_root(tmp_path, monkeypatch):
    """Out of it neither by name nor by link; without a root, requests name no folder at all."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to("/etc")
    assert directories.confined("a/b", str(root)) == root / "a" / "b"
    for path in ("..", "/etc", "out", "a/../../x"):
        with pytest.raises(InvalidRequest, match="outside"):
            directories.confined(path, str(root))
    settings.cache_clear()
    monkeypatch.delenv("WEIGHBRIDGE_FATE_STORE_ROOT", raising=False)
    form = {"storage": "localfs", "path": str(tmp_path)}
    with pytest.raises(InvalidRequest, match="FATE_STORE_ROOT"), moving.opened(parse(form)):
        pass
    with moving.opened(parse(form, configured=True)) as engine:
        assert not engine.exists(Place("a", "b"))
    settings.cache_clear()


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    """With what to install; nothing else needs it."""
    monkeypatch.setitem(__import__("sys").modules, "chalicelib.engines.mysql", None)
    with pytest.raises(Unsupported, match=r"weighbridge\[mysql\]"), moving.opened(parse(MYSQL)):
        pass
