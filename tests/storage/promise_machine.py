"""A random walk over the registry beside a simple model of what it must answer (promises 1 to 6).

The walk turns the safety policy on and off; whether a file is safe is decided by its last byte.
"""

import itertools
from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chalicelib.catalogue import drain
from chalicelib.indexing import formats, objects
from chalicelib.registry import (
    aliases,
    blobs,
    changing,
    checkpoints,
    facts,
    models,
    outbox,
    projects,
    publishing,
    sweep,
    versions,
)
from chalicelib.registry.stores import Stores
from chalicelib.storage.memory import MemoryBlobs, MemoryQueue
from tests.registry_world import Clock, key_of, setup_model, upload
from weighbridge.contract import digests, manifests, references
from weighbridge.contract.errors import Conflict, Gone, InUse, NotFound
from weighbridge.contract.types import (
    AliasTarget,
    CheckpointCommit,
    Facts,
    NewVersion,
    ProjectChanges,
    VersionCommit,
)

WHERE = ("vision", "digits")
CONTENT = st.dictionaries(
    st.sampled_from(["a", "b/c", "d"]), st.binary(min_size=1, max_size=3), min_size=1, max_size=3
)
ALIASES = st.sampled_from(["production", "stage"])
FOLDER = "inbox/vision/digits/dropped/checkpoint/net/{}#e/"


def dangerous(content):
    """Whether the walk's indexer finds this content unsafe."""
    return content[-1] % 4 == 3


def read(ranged):
    """Facts of a file of the walk."""
    unsafe = dangerous(ranged.read(0, ranged.size))
    return Facts("walk", verdict="unsafe" if unsafe else "safe")


def blob_ids(files):
    """The blobs that hold these contents."""
    return [digests.single_blob(digests.sha256_of(data), len(data)) for data in files.values()]


def number(n):
    """The selector of a version number."""
    return references.parse_version(str(n))


