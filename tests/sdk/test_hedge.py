"""The last range of a pull is asked for a second time when it is late; whoever is first, the file is right."""

import json
import os
import threading
import time
from collections import Counter

import pytest

from tests.sdk.fake_server import MIB, TOKEN, serving
from tests.sdk.test_pull_parts import WithLists
from weighbridge import Registry
from weighbridge.contract import errors
from weighbridge.transfer import hedge

PARTS = 5
PART = 5 * MIB
PATIENCE = 60


class Stalls:
    """Holds back the first request for one range, or all of them, until `free` is set."""

    def __init__(self, state, number, times=1):
        self.state, self.number, self.times = state, number, times
        self.free = threading.Event()
        self.seen = Counter()
        self.lock = threading.Lock()
        state.before = self

    def __call__(self, kind, path):
        if kind != "get" or "/lists/" in path:
            return
        with self.lock:
            self.seen["all"] += 1
            spans = [fields.get("Range") for _, where, fields in self.state.seen if path in where]
            mine = self._held(spans)
        if mine:
            self.free.wait(PATIENCE)

    def when(self, condition, then):
        """Does something once a condition holds; answers the thread that waits for it."""

        def run():
            deadline = time.monotonic() + PATIENCE
            while not condition() and time.monotonic() < deadline:
                time.sleep(0.02)
            then()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _held(self, spans):
        starts = sorted(offset for _, offset, _ in self.state.known.values())
        start = f"bytes={starts[self.number]}-" if self.number < PARTS else "none"
        if not (spans[-1] or "").startswith(start) or self.seen["held"] >= self.times:
            return False
        self.seen["held"] += 1
        return True


@pytest.fixture
def pushed(home, tmp_path, monkeypatch):
    """A registry with part lists and a pushed file; a range is late after a fifth of a second."""
    monkeypatch.setattr(hedge, "LEAST", 0.2)
    path = tmp_path / "model.safetensors"
    tensors = {
        str(n): {"dtype": "U8", "shape": [PART], "data_offsets": [n * PART, (n + 1) * PART]}
        for n in range(PARTS)
    }
    head = json.dumps(tensors).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + os.urandom(PARTS * PART))
    with serving() as server:
        server.RequestHandlerClass = WithLists
        server.damaged = False
        with Registry(server.url, TOKEN) as registry:
            registry.push("p/m", path)
            yield registry, server.state, path


def pull(registry, path, folder):
    """Pulls, and says how long it took and how much came."""
    began = time.monotonic()
    pulled = registry.pull("p/m", folder)
    assert (folder / path.name).read_bytes() == path.read_bytes()
    return time.monotonic() - began, pulled.received_bytes


@pytest.mark.parametrize("number", [0, PARTS - 1])
def test_a_range_that_stalls_does_not_hold_up_the_pull(pushed, tmp_path, number):
    """Its second request is answered at once: the file is whole long before the first one moves."""
    registry, state, path = pushed
    stalls = Stalls(state, number)
    seconds, received = pull(registry, path, tmp_path / "out")
    assert seconds < PATIENCE / 2
    assert stalls.seen["all"] > PARTS
    assert stalls.seen["held"] == 1
    assert received >= path.stat().st_size
    stalls.free.set()


def test_a_second_request_that_stalls_too_is_not_followed_by_a_third(pushed, tmp_path):
    """One at a time, and one per range; whichever comes first counts, the other is cut off."""
    registry, state, path = pushed
    stalls = Stalls(state, 2, times=9)
    late = threading.Event()
    freed = stalls.when(lambda: stalls.seen["held"] == 2, lambda: late.wait(1) or stalls.free.set())
    _, received = pull(registry, path, tmp_path / "out")
    freed.join()
    assert stalls.seen["held"] == 2
    assert path.stat().st_size <= received


def test_wrong_bytes_of_a_second_request_are_not_taken(pushed, tmp_path):
    """They are not those of the part list: they are asked for again before they count."""
    registry, state, path = pushed
    stalls = Stalls(state, 1)
    state.inject("get", *["ok"] * (PARTS + 1), "flip")
    _, received = pull(registry, path, tmp_path / "out")
    assert not state.faults["get"]
    # Not all of it came again, as it would if the file as a whole had turned out to be wrong.
    assert path.stat().st_size <= received < 2 * path.stat().st_size
    stalls.free.set()


def test_a_second_request_that_fails_leaves_the_first_alone(pushed, tmp_path):
    """A refusal of the second is no error of the pull."""
    registry, state, path = pushed
    stalls = Stalls(state, 1)
    state.inject("get", *["ok"] * (PARTS + 1), "gone")
    freed = stalls.when(lambda: not state.faults["get"], stalls.free.set)
    pull(registry, path, tmp_path / "out")
    freed.join()
    assert not state.faults["get"]


def test_an_interrupt_ends_both_requests(pushed, tmp_path):
    """When another range fails for good, nothing waits for the two that stall."""
    registry, state, _ = pushed
    stalls = Stalls(state, 1, times=9)

    def fail():
        state.objects.clear()
        stalls.free.set()

    stalls.when(lambda: stalls.seen["held"] == 2, fail)
    began = time.monotonic()
    with pytest.raises(errors.TransferError):
        registry.pull("p/m", tmp_path / "out")
    assert time.monotonic() - began < PATIENCE / 2
    stalls.free.set()


def test_what_is_not_late_is_asked_for_once(pushed, tmp_path, monkeypatch):
    """A range that takes less than its time has one request."""
    monkeypatch.setattr(hedge, "LEAST", float(PATIENCE))
    registry, state, path = pushed
    stalls = Stalls(state, 0)
    freed = stalls.when(lambda: stalls.seen["all"] == PARTS, stalls.free.set)
    pull(registry, path, tmp_path / "out")
    freed.join()
    assert stalls.seen == {"all": PARTS, "held": 1}
