"""The acceptance items E19 to E22, and what makes the edge door a view: packages through every door, large
ones in and out, clients as they are."""

import hashlib
import http.client
import threading
import uuid
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e.edge.conftest import PACKAGE, archive, opened
from tests.e2e.served import until

pytestmark = pytest.mark.real
MIB = 1024 * 1024


def test_e19_a_redirect_leads_to_the_same_bytes(redirecting):
    """E19: 307 to the store, which answers with exactly the type, whatever was asked for."""
    door = opened(redirecting)
    own = door.registered(name="bolt.zip")
    answer = door.get(f"/models/{own}/files")
    assert (answer.status_code, answer.content) == (307, b"")
    there = requests.get(answer.headers["location"], timeout=30)
    assert (there.status_code, there.content) == (200, PACKAGE)
    assert there.headers["content-type"] == "application/zip"
    assert 'filename="bolt.zip"' in there.headers["content-disposition"]
    followed = door.get(f"/models/{own}/files", allow_redirects=True, stream=True)
    assert (followed.headers["content-type"], followed.content) == ("application/zip", PACKAGE)
    docs = door.get(
        f"/models/{own}/files", headers={"Referer": "http://x/docs"}, allow_redirects=True
    )
    assert docs.headers["content-type"] == "application/octet-stream"


def test_e20_of_two_that_register_one_key_at_once_one_wins(door):
    """E20: one 201 and one 409 that names it, a hundred times."""
    door.registered(version="first")
    twin = opened_again(door)
    for turn in range(100):
        gate, answers = threading.Barrier(2), []

        def post(who, turn=turn, gate=gate, answers=answers):
            gate.wait()
            answers.append(who.post(version=f"race {turn}"))

        threads = [threading.Thread(target=post, args=(who,)) for who in (door, twin)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won, lost = sorted(answers, key=lambda a: a.status_code)
        assert (won.status_code, lost.status_code) == (201, 409), (won.text, lost.text)
        assert f"'{won.text}'" in lost.text
    assert len(door.get("/models").json()) == 101


def opened_again(door):
    """The same door, with connections of its own."""
    return type(door)(door.url, door.token, door.project)


def test_e21_a_long_list_is_whole_and_a_conflict_with_any_of_it_is_found(door):
    """E21: 150 records by id, in pages or at once; number 120 is in the way of its like."""
    own = [door.registered(title=f"model {n:03d}") for n in range(150)]
    listed = door.get("/models")
    assert [r["id"] for r in listed.json()] == sorted(own)
    assert "x-next-page-token" not in listed.headers
    paged, token = [], ""
    while True:
        answer = door.get(f"/models?page_size=40&page_token={token}")
        paged += answer.json()
        token = answer.headers.get("x-next-page-token")
        if not token:
            break
        assert len(answer.json()) == 40
    assert paged == listed.json()
    filtered = door.get("/models?name=model 1&page_size=50")
    assert len(filtered.json()) == 50
    assert "x-next-page-token" not in filtered.headers
    other = door.get(f"/models?name=x&page_token={door_token(door)}")
    assert other.status_code == 400
    answer = door.post(title="model 119")
    assert answer.status_code == 409
    assert f"'{own[119]}'" in answer.text


def door_token(door):
    """A page token of the unfiltered list."""
    return door.get("/models?page_size=1").headers["x-next-page-token"]


def test_e22_a_package_is_uploaded_in_two_steps(door):
    """E22: a form that the store takes, then the record; checks come with the second step."""
    data = archive(**{"model.bin": "y" * (6 * MIB)})
    first = door.ask("POST", "/models/uploads", json={"file_name": "x/a b.zip", "size": len(data)})
    assert first.status_code == 201, first.text
    step = first.json()
    assert set(step) == {"upload_id", "url", "fields"}
    fields = {"name": "big", "version": "1", "upload_id": step["upload_id"]}
    early = door.ask("POST", "/models", data=fields)
    assert early.status_code == 422
    assert step["upload_id"] in early.json()["detail"]
    long = requests.post(
        step["url"], data=step["fields"], files={"file": ("f", data + b"x")}, timeout=60
    )
    assert long.status_code >= 400
    sent = requests.post(step["url"], data=step["fields"], files={"file": ("f", data)}, timeout=60)
    assert sent.status_code in (200, 201, 204), sent.text
    assert door.ask("POST", "/models", data={**fields, "colour": "red"}).status_code == 422
    done = door.ask("POST", "/models", data=fields)
    assert done.status_code == 201, done.text
    record = door.record(done.text)
    assert (record["size"], record["file_url"].rpartition("/")[2]) == (len(data), "a b.zip")
    assert door.get(f"/models/{done.text}/files").content == data
    again = door.ask("POST", "/models", data=fields)
    assert again.status_code in (409, 422)


def test_e22_what_arrives_in_two_steps_is_checked(door):
    """E22: no ZIP, no size, no such upload."""
    step = door.ask("POST", "/models/uploads", json={"file_name": "a.zip", "size": 4}).json()
    requests.post(step["url"], data=step["fields"], files={"file": ("f", b"text")}, timeout=60)
    fields = {"name": "big", "version": "1", "upload_id": step["upload_id"]}
    answer = door.ask("POST", "/models", data=fields)
    assert (answer.status_code, answer.json()) == (422, {"detail": "file is not a ZIP archive."})
    for body in ({}, {"file_name": 1, "size": "x"}, {"file_name": "a", "size": 0}, []):
        assert door.ask("POST", "/models/uploads", json=body).status_code == 422
    huge = {"file_name": "a", "size": 6 * 1024**3}
    assert door.ask("POST", "/models/uploads", json=huge).status_code == 413
    fields["upload_id"] = "0" * 20
    assert door.ask("POST", "/models", data=fields).status_code == 422
    assert door.get("/models").json() == []


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a/b.zip", "b.zip"), ("..", "model.zip"), ("../../etc/x.zip", "x.zip"),
        ("C:\\models\\a.zip", "a.zip"), ("/", "model.zip"), ("é.zip", "é.zip"), ("a\x01b", "a_b"),
    ],
)  # fmt: skip
def test_a_file_name_is_its_last_segment(door, name, stored):
    """What made the reference fail at the download does not here."""
    own = door.registered(name=name)
    assert door.record(own)["file_url"].endswith(f"/{own}/{stored}")
    assert door.get(f"/models/{own}/files").content == PACKAGE


