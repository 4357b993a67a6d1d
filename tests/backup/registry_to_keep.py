"""A small registry with something of everything that a backup must keep."""

import hashlib

from chalicelib.catalogue import drain
from chalicelib.catalogue import publish as static
from chalicelib.registry import (
    aliases,
    changing,
    checkpoints,
    models,
    providers,
    publishing,
    tokens,
    uploads,
    versions,
)
from chalicelib.registry.tokens import Principal, everything
from tests.registry_world import index_all, key_of, publish, setup_model, upload
from weighbridge.contract import cuts, digests, manifests, references
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    AliasTarget,
    ApprovalChange,
    Card,
    CheckpointCommit,
    ModelChanges,
    ModelSettings,
    NewProvider,
    NewToken,
    NewUpload,
    NewVersion,
    Part,
    PartsRequest,
    Scope,
    UploadComplete,
    VersionCommit,
)

BIG = (b"\x00\x01\x02\x03" * (cuts.MIN_PART // 4), b"the tail")


def big_file(stores, project="vision", path="big.bin", pieces=BIG):
    """A file of two parts, sent as a client sends it."""
    data = b"".join(pieces)
    listed = tuple(
        Part(n, hashlib.sha256(piece).hexdigest(), len(piece)) for n, piece in enumerate(pieces, 1)
    )
    new = NewUpload(len(data), cuts.FIXED, listed)
    opened = uploads.start(stores, "ann", project, new).upload
    plan = uploads.sign_parts(stores, project, opened, PartsRequest(listed))
    for part, piece in zip(plan.parts, pieces, strict=True):
        assert stores.blobs.execute(part.request, piece).status == 200
    digest = digests.composite(digests.Sha256(part.sha256) for part in listed)
    blob = digests.composite_blob(digest, len(listed), len(data), cuts.FIXED)
    uploads.complete(stores, project, opened, UploadComplete(blob))
    return FileEntry(path, len(data), hashlib.sha256(data).hexdigest(), blob)


def fill(stores):
    """Models, versions in several states, checkpoints, aliases, tokens, providers, pages."""
    setup_model(stores)
    setup_model(stores, "speech", "guest#9999 数字")
    settings = ModelSettings("loss", {"loss": "min"}, ("prod*",))
    models.change(stores, "ann", "vision", "digits", ModelChanges("All", {"t": "v"}, settings))
    models.set_card(stores, "ann", "vision", "digits", Card("# Digits\n"))
    publish(stores, {"a.bin": b"one", "b.bin": b"same"}, label="1.0", metrics={"loss": 0.5})
    new = NewVersion(key_of("big"))
    number = publishing.begin(stores, "ann", "vision", "digits", new).number
    entries = (big_file(stores), *upload(stores, "vision", {"b.bin": b"same"}))
    commit = VersionCommit(manifests.digest(entries), entries, parents=("vision/digits@1",))
    publishing.commit(stores, "ann", "vision", "digits", number, commit)
    selector = references.parse_version("2")
    changing.approve(stores, "ann", "vision", "digits", selector, ApprovalChange("approved", "ok"))
    aliases.move(stores, "ann", "vision", "digits", "stage", AliasTarget("1"))
    aliases.move(stores, "bob", "vision", "digits", "stage", AliasTarget("2"))
    found = versions.resolve(stores, "vision", "digits", references.parse_version("1"))
    for step in (1, 2):
        files = upload(stores, "vision", {"c.bin": b"step %d" % step})
        point = CheckpointCommit(
            manifests.digest(files), files, step, "enc", "epoch", metrics={"loss": 1 / step}
        )
        checkpoints.commit(stores, "ann", found, point)
    publish(stores, {"s.bin": b"speech"}, "speech", "guest#9999 数字")
    provider = NewProvider("acme", "1.0.0", "local", {"path": "x", "python": "y"})
    providers.register(stores, "ann", "speech", provider)
    tokens.issue(
        stores, Principal("ann", everything()), NewToken("reader", (Scope(("read",), "vision"),))
    )
    publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of("open")))
    publish(stores, {"gone.bin": b"gone"})
    changing.delete(stores, "ann", "vision", "digits", references.parse_version("4"))
    for project in ("vision", "speech"):
        index_all(stores, project)
    drain.everything(stores)
    static.publish_static(stores.site)


def items_of(stores):
    """Every item but what is of the server alone."""
    return {
        item.key: (dict(item.attrs), dict(item.doc))
        for item in stores.table.scan()
        if item.key.sk != "PART"
    }


def objects_of(blobs):
    """Every object with its bytes."""
    found, after = {}, ""
    while after is not None:
        page = blobs.list("", after)
        found |= {head.key: blobs.read(head.key) for head in page.heads}
        after = page.next
    return found
