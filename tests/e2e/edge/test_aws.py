"""The doors of edge and Kubeflow clients as they are deployed: through the gateway, each function under its
own role. Large packages come in two steps and leave by a redirect; no function sees their bytes."""

import contextlib
import hashlib
import random
import uuid

import pytest
import requests

import weighbridge
from tests.e2e.aws_stack import deployed
from tests.e2e.edge.conftest import PACKAGE, archive, opened
from tests.e2e.served import until
from tests.kubeflow.client import KubeflowClient

pytestmark = pytest.mark.real
LARGE = 48_000_000
MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["seaweedfs", "ministack"])
def stack(request, tmp_path_factory):
    """A deployed registry on each object store."""
    with deployed(tmp_path_factory.mktemp("deployed"), s3=request.param) as running:
        yield running


@pytest.fixture
def door(stack):
    """The edge door of a project of its own."""
    return opened(stack, f"edge-{uuid.uuid4().hex[:8]}")


def sent(door, data, name="big.zip", **fields):
    """The id of a package that came in two steps."""
    invited = door.ask("POST", "/models/uploads", json={"file_name": name, "size": len(data)})
    assert invited.status_code == 201, invited.text
    form = invited.json()
    assert not form["url"].startswith(door.url)
    stored = requests.post(
        form["url"], data=form["fields"], files={"file": (name, data)}, timeout=120
    )
    assert stored.status_code in (200, 201, 204), stored.text
    return second(door, {"name": "bolt", "version": "1", **fields, "upload_id": form["upload_id"]})


def second(door, values, seconds=60.0):
    """The answer to the second step, asked again as long as the package is being checked in."""

    def answered():
        files = {key: (None, text) for key, text in values.items()}
        answer = door.ask("POST", "/models", files=files)
        assert answer.status_code != 503 or answer.headers["Retry-After"] == "5"
        return None if answer.status_code == 503 else (answer,)  # a refusal counts as false

    return until(answered, seconds)[0]


