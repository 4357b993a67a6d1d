"""Packages: versions with one ZIP file, their ids and identities, whichever way they come and go."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.registry import changing, keys, packages, projects, publishing, receiving, sweep
from chalicelib.registry.ports import Signed
from tests.registry_world import key_of, publish, setup_model, upload
from weighbridge.contract import cuts, digests, edge, manifests, names
from weighbridge.contract.errors import (
    AlreadyExists,
    InvalidName,
    InvalidRequest,
    NotFound,
    TooLarge,
    Unavailable,
)
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import NewVersion, VersionChanges, VersionCommit

ZIP = {"bolt.zip": b"PK\x03\x04 bolt"}
MIB = 1024 * 1024


def number(n):
    """A version by its number."""
    return VersionSelector("number", str(n))


def change(stores, n, **changes):
    """Changes a version of the test's model."""
    return changing.change(stores, "ann", "vision", "digits", number(n), VersionChanges(**changes))


def listed(stores):
    """The packages of the test's project."""
    found, rest = packages.listing(stores, projects.find(stores, "vision").id, None, 100)
    assert rest is None
    return [record.package.id for record in found]


@given(st.text(min_size=1, max_size=60))
def test_every_name_has_a_model_name_that_reads_back(name):
    """Names are reversible; what is no text of Unicode is refused."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return
    model = edge.model_of(name)
    assert names.model_name(model) == model
    assert edge.name_of(model) == name


@given(st.text(min_size=1, max_size=60))
def test_a_model_name_that_stands_for_nothing_is_itself(text):
    """What was named natively is shown as it is, unless it could have been written at the edge."""
    try:
        model = names.model_name(text)
    except InvalidName:
        return
    assert edge.name_of(edge.model_of(edge.name_of(model))) == edge.name_of(model)


@given(st.text(max_size=300))
def test_any_file_name_becomes_one_that_can_be_stored(text):
    """The last segment, without what paths cannot hold."""
    name = receiving.file_name(text, "model.zip")
    assert "/" not in names.file_path(name)


def test_a_version_with_one_zip_file_is_a_package(stores):
    """Whatever else is in it; two are none, and no other file is."""
    made = publish(stores, {**ZIP, "readme.md": b"x"}, label="1.0")
    assert made.package.path == "bolt.zip"
    assert made.package.sha256 == digests.sha256_of(ZIP["bolt.zip"])
    assert publish(stores, {"a.zip": b"PK1", "b.ZIP": b"PK2"}).package is None
    assert publish(stores, {"a.bin": b"PK3"}).package is None
    assert listed(stores) == [made.package.id]
    found = packages.find(stores, projects.find(stores, "vision").id, made.package.id)
    assert found.version.number == made.number
    assert (packages.title(found.version), packages.release(found.version)) == ("digits", "1.0")


def test_an_id_may_be_asked_for_and_is_taken_once(stores):
    """Then any single file will do; a conflict leaves the version open, to be given up."""
    made = publish(stores, {"weights": b"PK1"}, package="a" * 16)
    assert made.package.id == "a" * 16
    with pytest.raises(AlreadyExists) as raised:
        publish(stores, {"weights": b"PK2"}, label="x", package="a" * 16)
    assert raised.value.details == {"package": "a" * 16}
    for bad in ("short", "a" * 129, "a" * 15 + "."):
        with pytest.raises(InvalidName):
            publish(stores, ZIP, package=bad)
    with pytest.raises(InvalidRequest, match="2 of these files"):
        publish(stores, {"a": b"1", "b": b"2"}, package="b" * 16)
    assert listed(stores) == ["a" * 16]


def test_an_identity_is_taken_once_but_a_push_never_fails_for_it(stores):
    """Who asked for a package is refused, who did not publishes a version."""
    first = publish(stores, ZIP, attributes={edge.VERSION: "1"})
    with pytest.raises(AlreadyExists, match=first.package.id):
        publish(stores, ZIP, attributes={edge.VERSION: "1"}, package="b" * 16)
    other = publish(stores, ZIP, attributes={edge.VERSION: "1"})
    assert (other.state, other.package) == ("ready", None)
    for attributes in (
        {edge.VERSION: "2"}, {edge.VERSION: "1", edge.PRECISION: ["int8"]},
        {edge.VERSION: "1", edge.NAME: "nut"}, {edge.VERSION: "1", edge.PROJECT_ID: "7"},
        {edge.VERSION: "1", edge.PROJECT_NAME: "line"},
    ):  # fmt: skip
        assert publish(stores, ZIP, attributes=attributes).package
    assert len(listed(stores)) == 6


def test_a_change_moves_the_lock_or_changes_nothing(stores):
    """Natively as at the edge; what it leaves is free, what it meets is named."""
    one, two = (publish(stores, ZIP, attributes={edge.VERSION: v}) for v in "12")
    with pytest.raises(AlreadyExists, match=one.package.id):
        change(stores, two.number, attributes={edge.VERSION: "1"}, tags={"a": "b"})
    record = packages.find(stores, projects.find(stores, "vision").id, two.package.id)
    assert record.version.tags == {}
    changed = change(stores, one.number, attributes={edge.VERSION: "3"})
    assert changed.attributes[edge.CHANGED].endswith("Z")
    change(stores, two.number, attributes={edge.VERSION: "1"})
    change(stores, two.number, attributes={edge.VERSION: "1"})
    assert publish(stores, ZIP, attributes={edge.VERSION: "2"}).package


def test_a_deleted_package_frees_id_and_identity_at_once(stores):
    """And no item of it is left."""
    made = publish(stores, ZIP, package="a" * 16, attributes={edge.VERSION: "1"})
    change(stores, made.number, attributes={edge.VERSION: "9"})
    changing.delete(stores, "ann", "vision", "digits", number(made.number))
    project_id = projects.find(stores, "vision").id
    assert stores.table.query(keys.of_packages(project_id)).items == ()
    assert packages.find(stores, project_id, "a" * 16) is None
    assert publish(stores, ZIP, package="a" * 16, attributes={edge.VERSION: "9"}).package


@pytest.mark.parametrize(
    "attributes",
    [
        {edge.VERSION: 3, edge.PRECISION: "fp16"}, {edge.PRECISION: [1, "a"]}, {edge.NAME: None},
        {edge.PRECISION: 7, edge.PROJECT_ID: ["x"]}, {edge.CREATED: {}, "labels": "x"},
    ],
)  # fmt: skip
def test_native_attributes_of_other_types_do_no_harm(stores, attributes):
    """They are taken as far as they make sense."""
    made = publish(stores, ZIP, attributes=attributes)
    assert made.package
    assert all(isinstance(p, str) for p in packages.precision(made))
    assert packages.title(made) == "digits"
    assert packages.release(made) == str(made.number)


def test_packages_of_one_project_are_not_seen_in_another(stores):
    """Ids and identities are the project's own."""
    setup_model(stores, "other", "digits")
    publish(stores, ZIP, package="a" * 16, attributes={edge.VERSION: "1"})
    there = publish(stores, ZIP, project="other", package="a" * 16, attributes={edge.VERSION: "1"})
    assert there.package.id == "a" * 16
    assert listed(stores) == ["a" * 16]


