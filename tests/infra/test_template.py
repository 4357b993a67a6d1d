"""The template that is deployed: Chalice's and ours, merged."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from chalicelib.settings import Settings
from infra import deploy, policies
from infra.template import FUNCTIONS, PREFIXES
from infra.template.functions import ROLES
from weighbridge.contract import geti_access

MAX_RESOURCES = 280
"""The gateway allows about 300 per API."""


@pytest.fixture(scope="module", params=["dev", "prod"])
def stage(request):
    """Each stage of the configuration."""
    return request.param


@pytest.fixture(scope="module")
def packaged(stage, tmp_path_factory):
    """The folder that `chalice package` made."""
    return deploy.package(stage, tmp_path_factory.mktemp(stage))


@pytest.fixture(scope="module")
def template(packaged):
    """The merged template."""
    return json.loads((packaged / "sam.json").read_text())


@pytest.fixture(scope="module")
def resources(template):
    """Its resources by name."""
    return template["Resources"]


def properties(resources, name):
    """The properties of a resource."""
    return resources[name]["Properties"]


def test_cfn_lint_finds_nothing(packaged):
    """No error and no warning in the merged template."""
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, packaged / "sam.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_handler_is_in_app(resources):
    """Lambda imports `app`, so that what `app.py` sets up is there for every function."""
    handlers = {
        name: properties(resources, name)["Handler"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    assert handlers == {
        "APIHandler": "app.app",
        "IndexObject": "app.index_object",
        "RenderPages": "app.render_pages",
        "Sweep": "app.sweep",
        "Archive": "app.archive",
    }


def test_every_function_has_the_role_with_its_own_policy(resources):
    """What the pure functions say is what is deployed."""
    for name, function in FUNCTIONS.items():
        role = properties(resources, name)["Role"]["Fn::GetAtt"][0]
        given = properties(resources, role)["Policies"]
        assert [p["PolicyDocument"] for p in given] == [policies.FUNCTIONS[function]()]
        assert role == ROLES[name]
        users = [n for n in FUNCTIONS if properties(resources, n)["Role"]["Fn::GetAtt"][0] == role]
        assert users == [name]
        assert properties(resources, role)["AssumeRolePolicyDocument"]["Statement"][0][
            "Principal"
        ] == {"Service": "lambda.amazonaws.com"}


def test_every_function_finds_the_stores(resources):
    """The environment names the resources of this stack, in variables that the settings know."""
    known = {f"WEIGHBRIDGE_{name.upper()}" for name in Settings.__slots__}
    known |= {f"WEIGHBRIDGE_{name}_QUEUE" for name in ("INDEX", "RENDER", "ARCHIVE")}
    known |= set(geti_access.VARIABLES)
    for name in FUNCTIONS:
        variables = properties(resources, name)["Environment"]["Variables"]
        assert set(variables) <= known
        assert variables["WEIGHBRIDGE_CATALOG"] == {"Fn::Sub": "dynamodb:${Table}"}
        assert variables["WEIGHBRIDGE_BUCKET"] == {"Ref": "Artifacts"}
        assert variables["WEIGHBRIDGE_SITE_BUCKET"] == {"Ref": "Site"}
        for alone in ("SECRET", "COOKIE_EPOCH", "ANONYMOUS"):
            assert (f"WEIGHBRIDGE_{alone}" in variables) == (name == "APIHandler")
        assert variables["WEIGHBRIDGE_LOG"] == "json"
        assert ("WEIGHBRIDGE_FATE_STORE" in variables) == (name in ("APIHandler", "Archive"))
        assert ("GETI_TOKEN" in variables) == (name in ("APIHandler", "Archive"))


@pytest.mark.parametrize(
    ("function", "queue"),
    [
        ("IndexObject", "IndexQueue"),
        ("RenderPages", "RenderQueue"),
        ("Archive", "ArchiveQueue"),
    ],
)
def test_a_queue_feeds_its_function_and_gives_up_after_five_times(
    resources, stage, function, queue
):
    """One bad message does not replay its batch, is not given to two at once, and ends apart."""
    (trigger,) = properties(resources, function)["Events"].values()
    assert trigger["Type"] == "SQS"
    assert trigger["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    name = properties(resources, queue)["QueueName"]
    assert name == f"weighbridge-{stage}-{queue.removesuffix('Queue').lower()}"
    assert trigger["Properties"]["Queue"]["Fn::Sub"].endswith(f":{name}")
    timeout = properties(resources, function)["Timeout"]
    assert properties(resources, queue)["VisibilityTimeout"] >= 6 * timeout
    redrive = properties(resources, queue)["RedrivePolicy"]
    assert redrive["maxReceiveCount"] == 5
    dead = redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert properties(resources, dead)["MessageRetentionPeriod"] == 14 * 86400


def test_new_objects_of_inbox_and_blobs_reach_the_index_queue(resources):
    """Bucket, rule, target and the queue's own policy fit together; other prefixes stay quiet."""
    notes = properties(resources, "Artifacts")["NotificationConfiguration"]
    assert notes == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    rule = properties(resources, "ObjectCreated")
    detail = rule["EventPattern"]["detail"]
    assert detail["bucket"]["name"] == [{"Ref": "Artifacts"}]
    assert [k["prefix"] for k in detail["object"]["key"]] == list(PREFIXES)
    assert [t["Arn"] for t in rule["Targets"]] == [{"Fn::GetAtt": ["IndexQueue", "Arn"]}]
    policy = properties(resources, "IndexQueuePolicy")
    assert {"Ref": "IndexQueue"} in policy["Queues"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    source = statement["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert source == {"Fn::GetAtt": ["ObjectCreated", "Arn"]}


def test_the_sweep_runs_every_five_minutes(resources):
    """What events missed is repaired soon."""
    (trigger,) = properties(resources, "Sweep")["Events"].values()
    assert trigger == {"Type": "Schedule", "Properties": {"Schedule": "rate(5 minutes)"}}


@pytest.mark.parametrize("bucket", ["Artifacts", "Site"])
def test_buckets_are_closed_encrypted_and_free_what_is_deleted(resources, bucket):
    """Nothing is public, stale uploads end, and no version keeps deleted bytes."""
    found = properties(resources, bucket)
    assert list(found["PublicAccessBlockConfiguration"].values()) == [True] * 4
    own, managed = found["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]["Fn::If"][1:]
    assert managed["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert own["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == {"Ref": "KmsKeyArn"}
    assert "VersioningConfiguration" not in found
    rule, *others = found["LifecycleConfiguration"]["Rules"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert not any(key.startswith("Expiration") for key in rule)
    assert [(other["Prefix"], other["ExpirationInDays"]) for other in others] == (
        [("inbox/", 30)] if bucket == "Artifacts" else []
    )
    statements = properties(resources, f"{bucket}Policy")["PolicyDocument"]["Statement"]
    denied = statements[0]
    if bucket == "Site":
        assert denied["Fn::If"][0] == "IsTlsOnly"
        denied = denied["Fn::If"][1]
    assert denied["Effect"] == "Deny"
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_nothing_that_may_still_be_adopted_expires(resources):
    """Inbox files are left to the sweep, and to messages that wait as long as a queue keeps them."""
    (rule,) = [
        rule
        for rule in properties(resources, "Artifacts")["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    ]
    kept = properties(resources, "IndexQueue")["MessageRetentionPeriod"]
    dead = properties(resources, "IndexDeadLetters")["MessageRetentionPeriod"]
    expires = rule["ExpirationInDays"] * 86400
    assert expires > Settings().inbox_seconds
    assert expires > kept
    assert expires > dead


def test_the_table_is_restorable_and_paid_per_request(resources, stage):
    """Idle costs nothing; in production it cannot be deleted by accident."""
    table = properties(resources, "Table")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert [k["AttributeName"] for k in table["KeySchema"]] == ["pk", "sk"]
    assert table["DeletionProtectionEnabled"] == (stage == "prod")


def test_production_data_outlives_its_stack(resources, stage):
    """Deleting the stack, or replacing a resource, keeps table and buckets."""
    for name in ("Table", "Artifacts", "Site"):
        wanted = "Retain" if stage == "prod" else "Delete"
        assert resources[name]["DeletionPolicy"] == wanted
        assert resources[name]["UpdateReplacePolicy"] == wanted


def test_only_the_api_can_hand_out_inbox_credentials(resources):
    """One role may start sessions of the inbox role, and for an hour at most."""
    role = properties(resources, "InboxRole")
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    api = properties(resources, "APIHandler")["Role"]
    assert statement["Principal"] == {"AWS": api}
    assert role["MaxSessionDuration"] == 3600
    grants = properties(resources, "InboxGrants")
    assert grants["Roles"] == [{"Ref": api["Fn::GetAtt"][0]}]


def test_the_archive_function_has_its_own_zip_and_may_have_its_own_network(packaged, resources):
    """The clients of databases are in its zip alone; without subnets it is in no network."""
    found = properties(resources, "Archive")
    assert found["CodeUri"] == "./archive.zip"
    assert {properties(resources, n)["CodeUri"] for n in FUNCTIONS if n != "Archive"} == {
        "./deployment.zip"
    }
    with zipfile.ZipFile(packaged / "deployment.zip") as common:
        shared = set(common.namelist())
    with zipfile.ZipFile(packaged / "archive.zip") as own:
        assert own.testzip() is None
        names = own.namelist()
    assert len(names) == len(set(names))
    assert {name.partition("/")[0] for name in set(names) - shared} == {"pymysql", "redis"}
    assert not shared - set(names)
    assert found["VpcConfig"]["Fn::If"][0] == "HasNetwork"
    network = resources["ArchiveNetwork"]
    assert network["Condition"] == "HasNetwork"
    role = found["Role"]["Fn::GetAtt"][0]
    assert network["Properties"]["Roles"] == [{"Ref": role}]


def test_the_api_fits_into_one_gateway(resources):
    """Each segment of a path is a resource of the gateway; a facade too many must get its own."""
    nodes = set()
    for path in properties(resources, "RestAPI")["DefinitionBody"]["paths"]:
        segments = [segment for segment in path.split("/") if segment]
        nodes |= {tuple(segments[:n]) for n in range(len(segments) + 1)}
    assert 30 < len(nodes) <= MAX_RESOURCES


def test_the_gateway_is_regional(resources):
    """It stands behind our own content delivery."""
    api = properties(resources, "RestAPI")
    assert api["EndpointConfiguration"] == "REGIONAL"
    assert api["StageName"] == "v1"


def test_a_key_of_ones_own_encrypts_all_that_is_kept_and_every_role_may_use_it(resources):
    """Table, buckets and queues take it; without the parameter no role has a right to any key."""
    table = properties(resources, "Table")["SSESpecification"]["Fn::If"]
    assert table[1]["KMSMasterKeyId"] == {"Ref": "KmsKeyArn"}
    for name, resource in resources.items():
        if resource["Type"] == "AWS::SQS::Queue":
            assert properties(resources, name)["KmsMasterKeyId"]["Fn::If"][:2] == [
                "HasKey", {"Ref": "KmsKeyArn"}
            ]  # fmt: skip
    use = resources["KeyUse"]
    assert use["Condition"] == "HasKey"
    assert use["Properties"]["Roles"] == [{"Ref": r} for r in (*ROLES.values(), "InboxRole")]
    (statement,) = use["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Resource"] == [{"Ref": "KmsKeyArn"}]
    assert "kms:ViaService" in statement["Condition"]["StringEquals"]


def test_what_a_parameter_adds_is_there_only_with_it(resources):
    """Traces and networks need rights on everything: nobody has them by default."""
    for name, condition in (("ArchiveNetwork", "HasNetwork"), ("TraceRights", "IsTraced")):
        assert resources[name]["Condition"] == condition
        (statement,) = properties(resources, name)["PolicyDocument"]["Statement"]
        assert statement["Resource"] == "*"
    for name in FUNCTIONS:
        assert properties(resources, name)["Tracing"] == {
            "Fn::If": ["IsTraced", "Active", "PassThrough"]
        }


def test_logs_end(resources):
    """Each function writes to a group of its own, which its policy covers, for as long as was asked."""
    for name, function in FUNCTIONS.items():
        group = properties(resources, name)["LoggingConfig"]["LogGroup"]["Ref"]
        found = properties(resources, group)
        assert found["RetentionInDays"] == {"Ref": "LogDays"}
        assert found["LogGroupName"] == {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{function}"}


def test_secrets_are_not_shown(template):
    """Nobody who may describe the stack learns them."""
    for name in ("Secret", "S3AccessKey", "S3SecretKey", "FateStore", "GetiToken"):
        assert template["Parameters"][name]["NoEcho"] is True
    assert "Default" not in template["Parameters"]["Secret"]
    for output in template["Outputs"].values():
        assert "Secret" not in json.dumps(output)
