"""The behaviour of `Blobs`: one suite for the twin in memory, for S3 on SeaweedFS and on moto.

moto checks no signature and no checksum, so it takes part only where neither matters.
"""

import base64
import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

import pytest
from moto import mock_aws

from chalicelib.registry.ports import Blobs, Precondition, Signed, StoredPart
from chalicelib.storage import s3_copies
from chalicelib.storage.memory import Answer, MemoryBlobs
from chalicelib.storage.s3 import S3Blobs
from tests.storage.blobs_fixtures import REGION, Send, free_port, seaweed, seaweed_blobs, send
from weighbridge.contract import digests
from weighbridge.contract.errors import IntegrityError, NotFound, Unavailable

__all__ = ["free_port", "seaweed", "seaweed_blobs"]

REAL = pytest.param("seaweedfs", marks=pytest.mark.real)
MIB = 1024**2
KEYS = [
    "plain",
    "blobs/a/b",
    "inbox/p/m/1.0/checkpoint/-/3#epoch 3/weights.bin",
    "a+b c",
    "100%",
    "%2F",
    "x?y&z=1",
    "ключ/模型/é",
    "emoji \U0001f388",
    "quote'\"<>",
    "double//slash",
    "n/" + "é" * 120,
]


class Clock:
    """The time of the twin in memory."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Store:
    """A store, how requests reach it, and how its time passes."""

    blobs: Blobs
    send: Send
    wait_until: Callable[[Callable[[], bool], float], None]


def _poll(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds + 5
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def _turn(clock: Clock) -> Callable[[Callable[[], bool], float], None]:
    def turn(done: Callable[[], bool], seconds: float) -> None:
        clock.now += seconds
        assert done()

    return turn


@pytest.fixture(params=["memory", REAL])
def store(request: pytest.FixtureRequest) -> Store:
    """The stores that check signatures and checksums."""
    if request.param == "memory":
        clock = Clock()
        blobs = MemoryBlobs(clock=clock)
        return Store(blobs, blobs.execute, _turn(clock))
    return Store(request.getfixturevalue("seaweed_blobs"), send, _poll)


@pytest.fixture(params=["memory", "moto", REAL])
def blobs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Blobs]:
    """Every store."""
    if request.param == "memory":
        yield MemoryBlobs()
    elif request.param == "seaweedfs":
        yield request.getfixturevalue("seaweed_blobs")
    else:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with (
            mock_aws(),
            contextlib.closing(
                S3Blobs("artifacts", REGION, access_key="a", secret_key="b", prefix="p/")
            ) as s3,
        ):
            s3.ensure_bucket()
            yield s3


def b64(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def put_signed(store: Store, key: str, data: bytes) -> Answer:
    return store.send(store.blobs.sign_put(key, b64(data), len(data), 60), data)


def send_part(store: Store, key: str, upload: str, number: int, data: bytes) -> Answer:
    return store.send(store.blobs.sign_part(key, upload, number, b64(data), 60), data)


def uploaded(store: Store, key: str, *bodies: bytes) -> str:
    """A multipart upload whose parts are all sent."""
    upload = store.blobs.create_multipart(key)
    for number, data in enumerate(bodies, 1):
        assert send_part(store, key, upload, number, data).status == 200
    return upload


def absent(blobs: Blobs, key: str) -> bool:
    with contextlib.suppress(NotFound):
        blobs.head(key)
        return False
    return True


# Single PUT


def test_signed_put_stores_the_bytes_with_a_checksum(store):
    """What a signed PUT sends can be read, and the store vouches for its SHA-256."""
    assert put_signed(store, "x", b"weights").status == 200
    head = store.blobs.head("x")
    assert (head.key, head.size, head.sha256) == ("x", 7, b64(b"weights"))
    assert digests.blob_from_checksum(head.sha256, 7) == digests.single_blob(
        digests.sha256_of(b"weights"), 7
    )
    assert store.blobs.read("x") == b"weights"
    assert '"' not in head.etag


def test_empty_object(store):
    """An object may be empty."""
    assert put_signed(store, "empty", b"").status == 200
    assert store.blobs.head("empty").size == 0
    assert store.blobs.read("empty") == b""


def test_wrong_bytes_are_refused(store):
    """A PUT of other bytes than those signed for answers 400 and stores nothing."""
    signed = store.blobs.sign_put("x", b64(b"right"), 5, 60)
    assert store.send(signed, b"wrong").status == 400
    assert absent(store.blobs, "x")


def test_overwriting_is_refused(store):
    """A second signed PUT of the same key answers 412 and changes nothing."""
    assert put_signed(store, "x", b"first").status == 200
    assert put_signed(store, "x", b"other").status == 412
    assert store.blobs.read("x") == b"first"


def test_expired_requests_are_refused(store):
    """After its time a signed request answers 403."""
    put = store.blobs.sign_put("late", b64(b"x"), 1, 1)
    store.blobs.put("there", b"x")
    get = store.blobs.sign_get("there", 1)
    part = store.blobs.sign_part("late", store.blobs.create_multipart("late"), 1, b64(b"x"), 1)
    store.wait_until(lambda: store.send(get).status == 403, 2)
    assert store.send(put, b"x").status == 403
    assert store.send(part, b"x").status == 403
    assert absent(store.blobs, "late")


@pytest.mark.parametrize("what", ["key", "checksum", "condition", "length", "signature"])
def test_altered_requests_are_refused(store, what):
    """A signed PUT with any of its promises changed answers 403 and stores nothing."""
    data, other = b"right", b"wrong"
    signed = store.blobs.sign_put("mine", b64(data), len(data), 60)
    if what == "key":
        signed = replace(signed, url=signed.url.replace("/mine?", "/yours?"))
    elif what == "checksum":
        signed.headers["x-amz-checksum-sha256"] = b64(other)
        data = other
    elif what == "condition":
        del signed.headers["if-none-match"]
    elif what == "length":
        signed.headers["content-length"] = "6"
        data = b"right!"
    else:
        signed = replace(signed, url=signed.url[:-4] + "0000")
    assert store.send(signed, data).status == 403
    assert absent(store.blobs, "mine")
    assert absent(store.blobs, "yours")


def test_a_signed_get_of_another_key_is_refused(store):
    """A signed GET opens its own key only."""
    store.blobs.put("mine", b"m")
    store.blobs.put("yours", b"y")
    signed = store.blobs.sign_get("mine", 60)
    assert store.send(signed).body == b"m"
    assert store.send(replace(signed, url=signed.url.replace("/mine?", "/yours?"))).status == 403


def test_expiry_is_announced_and_limited(store):
    """`expires` says when a request stops working; seven days are the most."""
    signed = store.blobs.sign_get("x", 60)
    assert signed.expires - store.blobs.sign_get("x", 0).expires in (60, 59)
    longest = store.blobs.sign_get("x", 10**9)
    assert longest.expires - signed.expires <= 7 * 86400


def test_signed_get_with_ranges_and_a_name(store):
    """A signed GET takes ranges, and names the file that a browser saves."""
    store.blobs.put("x", b"0123456789")
    name = 'Modell "é".bin'
    signed = store.blobs.sign_get("x", 60, name)
    whole = store.send(signed)
    assert (whole.status, whole.body) == (200, b"0123456789")
    shown = whole.headers["content-disposition"]
    assert shown == f"attachment; filename=\"Modell ___.bin\"; filename*=UTF-8''{quote(name)}"
    part = store.send(signed, headers={"range": "bytes=2-4"})
    assert (part.status, part.body) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert store.send(signed, headers={"range": "bytes=20-30"}).status == 416
    assert store.send(store.blobs.sign_get("nothing", 60)).status == 404


@pytest.mark.parametrize("key", KEYS)
def test_keys_may_hold_any_text(store, key):
    """A key is stored, listed, signed, copied and deleted under its own name, whatever is in it."""
    assert put_signed(store, key, b"bytes").status == 200
    assert store.send(store.blobs.sign_get(key, 60)).body == b"bytes"
    head = store.blobs.head(key)
    assert [found.key for found in store.blobs.list(key).heads] == [key]
    assert store.blobs.adopt(key, head.etag, f"copy of {key}").size == 5
    assert store.blobs.read(f"copy of {key}") == b"bytes"
    store.blobs.delete([key])
    assert absent(store.blobs, key)


# Multipart uploads

LARGE = os.urandom(5 * MIB)


def test_multipart_gives_the_contracts_composite_checksum(store):
    """A completed upload holds its parts in order, under the composite checksum of the contract."""
    bodies = [LARGE, LARGE[::-1], b"tail"]
    upload = uploaded(store, "big", *bodies)
    parts = store.blobs.parts("big", upload)
    sums = [digests.sha256_of(data) for data in bodies]
    assert [(p.number, p.size, p.sha256) for p in parts] == [
        (number, len(data), digest)
        for number, data, digest in zip((1, 2, 3), bodies, sums, strict=True)
    ]
    assert absent(store.blobs, "big")
    store.blobs.complete_multipart("big", upload, parts)
    head = store.blobs.head("big")
    assert head.size == 10 * MIB + 4
    assert head.sha256 == f"{digests.to_base64(digests.composite(sums))}-3"
    assert store.blobs.read("big", 5 * MIB - 2, 4) == LARGE[-2:] + LARGE[::-1][:2]


def test_a_part_with_wrong_bytes_is_refused(store):
    """A part with other bytes than signed for answers 400 and is not kept."""
    upload = store.blobs.create_multipart("big")
    signed = store.blobs.sign_part("big", upload, 1, b64(b"right"), 60)
    assert store.send(signed, b"wrong").status == 400
    assert store.blobs.parts("big", upload) == []


@pytest.mark.parametrize("what", ["number", "upload", "checksum", "key"])
def test_an_altered_part_request_is_refused(store, what):
    """A signed part cannot be sent under another number, upload, key or checksum."""
    upload = store.blobs.create_multipart("big")
    other = store.blobs.create_multipart("other")
    signed = store.blobs.sign_part("big", upload, 1, b64(b"x"), 60)
    if what == "number":
        signed = replace(signed, url=signed.url.replace("partNumber=1", "partNumber=2"))
    elif what == "upload":
        signed = replace(signed, url=signed.url.replace(upload, other))
    elif what == "key":
        signed = replace(signed, url=signed.url.replace("/big?", "/other?"))
    else:
        signed.headers["x-amz-checksum-sha256"] = b64(b"y")
    assert store.send(signed, b"y" if what == "checksum" else b"x").status in (403, 404)
    assert store.blobs.parts("big", upload) == []
    assert store.blobs.parts("other", other) == []


def test_parts_can_be_listed_and_replaced_to_resume(store):
    """The list shows what arrived, so the rest can be sent; a repeat replaces the first."""
    upload = store.blobs.create_multipart("big")
    assert store.blobs.parts("big", upload) == []
    assert send_part(store, "big", upload, 2, b"end").status == 200
    assert send_part(store, "big", upload, 1, LARGE[::-1]).status == 200
    assert send_part(store, "big", upload, 1, LARGE[::-1]).status == 200
    assert [part.number for part in store.blobs.parts("big", upload)] == [1, 2]
    expected = [digests.sha256_of(d) for d in (LARGE, b"end")]

    def replaced() -> bool:
        # SeaweedFS keeps both, and tells which is newer in seconds.
        assert send_part(store, "big", upload, 1, LARGE).status == 200
        return [part.sha256 for part in store.blobs.parts("big", upload)] == expected

    store.wait_until(replaced, 1)
    store.blobs.complete_multipart("big", upload, store.blobs.parts("big", upload))
    assert store.blobs.read("big") == LARGE + b"end"


def test_many_parts_are_all_listed(store):
    """Hundreds of parts come in order, each with its digest, in a second reading too."""
    upload = store.blobs.create_multipart("many")
    numbers = [*range(1, 41), 10_000]
    for number in reversed(numbers):
        assert send_part(store, "many", upload, number, b"%d" % number).status == 200
    for _ in range(2):
        parts = store.blobs.parts("many", upload)
        assert [part.number for part in parts] == numbers
        assert [part.sha256 for part in parts] == [digests.sha256_of(b"%d" % n) for n in numbers]
    store.blobs.abort_multipart("many", upload)


def test_completing_twice_changes_nothing(store):
    """After a lost answer the repeat succeeds or finds no upload; the object stays as it is."""
    upload = uploaded(store, "big", LARGE, b"tail")
    parts = store.blobs.parts("big", upload)
    store.blobs.complete_multipart("big", upload, parts)
    before = store.blobs.head("big")
    with contextlib.suppress(NotFound):
        store.blobs.complete_multipart("big", upload, parts)
    after = store.blobs.head("big")
    assert (after.etag, after.sha256, after.size) == (before.etag, before.sha256, before.size)
    with pytest.raises(NotFound):
        store.blobs.parts("big", upload)


@pytest.mark.parametrize("wrong", ["digest", "etag", "missing", "small"])
def test_completion_with_other_parts_is_refused(store, wrong):
    """A completion that names parts the store does not hold is refused and makes no object."""
    bodies = (b"small", b"tail") if wrong == "small" else (LARGE, b"tail")
    upload = uploaded(store, "big", *bodies)
    first, last = store.blobs.parts("big", upload)
    if wrong == "digest":
        parts = [replace(first, sha256=last.sha256), last]
    elif wrong == "etag":
        parts = [replace(first, etag=last.etag), last]
    elif wrong == "missing":
        parts = [first, last, StoredPart(3, 1, last.etag, last.sha256)]
    else:
        parts = [first, last]
    with pytest.raises(IntegrityError):
        store.blobs.complete_multipart("big", upload, parts)
    assert absent(store.blobs, "big")


def test_abort_frees_the_parts_and_may_be_repeated(blobs):
    """An aborted upload is gone; aborting it again, or one that never was, is no error."""
    upload = blobs.create_multipart("big")
    blobs.abort_multipart("big", upload)
    blobs.abort_multipart("big", upload)
    with pytest.raises(NotFound):
        blobs.parts("big", upload)


def test_completing_an_aborted_upload_is_not_found(store):
    """An upload that was given up cannot be completed."""
    upload = store.blobs.create_multipart("big")
    store.blobs.abort_multipart("big", upload)
    with pytest.raises(NotFound):
        store.blobs.complete_multipart("big", upload, [StoredPart(1, 1, "0" * 32, "0" * 64)])


def test_a_part_of_an_aborted_upload_is_refused(store):
    """A part sent after the abort answers 404."""
    upload = store.blobs.create_multipart("big")
    store.blobs.abort_multipart("big", upload)
    assert send_part(store, "big", upload, 1, b"x").status == 404


def test_stale_uploads_are_found_by_prefix_and_age(blobs):
    """Only unfinished uploads under the prefix that began before the moment are listed."""
    mine = {(f"a/{n % 3}", blobs.create_multipart(f"a/{n % 3}")) for n in range(7)}
    other = blobs.create_multipart("b/1")
    later = int(time.time()) + 3600
    found = list(blobs.stale_multiparts("a/", later))
    assert {(stale.key, stale.upload) for stale in found} == mine
    assert all(0 < stale.started < later for stale in found)
    assert list(blobs.stale_multiparts("a/", 1000)) == []
    for key, upload in mine | {("b/1", other)}:
        blobs.abort_multipart(key, upload)
    assert list(blobs.stale_multiparts("", later)) == []


# Objects of our own


def test_put_and_read(blobs):
    """Bytes and metadata come back; a put replaces; its ETag is that of the head."""
    first = blobs.put("page", b"one", "text/html", {"revision": "7"}, cache="no-cache")
    head = blobs.head("page")
    assert (head.etag, head.size, dict(head.metadata)) == (first, 3, {"revision": "7"})
    assert abs(head.modified - time.time()) < 60
    assert blobs.put("page", b"two") != first
    assert blobs.read("page") == b"two"


def test_put_if_absent(blobs):
    """With `if_absent` an existing object stays, and the caller hears of it."""
    blobs.put("x", b"one", if_absent=True)
    with pytest.raises(Precondition):
        blobs.put("x", b"two", if_absent=True)
    assert blobs.read("x") == b"one"


def test_put_if_match(blobs):
    """With `if_match` only the very object that was read is replaced."""
    etag = blobs.put("x", b"one")
    second = blobs.put("x", b"two", if_match=etag)
    for condition in (etag, "0" * 32):
        with pytest.raises(Precondition):
            blobs.put("x", b"three", if_match=condition)
    with pytest.raises(Precondition):
        blobs.put("nothing", b"x", if_match=second)
    assert blobs.read("x") == b"two"


def test_read_ranges(blobs):
    """A range is cut at the end of the object, as slicing does."""
    blobs.put("x", b"0123456789")
    assert blobs.read("x") == b"0123456789"
    assert blobs.read("x", 3) == b"3456789"
    assert blobs.read("x", 3, 2) == b"34"
    assert blobs.read("x", 8, 100) == b"89"
    assert blobs.read("x", 3, 0) == b""
    assert blobs.read("x", 0, 0) == b""
    assert blobs.read("x", 10, 5) == b""
    assert blobs.read("x", 99) == b""


def test_read_only_the_object_that_was_meant(blobs):
    """With an ETag, another object under the key is refused."""
    etag = blobs.put("x", b"one")
    assert blobs.read("x", 1, 2, etag=etag) == b"ne"
    blobs.put("x", b"two")
    with pytest.raises(Precondition):
        blobs.read("x", 1, 2, etag=etag)


def test_missing_objects_are_not_found(blobs):
    """Reading, heading and adopting what is not there is `NotFound`."""
    for attempt in (
        lambda: blobs.head("nothing"),
        lambda: blobs.read("nothing"),
        lambda: blobs.read("nothing", 0, 0),
        lambda: blobs.adopt("nothing", "0" * 32, "target"),
        lambda: blobs.parts("nothing", "0" * 40),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_list_pages(blobs):
    """Pages follow each other without gap or repeat, and stay within the prefix."""
    keys = [f"blobs/p/{n:03}" for n in range(25)]
    for key in [*keys, "blobs/q/000", "a"]:
        blobs.put(key, key.encode())
    seen, after = [], ""
    while True:
        page = blobs.list("blobs/p/", after, 10)
        seen += page.heads
        assert len(page.heads) <= 10
        if page.next is None:
            break
        after = page.next
    assert [head.key for head in seen] == keys
    assert [head.size for head in seen] == [11] * 25
    assert [head.etag for head in seen] == [blobs.head(key).etag for key in keys]
    assert [head.key for head in blobs.list("blobs/p/", "blobs/p/0125").heads] == keys[13:]
    assert blobs.list("nothing/").heads == ()


def test_delete_many(blobs):
    """More than a thousand objects go in one call; absent ones are no error."""
    for n in range(5):
        blobs.put(f"d/{n}", b"x")
    blobs.delete([f"d/{n}" for n in range(1001)])
    blobs.delete([])
    assert blobs.list("d/").heads == ()


# Adoption


@pytest.mark.parametrize("data", [b"", b"some weights"])
def test_adopting_copies_with_the_sha256_of_the_whole(store, data):
    """A copy has the bytes of its source and a SHA-256 of them that is not the writer's word."""
    etag = store.blobs.put("inbox/x", data, metadata={"from": "a stranger"})
    head = store.blobs.adopt("inbox/x", etag, "blobs/x")
    assert (head.key, head.size, head.sha256) == ("blobs/x", len(data), b64(data))
    assert dict(head.metadata) == {}
    assert store.blobs.head("blobs/x") == head
    assert store.blobs.read("blobs/x") == data
    store.blobs.put("inbox/x", b"overwritten")
    assert store.blobs.read("blobs/x") == data


