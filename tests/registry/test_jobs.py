"""Jobs of the archive worker: one winner, repeated after a crash, asked for by id, secrets nowhere."""

import threading

import pytest

from chalicelib.registry import jobs, keys, projects, sweep
from chalicelib.registry.ports import Item, Put
from tests.registry_world import WorkingQueue, work_all, world
from weighbridge.contract.errors import (
    Conflict,
    IntegrityError,
    InvalidRequest,
    NotFound,
    Unavailable,
)

SEEN: list[tuple[str, dict, dict]] = []
FAILURES: list[BaseException] = []


def act(stores, job):
    """What the kind `test.act` does: fails as it is told, else answers its arguments."""
    SEEN.append((job.id, dict(job.args), dict(job.secrets)))
    if FAILURES:
        raise FAILURES.pop(0)
    return {"did": job.args}


jobs.register("test.act", f"{__name__}:act")


@pytest.fixture(autouse=True)
def quiet():
    """Nothing was done yet, nothing fails."""
    SEEN.clear()
    FAILURES.clear()


@pytest.fixture
def pid(stores):
    """The id of the project `vision`."""
    return projects.find(stores, "vision").id


def start(stores, pid, **more):
    """A queued job."""
    return jobs.submit(stores, pid, "test.act", "ann", {"n": 1}, **more)


def test_a_worker_that_has_registered_nothing_does_it(stores, pid, monkeypatch):
    """Who submits and who works are two processes: the job itself says what is to be done."""
    job = start(stores, pid)
    monkeypatch.setattr(jobs, "_kinds", {})
    assert work_all(stores) == 1
    assert jobs.find(stores, pid, job.id).state == "done"


def test_a_job_is_done_and_can_be_asked_for(stores, pid):
    """Queued, done once whatever is delivered twice, and forgotten by the sweep's notes."""
    job = start(stores, pid)
    assert (job.state, job.by, job.ended) == ("queued", "ann", False)
    (message,) = stores.queue.take("archive")
    for _ in range(3):
        jobs.work(stores, message["project"], message["job"])
    found = jobs.find(stores, pid, job.id)
    assert (found.state, found.result) == ("done", {"did": {"n": 1}})
    assert found.finished
    assert len(SEEN) == 1
    assert stores.table.get(keys.job_due(pid, job.id)) is None


def test_a_request_waits_for_its_job(tmp_path):
    """A quick one has ended when it is answered; a slow one is answered as it is."""
    stores, _ = world(tmp_path, working=True)
    assert isinstance(stores.queue, WorkingQueue)
    assert jobs.run(stores, "p", "test.act", "ann", {}).state == "done"
    stores.queue.stores = None
    slow = jobs.run(stores, "p", "test.act", "ann", {}, wait=0.05)
    assert slow.state == "queued"
    worker = threading.Timer(0.05, work_all, [stores])
    worker.start()
    assert jobs.waited(stores, slow, 20).state == "done"
    worker.join()
    stores.table.close()


