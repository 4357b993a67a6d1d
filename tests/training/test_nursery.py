"""Programs that train run in forks of one process; each must be as a program of its own is."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.served import until
from tests.training.conftest import Running, imports

NURSERY = Path(__file__).with_name("nursery.py")
SCRIPT = """
import atexit, os, signal, sys, threading
import sys as again
print("begun", os.environ["OWN"], sys.argv[1:], os.getcwd(), __name__, flush=True)
kept = "a name of the script"
atexit.register(lambda: print("ended with", kept, flush=True))
if "wait" in sys.argv:
    def told(number, frame):
        print("told", number, flush=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    signal.signal(signal.SIGTERM, told)
    print("waiting", flush=True)
    while True:
        signal.sigtimedwait([], 0.1)
print("oh", file=sys.stderr)
sys.exit(3 if "fail" in sys.argv else 0)
"""


@pytest.fixture
def start(tmp_path):
    """Starts the script in a home of its own."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    nursery = subprocess.Popen(
        [sys.executable, NURSERY, "import json"], text=True, bufsize=1, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip

    def begin(name, *words):
        home = tmp_path / name
        home.mkdir()
        run = {"script": str(script), "words": words, "home": str(home), "env": {"OWN": name}}
        nursery.stdin.write(json.dumps(run) + "\n")
        return Running(int(nursery.stdout.readline()), home, nursery)

    with nursery:
        yield begin
        nursery.stdin.close()
        assert nursery.wait(20) == 0


def test_each_program_has_its_own_arguments_folder_and_end(start, tmp_path):
    """One after the other; what is registered for the end runs, with the script's names still there."""
    done = start("one", "a", "b").end()
    assert done.code == 0
    assert done.out.splitlines() == [
        f"begun one ['a', 'b'] {tmp_path / 'one'} __main__", "ended with a name of the script",
    ]  # fmt: skip
    assert done.err == "oh\n"
    assert start("two", "fail").end().code == 3
    assert "begun two" in (tmp_path / "two" / "printed.out").read_text()


def test_a_signal_reaches_the_program_and_is_its_end(start):
    """SIGTERM by its own handler, SIGKILL without one; the next program runs as ever."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        running = start(number.name, "wait")
        running.said("waiting")
        assert not running.ended()
        running.kill(number)
        done = running.end()
        assert done.code == -number
        assert ("told" in done.out) == (number == signal.SIGTERM)
    assert start("last").end().code == 0


def test_a_program_that_ends_early_is_not_waited_for(start):
    """Its output is shown instead."""
    with pytest.raises(AssertionError, match="oh"):
        start("early").said("waiting")


def test_programs_end_with_the_nursery(start):
    """Whoever kills the tests leaves nobody training."""
    running = start("orphan", "wait")
    running.said("waiting")
    os.kill(running.nursery.pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{running.pid}").exists(), 20)
    running.nursery.wait()
    running.nursery.returncode = 0  # as was meant


def test_imports_are_found_wherever_they_are():
    """Lines that import, of a whole program."""
    code = "import a.b as c\ndef f():\n    from d import e, g\nprint(c)\n"
    assert imports(code) == "import a.b as c\nfrom d import e, g"
