"""A training under retention, by the real commands on the real stack: what is kept, what is freed."""

import hashlib
import sqlite3
from contextlib import closing

import pytest

from tests.e2e.served import Person, serving, until

pytestmark = pytest.mark.real

SIZE = 200_000
SHORT = {"WEIGHBRIDGE_LEASE_SECONDS": "5", "WEIGHBRIDGE_SIGN_SECONDS": "5"}
"""Leases and signed URLs as short as a test: bytes are free once both are over."""


def weights(step):
    """Content that no other step shares."""
    return hashlib.sha256(str(step).encode()).digest() * (SIZE // 32)


def stored(served):
    """Bytes of all blobs in the store."""
    pages = served.s3().get_paginator("list_objects_v2")
    found = pages.paginate(Bucket="weighbridge-artifacts", Prefix="blobs/")
    return sum(o["Size"] for page in found for o in page.get("Contents", []))


def settled(served):
    """Whether every change was rendered, and what was evicted refers to its blobs no more."""
    with closing(sqlite3.connect(served.data / "catalog.sqlite")) as db:
        left = "pk LIKE 'O#%' OR (pk LIKE 'C#%' AND sk LIKE 'X#%')"
        [[count]] = db.execute(f"SELECT count(*) FROM items WHERE {left}")
        return not count


def test_a_training_keeps_what_its_retention_says_and_frees_the_rest(tmp_path):
    """30 checkpoints: first all are there, a dry run tells, the rules take hold, bytes go down, the
    promoted one survives and the training goes on from the last."""
    model = "lab/run"
    with serving(tmp_path, extra=SHORT) as served:
        person = Person(tmp_path, served.url, served.token)
        (tmp_path / "seed").write_bytes(b"seed")
        person.ok("push", model, "seed")
        for step in range(1, 31):
            (tmp_path / "w").write_bytes(weights(step))
            loss = abs(step - 10.2)
            person.ok("checkpoint", "push", f"{model}@1", "w", "--step", step * 10, "--metric",
                      f"loss={loss}", "--quiet")  # fmt: skip
        person.ok("model", "set", model, "--main-metric", "loss", "--direction", "loss=min")
        promoted = person.json(
            "checkpoint", "promote", f"{model}@1:20", "--label", "1.0", "--alias", "stage"
        )
        assert promoted["version"]["source"] == f"{model}@1:20"
        ranked = person.json("checkpoint", "ls", f"{model}@1", "--by", "loss", "--limit", "2")
        assert [c["number"] for c in ranked["items"]] == [10, 11]
        ranged = person.json("checkpoint", "ls", f"{model}@1", "--step", "50..80")
        assert [c["step"] for c in ranged["items"]] == [50, 60, 70, 80]
        before = stored(served)
        assert before >= 30 * SIZE
        # Commits that are rendered once rules are in force evict by them.
        until(lambda: settled(served))
        rules = ("--keep-last", "3", "--keep-best", "loss=min:2")
        person.ok("retention", "set", f"{model}@1", *rules)
        dry = person.json("checkpoint", "prune", f"{model}@1", "--dry-run")
        assert (dry["evicted"], dry["freed_bytes"]) == (25, 24 * len(weights(1)))
        assert dry["shared_bytes"] == len(weights(1))  # the promoted one's
        assert len(person.json("checkpoint", "ls", f"{model}@1")["items"]) == 30
        done = person.json("checkpoint", "prune", f"{model}@1", "--yes")
        assert (done["evicted"], done["freed_bytes"]) == (25, dry["freed_bytes"])
        left = person.json("checkpoint", "ls", f"{model}@1")["items"]
        assert [c["number"] for c in left] == [30, 29, 28, 11, 10]
        (tmp_path / "w").write_bytes(weights(31))
        person.ok("checkpoint", "push", f"{model}@1", "w", "--step", "310", "--quiet")

        def displaced():
            listed = person.json("checkpoint", "ls", f"{model}@1")["items"]
            return [c["number"] for c in listed] == [31, 30, 29, 11, 10]

        until(displaced)
        kinds = [e["kind"] for e in person.json("history", model)["items"]]
        assert kinds.count("checkpoint.evicted") == 2
        # A gathered rendering releases what was evicted before it; then the leases run.
        until(lambda: settled(served))
    with serving(tmp_path, extra=SHORT) as served:  # its first sweep comes soon
        person = Person(tmp_path, served.url, served.token)
        until(lambda: stored(served) <= before - 24 * SIZE, 90)
        resumed = person.json("checkpoint", "resume", f"{model}@1", "--to", "work", "--quiet")
        assert resumed["resumed"]["step"] == 310
        assert (tmp_path / "work" / "w").read_bytes() == weights(31)
        person.extra["WEIGHBRIDGE_CACHE_LIMIT"] = "0"
        person.ok("pull", f"{model}@stage", "--to", "out", "--quiet")
        assert (tmp_path / "out" / "w").read_bytes() == weights(20)
        assert person.run("checkpoint", "pull", f"{model}@1:5", "--to", "gone").code == 4
