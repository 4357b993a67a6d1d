"""`weighbridge backup` beside a running server, `restore` into a new data folder, and the same registry again."""

import contextlib
import json
import os
from dataclasses import replace

import pytest

import weighbridge
from tests.e2e.served import Person, serving, until
from weighbridge.contract import codec
from weighbridge.contract.types import ModelSettings, Quota, Scope

pytestmark = pytest.mark.real


def fill(registry, folder):
    """Versions, checkpoints, aliases, a card, a token, a provider, a quota; a file of several parts."""
    big, small = folder / "big.bin", folder / "small.txt"
    big.write_bytes(os.urandom(24 * 1024**2))
    small.write_text("small")
    client = registry.client
    first = registry.push("vision/digits", [big, small], label="1.0", metrics={"loss": 0.5})
    big.write_bytes(big.read_bytes()[: 20 * 1024**2] + os.urandom(4 * 1024**2))
    registry.push("vision/digits", [big], metrics={"loss": 0.4}, parents=["vision/digits@1"])
    for step in (1, 2):
        small.write_text(f"step {step}")
        registry.push_checkpoint("vision/digits@2", small, step, "enc", metrics={"loss": 1 / step})
    registry.push("team/guest#9999 größe 数字", small)
    registry.alias("vision/digits", "stage", 1)
    registry.alias("vision/digits", "stage", 2)
    registry.approve("vision/digits@2", comment="good")
    client.change_model("vision", "digits", settings=ModelSettings("loss", {"loss": "min"}))
    client.set_card("vision", "digits", "# Digits\n")
    client.create_token("reader", [Scope(("read",), "vision")])
    client.register_provider("acme", "1.0.0", "k8s", PROVIDER, project="vision")
    client.change_project("vision", "All that sees", quota=Quota(10**12, 100, 10))
    registry.push("vision/digits", small)
    registry.delete("vision/digits@3")
    assert first.version == 1


PROVIDER = {"image": "acme:1", "namespace": "fate"}


def answers(registry):
    """What the reading verbs say, as JSON."""
    client = registry.client
    found = {"projects": list(client.iter_projects())}
    tokens = [replace(t, last_used="") for t in client.iter_tokens()]
    found["tokens"] = {t.id: t for t in tokens}
    for project in found["projects"]:
        name = project.name
        found[name] = client.project(name), client.project_usage(name)
        found[name, "events"] = list(client.iter_events(name))
        found[name, "providers"] = list(client.iter_providers(name))
        for model in client.iter_models(name):
            at = name, model.name
            found[at] = model, client.card(*at), list(client.iter_versions(*at))
            for alias in model.aliases:
                found[at, alias] = list(client.iter_alias_history(*at, alias))
            for version in client.iter_versions(*at):
                where = (*at, version.number)
                found[where] = list(client.iter_version_files(*where)), client.version_facts(*where)
                points = list(client.iter_checkpoints(*where))
                found[where, "points"] = points
                for point in points:
                    found[where, point.number] = list(
                        client.iter_checkpoint_files(*where, point.number)
                    )
    found["compare"] = client.compare("vision/digits@1", "vision/digits@2")
    found["best"] = client.best_version("vision", "digits", "loss")
    return {key: json.dumps(codec.encode(_plain(value))) for key, value in found.items()}


def _plain(value):
    return list(value.values()) if isinstance(value, dict) else value


def pages(served):
    """Every object of the site."""
    with contextlib.closing(served.s3()) as s3:
        found = {}
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket="weighbridge-site"):
            for item in page.get("Contents", []):
                with contextlib.closing(
                    s3.get_object(Bucket="weighbridge-site", Key=item["Key"])["Body"]
                ) as body:
                    found[item["Key"]] = body.read()
        return found


def settled(served, registry):
    """Waits until all files were looked at and nothing is left to render."""
    client = registry.client

    def known():
        return all(
            item.facts
            for number in (1, 2)
            for item in client.version_facts("vision", "digits", number).items
        )

    until(known)
    before = {}

    def quiet():
        nonlocal before
        now = pages(served)
        same, before = now == before, now
        return same and any(key.endswith("/digits/2/index.html") for key in now)

    until(quiet, every=2.0)
    return before


def test_a_registry_comes_back_from_its_backup(tmp_path):
    """Taken while the server runs, restored beside it: every answer and every page is the same, the old
    tokens work, numbers go on, files are whole and deltas still find their parts."""
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir()
    vault = tmp_path / "vault"
    person = Person(tmp_path)
    with serving(homes[0]) as served, weighbridge.Registry(served.url, served.token) as registry:
        fill(registry, tmp_path)
        site = settled(served, registry)
        taken = person.json("backup", vault, "--data", served.data)
        assert taken["new_bytes"] > 28 * 1024**2
        again = person.json("backup", vault, "--data", served.data)
        assert again["new_objects"] == 0
        expected, token = answers(registry), served.token
    assert person.ok("restore", vault, "--dry-run").out.count("whole") == 1
    restored = person.json("restore", vault, "--data", homes[1] / "data")
    assert restored["objects"] == again["objects"]
    assert person.run("restore", vault, "--data", homes[1] / "data").code == 5
    with serving(homes[1]) as served, weighbridge.Registry(served.url, token) as registry:
        found = answers(registry)
        own, old = (
            {token["id"] for token in json.loads(each.pop("tokens"))} for each in (found, expected)
        )
        assert old < own
        assert found == expected
        assert pages(served) == site
        pulled = tmp_path / "pulled"
        registry.pull("vision/digits@stage", to=pulled)
        big = (pulled / "big.bin").read_bytes()
        (tmp_path / "next.bin").write_bytes(big[: 20 * 1024**2] + os.urandom(1024))
        pushed = registry.push("vision/digits", tmp_path / "next.bin")
        assert pushed.version == 4
        assert pushed.sent_bytes < 10 * 1024**2


def test_a_folder_without_a_registry_is_refused(tmp_path):
    """Nothing is backed up of it, nothing restored from it; nothing is left there."""
    person = Person(tmp_path)
    nothing = tmp_path / "nothing"
    assert person.run("backup", tmp_path / "vault", "--data", nothing).code == 2
    assert person.run("restore", tmp_path / "vault", "--data", nothing).code == 4
    assert person.run("restore", tmp_path / "no-vault", "--data", nothing).code == 2
    assert not nothing.exists()
