"""The policies are enough for all that the functions do, and hardly more: the code itself says so."""

import io
import json
import random
import struct
import zipfile
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

import app
from chalicelib import wiring
from chalicelib.archives import packing, streams, unpacking
from chalicelib.catalogue import drain
from chalicelib.catalogue.searching import answering
from chalicelib.indexing import objects
from chalicelib.registry import (
    changing,
    compare,
    downloads,
    facts,
    jobs,
    models,
    projects,
    publishing,
    receiving,
    uploads,
    versions,
)
from chalicelib.registry.ports import Check, Signed
from infra import policies
from infra.embedded.worker import scheduled_event
from tests.registry_world import key_of, publish, setup_model, upload, world
from weighbridge.contract import digests, manifests, references
from weighbridge.contract.errors import IntegrityError
from weighbridge.contract.types import (
    DownloadRequest,
    FilePage,
    NewProject,
    NewVersion,
    Part,
    PartsRequest,
    PlanRequest,
    ProjectChanges,
    UploadComplete,
    VersionCommit,
    WantedBlob,
)

MIN_PART = uploads.MIN_PART
NEEDS = {
    "sign_put": ("PutObject",),
    "sign_get": ("GetObject",),
    "sign_part": ("PutObject",),
    "sign_post": ("PutObject",),
    "create_multipart": ("PutObject",),
    "put_part": ("PutObject",),
    "complete_multipart": ("PutObject",),
    "parts": ("ListMultipartUploadParts",),
    "abort_multipart": ("AbortMultipartUpload",),
    "stale_multiparts": ("ListBucketMultipartUploads@bucket",),
    # Without the right to list, S3 answers 403 for an absent object, which is no "not found".
    "head": ("GetObject", "ListBucket@bucket"),
    "read": ("GetObject", "ListBucket@bucket"),
    "put": ("PutObject",),
    "list": ("ListBucket@bucket",),
    "ping": ("ListBucket@bucket",),
}
"""Which rights each method of the port needs; presigned requests are those of who signs."""

UNUSED = {
    # Reindexing, and blobs without a verdict when their version is committed, are looked at by message.
    ("api_handler", "sqs:SendMessage", "IndexQueue"),
    ("archive", "sqs:SendMessage", "IndexQueue"),
    ("index_object", "sqs:SendMessage", "IndexQueue"),
    ("sweep", "sqs:SendMessage", "IndexQueue"),
    # A job whose message was lost is sent once more.
    ("sweep", "sqs:SendMessage", "ArchiveQueue"),
    # A model of FATE that is restored brings its checkpoints: tests/fate.
    ("archive", "dynamodb:ConditionCheckItem", "Table"),
    # Evicted checkpoints give up their references, and what cannot be rendered is taken one by one.
    ("render_pages", "dynamodb:DeleteItem", "Table"),
    ("render_pages", "dynamodb:PutItem", "Table"),
    ("render_pages", "dynamodb:UpdateItem", "Table"),
    # A copy that breaks off frees its parts, which needs a store that fails in the middle of it.
    ("index_object", "s3:AbortMultipartUpload", "Artifacts/blobs/*"),
}


def rendered(resource):
    """`Artifacts/blobs/*` for the name of a resource."""
    if "Fn::GetAtt" in resource:
        return resource["Fn::GetAtt"][0]
    return resource["Fn::Sub"].replace(".Arn}", "").removeprefix("${")


