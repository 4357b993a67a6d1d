"""The same file pushed from two machines: what one left, the other does not send; both always end right."""

import os
import signal

import pytest

from tests.e2e.served import until

pytestmark = pytest.mark.real

MIB = 1024**2
PART = 16 * MIB
SIZE = 4 * PART + 1234


@pytest.fixture
def machines(world, tmp_path):
    """Two people's homes with the same file; the store is behind a gate, without faults."""
    world.proxy.share = 0.0
    data = os.urandom(SIZE)
    found = [world.person(tmp_path / name) for name in ("one", "two")]
    for machine in found:
        (machine.home / "model.bin").write_bytes(data)
    return found


def killed_with(world, machine, parts):
    """A push that is killed once so many parts are stored."""
    begun = len(world.proxy.events)
    world.proxy.gate.close(parts)
    process = machine.start("push", "two/machines", "model.bin")
    until(
        lambda: (
            sum(event.answered for event in world.proxy.events[begun:]) == parts
            and world.proxy.gate.hanging >= 1
        )
    )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    world.proxy.gate.open()


def same(world, machine, version, data):
    """Whether the version holds these bytes."""
    folder = machine.home / f"back-{version}"
    machine.ok("pull", f"two/machines@{version}", "--to", str(folder))
    return (folder / "model.bin").read_bytes() == data


def test_a_push_that_died_on_one_machine_is_continued_on_another(world, machines):
    """The second machine knows no journal, and sends only what is missing."""
    one, two = machines
    killed_with(world, one, 3)
    pushed = two.json("push", "two/machines", "model.bin")
    assert pushed["reused_bytes"] >= 2 * PART
    assert pushed["sent_bytes"] + pushed["reused_bytes"] == SIZE
    assert len([e for e in world.proxy.events if e.method == "PUT" and e.status == 200]) == 5
    assert same(world, two, pushed["version"], (two.home / "model.bin").read_bytes())


def test_two_machines_that_push_the_same_file_at_once_both_end_right(world, machines):
    """Two versions of the same content, whoever is faster."""
    running = [machine.start("push", "two/machines", "model.bin", "--json") for machine in machines]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    data = (machines[0].home / "model.bin").read_bytes()
    assert same(world, machines[0], 1, data)
    assert same(world, machines[1], 2, data)


def test_a_file_that_only_begins_alike_spoils_nothing(world, machines):
    """Another file with the same first parts is pushed while the first one is under way, and goes on
    with its upload at first: both versions hold what their files hold."""
    one, two = machines
    data = (one.home / "model.bin").read_bytes()
    twin = data[: 3 * PART] + os.urandom(SIZE - 3 * PART)
    (two.home / "model.bin").write_bytes(twin)
    begun = len(world.proxy.events)
    world.proxy.gate.close(2)
    first = one.start("push", "two/machines", "model.bin", "--json")
    until(
        lambda: (
            sum(event.answered for event in world.proxy.events[begun:]) == 2
            and world.proxy.gate.hanging >= 2
        )
    )
    world.proxy.gate.open()
    second = two.start("push", "two/machines", "model.bin", "--json")
    found = {}
    for process, content in ((first, data), (second, twin)):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        found[content] = out
    assert sorted(same(world, one, version, data) for version in (1, 2)) == [False, True]
    assert sorted(same(world, two, f"{version}", twin) for version in (1, 2)) == [False, True]
