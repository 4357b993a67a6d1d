"""With faults in one of twenty requests to S3, pushes and pulls all end right, and no bit stays flipped."""

import random

import pytest

from tests.e2e.faults.proxy import KINDS

pytestmark = pytest.mark.real

MIB = 1024 * 1024
BIG = 2
BIG_SIZE = 33 * MIB + 4321
SMALL = 24


def fill(folder, rng):
    """A model of files in parts and files in one piece; every byte is new."""
    folder.mkdir()
    for i in range(BIG):
        (folder / f"big-{i}.bin").write_bytes(rng.randbytes(BIG_SIZE))
    for i in range(SMALL):
        (folder / f"small-{i}.bin").write_bytes(rng.randbytes(rng.randrange(1, 100_000)))
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def check_flipped_uploads(proxy):
    """The store refused every flipped upload, and got the right bytes after it, or had them."""
    for event in proxy.flipped("PUT"):
        assert event.status >= 400, f"the store took flipped bytes: {event}"
        # 412: the key was there from an earlier try, of which the answer was lost.
        before = [
            e for e in proxy.events[: event.number] if (e.path, e.part) == (event.path, event.part)
        ]
        there = event.status == 412 and any(e.status == 200 and not e.answered for e in before)
        assert there or proxy.later(event), f"nothing was sent again: {event}, {before}"


def pulled(world, puller, number):
    """Pulls, once, with either proof: bytes that were flipped are fetched again by the pull itself."""
    to, proof = str(puller.home / f"m{number}"), ("whole", "parts")[number % 2]
    outcome = puller.run("pull", f"faults/m{number}@1", "--to", to, "--verify", proof)
    assert outcome.code == 0, (world.seed, outcome)


def rounds(world, tmp_path, count):
    """`count` pushes, then as many pulls by somebody else, through the proxy."""
    rng, proxy = random.Random(world.seed), world.proxy
    pusher = world.person(tmp_path / "pusher")
    puller = world.person(tmp_path / "puller")
    for number in range(1, count + 1):
        files = fill(pusher.home / f"m{number}", rng)
        pushed = pusher.json("push", f"faults/m{number}", f"m{number}")
        assert pushed["files"] == len(files)
        begun = len(proxy.events)
        pulled(world, puller, number)
        back = {file.name: file.read_bytes() for file in (puller.home / f"m{number}").iterdir()}
        assert back == files, (world.seed, number)
        for event in proxy.flipped("GET"):
            if event.number >= begun:
                assert proxy.later(event), f"a flipped bit was not fetched again: {event}"
        for person in (pusher, puller):
            for file in (person.home / f"m{number}").iterdir():
                file.unlink()
    check_flipped_uploads(proxy)


def check_faults(world, least):
    """The faults were there: all kinds, in both directions, about one request in twenty."""
    proxy = world.proxy
    found = proxy.faults()
    flips = {way: len(proxy.flipped(way)) for way in ("PUT", "GET")}
    print(f"seed {world.seed}: {len(proxy.events)} requests, {dict(found)}, flipped {flips}")
    assert set(found) == set(KINDS)
    assert sum(found.values()) >= least
    assert flips["PUT"] >= 1
    assert flips["GET"] >= 1


def test_ten_pushes_and_ten_pulls_through_faults_all_end_right(world, tmp_path):
    """5 % of requests fail in one of eight ways; ten pushes and ten pulls are right all the same."""
    rounds(world, tmp_path, 10)
    check_faults(world, 15)


@pytest.mark.long
@pytest.mark.parametrize("tenth", range(10))
def test_a_hundred_pushes_and_a_hundred_pulls_through_faults_all_end_right(
    world, tmp_path, record_property, tenth
):
    """The same a hundred times, on ten servers."""
    record_property("seed", world.seed)
    rounds(world, tmp_path, 10)
    check_faults(world, 15)
    for name, count in (("pushes", 10), ("pulls", 10), ("requests", len(world.proxy.events))):
        record_property(name, count)
    for kind, count in sorted(world.proxy.faults().items()):
        record_property(f"faults_{kind}", count)
