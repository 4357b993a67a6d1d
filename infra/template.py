"""The CloudFormation template: what Chalice generates, and what this module adds to it.

    python -m infra.template [--stage dev] [FOLDER]    # build/package if none is named

Chalice makes the API, the four functions, their roles and triggers. `resources()` adds the table,
the buckets, the queues with their dead letters, the rule that turns new objects into messages, the
inbox role, the log groups, and what the functions must know of them.

Not here: the CDN with its edge function and the policy that lets it read the site bucket, alarms,
and the dashboard. They come with the deployment to a real account.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import bundle, policies

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "build" / "package"
MERGED = "resources.json"
MAX_API_RESOURCES = 280
"""The gateway allows about 300 per API; a facade that needs more becomes its own API."""
MAX_RECEIVES = 5
VISIBILITY = {"Index": 6 * 300, "Render": 6 * 120}
"""Seconds a message is hidden: six times the function's timeout, as Lambda asks for."""
CONCURRENCY = {"Index": 10, "Render": 5}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Package:
    """A packaged application: the template, and the zip that it names."""

    template: Path
    code: Path

    def read(self) -> Json:
        """The template."""
        document: Json = json.loads(self.template.read_text(encoding="utf-8"))
        return document


def package(out: Path = PACKAGE, stage: str = "dev") -> Package:
    """Builds the project folder beside `out` and packages it."""
    project = bundle.build(out.parent / "project")
    (project / MERGED).write_text(json.dumps(resources(stage), indent=1), encoding="utf-8")
    chalice = Path(sys.executable).with_name("chalice")
    command = [str(chalice), "package", "--stage", stage, "--merge-template", MERGED, str(out)]
    # Not ours: a setting of the caller must not end up in the template.
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    env = {**kept, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"chalice package failed:\n{done.stdout}{done.stderr}")
    return Package(out / "sam.json", out / "deployment.zip")


def resources(stage: str) -> Json:
    """The template fragment that is merged into Chalice's."""
    return {
        "Description": "Weighbridge: a registry of model versions and checkpoints",
        "Parameters": _parameters(),
        "Resources": {
            "Table": _table(),
            "Artifacts": _artifacts(),
            "Site": _bucket("site"),
            "InboxRole": _inbox_role(),
            "ObjectRule": _object_rule(),
            "IndexQueuePolicy": _queue_policy(),
            **_queues(stage, "Index"),
            **_queues(stage, "Render"),
            **{f"{logical}Log": _log(name) for logical, name in _FUNCTIONS.items()},
            **_functions(),
        },
        "Outputs": {
            "Table": {"Value": {"Ref": "Table"}},
            "ArtifactBucket": {"Value": {"Ref": "Artifacts"}},
            "SiteBucket": {"Value": {"Ref": "Site"}},
            "IndexQueue": {"Value": {"Ref": "IndexQueue"}},
            "RenderQueue": {"Value": {"Ref": "RenderQueue"}},
        },
    }


_FUNCTIONS = {
    "APIHandler": "api_handler",
    "IndexObject": "index_object",
    "RenderPages": "render_pages",
    "Sweep": "sweep",
}
"""Chalice's logical ids → the names of the functions."""


def _parameters() -> Json:
    return {
        "PublicUrl": {
            "Type": "String",
            "Default": "",
            "Description": "Where browsers and clients reach the server",
        },
        "Secret": {
            "Type": "String",
            "NoEcho": True,
            "MinLength": 32,
            "Description": "Signs cookies and sign-in tickets: 32 random bytes or more",
        },
    }


def _table() -> Json:
    key = (("pk", "HASH"), ("sk", "RANGE"))
    return {
        "Type": "AWS::DynamoDB::Table",
        **_kept(),
        "Properties": {
            "TableName": {"Ref": "AWS::StackName"},
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n, _ in key],
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in key],
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "SSESpecification": {"SSEEnabled": False},  # encrypted all the same, with AWS's own key
            "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True},
        },
    }


def _kept() -> Json:
    return {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def _bucket(name: str, **properties: Any) -> Json:
    """A private, encrypted bucket. Not versioned: what the sweep deletes must free its bytes."""
    algorithm = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    return {
        "Type": "AWS::S3::Bucket",
        **_kept(),
        "Properties": {
            "BucketName": {"Fn::Sub": f"${{AWS::StackName}}-{name}-${{AWS::AccountId}}"},
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [algorithm]},
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            **properties,
        },
    }


def _artifacts() -> Json:
    # Whoever holds a presigned URL may use it, from any page: the signature is the permission.
    reading = {
        "AllowedHeaders": ["Range", "If-Match", "If-Range"],
        "AllowedMethods": ["GET", "HEAD"],
        "AllowedOrigins": ["*"],
        "ExposedHeaders": ["ETag", "Content-Range", "x-amz-checksum-sha256"],
        "MaxAge": 3600,
    }
    abort = {
        "Id": "abort-uploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    return _bucket(
        "artifacts",
        CorsConfiguration={"CorsRules": [reading]},
        LifecycleConfiguration={"Rules": [abort]},
        NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
    )


