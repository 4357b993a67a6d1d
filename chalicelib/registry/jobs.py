"""Jobs: work that outlasts a request, done by the archive worker and asked for by id.

A job is an item: `queued → running → done | failed`. Who works on it has claimed it under a condition for
`LEASE` seconds, so that one message delivered twice is worked on once; whoever dies leaves it to the next.
A note beside it lets the sweep send a lost message again. Kinds are registered by the part of the server
that knows what they do; functions are loaded by the worker alone.

Secrets of a request (a store's password) are never stored: they are split into two shares, of which
either alone is random. The item holds one, the queue's message the other, and both go when the job ends.
"""

import importlib
import json
import logging
import secrets as random_bytes
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from chalicelib.registry import keys, projects, turns
from chalicelib.registry.ports import (
    Absent,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Put,
    Update,
    Write,
)
from chalicelib.registry.stores import Stores, epoch, event_id, iso
from weighbridge.contract.errors import BY_CODE, Conflict, InvalidRequest, NotFound, RegistryError

_log = logging.getLogger("weighbridge.jobs")
State = Literal["queued", "running", "done", "failed"]
LEASE = 960
"""Longer than a function may run: nobody works on a job that another still works on."""
KEPT = 7 * 86400
"""How long a job can be asked for."""
LOST = 120
"""Seconds after which the sweep takes a queued job's message for lost."""
PATIENCE = 3600
"""How long the message with a job's other share may wait in the queue before it is taken for lost."""
ATTEMPTS = 5
WAIT = 5.0
MAX_DOCUMENT = 64 * 1024
_LOOK = (0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. `secrets` is filled in only while it is worked on."""

    id: str
    project_id: str
    kind: str
    state: State
    by: str
    args: Mapping[str, Any]
    created: str
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    finished: str = ""
    attempts: int = 0
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def ended(self) -> bool:
        """Whether it is done or failed."""
        return self.state in ("done", "failed")

    def failure(self) -> RegistryError:
        """What a failed job failed with, as the error that it was."""
        kind = BY_CODE.get(str(self.error.get("code")), RegistryError)
        return kind(str(self.error.get("message", "")), **dict(self.error.get("details", {})))


Work = Callable[[Stores, Job], Mapping[str, Any]]
"""Does a job; what it answers is the job's result. It may be called again after a crash, and after
`Unavailable` unless that says `retry=False`."""
_kinds: dict[str, str] = {}


def register(kind: str, function: str) -> None:
    """Says that jobs of a kind are done by `package.module:function`, imported when one is done."""
    if _kinds.setdefault(kind, function) != function:
        raise ValueError(f"the kind {kind!r} is {_kinds[kind]} already")


def submit(
    stores: Stores,
    project_id: str,
    kind: str,
    by: str,
    args: Mapping[str, Any],
    *,
    secrets: Mapping[str, str] | None = None,
    key: str = "",
) -> Job:
    """Queues a job. With the same `key` as one that is not done yet, answers that one."""
    if kind not in _kinds:
        raise InvalidRequest(f"there is no kind of job {kind!r}")
    if len(json.dumps(dict(args))) > MAX_DOCUMENT:
        raise InvalidRequest(f"what a job is given has more than {MAX_DOCUMENT} bytes")
    now = stores.now()
    identifier = event_id(now, stores.random())
    lock = keys.job_lock(project_id, key)
    if key and (other := stores.table.get(lock)):
        known = _found(stores, project_id, str(other.attrs["ref"]))
        if known is not None and not known.ended:
            return known
        stores.table.write(Delete(lock))
    mine, theirs = _split(secrets or {})
    doc = {"kind": kind, "by": by, "args": dict(args), "created": iso(now), "key": key}
    ttl = int(now) + KEPT
    job = Item(
        keys.job(project_id, identifier), {"state": "queued", "rev": 1, "ttl": ttl},
        {**doc, "share": mine},
    )  # fmt: skip
    writes: list[Write] = [
        Put(job, (Absent(),)),
        Put(Item(keys.job_due(project_id, identifier), {"until": int(now) + LOST})),
    ]
    if key:
        writes.append(Put(Item(lock, {"ref": identifier, "ttl": ttl}), (Absent(),)))
    try:
        stores.table.transact(writes)
    except ConditionFailed as failed:
        twin = failed.existing and _found(stores, project_id, str(failed.existing.attrs["ref"]))
        if twin:
            return twin
        raise Conflict("the same was asked for at the same moment; ask again") from None
    _send(stores, project_id, identifier, theirs)
    return _job(project_id, job)


def run(
    stores: Stores,
    project_id: str,
    kind: str,
    by: str,
    args: Mapping[str, Any],
    *,
    secrets: Mapping[str, str] | None = None,
    key: str = "",
    wait: float = WAIT,
) -> Job:
    """`submit`, and the job once it has ended, or as it is after `wait` seconds."""
    job = submit(stores, project_id, kind, by, args, secrets=secrets, key=key)
    return waited(stores, job, wait)


def waited(stores: Stores, job: Job, seconds: float) -> Job:
    """The job once it has ended, or as it is after `seconds`."""
    deadline = time.monotonic() + seconds
    looks = iter(_LOOK)
    found = find(stores, job.project_id, job.id)
    while not found.ended and time.monotonic() < deadline:
        with turns.waiting():
            time.sleep(min(next(looks, _LOOK[-1]), max(0.0, deadline - time.monotonic())))
        found = find(stores, job.project_id, job.id)
    return found


def find(stores: Stores, project_id: str, identifier: str) -> Job:
    """A job by its id."""
    found = _found(stores, project_id, identifier)
    if found is None:
        raise NotFound(
            f"there is no job {identifier[:60]!r} (they are kept for {KEPT // 86400} days)"
        )
    return found


def work(stores: Stores, project_id: str, identifier: str, share: str = "") -> None:
    """Does a job, unless it is done or another works on it. Raises only if it is to be tried again."""
    claimed = _claim(stores, project_id, identifier, share)
    if claimed is None:
        return
    job, item = claimed
    try:
        known = _join(str(item.doc.get("share", "")), share)
        module, _, function = _kinds[job.kind].partition(":")
        do = cast("Work", getattr(importlib.import_module(module), function))
        result = do(stores, _with(job, known))
        _end(stores, item, "done", {"result": dict(result)})
    except RegistryError as error:
        if error.status == 503 and error.details.get("retry", True) and job.attempts < ATTEMPTS:
            _release(stores, item)
            raise
        _end(stores, item, "failed", {"error": _told(error)})
    except Exception:
        _log.exception("the job %s (%s) failed", identifier, job.kind)
        if job.attempts < ATTEMPTS:
            _release(stores, item)
            raise
        told = {"code": "error", "message": "it failed on the server; its log says why"}
        _end(stores, item, "failed", {"error": told})


def revive(stores: Stores, project_id: str, note: Item) -> bool:
    """What the sweep does about a job that was due: sends a lost message again, or forgets the note of
    one that has ended. Answers whether a message was sent."""
    identifier = note.key.sk[2:]
    item = stores.table.get(keys.job(project_id, identifier))
    if item is None or item.attrs["state"] in ("done", "failed"):
        stores.table.write(Delete(note.key))
        return False
    if item.attrs["state"] == "running" and int(item.attrs.get("until", 0)) > stores.now():
        later = int(item.attrs["until"])
        stores.table.write(Put(Item(note.key, {"until": later})))
        return False
    stores.table.write(Put(Item(note.key, {"until": int(stores.now()) + LEASE})))
    _send(stores, project_id, identifier, "")
    return True


def recover(stores: Stores) -> None:
    """Frees what a worker that died was working on. Only for who knows that no other one lives."""
    for record in projects.records(stores):
        for note in _everything(stores, keys.of_candidates(record.id), "J#"):
            item = stores.table.get(keys.job(record.id, note.key.sk[2:]))
            if item is not None and item.attrs["state"] == "running":
                _release(stores, item)


def _everything(stores: Stores, pk: str, start: str) -> list[Item]:
    found: list[Item] = []
    after: str | None = None
    while True:
        page = stores.table.query(pk, *keys.prefix(start), after=after, limit=1000)
        found += page.items
        if page.next is None:
            return found
        after = page.next


def _claim(stores: Stores, project_id: str, identifier: str, share: str) -> tuple[Job, Item] | None:
    item = stores.table.get(keys.job(project_id, identifier))
    if item is None or item.attrs["state"] in ("done", "failed"):
        return None
    now = int(stores.now())
    if item.doc.get("share") and not share and now < epoch(str(item.doc["created"])) + PATIENCE:
        return None  # sent by the sweep; the message with the other share may still be waiting
    if item.attrs["state"] == "running" and int(item.attrs.get("until", 0)) > now:
        return None
    claim = Update(
        item.key, set={"state": "running", "until": now + LEASE}, add={"rev": 1, "n": 1},
        condition=(Equal("rev", int(item.attrs["rev"])),),
    )  # fmt: skip
    try:
        mine = stores.table.write(claim)
    except ConditionFailed:
        return None  # another was faster
    assert mine
    return _job(project_id, mine), mine


def _release(stores: Stores, item: Item) -> None:
    """Back into the queue: this attempt failed, the next may not."""
    _change(stores, item, Update(item.key, set={"state": "queued", "until": 0}, add={"rev": 1}))


def _end(stores: Stores, item: Item, state: State, more: Mapping[str, Any]) -> None:
    doc = {name: value for name, value in item.doc.items() if name != "share"}
    doc |= {**more, "finished": iso(stores.now())}
    ended = Update(item.key, set={"state": state, "until": 0}, add={"rev": 1}, doc=doc)
    if not _change(stores, item, ended):
        return
    project_id = item.key.pk.removeprefix("P#")
    stores.table.write(Delete(keys.job_due(project_id, item.key.sk[2:])))
    if key := item.doc.get("key"):
        stores.table.write(Delete(keys.job_lock(project_id, str(key))))


def _change(stores: Stores, item: Item, update: Update) -> bool:
    """Whether it was still ours to change: who took longer than its lease has lost it."""
    condition = (Equal("rev", int(item.attrs["rev"])),)
    try:
        stores.table.write(
            Update(update.key, update.set, update.add, update.remove, update.doc, condition)
        )
    except ConditionFailed:
        return False
    return True


def _found(stores: Stores, project_id: str, identifier: str) -> Job | None:
    item = stores.table.get(keys.job(project_id, identifier))
    return _job(project_id, item) if item else None


def _job(project_id: str, item: Item) -> Job:
    doc = item.doc
    return Job(
        item.key.sk[2:], project_id, str(doc["kind"]), cast("State", item.attrs["state"]),
        str(doc["by"]), doc["args"], str(doc["created"]), doc.get("result", {}),
        doc.get("error", {}), str(doc.get("finished", "")), int(item.attrs.get("n", 0)),
    )  # fmt: skip


def _with(job: Job, known: Mapping[str, str]) -> Job:
    return Job(
        job.id, job.project_id, job.kind, job.state, job.by, job.args, job.created,
        attempts=job.attempts, secrets=known,
    )  # fmt: skip


def _told(error: RegistryError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "details": error.details}


def _send(stores: Stores, project_id: str, identifier: str, share: str) -> None:
    message = {"project": project_id, "job": identifier, **({"share": share} if share else {})}
    try:
        stores.queue.send("archive", message)
    except RegistryError as error:  # the sweep sends it again
        _log.warning("the archive queue did not take the job %s: %s", identifier, error.message)


def _split(known: Mapping[str, str]) -> tuple[str, str]:
    """Two shares, each of which is random by itself; empty for no secrets."""
    if not known:
        return "", ""
    plain = json.dumps(dict(known)).encode()
    pad = random_bytes.token_bytes(len(plain))
    return pad.hex(), bytes(a ^ b for a, b in zip(plain, pad, strict=True)).hex()


def _join(mine: str, theirs: str) -> dict[str, str]:
    if not mine:
        return {}
    pad, other = bytes.fromhex(mine), bytes.fromhex(theirs)
    if len(pad) != len(other):
        raise Conflict(
            "the credentials that came with the request are gone, because the job was interrupted; "
            "ask for it again"
        )
    return cast("dict[str, str]", json.loads(bytes(a ^ b for a, b in zip(pad, other, strict=True))))
