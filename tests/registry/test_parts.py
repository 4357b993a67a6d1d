"""Parts that the project holds are copied inside the store; never across projects, never from the dying."""

import hashlib

import pytest

from chalicelib.registry import (
    blobs,
    downloads,
    keys,
    parts,
    projects,
    publishing,
    sweep,
    uploads,
    versions,
)
from chalicelib.registry.ports import Update
from tests.registry.test_uploads import CONTENT, MIB, begin, blob_of, complete, parts_of, send
from tests.registry_world import key_of, setup_model
from tests.registry_world import upload as upload_small
from weighbridge.contract import cuts, digests, manifests
from weighbridge.contract.digests import Sha256
from weighbridge.contract.errors import InvalidRequest, TooLarge, Unsupported
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    DownloadRequest,
    KnownPart,
    LookRequest,
    NewUpload,
    NewVersion,
    PartsRequest,
    UploadComplete,
    VersionCommit,
)

TUNED = [b"a" * 5 * MIB, b"c" * 5 * MIB, b"other tail"]


def stored(stores, content=CONTENT):
    """Uploads a content whole."""
    upload = begin(stores, content)
    send(stores, upload, content)
    complete(stores, upload, content)
    return blob_of(content)


def known(stores, content, project="vision"):
    """Which parts of a content the project says it holds."""
    wanted = LookRequest(tuple(KnownPart(p.sha256, p.size) for p in parts_of(content)))
    return uploads.look(stores, project, wanted).known


def actions(stores, upload, content, project="vision", sendonly=False):
    """What the server says to do per part."""
    request = PartsRequest(parts_of(content), sendonly)
    return uploads.sign_parts(stores, project, upload, request).parts


def test_known_parts_are_copied_and_the_rest_is_sent(stores):
    """A fine-tune that kept one part sends the others, and becomes a whole object of its own."""
    stored(stores)
    assert known(stores, TUNED) == (True, False, False)
    upload = uploads.start(stores, "ann", "vision", NewUpload(10 * MIB + 10, 1)).upload
    plans = actions(stores, upload, TUNED)
    assert [p.action for p in plans] == ["copy", "send", "send"]
    for plan, data in zip(plans, TUNED, strict=True):
        body = b"" if plan.action == "copy" else data
        assert stores.blobs.execute(plan.request, body).status == 200
    complete(stores, upload, TUNED)
    project_id = projects.find(stores, "vision").id
    key = blobs.object_keys(stores, project_id, [blob_of(TUNED)])[blob_of(TUNED)]
    assert stores.blobs.read(key) == b"".join(TUNED)
    assert known(stores, TUNED) == (True, True, True)


def test_a_copy_answers_the_digest_of_what_it_copied(stores):
    """The client can check a copy by the store's answer."""
    stored(stores)
    upload = begin(stores, TUNED)
    answer = stores.blobs.execute(actions(stores, upload, TUNED)[0].request)
    digest = digests.to_base64(Sha256(hashlib.sha256(TUNED[0]).hexdigest()))
    assert digest.encode() in answer.body


@pytest.mark.parametrize(
    "header",
    ["x-amz-copy-source", "x-amz-copy-source-range", "x-amz-copy-source-if-match"],
)
def test_what_a_copy_address_signs_cannot_be_changed(stores, header):
    """Source, range and condition are part of the signature."""
    stored(stores)
    upload = begin(stores, TUNED)
    request = actions(stores, upload, TUNED)[0].request
    assert stores.blobs.execute(request, b"", {header: "bytes=0-1"}).status == 403


def test_nothing_is_known_across_projects(stores):
    """Another project's parts are neither known nor copied."""
    stored(stores)
    setup_model(stores, "other", "m")
    assert known(stores, CONTENT, "other") == (False, False, False)
    upload = uploads.start(stores, "ann", "other", NewUpload(10 * MIB + 4, 1)).upload
    assert {p.action for p in actions(stores, upload, CONTENT, "other")} == {"send"}


def test_a_source_that_is_being_deleted_is_not_offered(stores):
    """Only live blobs are copied from."""
    blob = stored(stores)
    key = keys.blob(projects.find(stores, "vision").id, blob)
    stores.table.write(Update(key, set={"state": "deleting"}))
    assert known(stores, CONTENT) == (False, False, False)


def test_a_vanished_source_is_sent_instead(stores):
    """When the store refuses a copy, the part is asked for again without copies."""
    blob = stored(stores)
    upload = begin(stores, TUNED)
    plan = actions(stores, upload, TUNED)[0]
    project_id = projects.find(stores, "vision").id
    stores.blobs.delete(list(blobs.object_keys(stores, project_id, [blob]).values()))
    assert stores.blobs.execute(plan.request).status == 404
    assert {p.action for p in actions(stores, upload, TUNED, sendonly=True)} == {"send"}