# Receiving


@pytest.mark.parametrize("size", [0, 1, 16 * MIB, 16 * MIB + 1, 33 * MIB])
def test_a_stream_becomes_the_blob_that_a_push_would_make(stores, size):
    """Of one PUT up to 16 MiB, of parts above; blocks of any size."""
    data = random.Random(size).randbytes(size)
    project_id = projects.find(stores, "vision").id
    incoming = receiving.Incoming(stores, "ann", project_id, size + 1000)
    for start in range(0, size, 700_001):
        incoming.write(data[start : start + 700_001])
    arrived = incoming.end()
    assert (arrived.size, arrived.sha256) == (size, digests.sha256_of(data))
    if not size:
        assert arrived.blob == ""
        return
    entry = receiving.joined(stores, "vision", "m.zip", arrived)
    parts = [digests.sha256_of(data[s.offset : s.offset + s.size]) for s in cuts.cuts(size)]
    wanted = (
        digests.composite_blob(digests.composite(parts), len(parts), size)
        if parts
        else digests.single_blob(digests.sha256_of(data), size)
    )
    assert entry.blob == wanted
    made = publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of(str(size))))
    commit = VersionCommit(manifests.digest([entry]), (entry,))
    assert publishing.commit(
        stores, "ann", "vision", "digits", made.number, commit
    ).package.size == size  # fmt: skip


