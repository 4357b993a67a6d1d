"""Presigned copies of parts on SeaweedFS: right bytes, right digests, and nothing but what was signed."""

import hashlib
import os

import pytest

from tests.storage.blobs_fixtures import (
    seaweed,  # noqa: F401
    seaweed_blobs,  # noqa: F401
    send,
)
from weighbridge.contract import digests
from weighbridge.contract.digests import Sha256

pytestmark = pytest.mark.real
MIB = 1024**2


def sha(data):
    """SHA-256 in hex."""
    return Sha256(hashlib.sha256(data).hexdigest())


@pytest.fixture
def source(seaweed_blobs):  # noqa: F811
    """An object of 12 MiB: its head and its bytes."""
    data = os.urandom(12 * MIB)
    signed = seaweed_blobs.sign_put("source", digests.to_base64(sha(data)), len(data), 60)
    assert send(signed, data).status == 200
    return seaweed_blobs.head("source"), data


def test_a_copied_part_has_the_right_digest_and_joins_with_a_sent_one(
    seaweed_blobs,  # noqa: F811
    source,
):
    """A range of another object and new bytes make one object whose composite is right."""
    head, data = source
    upload = seaweed_blobs.create_multipart("target", 2)
    start, tail = 3 * MIB + 17, b"the tail"
    copied = data[start : start + 6 * MIB]
    signed = seaweed_blobs.sign_copy("target", upload, 1, head, start, 6 * MIB, 60)
    answer = send(signed)
    assert answer.status == 200
    assert digests.to_base64(sha(copied)).encode() in answer.body
    signed = seaweed_blobs.sign_part("target", upload, 2, digests.to_base64(sha(tail)), 60)
    assert send(signed, tail).status == 200
    parts = seaweed_blobs.parts("target", upload)
    assert [p.sha256 for p in parts] == [sha(copied), sha(tail)]
    seaweed_blobs.complete_multipart("target", upload, parts)
    found = seaweed_blobs.head("target")
    composite = digests.to_base64(digests.composite([sha(copied), sha(tail)]))
    assert (found.sha256, found.metadata["scheme"]) == (f"{composite}-2", "2")
    assert seaweed_blobs.read("target") == copied + tail


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-amz-copy-source", "weighbridge-artifacts/blobs/another"),
        ("x-amz-copy-source-range", "bytes=0-5242879"),
        ("x-amz-copy-source-if-match", '"00000000000000000000000000000000"'),
    ],
)
def test_no_signed_header_of_a_copy_can_be_changed(
    seaweed_blobs,  # noqa: F811
    source,
    header,
    value,
):
    """Changing source, range or condition is refused as a wrong signature."""
    head, _ = source
    upload = seaweed_blobs.create_multipart("target")
    signed = seaweed_blobs.sign_copy("target", upload, 1, head, MIB, 6 * MIB, 60)
    assert send(signed, b"", {header: value}).status == 403
    assert send(signed).status == 200


def test_a_source_that_changed_is_not_copied(seaweed_blobs, source):  # noqa: F811
    """With another ETag, or without the object, nothing is copied."""
    head, _ = source
    upload = seaweed_blobs.create_multipart("target")
    signed = seaweed_blobs.sign_copy("target", upload, 1, head, 0, 6 * MIB, 60)
    seaweed_blobs.put("source", b"other" * 3 * MIB)
    assert send(signed).status == 412
    seaweed_blobs.delete(["source"])
    assert send(signed).status in (404, 412)
