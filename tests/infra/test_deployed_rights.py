"""The deployed stack under enforced IAM: what each role may not do, failing messages, and updates.

What works there is in `tests/e2e/test_aws_journey.py`.
"""

import contextlib
import json
import struct
import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra import deploy
from tests.e2e import aws_stack
from tests.e2e.aws_stack import deployed
from tests.e2e.served import Person, until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """The stack on an emulator that also holds the bytes, so that policies decide about them."""
    with deployed(tmp_path_factory.mktemp("aws"), s3="ministack") as found:
        yield found


@pytest.fixture
def person(registry, tmp_path):
    """Its administrator."""
    return Person(tmp_path, registry.url, registry.token)


@pytest.fixture
def client(registry):
    """Makes clients of the account's administrator, and closes them."""
    made = []

    def make(service):
        made.append(registry.client(service))
        return made[-1]

    yield make
    for found in made:
        found.close()


@pytest.fixture
def project():
    """A project name nobody else uses."""
    return f"p{uuid.uuid4().hex[:8]}"


def safetensors():
    """A file with one tensor."""
    header = {"layer.weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


def keys(s3, bucket, prefix=""):
    """The keys of a bucket under a prefix."""
    return [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def role_of(registry, name, client):
    """The role and the inline policy of a function."""
    function = registry.resource(name)
    found = client("lambda").get_function_configuration(FunctionName=function)
    role = found["Role"].rpartition("/")[2]
    policy = client("iam").list_role_policies(RoleName=role)["PolicyNames"][0]
    return role, policy


def as_function(registry, name, client):
    """An S3 client with the rights of a function."""
    iam = client("iam")
    role, _ = role_of(registry, name, client)
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    also = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    opened = {**trust, "Statement": [*trust["Statement"], also]}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(opened))
    try:
        arn = iam.get_role(RoleName=role)["Role"]["Arn"]
        given = client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    return s3_with(registry, given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def s3_with(registry, key, secret, session):
    """An S3 client with these credentials."""
    config = Config(
        signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
    )
    return boto3.client(
        "s3", endpoint_url=registry.aws.endpoint, region_name="us-east-1", aws_access_key_id=key,
        aws_secret_access_key=secret, aws_session_token=session, config=config,
    )  # fmt: skip


def depth(sqs, url):
    """How many messages wait, and how many are being worked on."""
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(found[name]) for name in names)


def test_an_inbox_guest_drops_a_checkpoint_and_can_do_nothing_else(
    registry, person, client, project
):
    """The role's session writes to one project's inbox; the indexer adopts what it wrote."""
    person.ok("project", "create", project)
    person.ok("project", "set", project, "--inbox", "on")
    grant = person.json("inbox", "grant", project)["grant"]
    assert grant["endpoint"] == ""  # S3 itself
    assert grant["bucket"] == registry.outputs["Artifacts"]
    guest = s3_with(registry, grant["access_key"], grant["secret_key"], grant["session_token"])
    try:
        folder = f"{grant['prefix']}net/run-1/checkpoint/-/7#epoch/"
        for name, data in (("w.safetensors", safetensors()), ("_SUCCESS", b"")):
            guest.put_object(Bucket=grant["bucket"], Key=folder + name, Body=data)
        until(lambda: person.run("show", f"{project}/net@=run-1:last").code == 0)
        for forbidden in (
            lambda: guest.put_object(Bucket=grant["bucket"], Key="inbox/other/x", Body=b""),
            lambda: guest.put_object(Bucket=grant["bucket"], Key="blobs/x/y", Body=b""),
            lambda: guest.get_object(Bucket=grant["bucket"], Key=folder + "w.safetensors"),
            lambda: guest.delete_object(Bucket=grant["bucket"], Key=folder + "w.safetensors"),
            lambda: guest.list_objects_v2(Bucket=grant["bucket"], Prefix="blobs/"),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                forbidden()
    finally:
        guest.close()


def test_functions_are_refused_what_their_policies_leave_out(registry, client):
    """With the rights of the API nobody deletes a blob; the renderer cannot read one."""
    s3 = client("s3")
    bucket, site = registry.outputs["Artifacts"], registry.outputs["Site"]
    for key in ("blobs/p/x", "manifests/p/x"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"data")
    api = as_function(registry, "APIHandler", client)
    renderer = as_function(registry, "RenderPages", client)
    try:
        assert api.get_object(Bucket=bucket, Key="blobs/p/x")["ContentLength"] == 4
        assert renderer.get_object(Bucket=bucket, Key="manifests/p/x")["ContentLength"] == 4
        for forbidden in (
            lambda: api.delete_object(Bucket=bucket, Key="blobs/p/x"),
            lambda: api.put_object(Bucket=bucket, Key="inbox/p/x", Body=b""),
            lambda: api.put_object(Bucket=site, Key="p/x", Body=b""),
            lambda: renderer.get_object(Bucket=bucket, Key="blobs/p/x"),
            lambda: renderer.put_object(Bucket=bucket, Key="manifests/p/x", Body=b""),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                forbidden()
    finally:
        api.close()
        renderer.close()
        for key in ("blobs/p/x", "manifests/p/x"):
            s3.delete_object(Bucket=bucket, Key=key)


def test_a_presigned_url_acts_as_the_function_that_signed_it(registry, person, client, project):
    """Without the right to put objects in the API's role, a push is refused by the store."""
    role, policy = role_of(registry, "APIHandler", client)
    iam = client("iam")
    kept = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    less = json.loads(json.dumps(kept))
    for statement in less["Statement"]:
        statement["Action"] = [a for a in statement["Action"] if a != "s3:PutObject"]
    less["Statement"] = [s for s in less["Statement"] if s["Action"]]
    (person.home / "w").write_bytes(b"data")
    person.ok("project", "create", project)
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(less))
    try:
        refused = person.run("push", f"{project}/m", "w")
        assert refused.code != 0
        assert "may the server sign" in refused.err, refused
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(kept))
    assert person.json("push", f"{project}/m", "w")["sent_bytes"] == 4


def test_one_bad_message_does_not_hold_back_its_batch(registry, person, client, project):
    """The bad one alone is kept for another try; what came with it is done."""
    (person.home / "w").write_bytes(safetensors())
    person.ok("push", f"{project}/m", "w")
    sqs, queue = client("sqs"), registry.outputs["RenderQueueUrl"]
    until(lambda: depth(sqs, queue) == (0, 0))
    record = uuid.uuid4().hex
    sqs.send_message_batch(
        QueueUrl=queue,
        Entries=[
            {"Id": "bad", "MessageBody": json.dumps({"nonsense": record})},
            {"Id": "good", "MessageBody": json.dumps({"project": "nobody"})},
        ],
    )
    until(lambda: record in registry.logs())
    until(lambda: depth(sqs, queue) == (0, 1))
    sqs.purge_queue(QueueUrl=queue)


def test_another_deployment_keeps_data_and_secrets(registry, person, project, tmp_path):
    """An update changes the code alone: the same address, no new token, nothing lost."""
    (person.home / "w").write_bytes(b"data")
    person.ok("push", f"{project}/m", "w")
    again = aws_stack.deploy_again(registry, tmp_path / "again")
    assert again["token"] == ""
    assert again["outputs"] == registry.outputs
    assert person.json("ls", f"{project}/m")["items"][0]["number"] == 1


def test_a_deployment_that_fails_names_what_failed(registry, tmp_path, monkeypatch):
    """The reason and the resource are told, and nothing of the stack is left."""
    for name, value in registry.aws.env.items():
        monkeypatch.setenv(name, value)
    policy = {"PolicyName": "x", "Roles": ["nobody"], "PolicyDocument": {"Statement": []}}
    resources = {
        "Good": {"Type": "AWS::SQS::Queue"},
        "Broken": {"Type": "AWS::IAM::Policy", "Properties": policy},
    }
    (tmp_path / "sam.json").write_text(json.dumps({"Resources": resources}))
    (tmp_path / "deployment.zip").write_bytes(b"")
    with pytest.raises(deploy.Failed, match=r"Broken: .*nobody"):
        deploy.deploy(boto3.session.Session(), tmp_path, "another", {})
    with contextlib.closing(registry.client("cloudformation")) as client:
        live = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "CREATE_FAILED", "ROLLBACK_COMPLETE")
        stacks = client.list_stacks(StackStatusFilter=live)["StackSummaries"]
    assert {found["StackName"] for found in stacks} == {aws_stack.STACK}
