"""A client or a server that is killed loses nothing that was acknowledged and shows nothing half done."""

import os
import random
import shutil
import signal
import subprocess
import threading
import uuid

import pytest

from tests.e2e.served import serve, until
from weighbridge.client import Client
from weighbridge.contract import digests, manifests
from weighbridge.contract.errors import RegistryError
from weighbridge.contract.types import VersionCommit

pytestmark = pytest.mark.real

KILLS = 20
PART = 16 * 1024**2
BIG = 2 * PART + 1234
SMALL = 3


def held(store, project_id):
    """What the store holds of a project, in bytes by name: objects, and parts of open uploads."""
    bucket, prefix = "weighbridge-artifacts", f"blobs/{project_id}/"
    found = {}
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        found |= {entry["Key"]: entry["Size"] for entry in page.get("Contents", [])}
    for upload in store.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", []):
        parts = store.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for part in parts.get("Parts", []):
            found[upload["Key"], part["PartNumber"]] = part["Size"]
    return found


def added(store, project_id, before):
    """Bytes that the store holds since `before`. What went meanwhile is the sweep's: the object of
    a small file that arrived after its client had died, and was sent again."""
    return sum(size for name, size in held(store, project_id).items() if name not in before)


def project_folder(store):
    """The ids of the projects that have blobs."""
    bucket = "weighbridge-artifacts"
    found = store.list_objects_v2(Bucket=bucket, Prefix="blobs/", Delimiter="/")
    return {entry["Prefix"].split("/")[1] for entry in found.get("CommonPrefixes", [])}


def push_and_kill(person, store, kills):
    """Pushes until so many of them were killed at random moments; each is resumed and pulled again.
    Answers what was seen."""
    seed = int(os.environ.get("KILL_SEED") or random.randrange(10**6))
    print(f"KILL_SEED={seed}")
    rng = random.Random(seed)
    project = f"kill{uuid.uuid4().hex[:6]}"
    (person.home / "first").write_bytes(b"to make the project")
    before = project_folder(store)
    person.ok("push", f"{project}/m", "first")
    [project_id] = project_folder(store) - before
    files = ["big.bin", *(f"small-{i}" for i in range(SMALL))]
    total = BIG + SMALL * 1000
    number, seen = 1, {"seed": seed, "pushes": 0, "killed": 0, "resumed_with_bytes_held": 0}
    longest = 1.5
    while seen["killed"] < kills:
        where = (seed, seen)
        seen["pushes"] += 1
        assert seen["pushes"] <= 3 * kills, where
        (person.home / "big.bin").write_bytes(rng.randbytes(BIG))
        for i in range(SMALL):
            (person.home / f"small-{i}").write_bytes(rng.randbytes(1000))
        base = held(store, project_id)
        process = person.start("push", f"{project}/m", *files)
        try:
            process.wait(timeout=rng.uniform(0.1, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        listed = person.json("ls", f"{project}/m", "--limit", "1000")["items"]
        if process.returncode == 0:
            number += 1
            assert listed[0]["number"] >= number, where
            longest = max(0.6, longest * 0.9)
            continue
        seen["killed"] += 1
        if len(listed) == number + 1:  # killed between its commit and its last word
            number += 1
            continue
        assert len(listed) == number, (where, listed)
        stored = added(store, project_id, base)
        pushed = person.json("push", f"{project}/m", *files)
        number += 1
        # What was under way when the client died may have arrived since, so less may be sent; but
        # nothing that was there is sent again, and nothing is stored twice.
        assert pushed["sent_bytes"] <= total - stored, (where, stored, pushed)
        assert pushed["sent_bytes"] + pushed["reused_bytes"] == total
        assert added(store, project_id, base) == total, (where, stored, pushed)
        seen["resumed_with_bytes_held"] += stored > 0
        shutil.rmtree(person.home / "back", ignore_errors=True)
        person.ok("pull", f"{project}/m@{number}", "--to", "back")
        for name in files:
            sent, back = person.home / name, person.home / "back" / name
            assert sent.read_bytes() == back.read_bytes(), (where, name)
    return seen


def test_a_push_killed_at_random_moments_shows_nothing_and_resumes(person, embedded):
    """Pushes killed at random: no version appears, and the next push sends only what is missing."""
    seen = push_and_kill(person, embedded.s3(), KILLS)
    print(seen)
    assert seen["resumed_with_bytes_held"] >= 3


@pytest.mark.long
@pytest.mark.parametrize("tenth", range(10))
def test_a_push_killed_at_random_moments_shows_nothing_and_resumes_for_long(
    person, embedded, record_property, tenth
):
    """Two hundred kills, by twenties."""
    seen = push_and_kill(person, embedded.s3(), 20)
    for name, value in seen.items():
        record_property(name, value)
    assert seen["resumed_with_bytes_held"] >= 3


def write_for_ever(client, project, worker, acknowledged, stop):
    """Publishes versions and moves aliases until told, noting what was acknowledged."""
    data = b"the same bytes"
    digest = digests.sha256_of(data)
    blob = digests.single_blob(digest, len(data))
    entry = manifests.FileEntry("w", len(data), digest, blob)
    commit = VersionCommit(manifests.digest([entry]), (entry,))
    count = 0
    while not stop.is_set():
        try:
            opened = client.begin_version(project, "m", f"{worker}-{count}-{os.getpid()}")
            number = opened.number
            acknowledged.append(("open", number))
            client.commit_version(project, "m", number, commit)
            acknowledged.append(("ready", number))
            client.move_alias(project, "m", f"alias-{worker}", str(number))
            acknowledged.append(("alias", (f"alias-{worker}", number)))
        except RegistryError:
            return
        count += 1


def test_every_acknowledged_write_survives_the_death_of_all_processes(tmp_path):
    """kill -9 of every process of `serve` amid 200 concurrent writes: all acknowledged is there."""
    served = serve(tmp_path)
    acknowledged: list[tuple[str, object]] = []
    stop = threading.Event()
    try:
        from weighbridge import Registry

        (tmp_path / "w").write_bytes(b"the same bytes")
        with Registry(served.url, served.token) as registry:
            registry.push("p/m", tmp_path / "w")
        clients = [Client(served.url, served.token) for _ in range(16)]
        threads = [
            threading.Thread(target=write_for_ever, args=(c, "p", i, acknowledged, stop))
            for i, c in enumerate(clients)
        ]
        for thread in threads:
            thread.start()
        until(lambda: len(acknowledged) >= 200, 120)
        served.kill()
        stop.set()
        for thread in threads:
            thread.join(120)
        for client in clients:
            client.close()
        snapshot = list(acknowledged)
        served = serve(tmp_path)
        assert served.seconds < 30, "ready within 30 s after kill -9"
        with Registry(served.url, served.token) as registry:
            ready = {v.number for v in registry.versions("p/m")}
            opened = {n for kind, n in snapshot if kind == "open"}
            assert len(opened) == sum(kind == "open" for kind, _ in snapshot)
            assert {n for kind, n in snapshot if kind == "ready"} <= ready
            for number in opened - ready:
                assert registry.show(f"p/m@{number}").state == "open"
            last = {}
            for kind, value in snapshot:
                if kind == "alias":
                    last[value[0]] = value[1]
            pointers = registry.model("p/m").aliases
            for alias, number in last.items():
                assert pointers[alias] >= number
            result = registry.pull("p/m@1", tmp_path / "back")
            assert result.received_bytes == 14
        print(
            f"{len(snapshot)} acknowledged writes, all there; ready again in {served.seconds:.1f} s"
        )
    finally:
        stop.set()
        if served.process.poll() is None:
            served.stop()
