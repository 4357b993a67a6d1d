"""A file while it is being pulled: its ranges are hashed once each, in order, whoever does it."""

import hashlib
import sys
import threading
from types import SimpleNamespace

import pytest

from weighbridge.contract.cuts import Span
from weighbridge.contract.digests import composite, composite_blob, parse_blob, sha256_of
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Part
from weighbridge.transfer import partial
from weighbridge.transfer.partial import Partial

COUNT = 400


@pytest.fixture
def file(tmp_path):
    """A draft of `COUNT` ranges of one byte each, with all bytes in it, and none noted."""
    data = bytes(number % 251 for number in range(COUNT))
    parts = [Part(number + 1, sha256_of(data[number : number + 1]), 1) for number in range(COUNT)]
    blob = composite_blob(composite(part.sha256 for part in parts), COUNT, COUNT, scheme=2)
    entry = FileEntry("w", COUNT, hashlib.sha256(data).hexdigest(), blob)
    made = Partial(entry, parse_blob(blob), tmp_path / "w", parts)
    assert len(made.begin()) == COUNT
    made.write(0, memoryview(data))
    yield made
    made.close()


def arrive(file, numbers):
    """These ranges arrived."""
    for number in numbers:
        file.wrote(Span(number, number - 1, 1), file.expected(Span(number, number - 1, 1)))


def going():
    """Nobody wants to stop."""
    return False


def in_thread(run):
    """Runs in a thread of its own; the thread."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_many_threads_that_follow_hash_each_range_once(file, monkeypatch):
    """However threads take turns at it, the digest is of each range once, and one of them was last."""
    hashed, last, quick = [], [], sys.getswitchinterval()
    real = file._hash

    def count(span):
        hashed.append(span.number)
        real(span)

    monkeypatch.setattr(file, "_hash", count)
    numbers = iter(range(1, COUNT + 1))
    lock = threading.Lock()

    def fetch():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            arrive(file, [number])
            if file.follow(going):
                last.append(number)

    sys.setswitchinterval(1e-6)
    try:
        threads = [in_thread(fetch) for _ in range(8)]
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(quick)
    assert hashed == list(range(1, COUNT + 1))
    assert len(last) == 1
    assert file.right()


def test_a_range_that_cannot_be_hashed_is_hashed_by_the_next(file, monkeypatch):
    """An error counts no range as hashed, and leaves the way free."""
    arrive(file, range(1, COUNT + 1))
    with monkeypatch.context() as broken:
        broken.setattr(file, "_hash", lambda span: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            file.follow(going)
    assert file.follow(going)
    assert file.right()


@pytest.fixture
def hashing(file, monkeypatch):
    """Somebody who hashes, with a share of the processor: two ranges are hashed, the third is at hand
    until it is let go."""
    clock = {"wall": 0.0}
    at_third, let_go = threading.Event(), threading.Event()

    def begin(share):
        def hashed(span):
            clock["wall"] += 1.0
            if span.number == 3:
                at_third.set()
                assert let_go.wait(60)

        times = SimpleNamespace(
            monotonic=lambda: clock["wall"], thread_time=lambda: share * clock["wall"]
        )
        monkeypatch.setattr(partial, "time", times)
        monkeypatch.setattr(file, "_hash", hashed)
        arrive(file, [1, 2, 3])
        thread = in_thread(lambda: file.follow(going))
        assert at_third.wait(60)
        return let_go, thread

    yield begin
    let_go.set()


def test_who_fetches_waits_for_a_digest_that_is_short_of_the_processor(file, hashing):
    """A range that is too far ahead is begun when the digest came near."""
    let_go, _ = hashing(0.5)
    begun = threading.Event()
    file.wait(Span(11, 10, 1), 8, going)  # eight ahead of the two that are hashed

    def begin():
        file.wait(Span(12, 11, 1), 8, going)
        begun.set()

    in_thread(begin)
    assert not begun.wait(0.5)
    let_go.set()
    assert begun.wait(60)


def test_nobody_waits_for_a_digest_that_has_a_processor_to_itself(file, hashing):
    """With a core to spare, fetching goes on however far it is ahead."""
    hashing(0.95)
    file.wait(Span(COUNT, COUNT - 1, 1), 8, going)


def test_nobody_waits_for_a_digest_that_waits_itself(file, hashing):
    """Where the next range is late, hashing takes nothing from anybody."""
    file.wait(Span(COUNT, COUNT - 1, 1), 8, going)
    let_go, thread = hashing(0.5)
    let_go.set()
    thread.join(60)
    file.wait(Span(COUNT, COUNT - 1, 1), 8, going)


def test_who_waits_gives_up_when_told(file, hashing):
    """An error elsewhere ends the wait."""
    hashing(0.5)
    stop = threading.Event()
    thread = in_thread(lambda: file.wait(Span(COUNT, COUNT - 1, 1), 8, stop.is_set))
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
