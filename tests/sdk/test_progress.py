"""What a person sees of a transfer."""

import io

import pytest

from tests.sdk.fake_server import MIB
from weighbridge.contract import errors
from weighbridge.transfer.progress import Bar, Events, Lines, duration, for_stream, size


class Recorder:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list = []

    def start(self, total, label) -> None:
        self.events.append(("start", total, label))

    def advance(self, moved, reused) -> None:
        self.events.append((moved, reused))

    def finish(self) -> None:
        self.events.append("finish")

    def sums(self):
        """Bytes moved and reused, in all."""
        steps = [e for e in self.events if isinstance(e, tuple) and e[0] != "start"]
        return sum(e[0] for e in steps), sum(e[1] for e in steps)


@pytest.mark.parametrize("fault", ["ok", "503", "drop", "flip", "expired"])
def test_events_of_a_push_add_up(registry, state, content, fault):
    """Whatever is repeated, what is told adds up to the files' size, once."""
    content("m/small", 70_000)
    folder = content("m/large", 33 * MIB).parent
    state.inject("put", fault)
    state.inject("part", fault, "ok", fault)
    seen = Recorder()
    registry.push("p/m", folder, progress=seen)
    total = 33 * MIB + 70_000
    assert seen.events[0] == ("start", total, "p/m")
    assert seen.events[-1] == "finish"
    assert sum(seen.sums()) == total
    again = Recorder()
    registry.push("p/m", folder, progress=again)
    assert again.sums() == (0, total)


def test_events_of_a_pull_add_up(registry, state, content, tmp_path):
    """A pull tells of every byte once, moved or already there."""
    registry.push("p/m", content("a", 40 * MIB))
    state.inject("get", "truncate", "ok", "503")
    seen = Recorder()
    registry.pull("p/m", tmp_path / "out", progress=seen)
    assert seen.sums() == (40 * MIB, 0)
    again = Recorder()
    registry.pull("p/m", tmp_path / "out", progress=again)
    assert again.sums() == (0, 40 * MIB)


def test_observer_is_told_the_end_after_a_failure(fake, registry, state, content):
    """`finish` comes after an error as well."""
    registry.push("p/m", content("a", 10))
    fake.state.token = "another"
    seen = Recorder()
    with pytest.raises(errors.Unauthenticated):
        registry.push("p/m", content("a", 10), progress=seen)
    assert seen.events in ([], [("start", 10, "p/m"), "finish"])


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_gets_a_bar_and_a_log_gets_lines():
    """The kind of stream decides."""
    assert isinstance(for_stream(_Terminal()), Bar)
    assert isinstance(for_stream(io.StringIO()), Lines)


def test_bar_shows_bytes_rate_and_what_was_reused():
    """A bar is one line that says how much, how fast, how long, and what was spared."""
    now = [0.0]
    stream = _Terminal()
    bar = Bar(stream, clock=lambda: now[0])
    bar.start(100_000_000, "p/m")
    now[0] = 2.0
    bar.advance(20_000_000, 40_000_000)
    last = stream.getvalue().split("\r")[-1]
    assert "60%" in last
    assert "60.0 MB of 100 MB" in last
    assert "10.0 MB/s" in last
    assert "4 s left" in last
    assert "reused 40.0 MB" in last
    bar.phase("send")
    assert " send: 60.0 MB of" in stream.getvalue()
    bar.finish()
    assert stream.getvalue().endswith("\n")
    assert stream.getvalue().count("\n") == 1


def test_lines_are_few_and_plain():
    """A log gets a line every five seconds, without control characters."""
    now = [0.0]
    stream = io.StringIO()
    lines = Lines(stream, clock=lambda: now[0])
    lines.start(1000, "p/m")
    for _ in range(100):
        now[0] += 0.1
        lines.advance(10, 0)
    lines.finish()
    assert 2 <= len(stream.getvalue().splitlines()) <= 3
    assert "\x1b" not in stream.getvalue()


