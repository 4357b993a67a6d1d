"""The end of a process that trains: signals, exits, exceptions and forks, each in a real process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.fake_server import TOKEN

SDK = Path(__file__).resolve().parents[2] / "sdk"
SECONDS = 30
START = """
import os, select, signal, sys, threading
from weighbridge.training import Checkpointer

def wait():
    print("ready", flush=True)
    while True:
        select.select([], [], [], 0.05)
"""


@pytest.fixture
def program(fake, home, tmp_path):
    """Starts a program that trains, and waits until it says that it is ready."""
    started = []

    def start(code, ready=True):
        env = {
            **os.environ, "PYTHONPATH": str(SDK), "WEIGHBRIDGE_URL": fake.url,
            "WEIGHBRIDGE_TOKEN": TOKEN,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", START + code], env=env, text=True, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        if ready:
            assert process.stdout.readline() == "ready\n", process.communicate()
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process, number=None):
    """Its exit code and what it printed, after a signal."""
    if number is not None:
        process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def steps(state):
    """The steps of the checkpoints that arrived, in order."""
    return [made.step for made, _ in state.checkpoints.get(("p", "m", 1), [])]


def spooled(home):
    """Processes that left snapshots on the disk."""
    return list((home / "cache" / "snapshots").glob("*"))


def test_sigterm_pushes_what_waits_and_ends_the_process(program, state, home):
    """Everything that was taken arrives; the parent sees a process that SIGTERM ended."""
    process = program(
        """
saver = Checkpointer(None, "p/m", "run", waiting=10)
for step in range(5):
    saver.snapshot(step, {"w": bytes([step]) * 100_000})
wait()
"""
    )
    code, _, err = ended(process, signal.SIGTERM)
    assert code == -signal.SIGTERM, err
    assert steps(state) == [0, 1, 2, 3, 4]
    assert state.versions["p", "m", 1].state == "open"
    assert spooled(home) == []


def test_the_former_handler_decides(program, state):
    """A program that handles SIGTERM itself goes on, with everything pushed before."""
    process = program(
        """
stop = []
signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
saver = Checkpointer(None, "p/m", "run")
saver.snapshot(1, {"w": b"1"})
print("ready", flush=True)
while not stop:
    select.select([], [], [], 0.05)
print("pushed", saver.pushed)
saver.snapshot(2, {"w": b"2"})
saver.close()
print(signal.getsignal(signal.SIGTERM).__name__)
"""
    )
    code, out, err = ended(process, signal.SIGTERM)
    assert code == 0, err
    assert out.split() == ["pushed", "1", "<lambda>"]
    assert steps(state) == [1, 2]


@pytest.mark.parametrize("how", ["limit", "second signal"])
def test_sigterm_does_not_wait_for_ever(program, state, how):
    """A push that hangs costs `stop_seconds`, or less when somebody signals again."""
    seconds = 0.3 if how == "limit" else 600
    process = program(
        f"""
saver = Checkpointer(None, "p/m", "run", stop_seconds={seconds})
saver.defer(1, lambda folder: threading.Event().wait(), 1)
wait()
"""
    )
    process.send_signal(signal.SIGTERM)
    if how == "second signal":
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code == -signal.SIGTERM, err
    assert "not everything was pushed" in err
    assert steps(state) == []


def test_the_exit_pushes_what_waits(program, state, home):
    """A program that just ends loses nothing, and its version stays open."""
    code, _, err = ended(
        program(
            """
saver = Checkpointer(None, "p/m", "run", waiting=10)
for step in range(5):
    saver.snapshot(step, {"w": bytes([step]) * 100_000})
""",
            ready=False,
        )
    )
    assert code == 0, err
    assert steps(state) == [0, 1, 2, 3, 4]
    assert state.versions["p", "m", 1].state == "open"
    assert spooled(home) == []


@pytest.mark.parametrize("what", ["exception", "interrupt", "sys.exit"])
def test_other_ends_push_as_well(program, state, what):
    """An uncaught exception, Ctrl-C and sys.exit unwind to the exit, which pushes."""
    end = {"exception": "1 / 0", "interrupt": "wait()", "sys.exit": "sys.exit(3)"}[what]
    process = program(
        f"""
saver = Checkpointer(None, "p/m", "run")
saver.snapshot(1, {{"w": b"1"}})
{end}
""",
        ready=what == "interrupt",
    )
    code, _, err = ended(process, signal.SIGINT if what == "interrupt" else None)
    expected = {"exception": 1, "interrupt": -signal.SIGINT, "sys.exit": 3}[what]
    assert code == expected, err
    assert steps(state) == [1]
    assert state.versions["p", "m", 1].state == "open"


def test_a_limit_of_the_exit_is_kept(program, state):
    """A push that hangs does not hang the exit."""
    process = program(
        """
saver = Checkpointer(None, "p/m", "run", exit_seconds=0.2)
saver.defer(1, lambda folder: threading.Event().wait(), 1)
saver.snapshot(2, {"w": b"2"})
""",
        ready=False,
    )
    code, _, err = ended(process)
    assert code == 0, err
    assert "not pushed within" in err
    assert steps(state) == []


def test_forked_children_push_nothing_and_die_as_usual(program, state):
    """A data loader's worker calls and signals reach nothing of the parent's; the parent goes on."""
    process = program(
        """
saver = Checkpointer(None, "p/m", "run")
saver.snapshot(1, {"w": b"1"})
saver.flush()
child = os.fork()
if not child:
    assert not saver.snapshot(2, {"w": b"2"})
    saver.close()
    print("ready", flush=True)
    while True:
        select.select([], [], [], 0.05)
print("child", child, flush=True)
_, status = os.waitpid(child, 0)
print("ended by", os.WTERMSIG(status), flush=True)
leaving = os.fork()
if not leaving:
    sys.exit(0)
os.waitpid(leaving, 0)
saver.snapshot(3, {"w": b"3"})
print("pushed", saver.finish())
""",
        ready=False,
    )
    child = 0
    for line in process.stdout:
        child = int(line.split()[1]) if line.startswith("child") else child
        ready = line == "ready\n" or (child and process.stdout.readline() == "ready\n")
        if child and ready:
            break
    os.kill(child, signal.SIGTERM)
    code, out, err = ended(process)
    assert code == 0, err
    assert out.splitlines() == [f"ended by {int(signal.SIGTERM)}", "pushed p/m@1"]
    assert steps(state) == [1, 3]


def test_outside_the_main_thread_no_handler_is_installed(program, state):
    """Made in a thread, it works, and leaves signals alone."""
    code, out, err = ended(
        program(
            """
def train():
    saver = Checkpointer(None, "p/m", "run")
    saver.snapshot(1, {"w": b"1"})
    saver.close()

thread = threading.Thread(target=train)
thread.start()
thread.join()
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
""",
            ready=False,
        )
    )
    assert (code, out) == (0, "True\n"), err
    assert steps(state) == [1]


def test_handlers_are_given_back_and_ignored_signals_stay_ignored(program):
    """The last closed checkpointer leaves the signals as they were."""
    code, out, err = ended(
        program(
            """
signal.signal(signal.SIGINT, signal.SIG_IGN)
one = Checkpointer(None, "p/m", "run")
two = Checkpointer(None, "p/m", "other")
three = Checkpointer(None, "p/m", "third", signals=False)
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
for saver in (one, two, three):
    saver.close()
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
Checkpointer(None, "p/m", "fourth", signals=False)
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
""",
            ready=False,
        )
    )
    assert (code, out.split()) == (0, ["False", "True", "True", "True"]), err
