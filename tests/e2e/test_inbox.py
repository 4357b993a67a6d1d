"""Plain S3 clients drop checkpoints into the inbox of a running stack, by their own credentials."""

import hashlib
import json
import random
import threading
import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from chalicelib.storage.queues import SqliteQueue
from tests.e2e.served import until
from tests.fate import trees
from weighbridge import Registry

pytestmark = pytest.mark.real

DROPS = 100


def guest(person, project):
    """An S3 client with the credentials that `inbox grant` prints."""
    found = person.json("inbox", "grant", project)["grant"]
    client = boto3.client(
        "s3", endpoint_url=found["endpoint"], region_name=found["region"],
        aws_access_key_id=found["access_key"], aws_secret_access_key=found["secret_key"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )  # fmt: skip
    return client, found["bucket"], found["prefix"]


@pytest.fixture
def letterbox(person):
    """A project with an open inbox: its name, a guest's client, bucket and prefix."""
    project = f"in{uuid.uuid4().hex[:6]}"
    person.ok("project", "create", project)
    person.ok("project", "set", project, "--inbox", "on")
    client, bucket, prefix = guest(person, project)
    yield project, client, bucket, prefix
    client.close()


def drops(prefix):
    """100 checkpoints of two models, three labels and two components; half in FATE's layout."""
    found = {}
    for i in range(DROPS):
        folder = f"{prefix}model-{i % 2}/run-{i % 3}/checkpoint/part{i % 2}/{i}#epoch/"
        data = f"weights {i // 3}".encode()
        if i % 2:
            digest = hashlib.sha1(data).hexdigest()
            marker = (
                f"step_index: {i}\nstep_name: epoch\ncreate_time: '2021-11-07T02:34:54'\n"
                f"models:\n  Meta: {{sha1: {digest}, buffer_name: LRModelMeta}}\n"
            )
            files = {"Meta.pb": data, "Meta.json": b"{}", "database.yaml": marker.encode()}
        else:
            files = {"w.bin": data, "_SUCCESS": b""}
        found[folder] = files
    return found


def listed(person, project):
    """Everything about the project's checkpoints but numbers and times."""
    rows = set()
    for model in person.json("ls", project)["items"]:
        for label in ("run-0", "run-1", "run-2"):
            ref = f"{project}/{model['name']}@={label}"
            answer = person.run("checkpoint", "ls", ref, "--json", "--limit", "1000")
            if answer.code == 0:
                rows |= {
                    (model["name"], label, c["component"], c["step"], c["name"], c["files"],
                     c["size"], c["manifest"])
                    for c in answer.json["items"]
                }  # fmt: skip
    return rows


def expected(prefix):
    """What the drops must become (manifests aside)."""
    rows = set()
    for folder, files in drops(prefix).items():
        _, _, model, label, _, component, step = folder.rstrip("/").split("/")
        kept = {n: d for n, d in files.items() if n != "_SUCCESS"}
        rows.add((model, label, component, int(step.split("#")[0]), "epoch", len(kept),
                  sum(map(len, kept.values()))))  # fmt: skip
    return rows


def test_interleaved_drops_with_repeated_events_become_checkpoints_once(
    person, letterbox, embedded
):
    """100 drops by four writers, every event twice and in random order: each checkpoint once."""
    project, client, bucket, prefix = letterbox
    work = list(drops(prefix).items())
    random.shuffle(work)

    def write(part):
        for folder, files in part:
            for name, data in files.items():
                client.put_object(Bucket=bucket, Key=folder + name, Body=data)

    writers = [threading.Thread(target=write, args=(work[i::4],)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    keys = [folder + name for folder, files in work for name in files] * 2
    random.shuffle(keys)
    queue = SqliteQueue(str(embedded.data / "queue.sqlite"))
    for key in keys:  # the store's own events come as well
        queue.send("index", event(bucket, key))
    until(lambda: len(listed(person, project)) == DROPS, 180, 2)
    until(lambda: queue.depth("index").waiting + queue.depth("index").in_flight == 0, 120)
    rows = listed(person, project)
    assert {row[:-1] for row in rows} == expected(prefix)
    assert queue.depth("index").dead == 0
    folder, files = next(iter(drops(prefix).items()))
    client.put_object(Bucket=bucket, Key=f"{folder}w.bin", Body=b"overwritten after adoption")
    queue.send("index", event(bucket, f"{folder}w.bin"))
    until(lambda: queue.depth("index").waiting + queue.depth("index").in_flight == 0, 60)
    assert listed(person, project) == rows
    ref = f"{project}/model-0@=run-0:best"
    person.ok("model", "set", f"{project}/model-0", "--main-metric", "x", "--direction", "x=max")
    assert person.run("checkpoint", "pull", ref, "--to", "none").code == 4
    number = next(
        c["number"]
        for c in person.json("checkpoint", "ls", f"{project}/model-0@=run-0")["items"]
        if c["step"] == 0
    )
    person.ok("checkpoint", "pull", f"{project}/model-0@=run-0:{number}", "--to", "back")
    assert (person.home / "back" / "w.bin").read_bytes() == files["w.bin"]
    queue.close()


def test_fate_drops_with_signs_in_their_keys_are_listed_exactly_once(person, letterbox, embedded):
    """`#` and `%23` in names of models and steps, through the store's own events: in any order, each
    twice, and only when all is there with its SHA-1."""
    project, client, bucket, prefix = letterbox
    party = f"guest#9999#{trees.MODEL_ID}"
    many = "host#64#host-" + "_".join(str(100_000 + n) for n in range(64)) + "#model"
    encoded = f"arbiter#10000#{trees.MODEL_ID}"
    drops = {
        f"{prefix}{party}/1/checkpoint/lr/0#epoch/": (party, 0, "epoch"),
        f"{prefix}{party}/1/checkpoint/lr/1#a#b%23c/": (party, 1, "a#b%23c"),
        f"{prefix}{many}/1/checkpoint/lr/2#epoch/": (many, 2, "epoch"),
        f"{prefix}a%23b/1/checkpoint/lr/3#epoch/": ("a%23b", 3, "epoch"),
        f"{prefix}{encoded.replace('#', '%23')}/1/checkpoint/lr/4%23x%23y/": (encoded, 4, "x#y"),
    }
    late, files = [], []
    for folder, (_, index, name) in drops.items():
        content = trees.files_of_step(index, name, folder)
        hidden = random.choice([file for file in content if file != "database.yaml"])
        late.append((folder + hidden, content.pop(hidden)))
        files += [(folder + file, data) for file, data in content.items()]
    # One whose buffer is not what its marker says; it must never be listed.
    wrong = trees.files_of_step(9, "epoch") | {"HeteroLRMeta.pb": b"other"}
    files += [(f"{prefix}{party}/1/checkpoint/lr/9#epoch/{n}", d) for n, d in wrong.items()]
    random.shuffle(files)
    queue = SqliteQueue(str(embedded.data / "queue.sqlite"))

    def put(pairs):
        for key, data in pairs:
            client.put_object(Bucket=bucket, Key=key, Body=data)
        for key, _ in random.sample(pairs, len(pairs)):
            queue.send("index", event(bucket, key))
        until(lambda: idle(queue), 120)

    put(files)
    assert person.json("ls", project)["items"] == []  # nothing is complete yet
    put(late)
    refused = person.json("inbox", "ls", project)["items"]
    assert [drop["state"] for drop in refused] == ["refused"]
    assert "SHA-1" in refused[0]["message"]

    def there():
        rows = []
        for model in person.json("ls", project)["items"]:
            ref = f"{project}/{model['name']}@=1"
            found = person.json("checkpoint", "ls", ref, "--limit", "1000")["items"]
            rows += [(model["name"], c["step"], c["name"], c["files"]) for c in found]
        return sorted(rows)

    expected = sorted((model, index, name, 5) for model, index, name in drops.values())
    until(lambda: there() == expected, 60, 1)
    put(files + late)  # all of it once more
    assert there() == expected
    for number, (folder, (model, index, name)) in enumerate(drops.items()):
        target = person.home / f"back-{number}"
        with Registry(person.url, person.token) as registry:
            [point] = [p for p in registry.checkpoints(f"{project}/{model}@=1") if p.step == index]
            registry.pull(f"{project}/{model}@{point.version}:{point.number}", target)
        assert trees.contents(target) == trees.files_of_step(index, name, folder)
    assert queue.depth("index").dead == 0
    queue.close()


def idle(queue):
    """Whether the indexer has done all it was told."""
    depth = queue.depth("index")
    return depth.waiting + depth.in_flight == 0


def event(bucket, key):
    """What EventBridge says of a new object."""
    return {
        "detail-type": "Object Created", "source": "aws.s3",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key}},
    }  # fmt: skip


def test_a_guest_cannot_leave_the_inbox(letterbox):
    """Inbox credentials write under their prefix and can do nothing anywhere else."""
    _, client, bucket, prefix = letterbox
    client.put_object(Bucket=bucket, Key=f"{prefix}m/l/x", Body=b"fine")
    for action in (
        lambda: client.put_object(Bucket=bucket, Key="blobs/x", Body=b"no"),
        lambda: client.put_object(Bucket=bucket, Key="inbox/other/x", Body=b"no"),
        lambda: client.list_objects_v2(Bucket=bucket, Prefix="blobs/"),
        lambda: client.get_object(Bucket=bucket, Key="manifests/x"),
        lambda: client.list_buckets()["Buckets"][0],
    ):
        with pytest.raises((ClientError, IndexError)):
            action()


def test_granting_is_refused_while_the_inbox_is_off(person):
    """The inbox is off by default."""
    project = f"in{uuid.uuid4().hex[:6]}"
    person.ok("project", "create", project)
    outcome = person.run("inbox", "grant", project, "--json")
    assert outcome.code == 5, json.dumps([outcome.out, outcome.err])