def test_part_items_and_the_part_list_go_with_their_blob(registry):
    """After a blob was collected nothing of its parts is left."""
    stores, clock = registry
    blob = stored(stores)
    project_id = projects.find(stores, "vision").id
    listed = cuts.decode(stores.blobs.read(keys.parts_object(project_id, blob)))
    assert [(p.sha256, p.size) for p in listed] == [(p.sha256, p.size) for p in parts_of(CONTENT)]
    clock.time += 2 * stores.lease_seconds
    assert sweep.run(stores).freed_blobs == 1
    assert known(stores, CONTENT) == (False, False, False)
    assert stores.blobs.list("parts/").heads == ()
    first = parts_of(CONTENT)[0]
    assert stores.table.get(keys.part(project_id, first.sha256, first.size)) is None


def test_parts_that_another_blob_took_over_stay_known(registry):
    """A part item that points to a living blob survives the death of the one it came from."""
    stores, clock = registry
    stored(stores)
    clock.time += stores.lease_seconds
    stored(stores, TUNED)
    clock.time += stores.lease_seconds // 2
    sweep.run(stores)
    assert known(stores, TUNED) == (True, True, True)


def test_the_scheme_of_an_upload_is_kept(stores):
    """An upload opened for tensor cuts completes as such, and as nothing else."""
    upload = uploads.start(stores, "ann", "vision", NewUpload(10 * MIB + 4, 2)).upload
    for plan, data in zip(actions(stores, upload, CONTENT), CONTENT, strict=True):
        stores.blobs.execute(plan.request, data)
    plain = digests.parse_blob(blob_of(CONTENT))
    with pytest.raises(InvalidRequest):
        uploads.complete(stores, "vision", upload, UploadComplete(blob_of(CONTENT)))
    blob = digests.composite_blob(plain.sha256, 3, plain.size, scheme=2)
    assert uploads.complete(stores, "vision", upload, UploadComplete(blob)).blob == blob
    with pytest.raises(Unsupported):
        uploads.start(stores, "ann", "vision", NewUpload(10, 3))


def test_looking_has_a_limit(stores):
    """A thousand parts may be asked after at once."""
    with pytest.raises(TooLarge):
        uploads.look(stores, "vision", LookRequest((KnownPart("0" * 64, 5 * MIB),) * 1001))


def item_of(stores, data):
    """The item of a part."""
    project_id = projects.find(stores, "vision").id
    return stores.table.get(keys.part(project_id, digests.sha256_of(data), len(data)))


def test_a_file_of_one_put_is_a_part_that_others_can_copy(registry):
    """Five MiB or more in one PUT are known as a part, until the blob is collected."""
    stores, clock = registry
    upload_small(stores, "vision", {"large": CONTENT[0], "small": b"tail"})
    assert known(stores, CONTENT) == (True, False, False)
    plan = actions(stores, begin(stores, CONTENT), CONTENT)[0]
    assert (plan.action, stores.blobs.execute(plan.request).status) == ("copy", 200)
    clock.time += 2 * stores.lease_seconds
    sweep.run(stores)
    assert known(stores, CONTENT) == (False, False, False)
    assert item_of(stores, CONTENT[0]) is None