def test_a_function_is_called_with_events():
    """A notebook's function gets what a bar shows."""
    now, events = [0.0], []
    meter = Events(events.append, clock=lambda: now[0])
    meter.start(100, "x")
    meter.phase("send")
    for _ in range(10):
        now[0] += 1.0
        meter.advance(3, 1)
    meter.finish()
    assert [e.moved for e in events] == [0, *range(3, 31, 3), 30]
    last = events[-1]
    assert (last.label, last.phase, last.total, last.done) == ("x", "send", 100, 40)
    assert (last.rate, last.left, last.seconds) == (3.0, 20.0, 10.0)
    assert [e.finished for e in events] == [False] * 11 + [True]
    assert last.share == 0.4


def test_the_rate_is_that_of_the_last_seconds():
    """What was fast an hour ago does not promise an end that never comes."""
    now, events = [0.0], []
    meter = Events(events.append, clock=lambda: now[0])
    meter.start(10**9, "x")
    for moved in [10**6] * 100 + [10**3] * 30:
        now[0] += 1.0
        meter.advance(moved, 0)
    assert events[50].rate == pytest.approx(10**6)
    assert events[-1].rate == pytest.approx(10**3)


@pytest.mark.parametrize("given", [3, "bar", object()])
def test_what_is_no_observer_is_refused(registry, content, given):
    """A wrong `progress` is said before anything is sent."""
    with pytest.raises(errors.InvalidRequest, match="progress"):
        registry.push("p/m", content("a", 10), progress=given)


def phases(events):
    """The phases in the order they came."""
    found = []
    for event in events:
        if event.phase and event.phase not in found[-1:]:
            found.append(event.phase)
    return found


def test_phases_of_a_push_and_a_pull(registry, content, tmp_path):
    """Each phase is told once, in order; what is there already is not sent or fetched."""
    folder = content("m/large", 33 * MIB).parent
    content("m/small", 1000)
    events = []
    registry.push("p/m", folder, progress=events.append)
    assert phases(events) == ["hash", "send", "complete", "publish"]
    assert [e.finished for e in events].count(True) == 1
    assert events[-1].finished
    assert (events[-1].moved, events[-1].reused) == (33 * MIB + 1000, 0)
    events.clear()
    registry.push("p/m", folder, progress=events.append)
    assert phases(events) == ["hash", "complete", "publish"]
    assert (events[-1].moved, events[-1].reused) == (0, 33 * MIB + 1000)
    for expected in (["read cache", "fetch", "verify"], ["read cache", "verify"]):
        events.clear()
        registry.pull("p/m", tmp_path / "out", progress=events.append)
        assert phases(events) == expected
    events.clear()
    registry.push_checkpoint("p/m@1", folder, 1, progress=events.append)
    assert phases(events) == ["hash", "complete", "publish"]
    events.clear()
    with registry.version("p/m", progress=events.append) as version:
        version.add(folder)
    assert phases(events) == ["hash", "complete"]


def test_the_last_line_says_what_was_sent_and_what_was_spared():
    """On a terminal and in a log alike; of an unfinished transfer, of how much."""
    for kind in (Bar, Lines):
        for moved, phase, text in (
            (21, "publish", "p/m: sent 21.0 MB, reused 979 MB"),
            (21, "verify", "p/m: received 21.0 MB, reused 979 MB"),
            (1, "send", "p/m: sent 1.0 MB, reused 979 MB of 1.0 GB"),
        ):
            stream = io.StringIO()
            shown = kind(stream)
            shown.start(10**9, "p/m")
            shown.phase(phase)
            shown.advance(moved * 10**6, 979 * 10**6)
            shown.finish()
            assert stream.getvalue().rstrip("\n").rsplit("\x1b[2K", 1)[-1] == text


def test_lines_become_rarer():
    """A long transfer does not fill a log."""
    now, stream = [0.0], io.StringIO()
    lines = Lines(stream, clock=lambda: now[0])
    lines.start(10**9, "x")
    for _ in range(660):
        now[0] += 1.0
        lines.advance(10, 0)
    assert len(stream.getvalue().splitlines()) == 11 + 20


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (21_000_000, "21.0 MB"),
     (979_000_000, "979 MB"), (5_500_000_000_000, "5.5 TB")],
)  # fmt: skip
def test_sizes_for_people(count, text):
    """Sizes are short."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (3720, "1 h 02 min")],
)
def test_durations_for_people(seconds, text):
    """Durations are short."""
    assert duration(seconds) == text