def test_a_large_package_comes_in_two_steps_and_leaves_by_a_redirect(stack, door, tmp_path):
    """Refused in one request with the steps named; then the same bytes, as a version like any other."""
    data = PACKAGE + hashlib.sha256(stack.token.encode()).digest() * (LARGE // 32)
    refused = door.post(data=data[:4_600_000])
    assert refused.status_code == 413
    assert "POST /models/uploads" in refused.text
    answer = sent(door, data, precision="int8")
    assert answer.status_code == 201, answer.text
    record = door.record(answer.text)
    assert (record["size"], record["precision"]) == (len(data), ["int8"])
    found = door.get(f"/models/{answer.text}/files")
    assert (found.status_code, found.content) == (307, b"")
    assert not found.headers["Location"].startswith(door.url)
    got = requests.get(found.headers["Location"], timeout=120)
    assert got.headers["Content-Type"] == "application/zip"
    assert hashlib.sha256(got.content).digest() == hashlib.sha256(data).digest()
    with door.native() as registry:
        registry.pull(f"{door.project}/bolt@1", tmp_path / "out")
        assert (tmp_path / "out" / "big.zip").read_bytes() == data
    again = sent(door, archive(other="1"), precision="int8")
    assert again.status_code == 409
    assert record["id"] in again.text


class Form:
    """A form with a long file, made while it is sent."""

    def __init__(self, fields, size):
        limit = uuid.uuid4().hex
        head = "".join(
            f'--{limit}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        head += (
            f'--{limit}\r\nContent-Disposition: form-data; name="file"; filename="m.zip"\r\n\r\n'
        )
        tail = f"\r\n--{limit}--\r\n".encode()
        self.headers = {"Content-Type": f"multipart/form-data; boundary={limit}"}
        self.digest = hashlib.sha256()
        self._length = len(head.encode()) + size + len(tail)
        self._blocks = self._made(head.encode(), size, tail)
        self._left = b""

    def _made(self, head, size, tail):
        yield head
        block = PACKAGE[:4] + random.Random(1).randbytes(MIB - 4)
        for number in range(-(-size // MIB)):
            part = block if not number else block[8:] + number.to_bytes(8, "big")
            part = part[: size - number * MIB]
            self.digest.update(part)
            yield part
        yield tail

    def __len__(self):
        return self._length

    def read(self, size=-1):
        """The next bytes."""
        if not self._left:
            self._left = next(self._blocks, b"")
        found = self._left if size < 0 else self._left[:size]
        self._left = self._left[len(found) :]
        return found


@pytest.mark.long
def test_three_gigabytes_come_in_two_steps_and_leave_by_a_redirect(request, stack, door):
    """As far as a function is concerned they are as short as any; the emulator's own S3 is memory."""
    size = 256 * MIB if "ministack" in request.node.name else 3 * 1024 * MIB
    invited = door.ask("POST", "/models/uploads", json={"file_name": "m.zip", "size": size}).json()
    form = Form(invited["fields"], size)
    stored = requests.post(invited["url"], data=form, headers=form.headers, timeout=600)
    assert stored.status_code in (200, 201, 204), stored.text
    values = {"name": "large", "version": "1", "upload_id": invited["upload_id"]}
    answer = second(door, values, 600)
    assert answer.status_code == 201, answer.text
    assert door.record(answer.text)["size"] == size
    digest = hashlib.sha256()
    with door.get(f"/models/{answer.text}/files", allow_redirects=True, stream=True) as found:
        for block in found.iter_content(MIB):
            digest.update(block)
    assert digest.hexdigest() == form.digest.hexdigest()


def test_what_the_form_did_not_bring_is_refused(door):
    """An upload that never came, another size, no archive: 422 or the store's own refusal."""
    values = {"name": "x", "version": "1", "upload_id": "0" * 20}
    missing = second(door, values)
    assert missing.status_code == 422
    invited = door.ask("POST", "/models/uploads", json={"file_name": "m.zip", "size": 10}).json()
    wrong = requests.post(
        invited["url"], data=invited["fields"], files={"file": ("m.zip", b"x" * 11)}, timeout=30
    )
    assert wrong.status_code >= 400
    answer = sent(door, b"no archive at all")
    assert (answer.status_code, answer.json()["detail"]) == (422, "file is not a ZIP archive.")
    assert door.get("/models").json() == []


def test_a_small_package_leaves_by_a_redirect_too(door):
    """A client that follows it needs to know nothing. (That a gateway decodes what is answered inline cannot
    be seen here: the emulator does not read the template's binary types.)"""
    own = sent(door, PACKAGE, "small.zip").text
    got = door.get(f"/models/{own}/files", allow_redirects=True)
    assert (got.status_code, got.content) == (200, PACKAGE)
    assert "small.zip" in got.headers["Content-Disposition"]
    assert len(got.history) == 1


def test_the_real_kubeflow_client_works_through_the_gateway(stack, door, tmp_path):
    """It registers, updates, pages and archives; what it registers is seen at the edge door."""
    client = KubeflowClient(door.url.removesuffix("/edge"), door.token, tmp_path)
    found = client("register", name="net", version="1", uri="s3://b/net.zip", metadata={"n": 1})
    assert found["version"]["custom_properties"] == {"n": 1}
    client("register", name="other", version="1", uri="s3://b/other.zip")
    changed = client("update", name="net", version="1")
    assert changed["artifact"]["uri"] == "https://new.example/model.zip"
    assert client("pages", size=1)["creation_time up"] == ["net", "other"]
    assert client("archive", name="net") == "ARCHIVED"
    assert {r["name"]: r["file_url"] for r in door.get("/models").json()} == {
        "net": "https://new.example/model.zip", "other": "s3://b/other.zip",
    }  # fmt: skip
    with weighbridge.Registry(stack.url, door.token) as registry:
        assert registry.client.version(door.project, "net", 1).attributes["key"] == 42


def test_nothing_was_denied_and_nothing_failed(stack):
    """No function logged a denial or a traceback; no bytes of a package are left parked for long."""
    text = stack.logs()
    for word in ("AccessDenied", "not authorized", "Traceback"):
        assert word not in text
    with contextlib.closing(stack.s3()) as s3:
        found = s3.list_objects_v2(Bucket=stack.outputs["Artifacts"], Prefix="uploads/")
        assert len(found.get("Contents", [])) <= 4
