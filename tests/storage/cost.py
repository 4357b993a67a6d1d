"""What each verb costs in read and write units: measured, and written to docs/cost.md."""

import dataclasses
from dataclasses import dataclass

from chalicelib.catalogue import drain
from chalicelib.registry import (
    aliases,
    changing,
    checkpoints,
    compare,
    models,
    pinning,
    projects,
    promoting,
    pruning,
    publishing,
    tokens,
    uploads,
    versions,
)
from chalicelib.storage import units
from tests.registry_world import key_of, upload
from weighbridge.contract import digests, manifests, references
from weighbridge.contract.types import (
    AliasTarget,
    ApprovalChange,
    CheckpointCommit,
    ModelChanges,
    ModelSettings,
    NewModel,
    NewProject,
    NewUpload,
    NewVersion,
    Part,
    PlanRequest,
    Promotion,
    PutDone,
    Retention,
    VersionChanges,
    VersionCommit,
    WantedBlob,
)

WHERE = ("vision", "digits")
LAST = references.parse_checkpoint("last")


@dataclass(frozen=True)
class Row:
    """One verb's cost."""

    verb: str
    reads: float
    writes: float
    later: float = 0
    note: str = ""


def measure(stores):
    """Runs each verb once on small items; answers a row each, by name."""
    rows = {}

    def run(verb, action, note=""):
        with units.recorded() as now:
            result = action()
        project_id = projects.find(stores, "vision").id
        with units.recorded() as after:
            drain.project(stores, project_id)
        rows[verb] = Row(verb, now.reads, now.writes, after.writes, note)
        return result

    by = "token:trainer"
    run("create a project", lambda: projects.create(stores, by, NewProject("vision")))
    run("create a model", lambda: models.create(stores, by, "vision", NewModel("digits")))
    version = run(
        "begin", lambda: publishing.begin(stores, by, *WHERE, NewVersion(key_of("1"))),
        "+2 with a label",
    )  # fmt: skip
    digest = digests.sha256_of(b"one")
    blob = digests.single_blob(digest, 3)
    entry = manifests.FileEntry("model.bin", 3, digest, blob)
    want = PlanRequest((WantedBlob(blob),))
    plan = run("plan (per new blob)", lambda: uploads.plan(stores, by, "vision", want))
    stores.blobs.execute(plan.blobs[0].request, b"one")
    done = PlanRequest((), (PutDone(blob, plan.blobs[0].key),))
    run(
        "complete (per new blob)", lambda: uploads.plan(stores, by, "vision", done),
        "a multipart upload: +1 at its plan, +1 here, +1 per part",
    )  # fmt: skip
    new = NewUpload(50 * 1024**2, 1, (Part(1, digest, 16 * 1024**2),))
    run(
        "open a multipart upload", lambda: uploads.start(stores, by, "vision", new),
        "one that was left of the file is looked for: +1 LIST of parts per upload that began alike",
    )  # fmt: skip
    run("plan (per blob that is there)", lambda: uploads.plan(stores, by, "vision", want))
    request = VersionCommit(manifests.digest([entry]), (entry,), metrics={"accuracy": 0.9})
    run(
        "commit", lambda: publishing.commit(stores, by, *WHERE, version.number, request),
        "1 file, 1 metric; +1 per further blob, +1 per further metric, +1 per parent",
    )  # fmt: skip
    selector = references.parse_version("1")
    run(
        "resolve a version by number",
        lambda: versions.resolve(stores, *WHERE, selector),
    )
    move = AliasTarget("1")
    run("move an alias", lambda: aliases.move(stores, by, *WHERE, "production", move))
    alias = references.parse_version("production")
    run("resolve an alias", lambda: versions.resolve(stores, *WHERE, alias))
    run("resolve the latest", lambda: versions.resolve(stores, *WHERE, references.LATEST))
    settings = ModelSettings("accuracy", {"accuracy": "max"})
    run(
        "change a model",
        lambda: models.change(stores, by, *WHERE, ModelChanges(settings=settings)),
    )
    record = models.find(stores, *WHERE)
    run("best version by a metric", lambda: versions.best(stores, record, ""))
    run("list versions (one page of 1)", lambda: versions.listing(stores, record, limit=1))
    run(
        "change a version",
        lambda: changing.change(
            stores, by, *WHERE, selector, VersionChanges(tags={"stage": "final"})
        ),
    )
    run(
        "approve",
        lambda: changing.approve(stores, by, *WHERE, selector, ApprovalChange("approved")),
    )
    found = versions.resolve(stores, *WHERE, selector)
    files = upload(stores, "vision", {"w": b"checkpoint"})
    point = CheckpointCommit(manifests.digest(files), files, 10, metrics={"loss": 0.1})
    run(
        "commit a checkpoint", lambda: checkpoints.commit(stores, by, found, point),
        "1 file, 1 metric; +1 per further blob, +2 per further metric",
    )  # fmt: skip
    run("last checkpoint", lambda: checkpoints.resolve(stores, found, LAST))
    run("list checkpoints by a metric", lambda: checkpoints.listing(stores, found, by="loss",
                                                                     order="min"))  # fmt: skip
    keep = Retention(keep_last=1)
    run("set a version's retention", lambda: pruning.override(stores, by, found, keep))
    more = dataclasses.replace(point, step=20)
    run(
        "commit a checkpoint that displaces one",
        lambda: checkpoints.commit(stores, by, found, more),
        "later: the eviction, its release and its line in the history too",
    )
    run("pin a checkpoint", lambda: pinning.pin(stores, by, found, LAST, True))
    last = checkpoints.resolve(stores, found, LAST)
    run(
        "promote a checkpoint",
        lambda: promoting.promote(stores, by, last, Promotion(key_of("promote"))),
        "begin and commit of a version; no byte is copied",
    )
    side = compare.Side(found)
    run("compare two versions", lambda: compare.compare(stores, [side, side]))
    aliases.remove(stores, by, *WHERE, "production")
    run("delete a version", lambda: changing.delete(stores, by, *WHERE, selector))
    tokens.bootstrap(stores, "wb_id_" + "s" * 32)
    tokens.authenticate(stores, "wb_id_" + "s" * 32)
    run(
        "check a token (every request)",
        lambda: tokens.authenticate(stores, "wb_id_" + "s" * 32),
        "+1 write at most every ten minutes, for its last use",
    )
    return rows


def table(rows):
    """The rows as a Markdown table."""
    lines = ["| verb | read units | write units | written later | |", "|---|---|---|---|---|"]
    lines += [
        f"| {r.verb} | {r.reads:g} | {r.writes:g} | {r.later:g} | {r.note} |" for r in rows.values()
    ]
    return "\n".join(lines)