@pytest.mark.parametrize(
    "poison",
    [
        {"title": ""}, {"version": ""}, {"id": "short"}, {"id": "with spaces " * 2},
        {"id": "x" * 129}, {"score": "nan"}, {"score": "inf"}, {"score": "1e999"},
        {"overview": "{'a': True}"}, {"overview": '{"a": NaN}'}, {"overview": '"\\ud800"'},
        {"labels": "['a'"}, {"data": b""}, {"data": b"no archive"}, {"size": "-1"},
    ],
)  # fmt: skip
def test_what_poisoned_the_reference_is_refused_and_the_list_answers(door, poison):
    """422, and nothing is left."""
    kept = door.registered()
    assert door.post(**{"version": "2", **poison}).status_code == 422
    listed = door.get("/models")
    assert [r["id"] for r in listed.json()] == [kept]
    assert door.put(kept, category="x").status_code == 200
    door.registered(version="3")


def test_a_malformed_form_is_refused(door):
    """400 as validation errors are; a truncated body too."""
    for body in (b"", b"--x\r\nnonsense", b"--x\r\nContent-Disposition: form-data\r\n\r\n"):
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = door.ask("POST", "/models", data=body, headers=headers)
        assert answer.status_code == 400, answer.text
        assert answer.json() == {"detail": "There was an error parsing the body"}


def test_a_token_that_may_not_is_refused(embedded, door):
    """Reading alone changes nothing; another project's records are not there."""
    own = door.registered()
    reader = opened(embedded, door.project, ("read",))
    assert reader.record(own)["id"] == own
    assert reader.post(version="2").status_code == 403
    assert reader.put(own, name="x").status_code == 403
    assert reader.ask("DELETE", f"/models/{own}").status_code == 403
    big = archive(**{"a": "z" * (5 * MIB)})
    assert reader.post(version="2", data=big).status_code == 403
    stranger = opened(embedded)
    assert stranger.get(f"/models/{own}").status_code == 404
    assert stranger.get("/models").json() == []
    reader.session.auth = ("edge", "wb_wrong_token")
    assert reader.post(data=big).status_code == 401


# Large ones