class Promises(RuleBasedStateMachine):
    """Subclasses say which table to use."""

    table = None

    @initialize()
    def start(self):
        """An empty registry with one model and an open inbox."""
        self.indexers = formats.INDEXERS
        formats.INDEXERS = ((lambda first, size: size > 0, read),)
        self.clock = Clock()
        bytes_ = MemoryBlobs(clock=self.clock)
        self.stores = Stores(
            table=self.make_table(), blobs=bytes_, queue=MemoryQueue(),
            site=MemoryBlobs(clock=self.clock), now=self.clock,
        )  # fmt: skip
        setup_model(self.stores)
        projects.change(self.stores, "ann", "vision", ProjectChanges(inbox=True))
        self.project_id = projects.find(self.stores, "vision").id
        self.serial = itertools.count()
        self.highest = 0
        self.letterbox = 0
        self.open: dict[int, str] = {}
        self.ready: dict[int, dict[str, bytes]] = {}
        self.ended: set[int] = set()
        self.pointers: dict[str, int] = {}
        self.moves: dict[str, list[tuple[float, int]]] = {}
        self.points: dict[int, dict[int, dict[str, bytes]]] = {}
        self.dropped: dict[int, dict[str, bytes]] = {}
        self.events: list[str] = []
        self.policy = "warn"
        self.held: dict[int, dict[str, bytes]] = {}
        self.strict: set[tuple[int, int]] = set()

    def make_table(self):
        """A fresh table."""
        raise NotImplementedError

    def teardown(self):
        """Closes the table."""
        if hasattr(self, "stores"):
            formats.INDEXERS = self.indexers
            self.stores.table.close()

    @rule(policy=st.sampled_from(["warn", "block"]))
    def decree(self, policy):
        """The project's safety policy changes; what is committed already does not."""
        projects.change(self.stores, "ann", "vision", ProjectChanges(safety=policy))
        self.policy = policy

    @rule(data=st.data())
    def index(self, data):
        """The event of some blob arrives, for the first time or not."""
        listed = self.stores.blobs.list(f"blobs/{self.project_id}/").heads
        # Names are random: in the order of what is in them, a walk can be repeated.
        heads = sorted((self.stores.blobs.head(h.key) for h in listed), key=lambda h: h.sha256)
        if heads:
            objects.look(self.stores, data.draw(st.sampled_from([h.key for h in heads])))
            self._settle()

    def _known(self, files):
        """Whether every blob of these contents was looked at."""
        wanted = blob_ids(files)
        return all(facts.indexed(self.stores, self.project_id, blob) for blob in wanted)

    def _settle(self):
        """What is held back became ready exactly if it is known to be safe."""
        for chosen, files in list(self.held.items()):
            found = versions.resolve(self.stores, *WHERE, number(chosen)).version
            known, bad = self._known(files), any(map(dangerous, files.values()))
            if found.state == "ready":
                assert known
                assert not bad
                self.ready[chosen] = self.held.pop(chosen)
            elif known:
                assert (found.state, bad) == ("blocked", True)

    @rule()
    def begin(self):
        """Numbers increase and are never reused (promise 1)."""
        key = key_of(f"{id(self)} {next(self.serial)}")
        version = publishing.begin(self.stores, "ann", *WHERE, NewVersion(key))
        assert version.number == self.highest + 1
        self.highest = version.number
        again = publishing.begin(self.stores, "ann", *WHERE, NewVersion(key))
        assert again.number == version.number
        self.open[version.number] = key

    @precondition(lambda self: self.open)
    @rule(data=st.data(), files=CONTENT)
    def commit(self, data, files):
        """A version appears as a whole."""
        chosen = data.draw(st.sampled_from(sorted(self.open)))
        entries = upload(self.stores, "vision", files)
        request = VersionCommit(manifests.digest(entries), entries)
        for _ in range(data.draw(st.integers(1, 2))):
            made = publishing.commit(self.stores, "ann", *WHERE, chosen, request)
        del self.open[chosen]
        if made.state == "ready":
            assert self.policy == "warn" or (
                self._known(files) and not any(map(dangerous, files.values()))
            )
            self.ready[chosen] = files
        else:
            assert self.policy == "block"
            self.held[chosen] = files
            self._settle()

    @rule(files=CONTENT)
    def die(self, files):
        """A client that dies between its uploads and its commit."""
        upload(self.stores, "vision", files)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def abort(self, data):
        """An aborted version is gone."""
        chosen = data.draw(st.sampled_from(sorted(self.open)))
        publishing.abort(self.stores, "ann", *WHERE, chosen)
        del self.open[chosen]
        self.points.pop(chosen, None)
        self.ended.add(chosen)

    @precondition(lambda self: self.ready or self.held)
    @rule(data=st.data())
    def delete(self, data):
        """What an alias points to stays; all else can be deleted (promise 5)."""
        chosen = data.draw(st.sampled_from(sorted([*self.ready, *self.held])))
        try:
            changing.delete(self.stores, "ann", *WHERE, number(chosen))
        except InUse:
            assert chosen in self.pointers.values()
        else:
            assert chosen not in self.pointers.values()
            self.ready.pop(chosen, None)
            self.held.pop(chosen, None)
            self.points.pop(chosen, None)
            self.ended.add(chosen)

    @precondition(lambda self: self.highest)
    @rule(data=st.data(), alias=ALIASES)
    def move(self, data, alias):
        """Aliases go to ready versions only (promise 4)."""
        target = data.draw(st.integers(1, self.highest))
        self.clock.time += 1
        wanted = AliasTarget(str(target))
        try:
            aliases.move(self.stores, "ann", *WHERE, alias, wanted)
        except Gone:
            assert target in self.ended
        except Conflict:
            assert target in self.open or target in self.held or target == self.letterbox
        else:
            assert target in self.ready
            if self.pointers.get(alias) != target:
                self.moves.setdefault(alias, []).append((self.clock.time, target))
            self.pointers[alias] = target

    @rule(alias=ALIASES)
    def unalias(self, alias):
        """A removed alias points nowhere; its history stays."""
        self.clock.time += 1
        try:
            aliases.remove(self.stores, "ann", *WHERE, alias)
        except NotFound:
            assert alias not in self.pointers
        else:
            del self.pointers[alias]
            self.moves[alias].append((self.clock.time, 0))

    @precondition(lambda self: self.open or self.ready or self.held)
    @rule(data=st.data(), step=st.integers(0, 3), files=CONTENT)
    def checkpoint(self, data, step, files):
        """Equal content is one checkpoint; other content under its identity is refused."""
        chosen = data.draw(st.sampled_from(sorted([*self.open, *self.ready, *self.held])))
        entries = upload(self.stores, "vision", files)
        found = versions.resolve(self.stores, *WHERE, number(chosen))
        request = CheckpointCommit(manifests.digest(entries), entries, step)
        there = self.points.setdefault(chosen, {})
        try:
            checkpoints.commit(self.stores, "ann", found, request)
        except Conflict:
            assert step in there
            assert there[step] != files
        else:
            if step not in there and self.policy == "block":
                self.strict.add((chosen, step))
            assert there.setdefault(step, files) == files

    @rule(step=st.integers(0, 4), content=st.binary(min_size=1, max_size=3))
    def drop(self, step, content):
        """A plain S3 writer puts a file, then the marker; events wait to be delivered."""
        folder = FOLDER.format(step)
        for name, data in (("w", content), ("_SUCCESS", b"")):
            self.stores.blobs.put(folder + name, data)
            self.events.append(folder + name)
        if step not in self.dropped or not self._adopted(step):
            self.dropped[step] = {"w": content}

    def _adopted(self, step):
        return step in self._inbox()

    def _inbox(self):
        record = models.find(self.stores, *WHERE)
        label = references.VersionSelector("label", "dropped")
        try:
            found = versions.of_model(self.stores, record, label)
        except NotFound:
            return {}
        self.highest = max(self.highest, found.number)
        self.letterbox = found.number
        return {c.step: c for state in ("ready", "held") for c in self._points(found, state)}

    def _points(self, found, state):
        return checkpoints.listing(self.stores, found, order="oldest", state=state, limit=100).items

    @precondition(lambda self: self.events)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data, keep):
        """Events arrive in any order, twice or more (promise 6)."""
        chosen = data.draw(st.sampled_from(self.events))
        objects.look(self.stores, chosen)
        self._settle()
        self._inbox()
        if not keep:
            self.events.remove(chosen)

    @rule(hours=st.sampled_from([0, 2]))
    def sweep(self, hours):
        """Time passes; the sweep cleans up what is not referred to."""
        self.clock.time += hours * 3600
        sweep.run(self.stores)

    @rule()
    def drain(self):
        """The outbox is drained, as often as anybody likes."""
        drain.project(self.stores, self.project_id)

    @invariant()
    def only_ready_versions_are_listed_and_their_bytes_are_theirs(self):
        """Promises 2 and 3: what is listed is whole, and reads back as it was pushed."""
        if not hasattr(self, "stores"):
            return
        record = models.find(self.stores, *WHERE)
        listed = versions.listing(self.stores, record, limit=1000).items
        assert [v.number for v in listed] == sorted(self.ready, reverse=True)
        waiting = versions.listing(self.stores, record, state="held", limit=1000).items
        assert [v.number for v in waiting] == sorted(self.held, reverse=True)
        assert {v.state for v in listed} <= {"ready"}
        assert {v.state for v in waiting} <= {"checking", "blocked"}
        if listed:
            newest = versions.of_model(self.stores, record, references.LATEST)
            assert newest.number == max(self.ready)
        for version in listed:
            assert self._content(version.manifest) == self.ready[version.number]
        for gone in self.ended:
            with suppress(Gone):
                versions.numbered(self.stores, record, gone)
                raise AssertionError("a number that ended was seen again")

    @invariant()
    def checkpoints_are_those_committed(self):
        """Checkpoints are numbered without gaps, once each, and hold their bytes."""
        for owner, there in getattr(self, "points", {}).items():
            found = versions.resolve(self.stores, *WHERE, number(owner))
            ready, held = self._points(found, "ready"), self._points(found, "held")
            listed = sorted([*ready, *held], key=lambda c: c.number)
            assert [c.number for c in listed] == list(range(1, len(there) + 1))
            assert {c.step: self._content(c.manifest) for c in listed} == there
            assert {c.state for c in ready} <= {"ready"}
            assert {c.state for c in held} <= {"checking", "blocked"}
            for point in ready:
                if (owner, point.step) in self.strict:
                    assert self._known(there[point.step])
                    assert not any(map(dangerous, there[point.step].values()))
            if ready:
                last = checkpoints.resolve(self.stores, found, references.parse_checkpoint("last"))
                assert last.checkpoint == ready[-1]

    @invariant()
    def inbox_checkpoints_hold_what_was_adopted(self):
        """A drop becomes one checkpoint with the bytes that were there when it was adopted."""
        if hasattr(self, "stores"):
            for step, checkpoint in self._inbox().items():
                assert self._content(checkpoint.manifest) == self.dropped[step]

    @invariant()
    def aliases_point_to_ready_versions_and_history_is_true(self):
        """Promise 4: pointers are ready, and the history answers for every moment."""
        if not hasattr(self, "stores"):
            return
        assert models.find(self.stores, *WHERE).model.aliases == self.pointers
        assert set(self.pointers.values()) <= set(self.ready)
        for alias, moves in self.moves.items():
            for at, target in moves[-3:]:
                moment = outbox.iso(at)
                found = aliases.history(self.stores, *WHERE, alias, at=moment).items
                assert [m.version for m in found] == [target]

    def _content(self, manifest):
        entries = versions.files(self.stores, self.project_id, manifest)
        keys = blobs.object_keys(self.stores, self.project_id, [e.blob for e in entries])
        return {e.path: self.stores.blobs.read(keys[e.blob]) for e in entries}
