"""1,000 files dropped into a running stack in random order: exactly the complete checkpoints, once each."""

import json
import os
import random
import threading
import time

import pytest

from chalicelib.storage.queues import SqliteQueue
from tests.e2e.served import until
from tests.e2e.test_inbox import event, guest
from tests.inbox_drops import in_random_order, thousand
from weighbridge import Registry
from weighbridge.contract.errors import NotFound

pytestmark = [pytest.mark.real, pytest.mark.long]

WRITERS = 4


def catalogue(registry, project):
    """What the project's checkpoints are, but for numbers and times; a list, so that twins show."""
    rows = []
    for model in registry.models(project):
        for version in registry.versions(f"{project}/{model.name}", state="open"):
            for found in registry.checkpoints(f"{project}/{model.name}@={version.label}"):
                step = f"{found.step}#{found.name}"
                place = (model.name, version.label, "checkpoint", found.component or "-", step)
                rows.append(("/".join(place), found.files, found.size))
    return sorted(rows)


def expected(whole):
    """The same of the drops."""
    rows = []
    for folder, files in whole.items():
        kept = [data for name, data in files.items() if name != "_SUCCESS"]
        rows.append((folder.split("/", 2)[2].rstrip("/"), len(kept), sum(map(len, kept))))
    return sorted(rows)


@pytest.mark.parametrize("held_back", [False, True], ids=["as they come", "late"])
def test_a_thousand_files_for_long(person, embedded, record_property, held_back):
    """Four writers, every event at least twice and in random order, among the writes or after them."""
    seed = int(os.environ.get("DROP_SEED") or random.randrange(10**6))
    print(f"DROP_SEED={seed}")
    dice = random.Random(seed)
    project = f"in{seed}-{int(held_back)}"
    person.ok("project", "create", project)
    person.ok("project", "set", project, "--inbox", "on")
    client, bucket, _ = guest(person, project)
    whole, broken = thousand(project)
    files = in_random_order({**whole, **broken}, dice)
    assert len(files) == 1000
    queue = SqliteQueue(str(embedded.data / "queue.sqlite"))
    waiting = []

    def write(part, order):
        for key, data in part:
            client.put_object(Bucket=bucket, Key=key, Body=data)
            waiting.extend([key, key])
            while not held_back and waiting and order.random() < 0.6:
                queue.send("index", event(bucket, waiting.pop(order.randrange(len(waiting)))))

    started = time.monotonic()
    for last in (False, True):  # the writer of a `_SUCCESS` has put all else
        part = [file for file in files if file[0].endswith("_SUCCESS") is last]
        writers = [
            threading.Thread(target=write, args=(part[i::WRITERS], random.Random(dice.random())))
            for i in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    dice.shuffle(waiting)
    for key in waiting:
        queue.send("index", event(bucket, key))
    with Registry(embedded.url, embedded.token) as registry:

        def drained():
            depth = queue.depth("index")
            return depth.waiting + depth.in_flight == 0

        def count():
            try:
                return len(catalogue(registry, project))
            except NotFound:
                return 0

        until(drained, 600, 1)
        until(lambda: count() >= len(whole), 120, 2)
        until(drained, 120, 1)
        assert catalogue(registry, project) == expected(whole)
    assert queue.depth("index").dead == 0
    queue.close()
    client.close()
    history = person.json("history", project, "--all")
    assert "inbox.refused" not in json.dumps(history)
    for name, value in (("seed", seed), ("files", len(files)), ("checkpoints", len(whole))):
        record_property(name, value)
    record_property("settled_seconds", round(time.monotonic() - started, 1))
