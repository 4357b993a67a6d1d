"""Applies retention: decides on the index, evicts in transactions, leaves the bytes to the sweep.

Evicting removes a checkpoint and its identity and leaves a note, in one transaction that holds only
while nothing was committed, deleted, pinned or decided otherwise since the decision. The drain of the
outbox releases what it referred to, and only the sweep deletes objects, once URLs that were signed
before are over. Checkpoints that their verdict holds back are neither counted nor evicted; once they are
let through, they are as others. Every call looks at a bounded number of checkpoints, however many there are.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from chalicelib.registry import (
    checkpoints,
    keys,
    models,
    outbox,
    paging,
    projects,
    retention,
    safety,
    series,
    versions,
)
from chalicelib.registry.checkpoints import CheckpointRecord
from chalicelib.registry.ports import (
    Absent,
    ConditionFailed,
    Put,
    Update,
)
from chalicelib.registry.retention import Standing
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import codec
from weighbridge.contract.errors import Gone, NotFound, Unavailable
from weighbridge.contract.types import (
    Checkpoint,
    Event,
    Judged,
    Pruned,
    PruneRequest,
    Retention,
    RetentionState,
)

BY = "retention"
"""Who evicts, in the history."""
LOOK = 100
"""Checkpoints that one call of `prune` looks at."""
MAX_EVICTED = 30
MAX_FILES = 500
MAX_BYTES = 1024 * 1024
"""What one call, which is one transaction, evicts at most: checkpoints (each is three of its 100
items), their files (each costs a look at who else refers to it), and their descriptions (4 MB)."""
SLACK = 2
"""Checkpoints looked at beyond those that new ones can have displaced: what an eviction that failed
left behind goes with the next."""
RACES = 12


def state(stores: Stores, found: VersionRecord) -> RetentionState:
    """The retention in force for a version's checkpoints, and who says so."""
    return _state(found, series.counted(stores.table, checkpoints.partition(found)))


def _state(found: VersionRecord, counter: series.Series) -> RetentionState:
    if counter.retention is not None:
        return RetentionState(counter.retention, "version")
    of_model = found.model.model.settings.retention
    return RetentionState(of_model, "model" if retention.has_rules(of_model) else "none")


def override(
    stores: Stores, by: str, found: VersionRecord, policy: Retention | None
) -> RetentionState:
    """Gives a version a retention of its own, or (None) the model's again. The sweep applies it to
    what is there."""
    if policy is not None:
        retention.checked(policy)
    model = found.model
    encoded = codec.encode(policy) if policy is not None else None
    event = outbox.entry(
        stores, model.project_id, "version.retention", by, model=model.model.name,
        subject=f"{model.model.name}@{found.number}", versions=[found.number],
        details={"retention": encoded} if encoded is not None else None,
    )  # fmt: skip
    doc = {"retention": encoded} if encoded is not None else {}
    stores.table.transact([
        Update(keys.counter(checkpoints.partition(found)), add={"rev": 1}, doc=doc),
        retention.note(stores, model.project_id, model.id, found.number), event,
    ])  # fmt: skip
    outbox.wake(stores, model.project_id)
    return state(stores, found)


@dataclass(slots=True)
class _View:
    """How a version's checkpoints stand under a policy, read from the index where it is asked."""

    stores: Stores
    found: VersionRecord
    policy: Retention
    now: float
    standings: dict[str, Standing] = field(default_factory=dict)
    _champion: int | None = None

    @property
    def pk(self) -> str:
        """The partition of the checkpoints."""
        return checkpoints.partition(self.found)

    def recent(self, component: str, more: int = 0) -> list[Checkpoint]:
        """The newest of a component that `last` and `keep_last` keep, and some more."""
        count = max(1, self.policy.keep_last) + more
        return series.recent(self.stores.table, self.pk, component, count)

    def standing(self, component: str) -> Standing:
        """How a component's checkpoints stand."""
        if component not in self.standings:
            table, pk = self.stores.table, self.pk
            newest = [p.number for p in self.recent(component)]
            best = {
                rule.metric: frozenset(
                    p.number
                    for p in series.ranked(table, pk, rule.metric, rule.mode, rule.count, component)
                )
                for rule in self.policy.keep_best
            }
            last = frozenset(newest[: self.policy.keep_last])
            self.standings[component] = Standing(frozenset(newest[:1]), last, best)
        return self.standings[component]

    def leaders(self, count: int) -> list[Checkpoint]:
        """The best of the version by the model's main metric."""
        settings = self.found.model.model.settings
        direction = settings.directions.get(settings.main_metric)
        if direction is None:
            return []
        return series.ranked(self.stores.table, self.pk, settings.main_metric, direction, count)

    @property
    def champion(self) -> int:
        """The number of the best; 0 if there is none."""
        if self._champion is None:
            self._champion = next((p.number for p in self.leaders(1)), 0)
        return self._champion

    def judge(self, point: Checkpoint) -> Judged:
        """What the policy says of a checkpoint."""
        standing = self.standing(point.component)
        return retention.judge(point, self.policy, standing, self.champion, self.now)


