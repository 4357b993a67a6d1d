"""A production stack from its first deployment to its end, by the commands that a person runs."""

import contextlib
import json

import boto3
import pytest

import weighbridge
from infra import deploy
from tests.e2e import aws_stack
from tests.e2e.aws_stack import PLAIN, run
from tests.stack import ministack

pytestmark = pytest.mark.real
NAME = "weighbridge-prod"


@pytest.fixture(scope="module")
def aws():
    """An empty emulated account."""
    with ministack(auth=True) as running:
        yield running


@pytest.fixture(scope="module")
def deployed(aws, tmp_path_factory):
    """Deploys the production stage; may be called again."""
    packaged = deploy.package("prod", tmp_path_factory.mktemp("prod"))

    def make():
        given = [f"--parameter={name}={value}" for name, value in PLAIN.items()]
        done = run(aws, "infra.deploy", "--json", "--stage=prod", f"--packaged={packaged}", *given)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return make


def left(aws, outputs):
    """What of the stack is still in the account."""
    found = set()
    with contextlib.ExitStack() as open_clients:

        def client(service):
            options = {"endpoint_url": aws.endpoint, "region_name": "us-east-1"}
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            return open_clients.enter_context(
                contextlib.closing(boto3.client(service, **options, **keys))
            )

        buckets = {b["Name"] for b in client("s3").list_buckets()["Buckets"]}
        found |= buckets & {outputs["Artifacts"], outputs["Site"]}
        found |= set(client("dynamodb").list_tables()["TableNames"]) & {outputs["Table"]}
        found |= {f["FunctionName"] for f in client("lambda").list_functions()["Functions"]}
        found |= set(client("sqs").list_queues().get("QueueUrls", []))
        distributions = client("cloudfront").list_distributions()["DistributionList"]
        found |= {d["Id"] for d in distributions.get("Items", [])}
    return found


def test_a_registry_with_data_goes_only_when_its_name_is_typed(aws, deployed, tmp_path):
    """Refused with what would be lost; refused with another name; then gone, kept resources included.
    An empty one goes at once."""
    made = deployed()
    outputs = made["outputs"]
    assert made["url"] == outputs["CdnUrl"]
    url = f"{aws.endpoint}/restapis/{outputs['RestAPIId']}/v1/_user_request_"
    (tmp_path / "w").write_bytes(b"weights")
    with weighbridge.Registry(url, made["token"]) as registry:
        for _ in range(2):
            registry.push("vision/net", tmp_path / "w")
        refused = run(aws, "infra.destroy", "--stage=prod")
        assert refused.returncode != 0
        assert "vision: 2 versions" in refused.stdout
        assert "objects in the artifact bucket" in refused.stdout
        assert "--with-data" in refused.stderr
        other = run(aws, "infra.destroy", "--stage=prod", "--with-data", typed="weighbridge-dev\n")
        assert other.returncode != 0
        assert "not its name" in other.stderr
        assert registry.show("vision/net").number == 2
    everything = left(aws, outputs)
    assert {outputs["Table"], outputs["Artifacts"], outputs["Site"]} < everything
    done = run(aws, "infra.destroy", "--stage=prod", "--with-data", typed=f"{NAME}\n")
    assert done.returncode == 0, done.stderr
    assert left(aws, outputs) == set()
    again = deployed()
    assert again["token"] not in ("", made["token"])
    done = run(aws, "infra.destroy", "--stage=prod")
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert left(aws, again["outputs"]) == set()


def test_what_is_not_there_cannot_be_destroyed(aws):
    """A wrong name is told as such."""
    done = run(aws, "infra.destroy", "--stack=nobody")
    assert done.returncode != 0
    assert "there is no stack nobody" in done.stderr


def test_rules_refuse_what_cannot_go_together(aws, deployed, tmp_path):
    """CloudFormation says which parameter to change, and makes nothing."""
    packaged = deploy.package("prod", tmp_path / "package")
    done = run(
        aws, "infra.deploy", f"--packaged={packaged}", "--stack=refused", "--stage=prod",
        "--parameter=S3Endpoint=https://store.example.org",
    )  # fmt: skip
    assert done.returncode != 0
    assert "set Cdn=false" in done.stderr
    assert aws_stack.run(aws, "infra.destroy", "--stack=refused").returncode != 0