def test_adopting_a_multipart_object(store):
    """An object that came in parts is adopted with the SHA-256 of the whole, too."""
    upload = uploaded(store, "inbox/big", LARGE, b"tail")
    store.blobs.complete_multipart("inbox/big", upload, store.blobs.parts("inbox/big", upload))
    source = store.blobs.head("inbox/big")
    head = store.blobs.adopt("inbox/big", source.etag, "blobs/big")
    assert head.sha256 == b64(LARGE + b"tail")
    assert head.size == len(LARGE) + 4
    assert store.blobs.head("blobs/big") == head
    assert store.blobs.read("blobs/big") == LARGE + b"tail"
    assert list(store.blobs.stale_multiparts("", int(time.time()) + 10**6)) == []


@pytest.mark.real
def test_a_note_of_a_digest_counts_only_if_it_is_true(seaweed_blobs):
    """A writer's note about an object's digest is not believed beside the store's own checksum."""
    for lie in (b64(b"other"), "not base64", ""):
        etag = seaweed_blobs.put("inbox/x", b"bytes", metadata={"whole-sha256": lie})
        assert seaweed_blobs.head("inbox/x").sha256 == b64(b"bytes")
        assert seaweed_blobs.adopt("inbox/x", etag, "blobs/x").sha256 == b64(b"bytes")
        assert seaweed_blobs.head("blobs/x").sha256 == b64(b"bytes")
    once = hashlib.sha256(b"bytes").digest()
    for claimed, true in ((b64(b"bytes"), True), (b64(b"other"), False), (b64(once)[:20], False)):
        digest, others = s3_copies.told(f"{b64(once)}-1", {"whole-sha256": claimed, "a": "b"})
        assert digest == (claimed if true else f"{b64(once)}-1")
        assert others == {"a": "b"}


