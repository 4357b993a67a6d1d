"""Ctrl-C and SIGTERM amid a transfer: it stops at once, keeps what it has, and says how to go on."""

import os
import re
import shlex
import signal
import time

import pytest

from tests.e2e.served import until

pytestmark = pytest.mark.real

MIB = 1024**2
SIZE = 50 * MIB
PROMPT = 5.0
"""Seconds, with room for a busy machine; a request that hangs would hold on for a minute."""


@pytest.fixture
def person(world, tmp_path):
    """Somebody whose store is behind a gate, and without faults."""
    world.proxy.share = 0.0
    return world.person(tmp_path / "person")


def stopped(process, number):
    """Sends a signal; the outcome, and how long it took."""
    started = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err, time.monotonic() - started


SIGNALS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]


def check(outcome, words, code, said):
    """One line that says how much is safe and how to go on; answers the bytes it tells of."""
    returned, out, err, took = outcome
    assert returned == code, err
    assert out == ""
    assert took < PROMPT
    line = err.rstrip("\n").rsplit("\n", 1)[-1]
    found = re.fullmatch(
        rf"weighbridge: error: {said}: (.*) of 52\.4 MB are (stored|here); run again: (.*)", line
    )
    assert found, err
    assert shlex.split(found[3]) == ["weighbridge", *words]
    told = round(float(found[1].removesuffix(" MB")) * 1e6)
    assert told > 2 * MIB, "the parts that were answered count"
    return told


def held_back(world, person, words, passing):
    """Starts a command of which so many requests come through and no more."""
    begun = len(world.proxy.events)
    world.proxy.gate.close(passing)
    process = person.start(*words)
    until(
        lambda: (
            sum(event.answered for event in world.proxy.events[begun:]) == passing
            and world.proxy.gate.hanging >= 2
        )
    )
    return process


@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
def test_an_interrupted_push_stops_and_resumes(world, person, number, code, said):
    """The push ends although its requests hang; the next one does not send what was stored."""
    file = person.home / "big model.bin"
    file.write_bytes(os.urandom(SIZE))
    words = ["push", "stop/m", file.name]
    if number == signal.SIGTERM:
        (person.home / "config").write_bytes(b"{}")
        person.ok("push", "stop/m", "config")
        words = ["checkpoint", "push", "stop/m@1", file.name, "--step", "1"]
    process = held_back(world, person, words, 2)
    told = check(stopped(process, number), words, code, said)
    world.proxy.gate.open()
    again = person.json(*words)
    assert again["reused_bytes"] > told - MIB
    assert again["reused_bytes"] + again["sent_bytes"] == SIZE


@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
def test_an_interrupted_pull_stops_and_resumes(world, person, number, code, said):
    """The pull ends although its requests hang, shows no file, and goes on where it was."""
    file = person.home / "big"
    file.write_bytes(os.urandom(SIZE))
    person.ok("push", "stop/m", "big")
    words = ["pull", "stop/m@1", "--to", "back folder"]
    process = held_back(world, person, words, 3)  # the part list, then two parts
    # What was answered is not yet read: a part counts once it is noted.
    until(lambda: any(n.read_text().count("\n") > 1 for n in person.home.rglob(".*.part.jsonl")))
    told = check(stopped(process, number), words, code, said)
    assert not (person.home / "back folder" / "big").exists()
    world.proxy.gate.open()
    again = person.json(*words)
    assert (person.home / "back folder" / "big").read_bytes() == file.read_bytes()
    assert again["reused_bytes"] > told - MIB
    assert again["reused_bytes"] + again["received_bytes"] == SIZE
