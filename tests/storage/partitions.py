"""Which partition of the table takes how many writes of a verb, and so how often a second it can be done.

DynamoDB's documented bound is 1,000 write units a second per partition key. Items are small here: a write
is one unit, two in a transaction; checks of a condition in a transaction are billed like writes.
"""

from collections import Counter

from chalicelib.catalogue import drain
from chalicelib.registry import aliases, checkpoints, projects, publishing, versions
from tests.registry_world import key_of, upload
from weighbridge.contract import manifests, references
from weighbridge.contract.types import AliasTarget, CheckpointCommit, NewVersion, VersionCommit

WHERE = ("vision", "digits")
BOUND = 1000
PARTITIONS = {
    "M": "a model", "O": "a project's outbox", "E": "a project's history of a month",
    "P": "a project", "G": "a project's notes for the sweep", "B": "a blob",
    "C": "a version's checkpoints", "T": "a part", "PROJECTS": "all projects",
}  # fmt: skip
"""The first word of partition keys, and of what there is one partition each."""
VERBS = ("push a version", "commit a checkpoint", "move an alias")


class Writes:
    """A table whose write units are counted by partition."""

    def __init__(self, inner):
        self.inner = inner
        self.units = Counter()

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def _count(self, writes, units):
        for write in writes:
            self.units[write.key.pk.partition("#")[0]] += units

    def write(self, write):
        self._count([write], 1)
        return self.inner.write(write)

    def write_many(self, writes):
        self._count(writes, 1)
        return self.inner.write_many(writes)

    def write_each(self, writes):
        self._count(writes, 1)
        return self.inner.write_each(writes)

    def transact(self, writes):
        self._count(writes, 2)
        return self.inner.transact(writes)


def measure(stores, writes):
    """The units of each verb by partition, what is written later included; one small new file each."""
    found = {}
    project_id = projects.find(stores, "vision").id

    def measured(verb, act):
        writes.units.clear()
        act()
        drain.project(stores, project_id)
        found[verb] = dict(writes.units)

    def push():
        made = publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("partition")))
        files = upload(stores, "vision", {"w": b"a version"})
        body = VersionCommit(manifests.digest(files), files, metrics={"accuracy": 0.9})
        publishing.commit(stores, "ann", *WHERE, made.number, body)

    def checkpoint():
        chosen = versions.resolve(stores, *WHERE, references.LATEST)
        files = upload(stores, "vision", {"w": b"a checkpoint"})
        body = CheckpointCommit(manifests.digest(files), files, 10, metrics={"loss": 0.1})
        checkpoints.commit(stores, "ann", chosen, body)

    measured("push a version", push)
    measured("commit a checkpoint", checkpoint)
    measured(
        "move an alias", lambda: aliases.move(stores, "ann", *WHERE, "stage", AliasTarget("1"))
    )
    return found


def table(found):
    """The partitions as a Markdown table, the fullest first."""
    fullest = {
        kind: max(units.get(kind, 0) for units in found.values())
        for kind in {kind for units in found.values() for kind in units}
    }
    head = "| partition: one for | " + " | ".join(VERBS) + " | most a second |"
    lines = [head, "|---" * (len(VERBS) + 2) + "|"]
    for kind, most in sorted(fullest.items(), key=lambda pair: (-pair[1], pair[0])):
        units = " | ".join(str(found[verb].get(kind, 0)) for verb in VERBS)
        lines.append(f"| {PARTITIONS[kind]} | {units} | {BOUND // most} |")
    return "\n".join(lines)
