"""Multipart uploads: signed in pages, resumed from what the store lists, completed exactly once."""

import hashlib
import json
from dataclasses import replace

import pytest

from chalicelib.registry import keys, projects, uploads
from tests.registry_world import publish
from weighbridge.contract import digests
from weighbridge.contract.digests import Sha256
from weighbridge.contract.errors import IntegrityError, InvalidRequest, NotFound, Unsupported
from weighbridge.contract.types import (
    Part,
    PartsRequest,
    PlanRequest,
    UploadComplete,
    WantedBlob,
)

MIB = 1024**2
CONTENT = [b"a" * 5 * MIB, b"b" * 5 * MIB, b"tail"]


def parts_of(content):
    """The parts of a content, as a client names them."""
    return tuple(
        Part(i, hashlib.sha256(data).hexdigest(), len(data)) for i, data in enumerate(content, 1)
    )


def blob_of(content):
    """The blob that the parts make up."""
    parts = parts_of(content)
    digest = digests.composite(Sha256(p.sha256) for p in parts)
    return digests.composite_blob(digest, len(parts), sum(p.size for p in parts))


def begin(stores, content=CONTENT):
    """Plans the upload of a content; answers its id."""
    plan = uploads.plan(stores, "ann", "vision", PlanRequest((WantedBlob(blob_of(content)),)))
    assert plan.blobs[0].action == "multipart"
    return plan.blobs[0].upload


def send(stores, upload, content=CONTENT, only=(1, 2, 3)):
    """Sends some parts; answers how many requests that took."""
    wanted = PartsRequest(tuple(p for p in parts_of(content) if p.number in only))
    sent = 0
    for part in uploads.sign_parts(stores, "vision", upload, wanted).parts:
        if part.request is not None:
            assert stores.blobs.execute(part.request, content[part.number - 1]).status == 200
            sent += 1
    return sent


def complete(stores, upload, content=CONTENT):
    """Completes the upload."""
    return uploads.complete(stores, "vision", upload, UploadComplete(blob_of(content)))


def test_parts_are_joined_and_the_blob_is_there(stores):
    """After completion the same blob needs nothing."""
    upload = begin(stores)
    assert send(stores, upload) == 3
    assert complete(stores, upload).size == 10 * MIB + 4
    plan = uploads.plan(stores, "ann", "vision", PlanRequest((WantedBlob(blob_of(CONTENT)),)))
    assert plan.blobs[0].action == "have"


def test_missing_parts_are_named(stores):
    """Completing too early is refused, says which part is missing, and can be made good."""
    upload = begin(stores)
    send(stores, upload, only=(1, 3))
    with pytest.raises(IntegrityError) as caught:
        complete(stores, upload)
    assert caught.value.details["missing"] == [2]
    assert send(stores, upload) == 1
    assert complete(stores, upload).blob == blob_of(CONTENT)


def test_parts_that_are_stored_are_not_asked_for_again(stores):
    """A resumed upload signs only what the store does not hold."""
    upload = begin(stores)
    send(stores, upload, only=(1, 2))
    assert send(stores, upload) == 1


def test_completing_twice_answers_twice(stores):
    """A lost answer is no harm: the second completion finds the blob."""
    upload = begin(stores)
    send(stores, upload)
    assert complete(stores, upload) == complete(stores, upload)


def test_completion_survives_a_crash_between_store_and_table(stores):
    """If the store joined the parts and the registry died before it noted so, a repeat succeeds."""
    upload = begin(stores)
    send(stores, upload)
    project_id = projects.find(stores, "vision").id
    item = stores.table.get(keys.upload(project_id, upload))
    key, store_id = str(item.doc["key"]), str(item.doc["store_id"])
    stores.blobs.complete_multipart(key, store_id, stores.blobs.parts(key, store_id))
    assert complete(stores, upload).blob == blob_of(CONTENT)


def test_other_bytes_than_planned_cannot_take_the_name(stores):
    """Parts of other content make another digest, and the upload is refused."""
    upload = begin(stores)
    other = [CONTENT[0], b"x" * 5 * MIB, b"tail"]
    send(stores, upload, other)
    with pytest.raises(IntegrityError):
        complete(stores, upload)
    with pytest.raises(InvalidRequest):
        complete(stores, upload, other)


def test_wrong_bytes_for_a_signed_part_are_refused_by_the_store(stores):
    """The part's digest is part of the signature."""
    upload = begin(stores)
    signed = uploads.sign_parts(stores, "vision", upload, PartsRequest(parts_of(CONTENT)[:1]))
    assert stores.blobs.execute(signed.parts[0].request, b"z" * 5 * MIB).status == 400


@pytest.mark.parametrize(
    "part",
    [Part(0, "0" * 64, 5 * MIB), Part(4, "0" * 64, 5 * MIB), Part(1, "0" * 64, 5 * MIB - 1),
     Part(1, "0" * 63, 5 * MIB)],
)  # fmt: skip
def test_impossible_parts_are_refused(stores, part):
    """Part numbers, sizes and digests have bounds."""
    with pytest.raises(InvalidRequest):
        uploads.sign_parts(stores, "vision", begin(stores), PartsRequest((part,)))


def test_an_upload_of_another_project_or_none_is_not_found(stores):
    """Uploads are found in their own project only."""
    from tests.registry_world import setup_model

    setup_model(stores, "other", "m")
    upload = begin(stores)
    for project, name in (("other", upload), ("vision", "nothing")):
        with pytest.raises(NotFound):
            uploads.sign_parts(stores, project, name, PartsRequest(parts_of(CONTENT)))


def test_an_unknown_cut_scheme_is_refused(stores):
    """A newer client's cuts are refused, never misread."""
    digest = digests.parse_blob(blob_of(CONTENT)).sha256
    blob = digests.composite_blob(digest, 3, 10 * MIB + 4, scheme=9)
    with pytest.raises(Unsupported):
        uploads.plan(stores, "ann", "vision", PlanRequest((WantedBlob(blob),)))


def test_an_aborted_upload_is_gone(stores):
    """Aborting frees the parts, and the upload cannot be used any more."""
    upload = begin(stores)
    send(stores, upload, only=(1,))
    uploads.abort(stores, "vision", upload)
    with pytest.raises(NotFound):
        complete(stores, upload)


def test_where_the_store_sends_no_events_the_indexer_is_told_of_new_blobs(stores):
    """Of each once, with a message that the function for the store's events takes."""
    from chalice.test import Client

    from app import app
    from chalicelib import wiring
    from chalicelib.registry import facts

    silent = replace(stores, announce=True)
    publish(silent, {"a": b"one", "b": b"two"})
    publish(silent, {"a": b"one"})
    messages = stores.queue.take("index")
    assert len(messages) == 2
    with wiring.using(silent), Client(app) as client:
        event = client.events.generate_sqs_event([json.dumps(m) for m in messages])
        assert client.lambda_.invoke("index_object", event).payload == {"batchItemFailures": []}
    blob = digests.single_blob(digests.sha256_of(b"one"), 3)
    assert facts.indexed(stores, projects.find(stores, "vision").id, blob)
    publish(stores, {"c": b"three"})
    assert stores.queue.take("index") == []
