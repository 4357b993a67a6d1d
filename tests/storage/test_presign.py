"""Presigned URLs are those that botocore would make, to the letter."""

import datetime
from urllib.parse import parse_qsl, urlsplit

import botocore.session
import pytest
from botocore.config import Config

from chalicelib.registry.ports import Head
from chalicelib.storage import presign
from chalicelib.storage.headers import disposition
from chalicelib.storage.presign import Keys, Presigner
from chalicelib.storage.s3 import S3Blobs

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session/token+="
MOMENT = datetime.datetime(2026, 11, 21, 23, 59, 58, tzinfo=datetime.UTC)
OBJECTS = ["blobs/p/1", "a b+c~d_e-f.g", "ünïcode/日本/%25", "with'quote(s)!*", "//double//"]
PLACES = [
    ("", "eu-west-1", "artifacts"),
    ("", "us-east-1", "artifacts"),
    ("", "cn-north-1", "artifacts"),
    ("", "us-east-1", "with.dots"),
    ("http://127.0.0.1:8333", "us-east-1", "artifacts"),
    ("https://s3.example.org", "us-east-1", "artifacts"),
    ("https://s3.example.org:443/base/", "us-east-1", "artifacts"),
]
OPERATIONS = {
    "get": ("get_object", "GET", {}, {}, {}),
    "named": (
        "get_object", "GET", {"ResponseContentDisposition": disposition('na me "é".bin')},
        {"response-content-disposition": disposition('na me "é".bin')}, {},
    ),
    "put": (
        "put_object", "PUT",
        {"ChecksumSHA256": "q" * 43 + "=", "ContentLength": 7, "IfNoneMatch": "*"}, {},
        {"x-amz-checksum-sha256": "q" * 43 + "=", "content-length": "7", "if-none-match": "*"},
    ),
    "part": (
        "upload_part", "PUT", {"UploadId": "a/b+c=", "PartNumber": 3, "ChecksumSHA256": "x" * 44},
        {"uploadId": "a/b+c=", "partNumber": "3"}, {"x-amz-checksum-sha256": "x" * 44},
    ),
    "copy": (
        "upload_part_copy", "PUT",
        {
            "UploadId": "u", "PartNumber": 10, "CopySource": "artifacts/a b",
            "CopySourceRange": "bytes=0-9", "CopySourceIfMatch": '"e"',
        },
        {"uploadId": "u", "partNumber": "10"},
        {
            "x-amz-copy-source": "artifacts/a%20b", "x-amz-copy-source-range": "bytes=0-9",
            "x-amz-copy-source-if-match": '"e"',
        },
    ),
}  # fmt: skip


def their_client(endpoint, region, token=None):
    """A client of botocore's, as the registry makes its own."""
    style = "path" if endpoint else "virtual"
    config = Config(
        signature_version="s3v4", request_checksum_calculation="when_required",
        s3={"addressing_style": style, "us_east_1_regional_endpoint": "regional"},
    )  # fmt: skip
    return botocore.session.Session().create_client(
        "s3", region_name=region, endpoint_url=endpoint or None, aws_access_key_id=KEY,
        aws_secret_access_key=SECRET, aws_session_token=token, config=config,
    )  # fmt: skip


@pytest.fixture
def frozen(monkeypatch):
    """botocore's clock stands still."""
    import botocore.auth

    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: MOMENT, raising=False
    )


def parts(url):
    """A URL without the order of its query."""
    found = urlsplit(url)
    return (
        found.scheme,
        found.netloc,
        found.path,
        sorted(parse_qsl(found.query, strict_parsing=True)),
    )


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("place", PLACES, ids=lambda p: f"{p[0]}-{p[1]}-{p[2]}")
@pytest.mark.parametrize("token", [None, TOKEN], ids=["keys", "session"])
def test_urls_are_those_of_botocore(frozen, place, operation, name, token):
    """Every kind of request, every way of addressing, every awkward name."""
    endpoint, region, bucket = place
    call, method, params, query, headers = OPERATIONS[operation]
    client = their_client(endpoint, region, token)
    theirs = client.generate_presigned_url(
        call, Params={"Bucket": bucket, "Key": name, **params}, ExpiresIn=600
    )
    probe = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    base = probe.partition("?")[0].removesuffix("/k")
    signer = Presigner(base, region, lambda: Keys(KEY, SECRET, token or ""), MOMENT.timestamp)
    signed = signer.sign(method, name, query, headers, 600)
    assert parts(signed.url) == parts(theirs)
    assert (signed.method, signed.headers) == (method, headers)
    assert signed.expires == int(MOMENT.timestamp()) + 600


def test_the_adapter_signs_for_the_bucket_it_serves(frozen, monkeypatch):
    """Prefix, public address and headers come together in one URL, as botocore signs it."""
    monkeypatch.setattr(presign.time, "time", MOMENT.timestamp)
    blobs = S3Blobs(
        "artifacts", "us-east-1", endpoint="http://10.0.0.1:1", access_key=KEY, secret_key=SECRET,
        public_endpoint="https://models.example.org", prefix="in/",
    )  # fmt: skip
    blobs._presigner()._now = MOMENT.timestamp
    signed = blobs.sign_copy("new", "u", 2, Head("a b", 9, "etag"), 3, 4, 60)
    theirs = their_client("https://models.example.org", "us-east-1").generate_presigned_url(
        "upload_part_copy", ExpiresIn=60,
        Params={
            "Bucket": "artifacts", "Key": "in/new", "UploadId": "u", "PartNumber": 2,
            "CopySource": "artifacts/in/a b", "CopySourceRange": "bytes=3-6",
            "CopySourceIfMatch": '"etag"',
        },
    )  # fmt: skip
    assert parts(signed.url) == parts(theirs)


def test_keys_that_change_sign_the_next_url():
    """Keys of a role are replaced while the process lives; the day changes too."""
    now, keys = [1_000_000_000.0], [Keys("one", "s1")]
    signer = Presigner("https://b.example", "r", lambda: keys[0], lambda: now[0])
    first = signer.sign("GET", "k", {}, {}, 60).url
    assert signer.sign("GET", "k", {}, {}, 60).url == first
    keys[0] = Keys("one", "s2")
    second = signer.sign("GET", "k", {}, {}, 60).url
    now[0] += 86400
    third = signer.sign("GET", "k", {}, {}, 60).url
    assert len({first, second, third}) == 3


def test_no_url_is_valid_for_more_than_a_week():
    """S3 refuses such, so they are shortened."""
    signer = Presigner("https://b.example", "r", lambda: Keys("a", "s"), lambda: 0.0)
    signed = signer.sign("GET", "k", {}, {}, 10**9)
    assert ("X-Amz-Expires", str(presign.MAX_SECONDS)) in parts(signed.url)[3]
    assert signed.expires == presign.MAX_SECONDS
