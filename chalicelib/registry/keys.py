"""Every key of the table and of the artifact bucket, built and parsed side by side.

| question | pk | sk | read as |
|---|---|---|---|
| a project by name; projects by name | `PROJECTS` | lower-case name | get; query |
| a project's name by its id | `P#<project id>` | `NAME` | get |
| a model with aliases; models by prefix | `P#<project id>` | `M#<name>` | get; query |
| a model's name by its id | `P#<project id>` | `I#<model id>` | get |
| why an inbox drop was refused | `P#<project id>` | `J#<folder>` | get |
| the reindexing job of a project | `P#<project id>` | `REINDEX` | get |
| a provider by name; providers by name | `P#<project id>` | `V#<name:version@device>` | get; query |
| an open multipart upload | `P#<project id>` | `U#<upload id>` | get |
| an archive by what is in it | `P#<project id>` | `Z#<digest>` | get |
| a job of the archive worker | `P#<project id>` | `T#<job id>`; by its key `Y#<key>` | get |
| next version number | `M#<model id>` | `N` | atomic add |
| versions, newest first | `M#<model id>` | `V#<number>` ready, `O#` open, `W#` held back, `X#` ended | get; query |
| the greatest label, where labels are ordered | `M#<model id>` | `ORDER` | get (moved under a condition) |
| version by label; by idempotency key | `M#<model id>` | `L#<label>`, `K#<key>` | get (lock items) |
| best version by a metric | `M#<model id>` | `Q#<metric>#<ordered value>#<number>` | query, one item |
| what `production` was at time T | `M#<model id>` | `H#<alias>#<event id>` | query, one item |
| which versions name this one as parent | `M#<model id>` | `D#<number>#<reference>` | query |
| a model's card | `M#<model id>` | `CARD` | get |
| next checkpoint number | `C#<model id>#<version>` | `N` | condition in the commit |
| checkpoints by number | `C#<model id>#<version>` | `C#<number>` ready, `W#` held back | get; query |
| checkpoint by component and step | `C#<model id>#<version>` | `S#<component>#<step>#<name>` | get; query (lock) |
| best checkpoint by a metric | `C#<model id>#<version>` | `Q#<metric>#<ordered value>#<number>` | query |
| a component's checkpoints by number | `C#<model id>#<version>` | `A#<component>#<number>` | query |
| a component's best by a metric | `C#<model id>#<version>` | `R#<component>#<metric>#<value>#<number>` | query |
| a staged file by its name | `C#<model id>#<version>` | `F#<path>` | get in batches of 100 |
| checkpoints given up, not yet released | `C#<model id>#<version>` | `X#<number>` | query |
| a blob by digest | `B#<project id>#<blob>` | `BLOB` | get in batches of 100 |
| where a part's bytes lie | `T#<project id>#<sha256>#<size>` | `PART` | get in batches of 100 |
| what refers to a blob | `B#<project id>#<blob>` | `R#<model id>#<version>[#<checkpoint>]` | query |
| what indexing found in a blob | `B#<project id>#<blob>` | `FACTS` | get in batches of 100 |
| the parties' versions of one label | `F#<project id>` | `L#<label>#<model digest>` | query |
| the versions of one federated model | `F#<project id>` | `I#<model id digest>#<label>#<model digest>` | query |
| how often a version was loaded | `M#<model id>` | `Y#<number>` | get (atomic add) |
| who published a version to a serving system | `M#<model id>` | `Y#<number>#<event id>` | query |
| a FATE tag by name; tags by name | `K#<project id>` | `N#<tag>` | get; query |
| a FATE tag's name by its id | `K#<project id>` | `I#<tag id>` | get |
| the labels that a tag links to | `K#<project id>` | `T#<tag id>#<label>` | get; query |
| the tags of a label | `K#<project id>` | `L#<label>#<tag id>` | query |
| signatures that were used | `Y#<token id>` | `<facade>#<digest>` | condition of a put (TTL) |
| what may be free, and from when | `G#<project id>` | `B#<blob>`, `O#<object key>`, `V#<open version>` | query |
| who waits for the verdict on a blob | `G#<project id>` | `W#<blob>#<holder>` | query |
| jobs that may have been lost, and from when | `G#<project id>` | `J#<job id>` | query |
| whose retention is due, and from when | `G#<project id>` | `R#<model id>#<version>` (0: every one) | query |
| changes not yet rendered | `O#<project id>` | event id | query |
| events of a project by time | `E#<project id>#<yyyymm>` | event id | query |
| deleted projects whose pages are not yet removed | `DELETED` | project id | query |
| a package by id; packages by id | `Z#<project id>` | `I#<package id>` | get; query |
| who has a package's identity | `Z#<project id>` | `K#<sha256 of it>` | get (lock item) |
| registrations by number, name, parent | `S#<project id>` | `<kind>#<n>`, `L#…#<name>`, `P#…#<n>` | get; query |
| numbers for foreign clients; next: `N` | `S#<project id>` | `R#<model id>[#<version>]`, `D#<number>` | get |
| how much of a project is used | `P#<project id>` | `USAGE#<bytes, versions or models>` | get (atomic add) |
| requests of a token in a minute | `R#<token id>` | minute | atomic add (TTL) |
| the backup that is being restored | `RESTORE` | `MARK` | get |
| tokens; one-time tickets | `TOKENS`, `TICKETS` | token id; ticket digest | get; query |

All reads are strongly consistent; there is no secondary index. Blob partitions are spread by digest.
Free text inside a key is quoted, so that `#` only separates.
"""