def test_adopting_another_object_than_meant_is_refused(blobs):
    """A source that was overwritten meanwhile is not adopted."""
    etag = blobs.put("inbox/x", b"one")
    blobs.put("inbox/x", b"two")
    with pytest.raises(Precondition):
        blobs.adopt("inbox/x", etag, "blobs/x")
    assert absent(blobs, "blobs/x")


# Outages


def test_a_dead_store_is_unavailable(free_port):
    """A store that does not answer raises `Unavailable`, whatever was asked; signing needs none."""
    endpoint = f"http://127.0.0.1:{free_port}"
    with contextlib.closing(S3Blobs("b", REGION, endpoint, access_key="a", secret_key="b")) as dead:
        silent = MemoryBlobs()
        silent.available = False
        for blobs in (dead, silent):
            for attempt in (
                blobs.ping,
                lambda b=blobs: b.head("x"),
                lambda b=blobs: b.read("x"),
                lambda b=blobs: b.put("x", b""),
                lambda b=blobs: b.list(""),
                lambda b=blobs: b.delete(["x"]),
                lambda b=blobs: b.create_multipart("x"),
                lambda b=blobs: list(b.stale_multiparts("", 1)),
                lambda b=blobs: b.adopt("x", "e", "y"),
            ):
                with pytest.raises(Unavailable):
                    attempt()
            assert isinstance(blobs.sign_get("x", 60), Signed)


def test_signed_addresses_are_the_public_ones():
    """Clients get the address that they can reach, whatever the server uses itself."""
    blobs = S3Blobs("b", REGION, "http://127.0.0.1:1", "https://store.example:9000", "a", "b")
    with contextlib.closing(blobs):
        assert blobs.sign_get("x", 60).url.startswith("https://store.example:9000/b/x?")
    aws = S3Blobs("bucket", "eu-central-1", access_key="a", secret_key="b")
    with contextlib.closing(aws):
        url = aws.sign_put("x", b64(b""), 0, 60).url
    assert url.startswith("https://bucket.s3.eu-central-1.amazonaws.com/x?")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url


def test_a_prefix_is_invisible(blobs):
    """Keys, lists and uploads of a store with a prefix show nothing of it."""
    blobs.put("x/y", b"1")
    upload = blobs.create_multipart("x/z")
    assert blobs.list("").heads[0].key == "x/y"
    assert [s.key for s in blobs.stale_multiparts("x", int(time.time()) + 3600)] == ["x/z"]
    blobs.abort_multipart("x/z", upload)
