"""A random walk over checkpoints under retention, beside a model that decides over all of them."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chalicelib.catalogue import drain
from chalicelib.registry import (
    checkpoints,
    keys,
    models,
    pinning,
    projects,
    promoting,
    pruning,
    publishing,
    retention,
    sweep,
    versions,
)
from chalicelib.registry.stores import Stores
from chalicelib.storage.memory import MemoryBlobs, MemoryQueue
from tests.registry_world import Clock, key_of, setup_model, upload
from weighbridge.contract import manifests, references
from weighbridge.contract.errors import InUse
from weighbridge.contract.types import (
    CheckpointCommit,
    KeepBest,
    ModelChanges,
    ModelSettings,
    NewVersion,
    Promotion,
    PruneRequest,
    Retention,
)

WHERE = ("vision", "digits")
COMPONENTS = st.sampled_from(["", "net"])
LOSSES = st.sampled_from([0.5, 1.0, 2.0, float("nan"), None])
POLICIES = st.one_of(
    st.just(Retention()),
    st.builds(
        Retention, st.integers(0, 2),
        st.sampled_from([(), (KeepBest("loss", "min", 1),), (KeepBest("loss", "max", 2),)]),
        st.sampled_from([0, 3]), st.sampled_from([0, 5000]),
    ),
)  # fmt: skip


class Keeping(RuleBasedStateMachine):
    """Subclasses say which table to use."""

    @initialize(policy=POLICIES)
    def start(self, policy):
        """One open version of a model with rules and a main metric."""
        self.clock = Clock()
        self.stores = Stores(
            table=self.make_table(), blobs=MemoryBlobs(clock=self.clock), queue=MemoryQueue(),
            site=MemoryBlobs(clock=self.clock), now=self.clock, lease_seconds=600, sign_seconds=60,
        )  # fmt: skip
        setup_model(self.stores)
        self.project_id = projects.find(self.stores, "vision").id
        self.policies = {"model": policy, "own": None}
        self.set_model(policy)
        new = NewVersion(key_of(str(id(self))))
        self.number = publishing.begin(self.stores, "ann", *WHERE, new).number
        self.there: dict[int, bytes] = {}
        self.step = 0
        self.highest = 0
        self.promoted: dict[int, bytes] = {}

    def make_table(self):
        """A fresh table."""
        raise NotImplementedError

    def teardown(self):
        """Closes the table."""
        if hasattr(self, "stores"):
            self.stores.table.close()

    @property
    def found(self):
        """The version, as it is now."""
        return versions.numbered(self.stores, models.find(self.stores, *WHERE), self.number)

    def listed(self):
        """All checkpoints that are there."""
        return checkpoints.listing(self.stores, self.found, order="oldest", limit=1000).items

    def chosen(self):
        """What one decision over all of them says."""
        own = self.policies["own"]
        policy = self.policies["model"] if own is None else own
        return retention.choose(self.listed(), policy, self.clock(), "loss", "min")

    @rule(policy=POLICIES)
    def set_model(self, policy):
        """The model's rules change."""
        settings = ModelSettings("loss", {"loss": "min"}, retention=policy)
        models.change(self.stores, "ann", *WHERE, ModelChanges(settings=settings))
        self.policies["model"] = policy

    @rule(policy=st.none() | POLICIES)
    def set_own(self, policy):
        """The version gets rules of its own, or the model's again."""
        pruning.override(self.stores, "ann", self.found, policy)
        self.policies["own"] = policy

    @rule(component=COMPONENTS, loss=LOSSES, data=st.binary(min_size=1, max_size=2))
    def commit(self, component, loss, data):
        """A new checkpoint; some share their bytes."""
        entries = upload(self.stores, "vision", {"w": data})
        metrics = {} if loss is None else {"loss": loss}
        self.step += 1
        self.clock.time += 1
        request = CheckpointCommit(
            manifests.digest(entries), entries, self.step, component, "", metrics
        )
        made = checkpoints.commit(self.stores, "ann", self.found, request)
        self.highest += 1
        assert made.number == self.highest  # never one that was used
        self.there[made.number] = data

    @precondition(lambda self: self.there)
    @rule(data=st.data(), pinned=st.booleans())
    def pin(self, data, pinned):
        """Somebody pins or unpins one."""
        point = data.draw(st.sampled_from(self.listed()))
        selector = references.parse_checkpoint(str(point.number))
        pinning.pin(self.stores, "ann", self.found, selector, pinned)

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def delete(self, data):
        """Somebody deletes one by hand; a pinned one stays."""
        point = data.draw(st.sampled_from(self.listed()))
        selector = references.parse_checkpoint(str(point.number))
        try:
            checkpoints.delete(self.stores, "ann", self.found, selector)
        except InUse:
            assert point.pinned
        else:
            assert not point.pinned
            del self.there[point.number]

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def promote(self, data):
        """One becomes a version; its bytes stay whatever becomes of it."""
        point = data.draw(st.sampled_from(self.listed()))
        selector = references.parse_checkpoint(str(point.number))
        record = checkpoints.resolve(self.stores, self.found, selector)
        wanted = Promotion(key_of(f"{id(self)} {len(self.promoted)} {self.step} {point.number}"))
        version = promoting.promote(self.stores, "ann", record, wanted)
        self.promoted[version.number] = self.there[point.number]

    @rule(dry_run=st.booleans())
    def prune(self, dry_run):
        """Exactly those go that the decision over all of them says."""
        chosen = self.chosen()
        done = pruning.prune(self.stores, self.found, PruneRequest(dry_run))
        assert done.items == chosen
        if not dry_run:
            self.forget(v.number for v in chosen if not v.keep)

    @rule()
    def drain(self):
        """The drain evicts nothing that the decision over all of them keeps."""
        self.may_evict(lambda: drain.project(self.stores, self.project_id))

    @rule(seconds=st.sampled_from([1, 700, 3000]))
    def sweep(self, seconds):
        """Time passes; the sweep evicts nothing that the decision keeps."""
        self.clock.time += seconds
        self.may_evict(lambda: sweep.run(self.stores))

    def may_evict(self, action):
        """Runs what may evict, and checks what it did."""
        kept = {v.number for v in self.chosen() if v.keep}
        action()
        left = {p.number for p in self.listed()}
        assert kept <= left
        self.forget(set(self.there) - left)

    def forget(self, numbers):
        for number in list(numbers):
            del self.there[number]

    @rule()
    def come_to_rest(self):
        """Drains and sweeps converge to the decision, and free what nobody holds."""
        for _ in range(3):
            self.drain()
            self.sweep(700)
        self.prune(False)
        assert all(verdict.keep for verdict in self.chosen())
        policy = pruning.state(self.stores, self.found).retention
        for _ in range(2):
            self.drain()
            self.sweep(700)
        held = {self.blob(d) for d in (*self.there.values(), *self.promoted.values())}
        if not policy.max_age:  # else some may have grown too old meanwhile
            stored = {h.size for h in self.stores.blobs.list("blobs/").heads}
            assert len(self.stores.blobs.list("blobs/").heads) == len(held), stored
        pk = keys.of_checkpoints(self.found.model.id, self.number)
        assert not self.stores.table.query(pk, *keys.prefix("X#")).items

    def blob(self, data):
        """What tells one content from another."""
        return data

    @invariant()
    def what_is_there_is_what_is_listed(self):
        """Nothing vanished that was not evicted or deleted; `last` is the newest; bytes are there."""
        if not hasattr(self, "promoted"):
            return
        listed = self.listed()
        assert [p.number for p in listed] == sorted(self.there)
        for point in listed:
            assert self.content(point.manifest) == self.there[point.number]
        if listed:
            last = checkpoints.resolve(self.stores, self.found, references.parse_checkpoint("last"))
            assert last.checkpoint.number == max(self.there)
        for number, data in self.promoted.items():
            record = models.find(self.stores, *WHERE)
            version = versions.numbered(self.stores, record, number).version
            assert self.content(version.manifest) == data

    def content(self, manifest):
        """The bytes of the one file of a manifest."""
        from chalicelib.registry import blobs

        (entry,) = versions.files(self.stores, self.project_id, manifest)
        found = blobs.object_keys(self.stores, self.project_id, [entry.blob])
        return self.stores.blobs.read(found[entry.blob])