def rights(function):
    """(action, resource) of every right of a function."""
    return {
        (action, rendered(resource))
        for statement in policies.FUNCTIONS[function]()["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


jobs.register("test.round", "tests.infra.test_policies_suffice:nothing")


class Denied(BaseException):
    """What IAM would have refused. Not an Exception: no handler of ours may swallow it."""


class Guard:
    """Blobs behind the policy of one function: what it does not allow is refused."""

    def __init__(self, inner, bucket, function, used):
        self._inner, self._bucket, self._function, self._used = inner, bucket, function, used

    def _ask(self, action, resource):
        matching = [
            right
            for right in rights(self._function)
            if right[0] == action and fnmatchcase(resource, right[1])
        ]
        if not matching:
            raise Denied(f"{self._function} may not {action} on {resource}")
        self._used |= {(self._function, *right) for right in matching}

    def _need(self, need, key):
        action, _, where = need.partition("@")
        self._ask(f"s3:{action}", self._bucket if where else f"{self._bucket}/{key}")

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if name not in NEEDS:
            return found

        def call(*arguments, **options):
            for need in NEEDS[name]:
                self._need(need, arguments[0] if arguments else "")
            return found(*arguments, **options)

        return call

    def put(self, key, *arguments, **options):
        """A conditional replacement reads what it replaces."""
        for need in ("PutObject", *(("GetObject",) if options.get("if_match") else ())):
            self._need(need, key)
        return self._inner.put(key, *arguments, **options)

    def adopt(self, source, etag, target):
        """A copy needs a right at both ends."""
        self._need("GetObject", source)
        self._need("PutObject", target)
        return self._inner.adopt(source, etag, target)

    def sign_copy(self, key, upload, number, source, *arguments):
        """So does the copy of a part that a client carries out."""
        self._need("PutObject", key)
        self._need("GetObject", source.key)
        return self._inner.sign_copy(key, upload, number, source, *arguments)

    def delete(self, keys):
        """Each object is its own right."""
        for key in keys:
            self._need("DeleteObject", key)
        self._inner.delete(keys)


class GuardedTable(Guard):
    """The same for the table: a right for each kind of request, of a transaction for each of its writes."""

    def _writes(self, *writes):
        for write in writes:
            kind = "ConditionCheck" if isinstance(write, Check) else type(write).__name__
            self._ask(f"dynamodb:{kind}Item", self._bucket)

    def _asking(self, action, name, *arguments, **options):
        self._ask(f"dynamodb:{action}", self._bucket)
        return getattr(self._inner, name)(*arguments, **options)

    def get(self, key):
        """One item."""
        return self._asking("GetItem", "get", key)

    def get_many(self, keys):
        """Batches; of nothing no request is made."""
        wanted = list(keys)
        return self._asking("BatchGetItem", "get_many", wanted) if wanted else {}

    def query(self, *arguments, **options):
        """Pages of a partition."""
        return self._asking("Query", "query", *arguments, **options)

    def write(self, write):
        """One write."""
        self._writes(write)
        return self._inner.write(write)

    def write_each(self, writes):
        """Each by itself."""
        self._writes(*writes)
        return self._inner.write_each(writes)

    def write_many(self, writes):
        """Batches; of nothing no request is made."""
        return self._asking("BatchWriteItem", "write_many", writes) if writes else None

    def transact(self, writes):
        """A transaction needs the right of each of its writes."""
        self._writes(*writes)
        self._inner.transact(writes)


class GuardedQueue(Guard):
    """The same for the queues."""

    def send(self, topic, message):
        """Sending needs the right on that queue."""
        self._ask("sqs:SendMessage", f"{topic.capitalize()}Queue")
        self._inner.send(topic, message)

    def send_many(self, topic, messages):
        """A batch needs the right of each."""
        self._ask("sqs:SendMessage", f"{topic.capitalize()}Queue")
        self._inner.send_many(topic, messages)


def safetensors(tensors):
    """A file of many small tensors: their table is too long for an item."""
    header = {
        f"layer.{n}.weight": {"dtype": "U8", "shape": [1], "data_offsets": [n, n + 1]}
        for n in range(tensors)
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(tensors)


class World:
    """One registry, as each of the functions sees it."""

    def __init__(self, folder):
        self.all, self.clock = world(folder)
        self.used = set()
        self.api, self.index, self.render, self.sweep, self.archive = map(
            self._seen_by, policies.FUNCTIONS
        )

    def _seen_by(self, function):
        guarded = Guard(self.all.blobs, "Artifacts", function, self.used)
        site = Guard(self.all.site, "Site", function, self.used)
        queue = GuardedQueue(self.all.queue, "", function, self.used)
        table = GuardedTable(self.all.table, "Table", function, self.used)
        return replace(self.all, blobs=guarded, site=site, queue=queue, table=table)

    def settle(self):
        """Every function sees what happened, as its events would tell it."""
        for prefix in ("blobs/", "inbox/"):
            for head in self.all.blobs.list(prefix).heads:
                objects.look(self.index, head.key)
        for message in self.all.queue.take("render"):
            drain.project(self.render, message["project"])

    def sweep_now(self):
        """A sweep, long after whatever there was."""
        self.clock.time += 2 * self.all.stale_seconds
        with wiring.using(self.sweep):
            app.sweep(scheduled_event(), None)


@pytest.fixture
def registry(tmp_path):
    """An empty model, seen through the policies."""
    made = World(tmp_path)
    setup_model(made.api)
    projects.change(made.api, "ann", "vision", ProjectChanges(inbox=True))
    yield made
    made.all.table.close()


def push_multipart(stores):
    """A push in two parts, and another one that is given up half way."""
    parts = [b"a" * MIN_PART, b"end"]
    shas = [digests.sha256_of(part) for part in parts]
    blob = digests.composite_blob(digests.composite(shas), 2, MIN_PART + 3)
    wanted = PlanRequest((WantedBlob(blob),))
    [plan] = uploads.plan(stores, "ann", "vision", wanted).blobs
    asked = PartsRequest(
        tuple(Part(n, sha, len(p)) for n, (sha, p) in enumerate(zip(shas, parts, strict=True), 1))
    )
    signed = uploads.sign_parts(stores, "vision", plan.upload, asked).parts
    for part, data in zip(signed, parts, strict=True):
        assert stores.blobs.execute(part.request, data).status == 200
    other = uploads.plan(stores, "bob", "vision", wanted).blobs[0]
    uploads.complete(stores, "vision", plan.upload, UploadComplete(blob))
    uploads.abort(stores, "vision", other.upload)
    return blob


def whole_life(made):
    """Everything that a registry sees: pushes, drops, pages, comparisons, deletions, sweeps."""
    stores = made.api
    large = safetensors(1200)
    publish(stores, {"model.safetensors": large, "notes.txt": b"one"}, metrics={"loss": 0.5})
    made.settle()
    publish(stores, {"model.safetensors": large, "notes.txt": b"two"})
    push_multipart(stores)
    paged = publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of("paged")))
    entries = upload(stores, "vision", {"page.txt": b"paged"})
    publishing.add_files(stores, "vision", "digits", paged.number, FilePage(entries))
    publishing.commit(
        stores, "ann", "vision", "digits", paged.number, VersionCommit(manifests.digest(entries))
    )
    folder = "inbox/vision/digits/run/checkpoint/-/{}#/"
    for step, name in ((1, "_SUCCESS"), (2, "other")):
        for path, data in (("w.safetensors", large), ("new.safetensors", safetensors(3 + step))):
            made.all.blobs.put(folder.format(step) + path, data)
        made.all.blobs.put(folder.format(step) + name, b"")
    made.settle()
    record = models.find(stores, "vision", "digits")
    sides = [
        versions.of_model(stores, record, references.VersionSelector("number", n)) for n in (1, 2)
    ]
    compare.compare(stores, [compare.Side(side) for side in sides])
    manifest = sides[0].version.manifest
    files = versions.files(stores, record.project_id, manifest)
    wanted = DownloadRequest(tuple(entry.blob for entry in files))
    downloads.sign(stores, record.project_id, manifest, wanted)
    facts.of_files(stores, record.project_id, files)
    assert answering.answer(stores.site, ["vision"], "kind:version").hits
    stores.blobs.ping()
    parked_form(stores, stores, record.project_id)
    parked_form(stores, made.archive, record.project_id)  # a large one is copied by a job
    imported(made, record.project_id)
    archives(made, record.project_id, versions.files(made.archive, record.project_id, manifest))


def parked_form(stores, copier, project_id):
    """A file that a form brings becomes a blob; the sweep frees the form's object."""
    upload, form = receiving.invite(stores, project_id, "m.zip", 4)
    assert stores.blobs.execute(Signed("POST", form.fields["policy"], {}, 0), b"PKzz").status == 200
    receiving.adopted(copier, project_id, receiving.parked(copier, project_id, upload))
    receiving.unpark(copier, project_id, receiving.parked(copier, project_id, upload))


def imported(made, project_id):
    """The worker sends a package of several parts that it got elsewhere, and gives up another."""
    data = random.Random(2).randbytes(17 * 1024 * 1024)
    sent = receiving.Incoming(made.archive, "ann", project_id, len(data))
    sent.write(data)
    lost = receiving.Incoming(made.archive, "ann", project_id, len(data))
    lost.write(data)
    lost.abort()
    entry = receiving.joined(made.archive, "vision", "m.zip", sent.end())
    version = NewVersion(key_of("imported"))
    opened = publishing.begin(made.archive, "ann", "vision", "digits", version)
    commit = VersionCommit(manifests.digest([entry]), (entry,))
    publishing.commit(made.archive, "ann", "vision", "digits", opened.number, commit)


def given_up(made, key, data):
    """An archive that turns out to be another than was promised."""

    def broken():
        yield data
        raise IntegrityError("it is not what was promised")

    def write():
        with streams.ObjectWriter(made.archive.blobs, key) as writer:
            for block in broken():
                writer.write(block)

    with pytest.raises(IntegrityError):
        write()


def archives(made, project_id, files):
    """An archive is made, fetched, and taken apart into a version, by a job of the worker."""
    job = jobs.submit(made.api, project_id, "test.round", "ann", {})
    assert made.all.queue.take("archive") == [{"project": project_id, "job": job.id}]
    members = [packing.of_file(entry) for entry in files]
    big = packing.of_data("big.bin", bytes(range(256)) * 16000)
    packed = packing.assemble(made.archive, project_id, [*members, big])
    assert packing.existing(made.api, project_id, [*members, big]) == packed
    packing.link(made.api, packed, "x.zip")
    noise = random.Random(1).randbytes(17 * 1024 * 1024)
    large = io.BytesIO()
    with zipfile.ZipFile(large, "w") as zipped:
        zipped.writestr("large.bin", noise)
    key, _ = packing.new_object(made.archive, project_id)
    with streams.ObjectWriter(made.archive.blobs, key) as writer:
        writer.write(large.getvalue())
    given_up(made, key, large.getvalue())
    kept = [
        *unpacking.unpack(made.archive, project_id, packed.key),
        *unpacking.unpack(made.archive, project_id, key),
    ]
    assert unpacking.unpack(made.archive, project_id, key)[0] == kept[-1]  # the second is given up
    opened = publishing.begin(made.archive, "ann", "vision", "digits", NewVersion(key_of("packed")))
    entries = tuple(found.entry() for found in kept)
    request = VersionCommit(manifests.digest(entries), entries)
    publishing.commit(made.archive, "ann", "vision", "digits", opened.number, request)
    made.settle()


def end_of_life(made):
    """What the sweep finds: lost events, forgotten uploads, orphans, deleted versions."""
    record = projects.find(made.all, "vision")
    late = publish(made.api, {"late.safetensors": safetensors(1300)})
    made.all.blobs.put("inbox/vision/digits/run/checkpoint/-/2#/_SUCCESS", b"")
    made.all.blobs.create_multipart(f"blobs/{record.id}/forgotten")
    made.all.blobs.put(f"blobs/{record.id}/orphan", b"nobody names it")
    made.all.blobs.create_multipart(f"archives/{record.id}/forgotten")
    publishing.begin(made.api, "ann", "vision", "digits", NewVersion(key_of("stale")))
    made.sweep_now()
    for number in (1, 2, 3, late.number):
        selector = references.VersionSelector("number", number)
        changing.delete(made.api, "ann", "vision", "digits", selector)
    made.sweep_now()
    made.sweep_now()


def test_every_function_may_do_what_it_does_and_no_more(registry):
    """A whole life of a model passes with each function under its own policy, and every right to objects,
    items and queues is used by it, but for those that `UNUSED` gives a reason for."""
    whole_life(registry)
    record = projects.find(registry.all, "vision")
    assert registry.all.blobs.list(f"facts/{record.id}/").heads
    assert registry.all.site.list("p/vision/digits/1/").heads
    end_of_life(registry)
    assert not registry.all.blobs.list(f"manifests/{record.id}/pages/").heads
    projects.create(registry.api, "ann", NewProject("brief"))
    registry.settle()
    projects.delete(registry.api, "ann", "brief")
    registry.settle()
    assert not registry.all.site.list("p/brief/").heads
    granted = {
        (function, action, resource)
        for function in policies.FUNCTIONS
        for action, resource in rights(function)
        if action.startswith(("dynamodb:", "s3:")) or action == "sqs:SendMessage"
    }
    assert granted - registry.used == UNUSED


def test_the_guard_refuses_what_a_policy_does_not_allow(registry):
    """The test above can fail: the API may neither delete nor read the inbox."""
    registry.all.blobs.put("inbox/vision/x", b"")
    for forbidden in (
        lambda: registry.api.blobs.delete(["blobs/x/y"]),
        lambda: registry.api.blobs.read("inbox/vision/x"),
        lambda: registry.render.blobs.put("blobs/x/y", b""),
        lambda: registry.index.site.put("p/x", b""),
        lambda: registry.render.queue.send("render", {}),
    ):
        with pytest.raises(Denied):
            forbidden()
