"""An upload that was left is gone on with from any machine, by the same principal, for the same file only."""

import pytest

from chalicelib.registry import keys, projects, sweep, uploads
from tests.registry.test_uploads import CONTENT, MIB, begin, blob_of, complete, parts_of, send
from tests.registry_world import setup_model
from weighbridge.contract.errors import Conflict, IntegrityError, InvalidRequest, NotFound, TooLarge
from weighbridge.contract.types import NewUpload, Part, PartsRequest, UploadComplete

SIZE = sum(len(part) for part in CONTENT)
TWIN = [CONTENT[0], b"c" * 5 * MIB, b"tail"]
"""Another file that begins alike."""


def opened(stores, content=CONTENT, known=1, by="ann", project="vision", scheme=1):
    """Opens an upload as a client does that has read so many parts."""
    size = sum(len(part) for part in content)
    return uploads.start(stores, by, project, NewUpload(size, scheme, parts_of(content)[:known]))


def held(stores, upload, content=CONTENT, keep=True):
    """The numbers of the parts that need nothing."""
    request = PartsRequest(parts_of(content), keep=keep)
    plans = uploads.sign_parts(stores, "vision", upload, request).parts
    return [plan.number for plan in plans if plan.action == "held"]


def test_an_upload_that_was_left_is_found_by_its_first_part(stores):
    """A second client that knows the first part gets the first one's upload, and sends the rest."""
    first = opened(stores)
    assert not first.resumed
    send(stores, first.upload, only=(1, 2))
    again = opened(stores)
    assert again.resumed
    assert again.upload == first.upload
    assert held(stores, again.upload) == [1, 2]
    assert send(stores, again.upload) == 1
    assert complete(stores, again.upload).blob == blob_of(CONTENT)


def test_the_upload_with_the_most_parts_is_found(stores, clock):
    """Of several that were left, the one that saves most."""
    lefts = [opened(stores, by="ann").upload for _ in range(3)]
    for upload, numbers in zip(lefts, [(1,), (1, 2), (1,)], strict=True):
        send(stores, upload, only=numbers)
        clock.time += 1
    assert opened(stores).upload == lefts[1]


@pytest.mark.parametrize(
    "other",
    [
        {"by": "bob"},
        {"project": "other"},
        {"scheme": 2},
        {"content": [b"z" * 5 * MIB, *CONTENT[1:]]},
        {"content": [*CONTENT[:2], b"a longer tail"]},
        {"content": TWIN, "known": 2},
        {"known": 0},
    ],
    ids=str,
)
def test_what_is_not_the_same_file_of_the_same_caller_is_a_new_upload(stores, other):
    """Neither another principal's, another project's, nor another file's upload is handed out."""
    setup_model(stores, "other", "m")
    first = opened(stores)
    send(stores, first.upload, only=(1, 2))
    found = opened(stores, **other)
    assert not found.resumed
    assert found.upload != first.upload


def test_one_without_parts_or_gone_from_the_store_is_not_found(stores):
    """Nothing would be saved by the one; the other cannot be used."""
    empty = opened(stores).upload
    assert not opened(stores).resumed
    send(stores, empty, only=(1,))
    project_id = projects.find(stores, "vision").id
    item = stores.table.get(keys.upload(project_id, empty))
    stores.blobs.abort_multipart(str(item.doc["key"]), str(item.doc["store_id"]))
    assert not opened(stores).resumed


def test_who_goes_on_with_an_upload_does_not_replace_its_parts(stores):
    """A file that only begins alike is told so, and what is there stays."""
    first = opened(stores)
    send(stores, first.upload, only=(1, 2))
    found = opened(stores, TWIN)
    assert found.resumed, "one part does not tell them apart"
    with pytest.raises(Conflict, match="part 2"):
        held(stores, found.upload, TWIN)
    assert not opened(stores, TWIN, known=2).resumed
    assert held(stores, first.upload, keep=False) == [1, 2]
    send(stores, first.upload)
    assert complete(stores, first.upload).blob == blob_of(CONTENT)


def test_parts_of_two_files_never_become_one_object(stores):
    """If both sent their parts into one upload, completing it names the blob and stores nothing."""
    first = opened(stores)
    send(stores, first.upload, TWIN)
    with pytest.raises(IntegrityError) as caught:
        complete(stores, first.upload)
    assert caught.value.details["blob"] == blob_of(CONTENT)


def test_a_planned_upload_of_the_same_blob_is_gone_on_with(stores):
    """A file whose digests are known needs no first part: its blob says it all."""
    first = begin(stores)
    send(stores, first, only=(2,))
    assert begin(stores) == first
    assert send(stores, first) == 2
    assert complete(stores, first).blob == blob_of(CONTENT)


def test_two_that_share_an_upload_both_end_right(stores):
    """The second to complete it finds the blob that the first one made."""
    first = opened(stores).upload
    send(stores, first, only=(1,))
    second = opened(stores).upload
    assert send(stores, second) == 2
    assert complete(stores, second) == complete(stores, first)


def test_hostile_lists_of_parts_are_refused(stores):
    """Too many, no digest, no number."""
    part = parts_of(CONTENT)[0]
    for parts, error in (
        ((part,) * 1001, TooLarge),
        ((Part(1, "x", 5),), InvalidRequest),
        ((Part(0, part.sha256, 5),), InvalidRequest),
    ):
        with pytest.raises(error):
            uploads.start(stores, "ann", "vision", NewUpload(SIZE, 1, parts))
    upload = opened(stores).upload
    with pytest.raises(InvalidRequest):
        uploads.complete(stores, "vision", upload, UploadComplete("nonsense"))


def test_the_sweep_frees_what_nobody_went_on_with(stores, clock):
    """Not a moment before it is stale; then its parts are gone, and it is not handed out any more."""
    first = opened(stores).upload
    send(stores, first, only=(1, 2))
    planned = begin(stores)
    send(stores, planned, only=(1,))
    # The store tells times in whole seconds.
    clock.time += stores.stale_seconds - 2
    assert sweep.run(stores).aborted_uploads == 0
    assert opened(stores).upload == first
    clock.time += 4
    assert sweep.run(stores).aborted_uploads == 2
    assert sweep.run(stores).aborted_uploads == 0
    for upload in (first, planned):
        with pytest.raises(NotFound):
            send(stores, upload)
    assert not opened(stores).resumed
    assert begin(stores) != planned
