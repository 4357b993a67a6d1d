"""A push that is killed at any moment leaves nothing visible, and the next one continues it."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.sdk.fake_server import MIB, TOKEN
from weighbridge.transfer.journal import open_journal

SDK = Path(__file__).resolve().parents[2] / "sdk"
PUSH = """
import sys, weighbridge
with weighbridge.Registry() as registry:
    pushed = registry.push("p/m", sys.argv[1], label=sys.argv[2] or None)
print(pushed.version, pushed.sent_bytes, pushed.reused_bytes)
"""


def _start(fake, folder, label=""):
    env = {**os.environ, "PYTHONPATH": str(SDK), "WEIGHBRIDGE_URL": fake.url}
    env["WEIGHBRIDGE_TOKEN"] = TOKEN
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PUSH, str(folder), label],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Killer:
    """Kills a process when the server has acted on its n-th request, before the answer leaves."""

    def __init__(self, state) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self.exposed = 0
        """Requests that were under way at a kill: only these may be repeated."""
        self._left = 0
        self._killed = False
        self.process = None
        state.before = self._arrived
        state.hold = self._acted

    def at(self, request: int, process) -> None:
        with self._lock:
            self._left, self.process, self._killed = request, process, False

    def _arrived(self, kind, path) -> None:
        with self._lock:
            self._under_way += 1
            # What had left the client before it died may arrive after.
            self.exposed += self._killed

    def _acted(self, kind, path) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.process.send_signal(signal.SIGKILL)
                self.exposed += self._under_way
                self._killed = True
            self._under_way -= 1


_OTHERS: set[threading.Thread] = set()


@pytest.fixture(autouse=True)
def _others():
    """Servers of other tests in this process may still have threads: nobody here waits for those."""
    _OTHERS.clear()
    _OTHERS.update(threading.enumerate())


def _settle() -> None:
    """Waits until the server has dealt with all that a killed client left in its sockets."""
    deadline = time.monotonic() + 30
    while any(
        "process_request_thread" in thread.name for thread in {*threading.enumerate()} - _OTHERS
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _journal(home):
    """The lines of the journals that a kill left, but for one that it cut short."""
    for file in (home / "cache" / "journal").glob("*.jsonl"):
        for line in file.read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)


@pytest.fixture
def folder(content):
    """Seven parts in two large files, and a few small files."""
    content("m/large", 70 * MIB, seed=2)
    content("m/larger", 33 * MIB, seed=3)
    for number in range(5):
        content(f"m/small{number}", 100 + number)
    return content("m/empty", 0).parent


@pytest.mark.parametrize("seed", [1, 2])
def test_push_killed_at_ten_moments_resumes(home, fake, state, folder, seed):
    """Killed ten times in all, a push leaves nothing visible, and ends with one version. Parts were
    stored once, but for those under way at a kill; small files that the client knew to be stored
    are the very objects that were adopted."""
    chance = random.Random(seed)
    killer = Killer(state)
    kills, remembered = 0, {}
    while True:
        process = _start(fake, folder)
        killer.at(chance.randint(1, 9) if kills < 5 else 0, process)
        out, err = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        _settle()
        kills += 1
        remembered |= {line["blob"]: line["put"] for line in _journal(home) if "put" in line}
        committed = [path for _, path, _ in state.seen if path.endswith("/commit")]
        assert len(state.ready()) <= len(committed)
    assert kills >= 3
    (version,) = state.ready()
    assert version.number == 1
    assert int(out.split()[0]) == 1
    held = {state.objects[key] for key in state.blobs.values()}
    for path in folder.iterdir():
        assert path.read_bytes() in held
    parts = [count for (name, _), count in state.stored.items() if name.startswith("c1-")]
    assert len(parts) == 8
    assert sum(parts) - 8 <= killer.exposed, (state.stored, killer.exposed)
    for blob, key in remembered.items():
        assert state.blobs["p", blob] == key


def test_resumed_push_does_not_send_what_is_stored(fake, state, folder):
    """After a kill in the middle of the parts, the next push sends only the rest (counted)."""
    process = _start(fake, folder)
    parts = threading.Event()

    def after_three(kind, path):
        if sum(1 for (_, number) in state.stored if number > 1) >= 3 and not parts.is_set():
            parts.set()
            process.send_signal(signal.SIGKILL)

    state.hold = after_three
    process.communicate(timeout=60)
    state.hold = None
    assert parts.is_set()
    assert state.ready() == []
    total = sum(path.stat().st_size for path in folder.iterdir())
    _settle()
    stored_before = dict(state.stored)
    second = _start(fake, folder)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    version, sent, reused = map(int, out.split())
    assert version == 1
    assert sent + reused == total
    assert reused >= 3 * 16 * MIB - 10 * MIB
    assert all(state.stored[part] == 1 for part in stored_before if part[1] > 1)


def test_interrupt_ends_a_push_soon(fake, state, folder):
    """Ctrl-C ends a push within seconds although parts are under way, and the next one resumes."""
    process = _start(fake, folder)
    stuck, release = threading.Event(), threading.Event()

    def stall(kind, path):
        if kind == "part":
            stuck.set()
            release.wait(30)

    state.hold = stall
    assert stuck.wait(30)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    assert time.monotonic() - started < 8
    state.hold = None
    release.set()
    assert state.ready() == []
    _settle()
    second = _start(fake, folder)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert out.split()[0] == "1"


def test_killed_after_commit_is_not_published_twice(fake, state, folder):
    """A push that was killed when its commit had succeeded is found finished by the next one."""
    process = _start(fake, folder)

    def kill(kind, path):
        if path.endswith("/commit"):
            process.send_signal(signal.SIGKILL)

    state.hold = kill
    process.communicate(timeout=60)
    state.hold = None
    assert len(state.ready()) == 1
    second = _start(fake, folder)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert out.split()[:2] == ["1", "0"]
    third = _start(fake, folder)
    assert third.communicate(timeout=60)[0].split()[0] == "2"


def test_two_pushes_of_the_same_files_at_once_are_two_versions(registry, state, content):
    """Concurrent pushes never share a journal: each gets a version of its own."""
    path = content("a", 1000)
    numbers, threads = [], []
    for _ in range(8):
        thread = threading.Thread(target=lambda: numbers.append(registry.push("p/m", path).version))
        threads.append(thread)
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 9))


def test_journal_survives_a_torn_line(tmp_path):
    """A line that a kill cut short is ignored, and does not spoil the lines after it."""
    first = open_journal(tmp_path, "x")
    key = first.key
    first.upload_began("b1", "u1")
    first.puts_began({"b2": "k2"})
    first.close()
    (file,) = tmp_path.iterdir()
    with file.open("ab") as stream:
        stream.write(b'{"upload": "u3", "bl')
    second = open_journal(tmp_path, "x")
    assert second.key == key
    assert (second.uploads, second.puts) == ({"b1": "u1"}, {"b2": "k2"})
    second.settled("b1")
    second.close()
    third = open_journal(tmp_path, "x")
    assert (third.key, third.uploads) == (key, {})
    third.finish()
    assert list(tmp_path.iterdir()) == []


def test_journal_in_use_is_not_shared(tmp_path):
    """A second push of the same identity gets a journal, and a key, of its own."""
    first, second = open_journal(tmp_path, "x"), open_journal(tmp_path, "x")
    assert first.key != second.key
    first.close()
    second.close()


def test_journal_that_cannot_be_written_remembers_nothing(tmp_path):
    """Where the cache cannot be written a push works, without a memory."""
    (tmp_path / "file").write_bytes(b"")
    journal = open_journal(tmp_path / "file" / "journal", "x")
    assert len(journal.key) == 32
    journal.puts_began({"b": "k"})
    journal.finish()


def test_old_journals_are_forgotten(tmp_path):
    """A journal older than what a server keeps is removed by the next push."""
    old = open_journal(tmp_path, "old")
    old.close()
    (file,) = tmp_path.iterdir()
    os.utime(file, (1, 1))
    new = open_journal(tmp_path, "new")
    assert not file.exists()
    new.finish()
