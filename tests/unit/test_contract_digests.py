"""Digests and blob ids: built and parsed, and equal to what S3 computes."""

import base64
import hashlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.contract import digests
from weighbridge.contract.errors import InvalidRequest

SHAS = st.binary(max_size=64).map(digests.sha256_of)
SIZES = st.integers(0, 5 * 1024**4)


@settings(deadline=None)
@given(SHAS, SIZES)
def test_single_blobs_are_parsed_back(sha, size):
    """A single blob's id says its digest and size."""
    blob = digests.parse_blob(digests.single_blob(sha, size))
    assert (blob.sha256, blob.size, blob.parts) == (sha, size, 0)
    assert digests.blob_from_checksum(blob.checksum, size) == digests.single_blob(sha, size)


@settings(deadline=None)
@given(SHAS, SIZES, st.integers(1, 10_000), st.integers(1, 999))
def test_composite_blobs_are_parsed_back(sha, size, parts, scheme):
    """A composite blob's id says its digest, parts, size and cut scheme."""
    text = digests.composite_blob(sha, parts, size, scheme)
    blob = digests.parse_blob(text)
    assert (blob.sha256, blob.size, blob.parts, blob.scheme) == (sha, size, parts, scheme)
    assert blob.checksum.endswith(f"-{parts}")
    assert digests.blob_from_checksum(blob.checksum, size, scheme) == text


@settings(deadline=None)
@given(SHAS)
def test_base64_is_reversible(sha):
    """The form of S3's headers is the same digest."""
    text = digests.to_base64(sha)
    assert digests.from_base64(text) == sha
    assert base64.b64decode(text).hex() == sha


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5))
def test_composite_is_the_digest_of_the_parts_digests(parts):
    """S3's composite checksum: SHA-256 over the binary SHA-256 of the parts."""
    expected = hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).hexdigest()
    assert digests.composite(digests.sha256_of(part) for part in parts) == expected


A = "a" * 64


@pytest.mark.parametrize(
    "text",
    ["", "s-", f"s-{A}", f"s-{A}-", f"s-{A[1:]}-1", f"s-{A.upper()}-1", f"s-{A}-1\n", f"s-{A}-x",
     f"c-{A}-1-1", f"c1-{A}-1", f"c1-{A}-123456-1", f"s-{A}-12345678901234", f"x{A}", None, 7,
     f" s-{A}-1", f"s-{A}--1"],
)  # fmt: skip
def test_what_is_no_blob_id(text):
    """Anything else is refused with `InvalidRequest`."""
    with pytest.raises(InvalidRequest):
        digests.parse_blob(text)


@pytest.mark.parametrize("text", ["", A[1:], A.upper(), A + "\n", "g" * 64, None, 7])
def test_what_is_no_sha256(text):
    """Only 64 lower-case hexadecimal digits are a SHA-256."""
    with pytest.raises(InvalidRequest):
        digests.sha256(text)


@settings(deadline=None)
@given(st.text(max_size=120))
def test_any_text_is_a_blob_id_or_refused(text):
    """No text makes the parser fail in another way."""
    with suppress(InvalidRequest):
        digests.parse_blob(text)


@pytest.mark.parametrize(
    "text", ["s-" + A + "-" + "٣", f"c٣-{A}-1-1", f"s-{A}-007", f"c01-{A}-1-1", f"c1-{A}-0-1"]
)
def test_each_blob_has_one_name(text):
    """Other spellings of the same numbers (leading zeros, digits of other scripts, no parts) are
    refused: a blob id is compared as text."""
    with pytest.raises(InvalidRequest):
        digests.parse_blob(text)
