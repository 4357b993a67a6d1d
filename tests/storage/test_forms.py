"""What `Blobs` offers to clients of foreign doors: forms, parts from memory, answers of a type."""

import hashlib
import http.client
import uuid
from urllib.parse import urlsplit

import pytest

from chalicelib.registry.ports import Signed
from chalicelib.storage.memory import MemoryBlobs
from tests.storage.blobs_fixtures import free_port, seaweed, seaweed_blobs, send
from weighbridge.contract import digests
from weighbridge.contract.errors import NotFound

__all__ = ["free_port", "seaweed", "seaweed_blobs"]

MIB = 1024**2


@pytest.fixture(params=["memory", pytest.param("seaweedfs", marks=pytest.mark.real)])
def store(request):
    """A store, what sends a signed request, and what posts a form."""
    if request.param == "memory":
        blobs = MemoryBlobs()

        def post(form, data):
            return blobs.execute(Signed("POST", form.fields["policy"], {}, 0), data).status

        return blobs, blobs.execute, post
    return request.getfixturevalue("seaweed_blobs"), send, posted


def posted(form, data):
    """Posts a form as a browser does; the status."""
    limit, target = uuid.uuid4().hex, urlsplit(form.url)
    parts = "".join(
        f'--{limit}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'
        for n, v in form.fields.items()
    )
    head = f'{parts}--{limit}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{limit}--\r\n".encode()
    connection = http.client.HTTPConnection(target.netloc, timeout=30)
    kind = f"multipart/form-data; boundary={limit}"
    connection.request("POST", target.path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_a_form_takes_exactly_the_size_it_was_signed_for(store):
    """Longer and shorter files are refused, and nothing is stored."""
    blobs, _, post = store
    form = blobs.sign_post("uploads/p/u/a b.zip", 5, 60)
    for wrong in (b"1234", b"123456"):
        assert post(form, wrong) >= 400
        with pytest.raises(NotFound):
            blobs.head("uploads/p/u/a b.zip")
    assert post(form, b"12345") in (200, 201, 204)
    assert blobs.read("uploads/p/u/a b.zip") == b"12345"


def test_a_form_is_for_its_own_key(store):
    """Another key with the same signature is refused."""
    blobs, _, post = store
    form = blobs.sign_post("mine", 1, 60)
    if "key" in form.fields and "memory" in form.url:
        return  # the key of the twin is inside what is signed
    other = dict(form.fields, key=form.fields["key"].replace("mine", "yours"))
    assert post(type(form)(form.url, other, form.expires), b"1") == 403


def test_parts_from_memory_make_the_object(store):
    """Two parts, told with their SHA-256, joined as any others."""
    blobs, _, _ = store
    upload = blobs.create_multipart("big")
    data = [b"a" * (5 * MIB), b"b"]
    sent = [blobs.put_part("big", upload, n, part) for n, part in enumerate(data, 1)]
    assert [p.sha256 for p in sent] == [hashlib.sha256(part).hexdigest() for part in data]
    listed = blobs.parts("big", upload)
    assert listed == sent
    blobs.complete_multipart("big", upload, listed)
    head = blobs.head("big")
    wanted = digests.composite_blob(digests.composite([p.sha256 for p in sent]), 2, 5 * MIB + 1)
    assert digests.blob_from_checksum(head.sha256, head.size) == wanted
    with pytest.raises(NotFound):
        blobs.put_part("big", "nothing", 1, b"x")


def test_a_signed_get_may_say_what_type_the_answer_has(store):
    """Whatever the object was stored as."""
    blobs, ask, _ = store
    blobs.put("x.zip", b"PK")
    answer = ask(blobs.sign_get("x.zip", 60, "m.zip", "application/zip"))
    assert (answer.status, answer.body) == (200, b"PK")
    assert answer.headers["content-type"] == "application/zip"