class _Stale(Exception):
    """What the decision rests on has changed: decide anew."""


def _evict(
    stores: Stores, found: VersionRecord, counter: series.Series, doomed: Sequence[Checkpoint]
) -> None:
    """Evicts checkpoints while `counter` stands; `_Stale` if it does not."""
    if not doomed:
        return
    model = found.model
    event = outbox.entry(
        stores, model.project_id, "checkpoint.evicted", BY, model=model.model.name,
        subject=f"{model.model.name}@{found.number}", versions=[found.number],
        details={"checkpoints": [p.number for p in doomed], "bytes": sum(p.size for p in doomed)},
        model_id=model.id, release=found.number,
    )  # fmt: skip
    bump = Update(
        keys.counter(checkpoints.partition(found)), add={"rev": 1}, condition=counter.unchanged
    )
    vanish = [w for p in doomed for w in checkpoints.gone(CheckpointRecord(found, p))]
    try:
        stores.table.transact([bump, *vanish, event])
    except ConditionFailed:
        raise _Stale from None


@dataclass(slots=True)
class _Budget:
    """What one transaction may still evict."""

    evicted: int = 0
    files: int = 0
    bytes: int = 0

    def takes(self, point: Checkpoint) -> bool:
        """Whether one more fits; the first always does."""
        files = self.files + point.files
        size = self.bytes + len(json.dumps(series.document(point), ensure_ascii=False).encode())
        if self.evicted and (self.evicted == MAX_EVICTED or files > MAX_FILES or size > MAX_BYTES):
            return False
        self.evicted, self.files, self.bytes = self.evicted + 1, files, size
        return True


@dataclass(frozen=True, slots=True)
class Pass:
    """What one look came to."""

    judged: tuple[Judged, ...]
    points: tuple[Checkpoint, ...]
    after: str | None
    freed: tuple[int, int, int] = (0, 0, 0)


def look(
    stores: Stores, found: VersionRecord, after: str | None, *, act: bool, account: bool
) -> Pass:
    """Judges the next checkpoints by number and, if it is to act, evicts those that nothing keeps."""
    for _ in range(RACES):
        counter = series.counted(stores.table, checkpoints.partition(found))
        view = _View(stores, found, _state(found, counter).retention, stores.now())
        part = stores.table.query(view.pk, *keys.prefix("C#"), after=after, limit=LOOK)
        points: list[Checkpoint] = []
        judged: list[Judged] = []
        doomed: list[Checkpoint] = []
        budget = _Budget()
        following = part.next
        for item in part.items:
            point = series.decoded(item)
            verdict = view.judge(point)
            if not verdict.keep:
                if not budget.takes(point):
                    following = keys.checkpoint("", 0, points[-1].number).sk
                    break
                doomed.append(point)
            points.append(point)
            judged.append(verdict)
        freed = _freed(view, doomed, points[-1].number) if account and doomed else (0, 0, 0)
        if act and doomed:
            try:
                _evict(stores, found, counter, doomed)
            except _Stale:
                continue
            outbox.wake(stores, found.model.project_id)
        return Pass(tuple(judged), tuple(points), following, freed)
    raise Unavailable(f"too many others change the checkpoints of {found.reference}; try again")


def prune(stores: Stores, found: VersionRecord, request: PruneRequest) -> Pruned:
    """Applies the retention to the next checkpoints by number, or says what that would do."""
    query = f"prune/{checkpoints.partition(found)}"
    after = paging.after(query, request.page)
    done = look(stores, found, after, act=not request.dry_run, account=True)
    evicted = sum(not verdict.keep for verdict in done.judged)
    blobs_, bytes_, shared = done.freed
    following = paging.token(query, done.after) if done.after is not None else None
    return Pruned(done.judged, evicted, blobs_, bytes_, shared, request.dry_run, following)


def _freed(view: _View, doomed: Sequence[Checkpoint], end: int) -> tuple[int, int, int]:
    """Blobs and bytes that evicting `doomed` frees, and bytes that others hold.

    A blob that only evictable checkpoints hold is counted once: with the last of them.
    """
    stores, project_id = view.stores, view.found.model.project_id
    sizes: dict[str, int] = {}
    for point in doomed:
        for entry in versions.files(stores, project_id, point.manifest):
            sizes[entry.blob] = entry.size
    numbers = {point.number for point in doomed}
    known: dict[int, bool | None] = dict.fromkeys(numbers, False)
    count = freed = shared = 0
    for blob, size in sizes.items():
        fate = _fate(view, blob, known, end)
        if fate == "freed":
            count, freed = count + 1, freed + size
        elif fate == "shared":
            shared += size
    return count, freed, shared