def test_of_many_workers_one_does_it(stores, pid):
    """Eight deliveries at once."""
    job = start(stores, pid)
    threads = [threading.Thread(target=jobs.work, args=(stores, pid, job.id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(SEEN) == 1
    assert jobs.find(stores, pid, job.id).state == "done"


def test_a_failure_is_told_as_the_error_that_it_was(stores, pid):
    """With code, message and details; one that nobody foresaw tells nothing of the server."""
    FAILURES.append(IntegrityError("it is damaged", path="x"))
    job = start(stores, pid)
    work_all(stores)
    failed = jobs.find(stores, pid, job.id)
    assert failed.state == "failed"
    error = failed.failure()
    assert isinstance(error, IntegrityError)
    assert (error.message, error.details) == ("it is damaged", {"path": "x"})


@pytest.mark.parametrize("error", [Unavailable("the store is away"), ZeroDivisionError("secret")])
def test_what_may_pass_is_tried_again_and_then_given_up(stores, pid, error):
    """An outage and a surprise come back to the queue; after five attempts the job has failed."""
    job = start(stores, pid)
    stores.queue.take("archive")
    FAILURES.extend([error] * 9)
    for attempt in range(1, jobs.ATTEMPTS):
        with pytest.raises(type(error)):
            jobs.work(stores, pid, job.id)
        assert jobs.find(stores, pid, job.id).attempts == attempt
        assert jobs.find(stores, pid, job.id).state == "queued"
    jobs.work(stores, pid, job.id)
    failed = jobs.find(stores, pid, job.id)
    assert (failed.state, len(SEEN)) == ("failed", jobs.ATTEMPTS)
    assert "secret" not in repr(failed)
    jobs.work(stores, pid, job.id)
    assert len(SEEN) == jobs.ATTEMPTS


def test_an_outage_that_is_final_is_not_tried_again(stores, pid):
    """A second store that does not answer is told at once."""
    FAILURES.append(Unavailable("mysql does not answer", retry=False))
    job = start(stores, pid)
    work_all(stores)
    assert jobs.find(stores, pid, job.id).state == "failed"


def test_a_worker_that_died_leaves_its_job_to_the_next(stores, clock, pid):
    """Not before its lease is over; the sweep sends the message that was lost."""
    job = start(stores, pid)
    stores.queue.take("archive")
    FAILURES.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        jobs.work(stores, pid, job.id)
    assert jobs.find(stores, pid, job.id).state == "running"
    jobs.work(stores, pid, job.id)
    assert len(SEEN) == 1
    clock.time += jobs.LOST + 1
    assert sweep.run(stores).revived == 0
    clock.time += jobs.LEASE + 1
    assert sweep.run(stores).revived == 1
    assert work_all(stores) == 1
    assert jobs.find(stores, pid, job.id).state == "done"
    clock.time += jobs.LEASE + 1
    assert sweep.run(stores).revived == 0


def test_a_worker_that_comes_back_late_changes_nothing(stores, clock, pid, monkeypatch):
    """It took longer than its lease, and another did the job meanwhile."""
    job = start(stores, pid)
    clock.time += 1

    def slow(stores, job):
        if not SEEN:
            SEEN.append((job.id, {}, {}))
            clock.time += jobs.LEASE + 1
            jobs.work(stores, pid, job.id)
            raise IntegrityError("too late")
        return {"by": "the other"}

    monkeypatch.setitem(jobs._kinds, "test.act", f"{__name__}:late")
    monkeypatch.setitem(globals(), "late", slow)
    work_all(stores)
    assert jobs.find(stores, pid, job.id).result == {"by": "the other"}


def test_a_server_that_starts_again_takes_up_what_it_was_doing(stores, pid):
    """It alone works on its jobs, so none has to wait for a lease."""
    job = start(stores, pid)
    stores.queue.take("archive")
    FAILURES.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        jobs.work(stores, pid, job.id)
    jobs.recover(stores)
    jobs.work(stores, pid, job.id)
    assert jobs.find(stores, pid, job.id).state == "done"


def test_a_queue_that_does_not_take_the_message_loses_no_job(stores, clock, pid, monkeypatch):
    """The sweep sends it."""

    def refuse(topic, message):
        raise Unavailable("the queue is away")

    with monkeypatch.context() as patched:
        patched.setattr(stores.queue, "send", refuse)
        job = start(stores, pid)
    clock.time += jobs.LOST + 1
    sweep.run(stores)
    work_all(stores)
    assert jobs.find(stores, pid, job.id).state == "done"


def test_the_same_key_is_the_same_job_until_it_has_ended(stores, pid):
    """So a request that is repeated waits for what it began."""
    first = start(stores, pid, key="export x")
    assert start(stores, pid, key="export x").id == first.id
    assert start(stores, pid, key="export y").id != first.id
    work_all(stores)
    assert start(stores, pid, key="export x").id != first.id


def test_secrets_reach_the_worker_and_are_nowhere_else(stores, clock, pid):
    """Neither share holds them; when the message is lost, so are they, and the job says so."""
    secret = {"password": "s3cret-s3cret", "user": "müller"}
    job = start(stores, pid, secrets=secret)
    item = stores.table.get(keys.job(pid, job.id))
    (message,) = stores.queue.take("archive")
    for place in (repr(item), repr(message), repr(job)):
        assert "s3cret" not in place
        assert b"s3cret".hex() not in place
    jobs.work(stores, pid, job.id, message["share"])
    assert [(job.id, {"n": 1}, secret)] == SEEN
    assert "share" not in stores.table.get(keys.job(pid, job.id)).doc
    assert jobs.find(stores, pid, job.id).secrets == {}
    lost = start(stores, pid, secrets=secret)
    stores.queue.take("archive")
    clock.time += jobs.LOST + 1
    sweep.run(stores)
    work_all(stores)
    assert jobs.find(stores, pid, lost.id).state == "queued"  # it may only be late
    clock.time += jobs.PATIENCE
    sweep.run(stores)
    work_all(stores)
    failed = jobs.find(stores, pid, lost.id)
    assert isinstance(failed.failure(), Conflict)
    assert "ask for it again" in failed.failure().message


def test_what_cannot_be_a_job_is_refused(stores, pid):
    """An unknown kind or id, too much to keep, and a kind that is something else already."""
    with pytest.raises(InvalidRequest, match=r"test\.other"):
        jobs.submit(stores, pid, "test.other", "ann", {})
    with pytest.raises(InvalidRequest, match="bytes"):
        jobs.submit(stores, pid, "test.act", "ann", {"x": "x" * jobs.MAX_DOCUMENT})
    with pytest.raises(NotFound):
        jobs.find(stores, pid, "nothing")
    with pytest.raises(ValueError, match="already"):
        jobs.register("test.act", "elsewhere:act")
    jobs.work(stores, pid, "nothing")
    stores.table.write(Put(Item(keys.job_due(pid, "gone"), {"until": 0})))
    sweep.run(stores)
    assert stores.table.get(keys.job_due(pid, "gone")) is None