import hashlib
import struct

from chalicelib.registry.door_keys import loads as loads
from chalicelib.registry.door_keys import of_federated as of_federated
from chalicelib.registry.door_keys import of_packages as of_packages
from chalicelib.registry.door_keys import of_signatures as of_signatures
from chalicelib.registry.door_keys import of_tags as of_tags
from chalicelib.registry.door_keys import package as package
from chalicelib.registry.door_keys import package_identity as package_identity
from chalicelib.registry.door_keys import parked as parked
from chalicelib.registry.door_keys import provider as provider
from chalicelib.registry.door_keys import publication as publication
from chalicelib.registry.door_keys import tag as tag
from chalicelib.registry.door_keys import tag_name as tag_name
from chalicelib.registry.door_keys import tagged as tagged
from chalicelib.registry.object_keys import archive_object as archive_object
from chalicelib.registry.object_keys import archives_folder as archives_folder
from chalicelib.registry.object_keys import batch_object as batch_object
from chalicelib.registry.object_keys import batch_of as batch_of
from chalicelib.registry.object_keys import blob_object as blob_object
from chalicelib.registry.object_keys import claims_folder as claims_folder
from chalicelib.registry.object_keys import claims_object as claims_object
from chalicelib.registry.object_keys import facts_object as facts_object
from chalicelib.registry.object_keys import inbox_prefix as inbox_prefix
from chalicelib.registry.object_keys import manifest_object as manifest_object
from chalicelib.registry.object_keys import manifest_pages as manifest_pages
from chalicelib.registry.object_keys import parked_folder as parked_folder
from chalicelib.registry.object_keys import parts_object as parts_object
from chalicelib.registry.object_keys import project_of_object as project_of_object
from chalicelib.registry.object_keys import reindex_object as reindex_object
from chalicelib.registry.ports import LAST, Key

PROJECTS = "PROJECTS"
TOKENS = "TOKENS"
TICKETS = "TICKETS"
DELETED = "DELETED"
READY, OPEN, HELD, ENDED = "V", "O", "W", "X"
POINT = "C"


def text(part: str) -> str:
    """Free text as a key part: `%` and `#` quoted, order and all else kept."""
    return part.replace("%", "%25").replace("#", "%23")


def untext(part: str) -> str:
    """The reverse of `text`."""
    return part.replace("%23", "#").replace("%25", "%")


def prefix(start: str) -> tuple[str, str]:
    """The bounds of all sort keys that begin with `start`."""
    return start, start + LAST


def ordered(value: float) -> str:
    """A finite float as 16 hex digits that sort as the floats do (IEEE 754, sign folded in)."""
    bits = struct.unpack(">Q", struct.pack(">d", value + 0.0))[0]
    bits = bits ^ 0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else bits | 0x8000_0000_0000_0000
    return f"{bits:016x}"


def project(name: str) -> Key:
    """A project; names are unique regardless of case."""
    return Key(PROJECTS, name.lower())


def project_name(project_id: str) -> Key:
    """Where a project's name is found by its id."""
    return Key(f"P#{project_id}", "NAME")


def model(project_id: str, name: str) -> Key:
    """A model."""
    return Key(f"P#{project_id}", f"M#{name}")


def model_name(project_id: str, model_id: str) -> Key:
    """Where a model's name is found by its id."""
    return Key(f"P#{project_id}", f"I#{model_id}")