def _fate(view: _View, blob: str, known: dict[int, bool | None], end: int) -> str:
    """Whether a blob is `freed`, `shared` or freed `later`. `known`: by number, whether a checkpoint
    is kept (None: it is gone). The newest are looked at first, because those are kept most often."""
    table, model = view.stores.table, view.found.model
    after: str | None = None
    fate = "freed"
    while True:
        page = table.query(
            keys.of_blob(model.project_id, blob), *keys.prefix("R#"), after=after, limit=LOOK,
            reverse=True,
        )  # fmt: skip
        for item in page.items:
            model_id, version, number = keys.parse_holder(item.key.sk)
            if (model_id, version) != (model.id, view.found.number) or not number:
                return "shared"
            if number not in known:
                known[number] = _kept(view, item.key.sk.removeprefix("R#"))
            if known[number]:
                return "shared"
            if known[number] is False and number > end:
                fate = "later"
        if page.next is None:
            return fate
        after = page.next


def _kept(view: _View, holder: str) -> bool | None:
    """Whether a checkpoint is kept, as one that is held back always is; None if it is gone."""
    item = safety.committed(view.stores, holder)
    if item is None:
        return None
    point = series.decoded(item)
    return point.state != "ready" or view.judge(point).keep


def settle(stores: Stores, found: VersionRecord, news: Mapping[int, str]) -> int:
    """Applies the retention after checkpoints became ready, given by number with their component.
    Looks only at them, which may be old if they were held back, and at what they can have displaced.
    Answers how many were evicted. It is part of a drain, which goes on until the outbox is empty:
    nobody needs to be woken."""
    more = len(news) + SLACK
    for _ in range(RACES):
        counter = series.counted(stores.table, checkpoints.partition(found))
        policy = _state(found, counter).retention
        if not retention.has_rules(policy):
            return 0
        view = _View(stores, found, policy, stores.now())
        seen: dict[int, Checkpoint] = {p.number: p for p in view.leaders(1 + more)}
        for component in dict.fromkeys(news.values()):
            seen |= {p.number: p for p in view.recent(component, more)}
            for rule in policy.keep_best:
                ranked = series.ranked(
                    stores.table, view.pk, rule.metric, rule.mode, rule.count + more, component
                )
                seen |= {p.number: p for p in ranked}
        own = [keys.checkpoint(found.model.id, found.number, n) for n in news if n not in seen]
        for item in stores.table.get_many(own).values() if own else ():
            point = series.decoded(item)
            seen[point.number] = point
        doomed = [seen[n] for n in sorted(seen) if not view.judge(seen[n]).keep]
        budget = _Budget()
        fitting = [point for point in doomed if budget.takes(point)]
        try:
            _evict(stores, found, counter, fitting)
        except _Stale:
            continue
        if len(fitting) < len(doomed):
            stores.table.write(_note(stores, found, 0))
            return len(fitting)
        if policy.max_age:
            with suppress(ConditionFailed):  # there is a note already, of an older checkpoint
                stores.table.write(_note(stores, found, policy.max_age, absent=True))
        return len(doomed)
    stores.table.write(_note(stores, found, 0))  # many others write: the sweep has the time
    return 0


def settle_all(stores: Stores, project_id: str, events: Iterable[Event]) -> int:
    """Applies the retention of every version of which these events say that a checkpoint became
    ready, at its commit or later."""
    published: dict[tuple[str, int], dict[int, str]] = {}
    for event in events:
        if event.kind in ("checkpoint.published", "checkpoint.released"):
            number, _, point = event.subject.rpartition("@")[2].partition(":")
            component = str(event.details.get("component", ""))
            published.setdefault((event.model, int(number)), {})[int(point)] = component
    project = projects.by_id(stores, project_id) if published else None
    evicted = 0
    for (model, of), news in published.items():
        with suppress(NotFound, Gone):  # deleted since
            if project is not None:
                record = models.within(stores, project_id, project.name, model)
                found = versions.numbered(stores, record, of)
                evicted += settle(stores, found, news)
    return evicted


def _note(stores: Stores, found: VersionRecord, after: int, absent: bool = False) -> Put:
    model = found.model
    condition = (Absent(),) if absent else ()
    return retention.note(stores, model.project_id, model.id, found.number, after, condition)
