"""Models of a Geti server: imported by the command line and by the server, the same either way."""

import random
import zipfile
from io import BytesIO

import pytest

from tests.e2e.edge.conftest import opened
from tests.e2e.edge.test_doors import pipeline_server_fetch
from tests.e2e.embedded.certificates import authority
from tests.e2e.served import Person, serving, until
from tests.geti.stub import TOKEN, number, package, running

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """A certificate for 127.0.0.1."""
    return authority(tmp_path_factory.mktemp("authority")).issue("127.0.0.1")


@pytest.fixture(scope="module")
def world(issued, tmp_path_factory):
    """A Geti server, the variables that name it, and a registry that they were given to."""
    with running(issued) as (geti, url):
        env = {"GETI_HOST": url, "GETI_TOKEN": TOKEN, "GETI_CA_FILE": str(issued.authority)}
        with serving(tmp_path_factory.mktemp("server"), extra=env) as served:
            yield geti, env, served


@pytest.fixture
def geti(world):
    """The Geti server, emptied."""
    found = world[0]
    for part in (found.projects, found.groups, found.models, found.packages, found.failures):
        part.clear()
    return found


@pytest.fixture
def door(world):
    """The edge door of a new project."""
    return opened(world[2])


@pytest.fixture
def person(world, door, tmp_path):
    """Somebody at a terminal with the same variables, and a token for the project."""
    return Person(tmp_path, world[2].url, door.token, extra=world[1])


def large(megabytes):
    """A package that does not compress."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("deployment/Detection/model/model.xml", "<net/>")
        data = random.Random(megabytes).randbytes(megabytes * 1_000_000)
        archive.writestr("deployment/Detection/model/model.bin", data)
    return made.getvalue()


def same(record):
    """A record without what differs from place to place."""
    return {n: v for n, v in record.items() if n not in ("file_url", "last_updated_date")}


def imported(door, own, *numbers):
    """An import by the server, to its end."""
    ids = [number(n) for n in numbers]
    body = {"models": [{"id": one, "group_id": number(0x101)} for one in ids]}
    answer = door.ask("POST", f"/projects/{own}/geti-models/download", json=body)
    if answer.status_code == 202:  # a busy machine
        place = answer.headers["Location"].removeprefix("/edge")
        until(lambda: door.get(place).json()["state"] == "done")
        assert door.get(place).json()["registered"] == ids
    else:
        assert (answer.status_code, answer.text) == (201, f"Registered: {', '.join(ids)}\n")


def test_the_command_line_imports_what_the_server_would(geti, door, world, person):
    """Listed, shown, tried, imported, repeated; the records are those of an import by the server."""
    own = geti.project(0x100, "Pallets")
    geti.packages[number(0x103)] = large(20)
    geti.packages[number(0x104)] = package("LICENSE", "deployment/D/model/model.xml")
    assert person.json("geti", "ls")["items"][0]["name"] == "Pallets"
    assert number(0x103) in person.ok("geti", "show", own).out
    would = person.json("geti", "import", own, "--to", door.project, "--dry-run")
    assert [one["outcome"] for one in would["items"]] == ["imported", "imported"]
    assert door.get("/models").json() == []
    done = person.json("geti", "import", own, "--to", door.project)
    assert [one["outcome"] for one in done["items"]] == ["imported", "imported"]
    records = door.get("/models").json()
    assert [one["id"] for one in records] == [number(0x103), number(0x104)]
    assert door.get(f"/models/{number(0x103)}/files").content == geti.packages[number(0x103)]
    before = len(geti.asked)
    again = person.json("geti", "import", "--to", door.project)
    assert {one["outcome"] for one in again["items"]} == {"there"}
    assert not [path for _, path, _ in geti.asked[before:] if path.endswith(":download")]

    other = opened(world[2])
    imported(other, own, 0x103, 0x104)
    assert [same(one) for one in other.get("/models").json()] == [same(one) for one in records]
    with door.native() as mine, other.native() as theirs:
        found = [
            registry.client.package(at.project, number(n))
            for registry, at in ((mine, door), (theirs, other))
            for n in (0x103, 0x104)
        ]
    assert [one.attributes for one in found[:2]] == [one.attributes for one in found[2:]]
    assert [one.package.sha256 for one in found[:2]] == [one.package.sha256 for one in found[2:]]


def test_a_comparison_finds_what_geti_has_changed(geti, door, person):
    """The same content packed anew is the same; other content is a failure, and nothing is overwritten."""
    own = geti.project(0x100, "Pallets")
    names = ("deployment/a", "deployment/b")
    geti.packages[number(0x103)] = package(*names)
    geti.packages[number(0x104)] = package(*names, text="int8")
    words = ("geti", "import", own, "--to", door.project)
    person.ok(*words)
    geti.packages[number(0x103)] = package(*reversed(names))
    geti.packages[number(0x104)] = package(*names, text="other")
    assert {one["outcome"] for one in person.json(*words)["items"]} == {"there"}
    outcome = person.run(*words, "--compare")
    assert outcome.code == 1
    assert "there" in outcome.out.splitlines()[0]
    assert "other content" in outcome.out.splitlines()[1]
    assert len(door.get("/models").json()) == 2


def test_one_that_fails_does_not_stop_the_others(geti, door, person):
    """Its reason is told; run again, it is imported."""
    geti.project(0x100, "Pallets")
    geti.packages[number(0x103)] = b"PK\x03\x04 broken"
    words = ("geti", "import", "--to", door.project)
    outcome = person.run(*words)
    assert outcome.code == 1
    assert "broken ZIP archive" in outcome.out
    assert "1 imported, 1 failed" in outcome.out
    assert TOKEN not in outcome.out + outcome.err
    geti.packages[number(0x103)] = package()
    assert "1 imported, 1 there" in person.ok(*words).out
    refused = person.run(*words, "--id", number(0x105))
    assert refused.code == 4
    assert number(0x105) in refused.err


def test_e40_the_video_pipeline_server_gets_an_imported_model(geti, door, tmp_path):
    """Found by its name, unpacked to where that client looks for a model of Geti."""
    own = geti.project(0x100, "Pallets")
    geti.packages[number(0x103)] = package("LICENSE", "deployment/Detection/model/model.xml")
    imported(door, own, 0x103)
    params = {"name": "YOLOX", "project_name": "Pallets", "precision": "FP16", "version": "1"}
    found = pipeline_server_fetch(door.url, ("x", door.token), params, tmp_path)
    assert found.name == "yolox-tiny openvino fp16_m-1_fp16"
    assert (found / "deployment/Detection/model/model.xml").read_text() == "<net/>"


def test_variables_that_are_missing_are_named(door, person):
    """Before anything is asked."""
    person.extra = {"GETI_HOST": "https://geti.example"}
    outcome = person.run("geti", "ls")
    assert outcome.code == 2
    assert "GETI_TOKEN" in outcome.err
    assert person.run("geti", "ls", "--sdk").code == 2