def blocks(size):
    """A file of that size that begins as a ZIP does, and is nowhere the same."""
    seed = hashlib.sha256(str(size).encode()).digest()
    yield b"PK\x03\x04" + seed * 2 + b"\0" * (MIB - 68)
    for number in range(size // MIB - 1):
        yield (number.to_bytes(8, "big") + seed[:24]) * (MIB // 32)


def send(door, size, chunked=False, cut=0, **fields):
    """Posts a package of that size without holding it; answers status, text and SHA-256."""
    target, limit = urlsplit(door.url), f"edge{uuid.uuid4().hex}"
    given = {"name": "huge", "version": "1", **fields}
    head = b"".join(
        f'--{limit}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode()
        for n, v in given.items()
    )
    head += (
        f'--{limit}\r\nContent-Disposition: form-data; name="file"; filename="h.zip"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    ).encode()
    tail = f"\r\n--{limit}--\r\n".encode()
    digest = hashlib.sha256()
    connection = http.client.HTTPConnection(target.hostname, target.port, timeout=600)
    connection.putrequest("POST", target.path + "/models")
    credentials = b64encode(f"x:{door.token}".encode()).decode()
    connection.putheader("Authorization", f"Basic {credentials}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={limit}")
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        connection.putheader("Content-Length", str(len(head) + size + len(tail)))
    connection.endheaders()

    def out(data):
        connection.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)

    out(head)
    for number, block in enumerate(blocks(size), 1):
        if number == cut:
            connection.close()
            return 0, "", ""
        digest.update(block)
        out(block)
    out(tail)
    if chunked:
        connection.send(b"0\r\n\r\n")
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), digest.hexdigest()
    connection.close()
    return found


def server_process(served):
    """The process that serves, below the command line's."""
    for pid in served.tree():
        if "infra.embedded" in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    raise AssertionError("no server process")


def memory(pid, field):
    """A figure of a process in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def through(served, size):
    """In and out again; the bytes are the same; answers how much more memory the server took."""
    door = opened(served)
    door.registered(version="warm")
    pid = server_process(served)
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = memory(pid, "VmRSS")
    status, own, digest = send(door, size)
    assert status == 201, own
    found = hashlib.sha256()
    with door.get(f"/models/{own}/files", stream=True, timeout=600) as answer:
        assert answer.headers["content-length"] == str(size)
        for block in answer.iter_content(MIB):
            found.update(block)
    assert found.hexdigest() == digest
    assert door.record(own)["size"] == size
    with door.native() as registry:
        version = registry.client.version(door.project, "huge", 1)
        assert version.package.sha256 == digest
    return memory(pid, "VmHWM") - before


def test_a_large_package_is_streamed_in_and_out(embedded):
    """384 MiB with less than 100 MiB more memory."""
    more = through(embedded, 384 * MIB)
    print(f"{more / MIB:.0f} MiB more memory")
    assert more < 100 * MIB


@pytest.mark.long
def test_three_gigabytes_are_streamed_in_and_out(embedded):
    """The same with 3 GB."""
    more = through(embedded, 3 * 1024 * MIB)
    print(f"{more / MIB:.0f} MiB more memory")
    assert more < 100 * MIB


def test_a_long_form_may_come_in_chunks(door):
    """A body without a length is streamed as well."""
    status, own, digest = send(door, 20 * MIB, chunked=True)
    assert status == 201, own
    content = door.get(f"/models/{own}/files").content
    assert hashlib.sha256(content).hexdigest() == digest


def test_a_long_form_that_is_refused_leaves_nothing(embedded, door):
    """A conflict, a fault and a connection that breaks: no record, no part of an upload."""
    status, own, _ = send(door, 20 * MIB)
    assert status == 201
    assert send(door, 24 * MIB)[:1] == (409,)
    assert send(door, 24 * MIB, version="2", precision="fp8")[:1] == (400,)
    assert send(door, 24 * MIB, version="2", colour="red")[:1] == (422,)
    send(door, 64 * MIB, version="2", cut=40)
    store = embedded.s3()
    until(
        lambda: (
            not store.list_multipart_uploads(Bucket="weighbridge-artifacts").get("Uploads"), 1
        )[0]
    )  # fmt: skip
    assert [r["id"] for r in door.get("/models").json()] == [own]