def crash(*arguments):
    """Stands for the end of a process."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("owner", "method"),
    [(blobs, "verified"), (blobs, "claim"), (parts, "index")],
    ids=["joined", "listed", "claimed"],
)
def test_a_completion_that_dies_on_the_way_still_leaves_an_index(
    stores, monkeypatch, owner, method
):
    """The digests of parts are not lost with the answer to joining them, or with the process."""
    upload = begin(stores)
    send(stores, upload)
    with monkeypatch.context() as patched:
        patched.setattr(owner, method, crash)
        with pytest.raises(KeyboardInterrupt):
            complete(stores, upload)
    assert complete(stores, upload).blob == blob_of(CONTENT)
    assert known(stores, CONTENT) == (True, True, True)


def test_the_part_list_of_an_upload_that_was_never_joined_is_removed(registry, monkeypatch):
    """The note for the sweep is written before the list."""
    stores, clock = registry
    upload = begin(stores)
    send(stores, upload)
    with monkeypatch.context() as patched:
        patched.setattr(stores.blobs, "complete_multipart", crash)
        with pytest.raises(KeyboardInterrupt):
            complete(stores, upload)
    assert len(stores.blobs.list("parts/").heads) == 1
    clock.time += 2 * stores.lease_seconds
    sweep.run(stores)
    assert stores.blobs.list("parts/").heads == ()


def test_two_pushes_of_the_same_file_leave_one_object_and_its_index(registry):
    """The slower of two uploads frees its parts; parts are copied from the object that stayed."""
    stores, clock = registry
    first, second = begin(stores), begin(stores)
    send(stores, first)
    send(stores, second)
    assert complete(stores, first) == complete(stores, second)
    clock.time += stores.lease_seconds // 2
    sweep.run(stores)
    assert len(stores.blobs.list("blobs/").heads) == 1
    assert known(stores, CONTENT) == (True, True, True)
    plan = actions(stores, begin(stores, TUNED), TUNED)[0]
    assert (plan.action, stores.blobs.execute(plan.request).status) == ("copy", 200)


def test_a_loser_at_the_very_end_does_not_take_the_index(stores, monkeypatch):
    """If another object got the name while ours was joined, part items keep pointing to that one."""
    first, second = begin(stores), begin(stores)
    send(stores, first)
    send(stores, second)
    verified, asked = blobs.verified, []

    def other_wins(*arguments):
        if not asked:
            asked.append(1)
            complete(stores, first)
        return verified(*arguments)

    monkeypatch.setattr(blobs, "verified", other_wins)
    complete(stores, second)
    project_id = projects.find(stores, "vision").id
    winner = blobs.object_keys(stores, project_id, [blob_of(CONTENT)])[blob_of(CONTENT)]
    assert {item_of(stores, data).doc["key"] for data in CONTENT} == {winner}
    assert known(stores, CONTENT) == (True, True, True)


@pytest.mark.parametrize("moment", ["before the items go", "after the object went"])
def test_a_push_during_the_collection_of_its_blob_keeps_its_parts(registry, monkeypatch, moment):
    """Who takes over the name of a blob that is being collected keeps index and part list."""
    stores, clock = registry
    stored(stores)
    clock.time += 2 * stores.lease_seconds
    forget, delete, pushed = parts.forget, stores.blobs.delete, []

    def push():
        if not pushed:
            pushed.append(1)
            stored(stores)

    def forget_after(*arguments):
        push()
        forget(*arguments)

    def delete_before(names):
        delete(names)
        push()

    if moment == "before the items go":
        monkeypatch.setattr(parts, "forget", forget_after)
    else:
        monkeypatch.setattr(stores.blobs, "delete", delete_before)
    sweep.run(stores)
    assert pushed
    assert known(stores, CONTENT) == (True, True, True)
    assert len(stores.blobs.list("parts/").heads) == 1


def test_an_item_of_an_object_that_was_replaced_is_not_offered(registry):
    """A part item counts only while its blob still is that object."""
    stores, _ = registry
    blob = stored(stores)
    key = keys.blob(projects.find(stores, "vision").id, blob)
    item = stores.table.get(key)
    stores.table.write(Update(key, doc={**item.doc, "key": "blobs/p/another"}))
    assert known(stores, CONTENT) == (False, False, False)


def test_looking_renews_a_lease_that_is_about_to_end(registry):
    """A source that was offered stays until the copy, however late it was found."""
    stores, clock = registry
    stored(stores)
    clock.time += stores.lease_seconds - 1
    assert known(stores, CONTENT) == (True, True, True)
    clock.time += 600
    assert sweep.run(stores).freed_blobs == 0
    plan = actions(stores, begin(stores, TUNED), TUNED)[0]
    assert stores.blobs.execute(plan.request).status == 200


def test_equal_parts_of_one_file_are_indexed_once(stores):
    """A file that repeats itself is stored and found like any other."""
    content = [b"z" * 5 * MIB, b"z" * 5 * MIB, b"z" * 5 * MIB]
    stored(stores, content)
    assert known(stores, content) == (True, True, True)
    plans = actions(stores, begin(stores, [*content, b"end"]), content)
    assert [stores.blobs.execute(plan.request).status for plan in plans] == [200, 200, 200]


def test_downloads_offer_the_part_list(stores):
    """Each part of a pull can be verified by itself; a file of one PUT has no list."""
    blob, size = stored(stores), sum(len(data) for data in CONTENT)
    whole = FileEntry("big.bin", size, digests.sha256_of(b"".join(CONTENT)), blob)
    entries = (whole, *upload_small(stores, "vision", {"small": b"one"}))
    version = publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of("parts")))
    commit = VersionCommit(manifests.digest(entries), entries)
    publishing.commit(stores, "ann", "vision", "digits", version.number, commit)
    project_id = projects.find(stores, "vision").id
    request = DownloadRequest((blob, entries[1].blob))
    big, small = downloads.sign(stores, project_id, commit.manifest, request).items
    assert cuts.decode(stores.blobs.execute(big.parts).body) == parts_of(CONTENT)
    assert stores.blobs.execute(big.request).body == b"".join(CONTENT)
    assert small.parts is None
    assert versions.files(stores, project_id, commit.manifest)
