"""Parts that the project holds are copied inside the store; never across projects, never from the dying."""

import hashlib

import pytest

from chalicelib.registry import blobs, keys, projects, sweep, uploads
from chalicelib.registry.ports import Update
from tests.registry.test_uploads import CONTENT, MIB, begin, blob_of, complete, parts_of, send
from tests.registry_world import setup_model
from weighbridge.contract import cuts, digests
from weighbridge.contract.digests import Sha256
from weighbridge.contract.errors import InvalidRequest, TooLarge, Unsupported
from weighbridge.contract.types import (
    KnownPart,
    LookRequest,
    NewUpload,
    PartsRequest,
    UploadComplete,
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