def refusal(project_id: str, folder: str) -> Key:
    """Why the drop in an inbox folder was refused."""
    return Key(f"P#{project_id}", f"J#{folder}")


def usage(project_id: str, kind: str) -> Key:
    """How much of a project is used: `bytes`, `versions` or `models`."""
    return Key(f"P#{project_id}", f"USAGE#{kind}")


def requests(token_id: str, minute: int) -> Key:
    """How many requests a token made in a minute (since 1970)."""
    return Key(f"R#{token_id}", str(minute))


def reindex_job(project_id: str) -> Key:
    """The newest reindexing job of a project."""
    return Key(f"P#{project_id}", "REINDEX")


def upload(project_id: str, upload_id: str) -> Key:
    """An open multipart upload."""
    return Key(f"P#{project_id}", f"U#{upload_id}")


def archive(project_id: str, digest: str) -> Key:
    """An archive that was made and is still there, by the digest of its list of members."""
    return Key(f"P#{project_id}", f"Z#{digest}")


def job(project_id: str, job_id: str) -> Key:
    """A job of the archive worker."""
    return Key(f"P#{project_id}", f"T#{job_id}")


def job_lock(project_id: str, key: str) -> Key:
    """The lock of a job's idempotency key."""
    return Key(f"P#{project_id}", f"Y#{key}")


def of_model(model_id: str) -> str:
    """The partition of a model's versions."""
    return f"M#{model_id}"


def counter(pk: str) -> Key:
    """The counter of a partition's numbers."""
    return Key(pk, "N")


def version(model_id: str, kind: str, number: int) -> Key:
    """A version by the kind of its state: `READY`, `OPEN`, `HELD` or `ENDED`."""
    return Key(of_model(model_id), f"{kind}#{number:010d}")


def label(model_id: str, name: str) -> Key:
    """The lock of a version label."""
    return Key(of_model(model_id), f"L#{text(name)}")


def label_mark(model_id: str) -> Key:
    """The greatest label of a model that orders its labels."""
    return Key(of_model(model_id), "ORDER")


def staged(pk: str, path: str) -> Key:
    """A file that was announced for a checkpoint of the version to come."""
    return Key(pk, f"F#{text(path)}")


def idempotency(model_id: str, key: str) -> Key:
    """The lock of an idempotency key."""
    return Key(of_model(model_id), f"K#{text(key)}")


def metric(pk: str, name: str, value: float, number: int) -> Key:
    """The ordered item of one metric of one version or checkpoint."""
    return Key(pk, f"Q#{text(name)}#{ordered(value)}#{number:010d}")


def alias_move(model_id: str, alias: str, event_id: str) -> Key:
    """One move of an alias."""
    return Key(of_model(model_id), f"H#{alias}#{event_id}")


def dependent(model_id: str, number: int, child: str) -> Key:
    """Says that the version `child` names this one as its parent."""
    return Key(of_model(model_id), f"D#{number:010d}#{child}")


def card(model_id: str) -> Key:
    """A model's card."""
    return Key(of_model(model_id), "CARD")


def of_checkpoints(model_id: str, number: int) -> str:
    """The partition of a version's checkpoints."""
    return f"C#{model_id}#{number}"


def checkpoint(model_id: str, version_number: int, number: int, kind: str = POINT) -> Key:
    """A checkpoint by number: ready (`POINT`) or `HELD`."""
    return Key(of_checkpoints(model_id, version_number), f"{kind}#{number:010d}")


def recent(pk: str, component: str, number: int) -> Key:
    """A checkpoint in the order of its component's numbers."""
    return Key(pk, f"A#{text(component)}#{number:010d}")


def ranked(pk: str, component: str, name: str, value: float, number: int) -> Key:
    """The ordered item of one metric of a checkpoint, among those of its component."""
    return Key(pk, f"R#{text(component)}#{text(name)}#{ordered(value)}#{number:010d}")


def evicted(model_id: str, version_number: int, number: int) -> Key:
    """A checkpoint that is gone; what it referred to is not yet released."""
    return Key(of_checkpoints(model_id, version_number), f"X#{number:010d}")


def step(model_id: str, version_number: int, component: str, index: int, name: str) -> Key:
    """The lock of a checkpoint's identity, ordered by component and step."""
    return Key(
        of_checkpoints(model_id, version_number), f"S#{text(component)}#{index:020d}#{text(name)}"
    )


def of_blob(project_id: str, blob: str) -> str:
    """The partition of one blob."""
    return f"B#{project_id}#{blob}"


