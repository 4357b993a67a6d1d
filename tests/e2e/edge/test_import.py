"""Migration: `weighbridge edge import` copies a running reference, as often as one likes."""

import pytest

from tests.e2e.edge.conftest import archive, opened
from tests.e2e.edge.reference import running
from tests.e2e.served import Person

pytestmark = pytest.mark.real


@pytest.fixture
def reference():
    """A stand-in for the reference, and its address."""
    with running() as found:
        yield found


@pytest.fixture
def person(door, tmp_path, embedded):
    """Somebody who may write to the door's project."""
    return Person(tmp_path, embedded.url, door.token)


def without_url(record):
    """A record but for the address of its file, whose scheme and bucket differ."""
    return {**record, "file_url": record["file_url"].rpartition("/")[2]}


def test_a_reference_is_copied_with_ids_dates_and_bytes(door, person, reference):
    """Every record is answered as it was there, every package is the same; a repeat copies nothing."""
    there, url = reference
    given = [
        there.add(archive(), "bolt", "1", score=0.9, labels=["a"], overview={"x": [True, None]}),
        there.add(archive(), "bolt", "1", precision=["int8"], project_name="line/4", size=9),
        there.add(archive(a="b"), " odd/name@1% ", "v 2", labels=['["x"]'], file="é a.zip"),
    ]
    would = person.json("edge", "import", url, "--to", door.project, "--dry-run")
    assert [i["outcome"] for i in would["items"]] == ["copied"] * 3
    assert (door.get("/models").json(), there.fetched) == ([], [])
    done = person.json("edge", "import", url, "--to", door.project)
    assert {i["id"]: i["outcome"] for i in done["items"]} == dict.fromkeys(given, "copied")
    listed = door.get("/models").json()
    assert [without_url(r) for r in listed] == [
        without_url(there.records[i]) for i in sorted(given)
    ]
    for own in given:
        assert door.get(f"/models/{own}/files").content == there.packages[own]
    there.fetched.clear()
    again = person.json("edge", "import", url, "--to", door.project)
    assert {i["outcome"] for i in again["items"]} == {"there"}
    assert there.fetched == []
    changed = there.records[given[0]]
    changed.update(name="nut", score=0.95, last_updated_date="2026-11-21 05:09:38.129624 UTC")
    text = person.ok("edge", "import", url, "--to", door.project).out
    assert "3 records: 2 there, 1 changed" in text
    assert without_url(door.record(given[0])) == without_url(changed)


def test_what_cannot_be_copied_is_named_and_stops_nothing(door, person, reference):
    """A short id, no archive, two of one identity: exit code 1, the others are copied."""
    there, url = reference
    fine = there.add(archive(), "fine")
    short = there.add(archive(), "short", own="short")
    broken = there.add(b"text", "broken")
    empty = there.add(b"", "empty")
    twins = [there.add(archive(), "twin", precision=[p]) for p in ("fp16", "FP16")]
    outcome = person.run("edge", "import", url, "--to", door.project, "--json")
    assert outcome.code == 1
    found = {i["id"]: i for i in outcome.json["items"]}
    assert found[fine]["outcome"] == "copied"
    assert sorted(found[t]["outcome"] for t in twins) == ["copied", "failed"]
    words = {short: "shorter than 16", broken: "no ZIP", empty: "no ZIP"}
    for own, text in words.items():
        assert found[own]["outcome"] == "failed"
        assert text in found[own]["message"]
    kept = [t for t in twins if found[t]["outcome"] == "copied"]
    assert [r["id"] for r in door.get("/models").json()] == sorted([fine, *kept])


def test_a_list_that_the_reference_cuts_is_narrowed_down(door, person, reference):
    """230 records of a registry that lists a hundred: all are found."""
    there, url = reference
    data = archive()
    for number in range(230):
        there.add(data, f"m{number:03d}", precision=[("fp32", "fp16")[number % 2]])
    found = person.json("edge", "import", url, "--to", door.project, "--dry-run")
    assert len(found["items"]) == 230
    assert found["complete"] is True
    for number in range(150):
        there.add(data, "same", f"v{number}")
    outcome = person.run("edge", "import", url, "--to", door.project, "--dry-run")
    assert outcome.code == 1
    assert "some may be missing" in outcome.err


def test_a_reference_that_fails_is_an_error_that_says_what_to_do(door, person, reference):
    """A poisoned list, another server, none at all; single records can still be copied."""
    there, url = reference
    own = there.add(archive())
    there.poisoned = True
    outcome = person.run("edge", "import", url, "--to", door.project)
    assert (outcome.code, "--id" in outcome.err) == (7, True)
    person.ok("edge", "import", url, "--to", door.project, "--id", own)
    assert door.record(own)["id"] == own
    for wrong in (f"{url}/nothing", "http://127.0.0.1:1", "ftp://x"):
        outcome = person.run("edge", "import", wrong, "--to", door.project)
        assert outcome.code in (0, 2, 7), outcome.err
    missing = person.run("edge", "import", url, "--to", door.project, "--id", "f" * 16)
    assert missing.code == 4


def test_our_own_edge_door_can_be_copied_too(door, person, embedded, tmp_path):
    """From one project to another, with a token in the address."""
    own = door.registered(title="a/b", category="x", labels='["y"]')
    target = opened(embedded)
    other = Person(tmp_path, embedded.url, target.token)
    url = door.url.replace("http://", f"http://edge:{door.token}@")
    other.ok("edge", "import", url, "--to", target.project)
    assert target.record(own) == door.record(own)