def test_a_stream_that_is_given_up_leaves_no_upload(stores):
    """Its parts are freed; giving up what was joined changes nothing."""
    project_id = projects.find(stores, "vision").id
    for joined in (False, True):
        incoming = receiving.Incoming(stores, "ann", project_id, 40 * MIB)
        incoming.write(bytes([joined]) * (20 * MIB))
        arrived = incoming.end()
        if joined:
            receiving.joined(stores, "vision", "m.zip", arrived)
        incoming.abort()
        low, high = keys.prefix("U#")
        assert stores.table.query(f"P#{project_id}", low, high).items == ()
        assert list(stores.blobs.stale_multiparts("blobs/", int(stores.now()) + 10)) == []


def test_a_store_that_fails_while_a_stream_comes_is_an_error(stores):
    """The sender hears it; nothing is visible."""
    incoming = receiving.Incoming(stores, "ann", projects.find(stores, "vision").id, 40 * MIB)
    stores.blobs.available = False
    with pytest.raises(Unavailable):
        incoming.write(bytes(33 * MIB))
    incoming.abort()
    stores.blobs.available = True


def test_a_form_is_parked_adopted_and_freed(registry):
    """What it brings becomes a blob; the parked object goes with the next sweep."""
    stores, clock = registry
    project_id = projects.find(stores, "vision").id
    name, form = receiving.invite(stores, project_id, "x/m.zip", 5)
    with pytest.raises(NotFound):
        receiving.parked(stores, project_id, name)
    assert (
        stores.blobs.execute(Signed("POST", form.fields["policy"], {}, 0), b"12345!").status == 403
    )
    assert (
        stores.blobs.execute(Signed("POST", form.fields["policy"], {}, 0), b"PK345").status == 200
    )
    found = receiving.parked(stores, project_id, name)
    assert (found.name, found.size, found.start) == ("m.zip", 5, b"PK34")
    entry = receiving.adopted(stores, project_id, found)
    assert entry.blob == digests.single_blob(digests.sha256_of(b"PK345"), 5)
    receiving.unpark(stores, project_id, found)
    clock.time += 1
    sweep.run(stores)
    with pytest.raises(NotFound):
        stores.blobs.head(found.key)
    for bad in ("", "../x", "0" * 20, "Z" * 20):
        with pytest.raises(NotFound):
            receiving.parked(stores, project_id, bad)
    for size in (0, receiving.MAX_FORM + 1):
        with pytest.raises(InvalidRequest):
            receiving.invite(stores, project_id, "x", size)


def test_a_form_that_nobody_uses_is_freed(registry):
    """After the lease, by the sweep."""
    stores, clock = registry
    project_id = projects.find(stores, "vision").id
    name, form = receiving.invite(stores, project_id, "m.zip", 2)
    stores.blobs.execute(Signed("POST", form.fields["policy"], {}, 0), b"PK")
    sweep.run(stores)
    assert receiving.parked(stores, project_id, name)
    clock.time += stores.lease_seconds + 1
    sweep.run(stores)
    with pytest.raises(NotFound):
        receiving.parked(stores, project_id, name)


def test_bytes_that_are_there_are_not_stored_again(stores):
    """One object per content; more than one part's worth is refused."""
    project_id = projects.find(stores, "vision").id
    (entry,) = upload(stores, "vision", {"a": b"PK same"})
    before = stores.blobs.list(f"blobs/{project_id}/").heads
    assert receiving.whole(stores, project_id, "a", b"PK same") == entry
    assert stores.blobs.list(f"blobs/{project_id}/").heads == before
    with pytest.raises(TooLarge):
        receiving.whole(stores, project_id, "a", bytes(16 * MIB + 1))
