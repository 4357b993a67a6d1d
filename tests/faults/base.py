"""A registry with something of everything in it, made once and copied for each fault."""

import shutil
from collections import Counter
from dataclasses import dataclass, field, replace

from chalicelib.catalogue import drain, publish
from chalicelib.indexing import objects, repair
from chalicelib.registry import (
    aliases,
    checkpoints,
    models,
    pinning,
    projects,
    providers,
    pruning,
    publishing,
    tokens,
    uploads,
    versions,
)
from chalicelib.registry.ports import Credentials
from chalicelib.storage.memory import MemoryBlobs, MemoryQueue
from chalicelib.storage.sqlite import SqliteTable
from tests.api.conftest import ADMIN
from tests.registry_world import index_all, key_of, setup_model, upload, world
from tests.registry_world import publish as pushed
from weighbridge.contract import codec, digests, manifests, references
from weighbridge.contract.types import (
    AliasTarget,
    CheckpointCommit,
    KnownPart,
    ModelChanges,
    ModelSettings,
    NewModel,
    NewProject,
    NewProvider,
    NewToken,
    NewUpload,
    NewVersion,
    Part,
    PartsRequest,
    PlanRequest,
    ProjectChanges,
    Retention,
    Scope,
    WantedBlob,
)

WHERE = ("vision", "digits")
OPENED = 6
"""The highest version number of vision/digits."""
PART = 16 * 1024**2
LARGE = bytes(PART) + b"the end"
PICKLE = b"\x80\x04cposix\nsystem\n(S'true'\ntR."


class Grants:
    """Makes keys out of nothing, as a role would."""

    def grant(self, prefix, seconds):
        """Keys for a prefix."""
        return Credentials("memory://", "us-east-1", "bucket", "AK", "SK", prefix, 0)

    def expire(self):
        """None end."""
        return 0


@dataclass
class Base:
    """Stores on `folder`, and what requests need to name."""

    folder: object
    stores: object
    clock: object
    names: dict = field(default_factory=dict)

    def copy(self, folder):
        """Another registry that is the same."""
        path = folder / "catalog.sqlite"
        shutil.copyfile(self.folder / "catalog.sqlite", path)
        clock = type(self.clock)()
        clock.time = self.clock.time
        queue = MemoryQueue()
        stores = replace(
            self.stores, table=SqliteTable(str(path)), blobs=_copied(self.stores.blobs, clock),
            site=_copied(self.stores.site, clock), queue=queue, now=clock,
        )  # fmt: skip
        return Base(folder, stores, clock, self.names)


def _copied(blobs, clock):
    other = MemoryBlobs(clock=clock)
    other._secret = blobs._secret
    other._objects = dict(blobs._objects)
    other._multiparts = {
        name: replace(upload, parts=dict(upload.parts))
        for name, upload in blobs._multiparts.items()
    }
    return other


def _checkpoint(stores, found, step, data, **more):
    files = upload(stores, found.model.project, {"w.bin": data})
    request = CheckpointCommit(manifests.digest(files), files, step, **more)
    return checkpoints.commit(stores, "ann", found, request)


def build(folder):
    """The registry."""
    stores, clock = world(folder)
    stores = replace(stores, grants=Grants(), bucket="bucket")
    base = Base(folder, stores, clock)
    tokens.bootstrap(stores, ADMIN)
    admin = tokens.authenticate(stores, ADMIN)
    setup_model(stores)
    projects.create(stores, "ann", NewProject("empty"))
    models.create(stores, "ann", "vision", NewModel("bare"))
    projects.change(stores, "ann", "vision", ProjectChanges(inbox=True))
    settings = ModelSettings("accuracy", {"accuracy": "max", "loss": "min"})
    models.change(stores, "ann", *WHERE, ModelChanges(description="Digits", settings=settings))
    pushed(stores, {"a.bin": b"one", "b.bin": b"two"}, metrics={"accuracy": 0.8})
    pushed(
        stores, {"a.bin": b"three"}, label="final", metrics={"accuracy": 0.9}, package="p" * 16,
        tags={"stage": "done"}, parents=("vision/digits@1",),
    )  # fmt: skip
    pushed(stores, {"a.bin": b"four"})
    aliases.move(stores, "ann", *WHERE, "production", AliasTarget("1"))
    clock.time += 3600  # so that the next use of a token is noted
    aliases.move(stores, "ann", *WHERE, "production", AliasTarget("2"))
    second = versions.resolve(stores, *WHERE, references.parse_version("2"))
    for step in (10, 20, 30):
        _checkpoint(stores, second, step, b"point %d" % step, metrics={"loss": 1 / step})
    pinning.pin(stores, "ann", second, references.parse_checkpoint("2"), True)
    first = versions.resolve(stores, *WHERE, references.parse_version("1"))
    pruning.override(stores, "ann", first, Retention(keep_last=2))
    for name, data in (("second", b"three"), ("point", b"point 10")):
        base.names[name] = digests.single_blob(digests.sha256_of(data), len(data))
    issued = tokens.issue(stores, admin, NewToken("ci", (Scope(("read",)),)))
    base.names["token"] = issued.token.id
    _open(base)
    _held(base)
    providers.register(stores, "ann", "vision", NewProvider("acme", "1.0", "k8s", {
        "image": "i:1", "namespace": "fate"}, components={"lr": None}))  # fmt: skip
    index_all(stores)
    drop = "inbox/vision/digits/dropped/checkpoint/net/7#e/"
    for name, data in (("w", b"dropped"), ("_SUCCESS", b"")):
        stores.blobs.put(drop + name, data)
    base.names["drop"] = drop + "_SUCCESS"
    drain.everything(stores)
    publish.publish_static(stores.site)
    # Two changes that nobody has rendered yet.
    models.change(stores, "ann", "vision", "bare", ModelChanges(description="Bare"))
    projects.change(stores, "ann", "empty", ProjectChanges(description="Empty"))
    base.names["later"] = clock.time + 9 * 86400
    stores.table.close()
    return base