def blob(project_id: str, blob_id: str) -> Key:
    """A blob."""
    return Key(of_blob(project_id, blob_id), "BLOB")


def part(project_id: str, sha256: str, size: int) -> Key:
    """Where the bytes of a part lie."""
    return Key(f"T#{project_id}#{sha256}#{size}", "PART")


def facts(project_id: str, blob_id: str) -> Key:
    """What indexing found in a blob."""
    return Key(of_blob(project_id, blob_id), "FACTS")


def holder(model_id: str, number: int, checkpoint_number: int = 0) -> str:
    """Who refers to a blob: a version, or one of its checkpoints."""
    return f"{model_id}#{number:010d}" + (f"#{checkpoint_number:010d}" if checkpoint_number else "")


def parse_holder(sk: str) -> tuple[str, int, int]:
    """Model id, version number, checkpoint number (0: the version itself) of a reference's sk."""
    parts = sk.split("#")
    return parts[1], int(parts[2]), int(parts[3]) if len(parts) > 3 else 0


def committed(held_by: str) -> tuple[Key, Key]:
    """Where a holder is to be found once it was committed: ready, or held back."""
    model_id, number, point = parse_holder(f"R#{held_by}")
    if point:
        return checkpoint(model_id, number, point), checkpoint(model_id, number, point, HELD)
    return version(model_id, READY, number), version(model_id, HELD, number)


def versions_of_holder(held_by: str) -> tuple[Key, ...]:
    """Where the version of a holder is to be found, unless it has ended; `OPEN` comes first."""
    model_id, number, _ = parse_holder(f"R#{held_by}")
    return tuple(version(model_id, kind, number) for kind in (OPEN, HELD, READY))


def reference(project_id: str, blob_id: str, held_by: str) -> Key:
    """Says that `held_by` refers to a blob."""
    return Key(of_blob(project_id, blob_id), f"R#{held_by}")


def shards_of_label(label: str) -> str:
    """How the sort keys of all parties' versions of a label begin."""
    return f"L#{text(label)}#"


def shards_of_model(model_id: str, label: str = "") -> str:
    """The same of a federated model, or of one of its versions."""
    return f"I#{_short(model_id)}#" + (f"{text(label)}#" if label else "")


def shards(project_id: str, name: str, model_id: str, label: str) -> tuple[Key, Key]:
    """Where a party's version is found by its label, and by its federated model. Names are digests
    here: two long ones would not fit into a sort key."""
    pk = of_federated(project_id)
    return (
        Key(pk, shards_of_label(label) + _short(name)),
        Key(pk, shards_of_model(model_id, label) + _short(name)),
    )


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def of_candidates(project_id: str) -> str:
    """The partition of what may be free."""
    return f"G#{project_id}"


def free_blob(project_id: str, blob_id: str) -> Key:
    """A blob that nothing may refer to any more."""
    return Key(of_candidates(project_id), f"B#{blob_id}")


def stale_version(project_id: str, model_id: str, number: int) -> Key:
    """An open version that its pusher may have forgotten."""
    return Key(of_candidates(project_id), f"V#{model_id}#{number:010d}")


def waiting(project_id: str, blob_id: str, held_by: str) -> Key:
    """Says that the verdict on `held_by` waits for that on a blob."""
    return Key(of_candidates(project_id), f"W#{blob_id}#{held_by}")


def parse_waiting(sk: str) -> tuple[str, str]:
    """The blob that is waited for, and the holder that waits."""
    _, blob_id, held_by = sk.split("#", 2)
    return blob_id, held_by


def retention_due(project_id: str, model_id: str, number: int) -> Key:
    """Says that the retention of a version (0: of all versions of the model) is to be looked at."""
    return Key(of_candidates(project_id), f"R#{model_id}#{number:010d}")


def job_due(project_id: str, job_id: str) -> Key:
    """Says that a job is not done, and when somebody is to look whether it still will be."""
    return Key(of_candidates(project_id), f"J#{job_id}")


def free_object(project_id: str, object_key: str) -> Key:
    """An object that lost the race for its blob, or an archive, from when on it is not needed."""
    return Key(of_candidates(project_id), f"O#{object_key}")


def of_outbox(project_id: str) -> str:
    """The partition of changes not yet rendered."""
    return f"O#{project_id}"


def of_events(project_id: str, month: str) -> str:
    """The partition of one month's events (`202611`)."""
    return f"E#{project_id}#{month}"
