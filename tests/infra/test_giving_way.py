"""Rendering gives way to requests, and goes on however long they last."""

import threading
import time

import pytest

from chalicelib.storage.memory import MemoryBlobs
from infra.embedded import giving_way
from infra.embedded.giving_way import Traffic
from infra.embedded.wsgi import Application
from tests.infra import small_app
from tests.infra.asking import ask


class Counted(Traffic):
    """Remembers how long it was asked to wait."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def pause(self, seconds):
        self.asked.append(seconds)
        super().pause(seconds)


def compute(seconds):
    """Keeps this thread's processor busy."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.fixture
def traffic():
    return Counted()


@pytest.fixture
def site(traffic):
    return giving_way.giving_way(MemoryBlobs(), traffic)


def test_what_is_put_is_there(site):
    """It is the same site."""
    assert site.put("a", b"1", "text/plain", {"revision": "1"}, if_absent=True)
    assert site.read("a") == b"1"
    assert site.head("a").metadata["revision"] == "1"


def test_a_rest_is_in_proportion_to_what_was_computed(site, traffic):
    """And never longer than a second."""
    site.put("a", b"1")
    compute(0.02)
    site.put("b", b"1")
    assert giving_way.REST * 0.02 <= traffic.asked[-1] <= 1.0
    compute(0.4)
    site.put("c", b"1")
    assert traffic.asked[-1] == 1.0


def test_without_requests_nothing_waits():
    """Nobody is there to give way to."""
    began = time.monotonic()
    Traffic().pause(60)
    assert time.monotonic() - began < 30


def test_a_pause_ends_with_the_last_request(traffic):
    """Not with the first of two."""
    resumed = threading.Event()
    waiting = threading.Thread(target=lambda: (traffic.pause(60), resumed.set()))
    with traffic.request():
        with traffic.request():
            waiting.start()
        assert not resumed.wait(0.2)
    assert resumed.wait(30)
    waiting.join()


def test_a_request_that_does_not_end_holds_nothing_up_for_good(traffic, site):
    """A pause has an end of its own."""
    with traffic.request():
        for number in range(3):
            compute(0.002)
            site.put(f"page-{number}", b"1")
    assert site.read("page-2") == b"1"


def test_requests_are_counted_while_they_are_answered(monkeypatch):
    """Of the server's application, also those that fail."""
    application = Application(small_app.make())
    seen = []
    real = application._ask

    def asked(*args):
        seen.append(application.traffic._open)
        return real(*args)

    monkeypatch.setattr(application, "_ask", asked)
    assert ask(application, "/api/echo/a").status == 200
    assert ask(application, "/api/nothing").status == 404
    assert seen == [1, 1]
    assert application.traffic._open == 0
