"""What the fault tests and the benchmarks stand on: the proxy fails as it says, the sink is S3 enough."""

import contextlib
import hashlib
import http.client
import random
import threading
from urllib.parse import urlsplit

import pytest

from benchmarks.sink.server import Sink
from benchmarks.sink.state import State
from chalicelib.registry.ports import Precondition
from chalicelib.storage.s3 import S3Blobs
from tests.e2e.faults.proxy import KINDS, Way, faulty_s3
from weighbridge.contract import digests
from weighbridge.contract.errors import NotFound

DATA = bytes(range(256)) * 200


@pytest.fixture
def served(tmp_path):
    """A file that the sink reads out for objects of its size."""
    file = tmp_path / "served.bin"
    file.write_bytes(DATA * 8)
    return file


@pytest.fixture
def sink(served):
    """A sink in this process, without keys."""
    state = State((served,))
    running = Sink(state)
    threading.Thread(target=running.run, daemon=True).start()
    return running


@pytest.fixture
def blobs(sink):
    """Our own adapter on it."""
    with contextlib.closing(S3Blobs("b", "us-east-1", sink.url, "", "key", "secret")) as made:
        made.ensure_bucket()
        yield made


def test_the_sink_answers_our_adapter_as_s3_does(blobs, served):
    """Small objects keep their content, uploads their declared digests, absent keys are absent."""
    blobs.put("small", b"content", if_absent=True)
    assert blobs.read("small") == b"content"
    assert blobs.read("small", 3, 2) == b"te"
    with pytest.raises(Precondition):
        blobs.put("small", b"other", if_absent=True)
    with pytest.raises(NotFound):
        blobs.head("absent")
    upload = blobs.create_multipart("big")
    parts = [DATA * 3, DATA * 5]
    for number, part in enumerate(parts, 1):
        digest = digests.sha256_of(part)
        signed = blobs.sign_part("big", upload, number, digests.to_base64(digest), 60)
        assert ask(signed.url, "PUT", part, signed.headers)[0] == 200
    listed = blobs.parts("big", upload)
    assert [(p.size, p.sha256) for p in listed] == [(len(p), digests.sha256_of(p)) for p in parts]
    blobs.complete_multipart("big", upload, listed)
    head = blobs.head("big")
    assert head.size == len(DATA) * 8
    whole = b"".join(hashlib.sha256(part).digest() for part in parts)
    assert digests.blob_from_checksum(head.sha256, head.size).endswith(f"-2-{head.size}")
    assert hashlib.sha256(whole).hexdigest() in digests.blob_from_checksum(head.sha256, head.size)
    assert blobs.read("big") == served.read_bytes()
    assert [found.key for found in blobs.list("").heads] == ["big", "small"]
    blobs.delete(["small"])
    assert [found.key for found in blobs.list("").heads] == ["big"]


def ask(url, method="GET", body=None, headers=None):
    """One request on a connection of its own; the status and the body."""
    where = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(where.netloc, timeout=20)) as connection:
        connection.request(method, f"{where.path}?{where.query}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()


def differing_bits(one, other):
    """How many bits two byte strings of one length differ in."""
    assert len(one) == len(other)
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_of_an_answer_does_what_its_name_says(sink, blobs, kind):
    """One GET, one fault."""
    data = DATA[:50_000]
    blobs.put("o", data)
    with faulty_s3(sink.url, seed=1, share=1.0) as proxy:
        proxy.ways["GET"] = Way(1.0, random.Random(1), [kind])
        if kind in ("lost", "reset", "truncated"):
            with pytest.raises((http.client.HTTPException, ConnectionError)):
                ask(f"{proxy.url}/b/o")
        else:
            status, body = ask(f"{proxy.url}/b/o")
            assert status == {"error": 500, "busy": 503, "expired": 403}.get(kind, 200)
            if kind == "flipped":
                assert differing_bits(body, data) == 1
            if kind == "slow":
                assert body == data
        assert [event.fault for event in proxy.events] == [kind]
        assert proxy.faults() == {kind: 1}


def test_a_flipped_upload_differs_in_one_bit(sink, blobs):
    """What the store gets is not what was sent."""
    data = DATA[:50_000]
    with faulty_s3(sink.url, seed=2, share=1.0) as proxy:
        proxy.ways["PUT"] = Way(1.0, random.Random(1), ["flipped"])
        assert ask(f"{proxy.url}/b/o", "PUT", data)[0] == 200
        [event] = proxy.flipped("PUT")
        assert event.status == 200
        assert not proxy.later(event)
    assert differing_bits(blobs.read("o"), data) == 1


def test_without_faults_everything_passes_and_the_same_seed_fails_the_same_requests(sink, blobs):
    """A share of nothing changes nothing; a seed decides which requests fail, and how."""
    blobs.put("o", DATA[:1000])
    with faulty_s3(sink.url, seed=3, share=0.0) as proxy:
        assert [ask(f"{proxy.url}/b/o") for _ in range(3)] == [(200, DATA[:1000])] * 3
        assert ask(f"{proxy.url}/b/o", headers={"Range": "bytes=5-9"}) == (206, DATA[5:10])
        assert not proxy.faults()

    def met(seed):
        with faulty_s3(sink.url, seed, share=0.3) as failing:
            return [failing.event("GET", "/b/o", "", None, 0).fault for _ in range(200)]

    assert met(4) == met(4) != met(5)
    assert set(met(4)) == {"", *KINDS}
    assert sum(1 for fault in met(4) if fault) == pytest.approx(200 / 3, abs=1)
