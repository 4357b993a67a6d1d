"""A burst of changes is rendered a few times, not once per change; the first shows at once."""

import threading
import time
from dataclasses import replace

import pytest

from chalicelib import wiring
from chalicelib.catalogue import drain, slugs
from chalicelib.registry import checkpoints, models, projects, publishing, versions
from chalicelib.storage.memory import MemoryBlobs
from chalicelib.storage.queues import Depth, SqliteQueue
from infra.embedded.worker import Worker, failed, sqs_event
from tests.registry_world import key_of, publish, setup_model, upload, world
from weighbridge.contract import manifests
from weighbridge.contract.types import CheckpointCommit, NewVersion

BETWEEN = 1.0
BURST = 100


class Site(MemoryBlobs):
    """A site that remembers what was written to it, and when."""

    def __init__(self):
        super().__init__()
        self.writes = []
        self.changed = threading.Condition()

    def put(self, key, *args, **options):
        answer = super().put(key, *args, **options)
        with self.changed:
            self.writes.append((key, time.monotonic()))
            self.changed.notify_all()
        return answer

    def times(self, path):
        """How often a page was written."""
        with self.changed:
            return [at for key, at in self.writes if key == slugs.object_key(path)]


@pytest.fixture
def running(tmp_path):
    """The registry with a queue and the worker of `weighbridge serve`."""
    stores, _ = world(tmp_path)
    queue = SqliteQueue(str(tmp_path / "queue.sqlite"))
    stores = replace(stores, queue=queue, site=Site(), now=time.time)
    setup_model(stores)
    import app

    workers = []

    def start(between):
        worker = Worker(
            queue, {"render": app.render_pages}, lambda event, context: None, first_sweep=600,
            gathered={"render": between},
        )  # fmt: skip
        workers.append(worker)
        worker.start()

    with wiring.using(stores):
        yield stores, start
        assert all(worker.stop(20) for worker in workers)
    queue.close()
    stores.table.close()


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def done(stores):
    """Whether nothing waits to be rendered."""
    return stores.queue.depth("render") == Depth()


def most(began):
    """The batches that may have been begun since: one at once, one per pause, one after the end."""
    return (time.monotonic() - began) / BETWEEN + 2


def model_page(stores):
    record = models.find(stores, "vision", "digits")
    return slugs.model_path("vision", "digits", record.id), record


def test_a_hundred_checkpoints_are_rendered_a_few_times(running):
    """Their version's pages follow in batches, and at last show all of them; the model's page, which tells
    nothing of checkpoints, is not touched."""
    stores, start = running
    version = publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of("run")))
    path, record = model_page(stores)
    start(BETWEEN)
    until(lambda: done(stores) and stores.site.times(path))
    found = versions.numbered(stores, record, version.number)
    entries = upload(stores, "vision", {"model.bin": b"weights"})
    before, began = len(stores.site.times(path)), time.monotonic()
    for step in range(1, BURST + 1):
        request = CheckpointCommit(
            manifests.digest(entries), entries, step, metrics={"loss": 1 / step}
        )
        checkpoints.commit(stores, "ann", found, request)
    series = slugs.checkpoints_path("vision", "digits", record.id, 1)
    shown = slugs.object_key(series)
    until(lambda: done(stores) and f"{BURST} checkpoints".encode() in stores.site.read(shown))
    assert 1 <= len(stores.site.times(series)) <= most(began)
    assert len(stores.site.times(path)) == before


def test_a_hundred_versions_are_rendered_a_few_times(running):
    """The model's page is written once per batch."""
    stores, start = running
    start(BETWEEN)
    path, _ = model_page(stores)
    until(lambda: done(stores))
    stores.site.writes.clear()
    began = time.monotonic()
    for number in range(BURST):
        publish(stores, {"model.bin": b"weights"}, metrics={"loss": 1 / (1 + number)})
    until(
        lambda: done(stores) and f"/{BURST}/".encode() in stores.site.read(slugs.object_key(path))
    )
    assert 1 <= len(stores.site.times(path)) <= most(began)


def test_the_first_change_waits_for_nothing_and_the_next_for_the_pause(running):
    """After a quiet while a change shows at once; what follows is kept together until the pause is over."""
    stores, start = running
    publish(stores, {"model.bin": b"weights"})
    path, _ = model_page(stores)
    start(600)
    until(lambda: done(stores))
    assert stores.site.times(f"{path}1/")
    publish(stores, {"model.bin": b"weights"})
    assert stores.queue.depth("render").waiting > 0
    assert not stores.site.times(f"{path}2/")


def test_a_batch_drains_each_project_once(running, monkeypatch):
    """Whatever the number of its messages; one that fails comes back once, and keeps no other back."""
    import app

    stores, _ = running
    setup_model(stores, "text", "encoder")
    good, bad = (projects.find(stores, name).id for name in ("vision", "text"))
    drained = []
    real = drain.woken

    def counted(given, project_id):
        drained.append(project_id)
        if project_id == bad:
            raise RuntimeError("a page that cannot be made")
        return real(given, project_id)

    monkeypatch.setattr(drain, "woken", counted)
    for _ in range(20):
        for project in (good, bad):
            stores.queue.send_many("render", [{"project": project}])
    messages = stores.queue.receive("render", 1000, 60)
    assert len(messages) > 40
    answer = app.render_pages(sqs_event(messages), None)
    assert sorted(drained) == sorted([good, bad])
    assert [m.body for m in failed(messages, answer)] == [f'{{"project":"{bad}"}}']
