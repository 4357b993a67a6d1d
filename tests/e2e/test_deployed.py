"""The app as it is deployed: zip, template and policies, on emulated AWS that enforces IAM.

With `seaweedfs` the bytes are in a real S3 engine; with `ministack` the functions' policies decide
about objects too, and S3's own events come through the rule of the template.
"""

import contextlib
import json
import os
import struct
import uuid

import pytest

import weighbridge
from tests.e2e.aws_stack import deployed
from tests.e2e.served import until
from weighbridge.contract.errors import Conflict, Forbidden, Gone, NotFound, Unauthenticated
from weighbridge.contract.types import Scope

pytestmark = pytest.mark.real

SWEPT = {
    "version": "0", "id": "1", "detail-type": "Scheduled Event", "source": "aws.events",
    "account": "000000000000", "time": "2026-11-21T00:00:00Z", "region": "us-east-1",
    "resources": [], "detail": {},
}  # fmt: skip


@pytest.fixture(scope="module", params=["seaweedfs", "ministack"])
def stack(request, tmp_path_factory):
    """A deployed registry on each object store."""
    with deployed(tmp_path_factory.mktemp("deployed"), s3=request.param) as running:
        yield running


@pytest.fixture
def registry(stack):
    """The SDK, with the administrator's token."""
    with weighbridge.Registry(stack.url, stack.token) as found:
        yield found


@pytest.fixture
def s3(stack):
    """Where the bytes are, seen by its operator."""
    with contextlib.closing(stack.s3()) as client:
        yield client


@pytest.fixture
def project():
    """A project name nobody else uses."""
    return f"p{uuid.uuid4().hex[:8]}"


def safetensors(count, width=1):
    """A file with many small tensors, whose table is too long for an item of the table."""
    header, size = {}, 0
    for n in range(count):
        end = size + width
        header[f"layer.{n}.weight"] = {"dtype": "U8", "shape": [width], "data_offsets": [size, end]}
        size = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def keys(s3, bucket, prefix):
    """What a bucket holds below a prefix."""
    return [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def test_a_model_from_push_to_deletion(stack, registry, s3, project, tmp_path):
    """Push, index by event, alias, list, compare, pages, pull, delete, sweep: through the gateway,
    with each function under its own role."""
    name = f"{project}/net (größe) #1"
    weights, big = tmp_path / "model.safetensors", tmp_path / "big.bin"
    weights.write_bytes(safetensors(1200))
    big.write_bytes(os.urandom(1024) * 40_000)
    first = registry.push(name, [weights, big], metrics={"loss": 0.5}, label="1.0")
    assert (first.version, first.sent_bytes) == (1, weights.stat().st_size + big.stat().st_size)
    weights.write_bytes(safetensors(1200, width=2))
    second = registry.push(name, [weights, big], metrics={"loss": 0.4})
    assert second.reused_bytes == big.stat().st_size

    def indexed():
        found = {f.path: f.facts for f in registry.facts(f"{name}@2").items}
        return found["model.safetensors"] and found["big.bin"] and found

    facts = until(indexed, 30)
    assert len(facts["model.safetensors"].tensors) == 1200
    assert facts["big.bin"].format == "file"
    registry.alias(name, "stage", 1)
    moved = registry.alias(name, "stage", 2)
    assert (moved.version, registry.show(f"{name}@stage").number) == (2, 2)
    assert [v.number for v in registry.versions(name)] == [2, 1]
    changed = json.dumps(
        [str(section) for section in registry.compare(f"{name}@1", f"{name}@2").sections]
    )
    assert "layer.7.weight" in changed
    assert "loss" in changed

    def page(number):
        found = keys(s3, stack.outputs["Site"], f"p/{project}/")
        return next((k for k in found if k.endswith(f"/{number}/index.html")), None)

    html = until(lambda: page(2), 30)

    def shown():
        with contextlib.closing(s3.get_object(Bucket=stack.outputs["Site"], Key=html)["Body"]) as b:
            return "1200 tensors" in b.read().decode().replace(",", "")

    until(shown, 30)
    pulled = registry.pull(f"{name}@1", to=tmp_path / "out")
    assert pulled.version == 1
    assert (tmp_path / "out" / "big.bin").read_bytes() == big.read_bytes()
    with pytest.raises(Conflict):
        registry.delete(f"{name}@2")
    registry.delete(f"{name}@=1.0")
    with pytest.raises((NotFound, Gone)):
        registry.show(f"{name}@=1.0")
    until(lambda: not page(1), 30)


def test_the_scheduled_function_runs_under_its_role(stack, registry, project, tmp_path):
    """A sweep reads, repairs and reports; nothing that it needs is denied."""
    (tmp_path / "w").write_bytes(b"weights")
    registry.push(f"{project}/m", tmp_path / "w")
    with contextlib.closing(stack.client("lambda")) as functions:
        [name] = [
            f["FunctionName"]
            for f in functions.list_functions()["Functions"]
            if f["Handler"] == "app.sweep"
        ]
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(SWEPT).encode())
        report = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, report
    assert report["freed_blobs"] == 0


def test_tokens_are_checked_behind_the_gateway(stack, registry, project, tmp_path):
    """No token and a wrong one are refused; a reader's token reads and does nothing else."""
    (tmp_path / "w").write_bytes(b"weights")
    registry.push(f"{project}/m", tmp_path / "w")
    for wrong in ("", "wb_admin_wrong"):
        with weighbridge.Registry(stack.url, wrong) as stranger, pytest.raises(Unauthenticated):
            stranger.show(f"{project}/m")
    scope = Scope(("read",), project)
    issued = registry.client.create_token("reader", [scope])
    with weighbridge.Registry(stack.url, issued.secret) as reader:
        assert reader.show(f"{project}/m").number == 1
        with pytest.raises(Forbidden):
            reader.push(f"{project}/m", tmp_path / "w")


def test_no_function_logged_a_denial_or_a_traceback(stack):
    """All that the tests above did was allowed, and nothing failed behind anybody's back."""
    text = stack.logs()
    assert "AccessDenied" not in text
    assert "not authorized" not in text
    assert "Traceback" not in text