def _queues(stage: str, topic: str) -> Json:
    """A queue and its dead letters, by the names that `.chalice/config.json` tells app.py."""
    name = f"weighbridge-{stage}-{topic.lower()}"
    dead = f"{topic}DeadLetters"
    return {
        f"{topic}Queue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": name,
                "VisibilityTimeout": VISIBILITY[topic],
                "MessageRetentionPeriod": 4 * 86400,
                "RedrivePolicy": {
                    "deadLetterTargetArn": {"Fn::GetAtt": [dead, "Arn"]},
                    "maxReceiveCount": MAX_RECEIVES,
                },
                "SqsManagedSseEnabled": True,
            },
        },
        dead: {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": f"{name}-dead",
                "MessageRetentionPeriod": 14 * 86400,
                "SqsManagedSseEnabled": True,
            },
        },
    }


def _queue_policy() -> Json:
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": {"Fn::GetAtt": ["IndexQueue", "Arn"]},
        "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["ObjectRule", "Arn"]}}},
    }
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [{"Ref": "IndexQueue"}],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [allow]},
        },
    }


def _object_rule() -> Json:
    """Only what an indexer looks at: manifests and facts are our own writing."""
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": "New blobs and inbox files are looked at",
            "EventPattern": {
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [{"Ref": "Artifacts"}]},
                    "object": {"key": [{"prefix": "blobs/"}, {"prefix": "inbox/"}]},
                },
            },
            "State": "ENABLED",
            "Targets": [{"Id": "index", "Arn": {"Fn::GetAtt": ["IndexQueue", "Arn"]}}],
        },
    }


def _inbox_role() -> Json:
    """Only the API may assume it. Its name is fixed, because that function's policy names it."""
    api = {"AWS": {"Fn::GetAtt": ["ApiHandlerRole", "Arn"]}}
    trust = {"Effect": "Allow", "Principal": api, "Action": "sts:AssumeRole"}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": {"Fn::Sub": "${AWS::StackName}-inbox"},
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [{"PolicyName": "inbox", "PolicyDocument": policies.inbox_policy()}],
        },
    }


def _log(name: str) -> Json:
    return {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {
            "LogGroupName": {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{name}"},
            "RetentionInDays": 30,
        },
    }


def _functions() -> Json:
    urls = {"Fn::Sub": "sqs:${IndexQueue},${RenderQueue}"}
    environment = {
        "WEIGHBRIDGE_CATALOG": {"Fn::Sub": "dynamodb:${Table}"},
        "WEIGHBRIDGE_BUCKET": {"Ref": "Artifacts"},
        "WEIGHBRIDGE_SITE_BUCKET": {"Ref": "Site"},
        "WEIGHBRIDGE_QUEUE": urls,
        "WEIGHBRIDGE_PUBLIC_URL": {"Ref": "PublicUrl"},
    }
    merged: Json = {}
    for logical, name in _FUNCTIONS.items():
        merged[logical] = {
            "DependsOn": [f"{logical}Log"],
            "Properties": {
                "FunctionName": {"Fn::Sub": f"${{AWS::StackName}}-{name}"},
                "Environment": {"Variables": dict(environment)},
            },
        }
    api = merged["APIHandler"]["Properties"]["Environment"]["Variables"]
    api["WEIGHBRIDGE_INBOX_ROLE"] = {"Fn::GetAtt": ["InboxRole", "Arn"]}
    api["WEIGHBRIDGE_SECRET"] = {"Ref": "Secret"}
    for logical, topic in (("IndexObject", "Index"), ("RenderPages", "Render")):
        # The source is named by its ARN, which tells CloudFormation nothing of the order.
        merged[logical]["DependsOn"].append(f"{topic}Queue")
        merged[logical]["Properties"]["Events"] = {
            f"{logical}SqsEventSource": {
                "Properties": {
                    "FunctionResponseTypes": ["ReportBatchItemFailures"],
                    "ScalingConfig": {"MaximumConcurrency": CONCURRENCY[topic]},
                }
            }
        }
    return merged


def api_resources(template: Json) -> int:
    """How many resources the gateway needs for the API's paths: one per segment that differs."""
    paths = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    found = {""}
    for path in paths:
        parts = path.strip("/").split("/")
        found |= {"/".join(parts[: depth + 1]) for depth in range(len(parts))}
    return len(found)


def main() -> None:
    """Packages, and says where the result is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stage", choices=policies.STAGES, default="dev")
    parser.add_argument("folder", nargs="?", type=Path, default=PACKAGE)
    options = parser.parse_args()
    made = package(options.folder.absolute(), options.stage)
    print(f"{made.template}\n{made.code}: {made.code.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