def _open(base):
    """Versions that are being pushed, and a large file on its way."""
    stores, names = base.stores, base.names
    for name in ("open", "bare", "aborting"):
        made = publishing.begin(stores, "ann", *WHERE, NewVersion(key_of(name)))
        names[name] = made.number
    assert made.number == OPENED
    entries = upload(stores, "vision", {"new.bin": b"new"})
    names["commit"] = {
        "manifest": manifests.digest(entries), "files": codec.encode(entries),
        "metrics": {"accuracy": 0.95}, "parents": ["vision/digits@2"],
    }  # fmt: skip
    names["files"] = codec.encode(entries)
    digest = digests.sha256_of(b"wanted")
    names["wanted"] = digests.single_blob(digest, 6)
    plan = uploads.plan(stores, "ann", "vision", PlanRequest((WantedBlob(names["wanted"]),))).blobs[
        0
    ]
    stores.blobs.execute(plan.request, b"wanted")
    names["done"] = {"blob": names["wanted"], "key": plan.key}
    pieces = [LARGE[:PART], LARGE[PART:]]
    parts = tuple(
        Part(number, digests.sha256_of(piece), len(piece)) for number, piece in enumerate(pieces, 1)
    )
    names["parts"] = codec.encode(parts)
    names["known"] = codec.encode([KnownPart(part.sha256, part.size) for part in parts])
    whole = digests.composite(digests.Sha256(part.sha256) for part in parts)
    names["large"] = digests.composite_blob(whole, 2, len(LARGE), 1)
    for name in ("upload", "other"):
        size = len(LARGE) + (name == "other")
        opened = uploads.start(stores, "ann", "vision", NewUpload(size, 1, parts[:1]))
        names[name] = opened.upload
    signed = uploads.sign_parts(stores, "vision", names["upload"], PartsRequest(parts))
    for piece, part in zip(pieces, signed.parts, strict=True):
        stores.blobs.execute(part.request, piece)


def _held(base):
    """A project whose policy holds back what is dangerous."""
    stores = base.stores
    setup_model(stores, "strict", "net")
    projects.change(stores, "ann", "strict", ProjectChanges(safety="block"))
    pushed(stores, {"bad.pkl": PICKLE}, project="strict", model="net")
    found = versions.resolve(stores, "strict", "net", references.parse_version("1"))
    _checkpoint(stores, found, 1, PICKLE + b" ")
    pushed(stores, {"later.pkl": PICKLE + b"  "}, project="strict", model="net")
    project_id = projects.find(stores, "strict").id
    heads = stores.blobs.list(f"blobs/{project_id}/").heads
    base.names["unseen"] = max(heads, key=lambda head: head.size).key
    for head in heads:
        if head.key != base.names["unseen"]:
            objects.look(stores, head.key)


def settle(base):
    """All that is done by itself has been done: events, outboxes, sweeps over weeks."""
    for days in (0, 2, 8, 8):
        base.clock.time += days * 86400
        repair.run(base.stores)
        drain.everything(base.stores)
        publish.publish_static(base.stores.site)


def view(base):
    """What there is, without times and random names: items by kind, objects by folder, records."""
    stores = base.stores
    with stores.table._connections.reading() as db:
        rows = db.execute("SELECT pk, sk FROM items").fetchall()
    items = Counter(f"{_kind(pk)} {_kind(sk)}" for pk, sk in rows)
    listed = [
        head.key
        for place in (stores.blobs, stores.site)
        for head in place.list("", limit=10**6).heads
        # An index is cut by the first digit of a random id.
        if "/~index/" not in head.key
    ]
    folders = Counter(key.partition("/")[0] for key in listed)
    found = {"items": dict(items), "objects": dict(folders), "models": []}
    for record in projects.records(stores):
        for model in models.listing(
            stores, record.project.name, prefix="", limit=100, page=None
        ).items:
            found["models"].append(_model(stores, record.project.name, model))
    return found


def _kind(key):
    """What is not random of a key: its first word, if it has one."""
    word = key.partition("#")[0]
    return word if word.isupper() else "*"


def _model(stores, project, model):
    """A model and its versions. (What a failed request reserved leaves a gap: what comes after the
    numbers of the base is one number here.)"""
    record = models.find(stores, project, model.name)
    listed = [
        item
        for state in ("ready", "held", "open")
        for item in versions.listing(stores, record, state=state, limit=100).items
    ]
    return {
        "model": f"{project}/{model.name}",
        "description": model.description,
        "aliases": model.aliases,
        "versions": [
            (min(v.number, OPENED + 1), v.state, v.label, dict(v.metrics), dict(v.tags), v.approval.state,
             _files(stores, record, v)) for v in listed
        ],
    }  # fmt: skip


def _files(stores, record, version):
    if not version.manifest:
        return ()
    entries = versions.files(stores, record.project_id, version.manifest)
    return tuple((entry.path, entry.size, entry.sha256) for entry in entries)
