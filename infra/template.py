"""The part of the CloudFormation template that Chalice does not make, as pure functions.

Table, buckets, queues, the rule that turns S3's events into messages, the environment of the
functions. `chalice package --merge-template` merges it into its own: maps are merged deeply, lists
are replaced, nothing can be removed. So queues have fixed names, which `app.py` reads from the stage's
variables, and roles stay Chalice's. Content delivery, alarms and dashboards are not here yet.

    S3 → rule (inbox/, blobs/) → IndexQueue → index_object      RenderQueue → render_pages
                                      ↓ after 5 receives             ↓
                                 IndexDeadLetters             RenderDeadLetters

ArchiveQueue → archive likewise. That function has a zip of its own, which holds the clients of the
databases that second stores may be in, and may be placed in a private network to reach them.
"""

import json
from pathlib import Path
from typing import Any

from infra import policies

Json = dict[str, Any]
CONFIG = Path(__file__).resolve().parents[1] / ".chalice" / "config.json"
FUNCTIONS = {
    "APIHandler": "api_handler",
    "IndexObject": "index_object",
    "RenderPages": "render_pages",
    "Sweep": "sweep",
    "Archive": "archive",
}
"""Chalice's names in the template, and the names of the functions."""
MAX_RECEIVES = 5
PREFIXES = ("inbox/", "blobs/")
_DAY = 86400


def template(stage: str) -> Json:
    """What is merged into Chalice's template for a stage of `.chalice/config.json`."""
    config = json.loads(CONFIG.read_text(encoding="utf-8"))
    queues = config["stages"][stage]["environment_variables"]
    return {
        "Parameters": parameters(),
        "Conditions": conditions(),
        "Resources": {
            **table(keep=stage == "prod"),
            **buckets(keep=stage == "prod"),
            **queue("Index", queues["WEIGHBRIDGE_INDEX_QUEUE"], seconds=_timeout("index_object")),
            **queue("Render", queues["WEIGHBRIDGE_RENDER_QUEUE"], seconds=_timeout("render_pages")),
            **queue("Archive", queues["WEIGHBRIDGE_ARCHIVE_QUEUE"], seconds=_timeout("archive")),
            **events(),
            **inbox(),
            **network(),
            **functions(),
        },
        "Outputs": {
            "Table": {"Value": {"Ref": "Table"}},
            "Artifacts": {"Value": {"Ref": "Artifacts"}},
            "Site": {"Value": {"Ref": "Site"}},
            "IndexQueueUrl": {"Value": {"Ref": "IndexQueue"}},
            "RenderQueueUrl": {"Value": {"Ref": "RenderQueue"}},
            "ArchiveQueueUrl": {"Value": {"Ref": "ArchiveQueue"}},
            "InboxRole": {"Value": {"Fn::GetAtt": ["InboxRole", "Arn"]}},
        },
    }


GETI = {
    "GETI_HOST": "GetiHost", "GETI_TOKEN": "GetiToken",
    "GETI_ORGANIZATION_ID": "GetiOrganizationId", "GETI_WORKSPACE_ID": "GetiWorkspaceId",
    "GETI_SERVER_SSL_VERIFY": "GetiServerSslVerify",
}  # fmt: skip
"""Variables of the functions that speak to a Geti server, and the parameters that fill them."""


def _timeout(function: str) -> int:
    config = json.loads(CONFIG.read_text(encoding="utf-8"))
    return int(config["lambda_functions"][function]["lambda_timeout"])


def parameters() -> Json:
    """What a deployment may set. All but the secret have a default."""
    text: Json = {"Type": "String", "Default": ""}
    hidden: Json = {**text, "NoEcho": True}
    many: Json = {"Type": "CommaDelimitedList", "Default": ""}
    return {
        "Secret": {
            "Type": "String",
            "NoEcho": True,
            "MinLength": 32,
            "Description": "Random; signs cookies and sign-in links",
        },
        "PublicUrl": {**text, "Description": "Where browsers and clients reach the registry"},
        "S3Endpoint": {**text, "Description": "An S3-compatible store instead of S3"},
        "S3PublicEndpoint": {**text, "Description": "The same, as clients reach it"},
        "S3AccessKey": {**hidden, "Description": "Keys for that store"},
        "S3SecretKey": hidden,
        "FateStore": {**hidden, "Description": "The second store of FATE models, as JSON"},
        "GetiHost": {**text, "Description": "A Geti server whose models edge clients may import"},
        "GetiToken": {**hidden, "Description": "A personal access token for it"},
        "GetiOrganizationId": text,
        "GetiWorkspaceId": text,
        "GetiServerSslVerify": {**text, "Default": "true"},
        "ArchiveSubnets": {**many, "Description": "Subnets of the archive function, if any"},
        "ArchiveSecurityGroups": {**many, "Description": "And its security groups"},
        "TlsOnly": {
            "Type": "String",
            "Default": "true",
            "AllowedValues": ["true", "false"],
            "Description": "Refuse requests to the buckets that are not encrypted",
        },
    }


def conditions() -> Json:
    """What depends on parameters."""
    return {
        "HasOwnStore": {"Fn::Not": [{"Fn::Equals": [{"Ref": "S3Endpoint"}, ""]}]},
        "HasPublicUrl": {"Fn::Not": [{"Fn::Equals": [{"Ref": "PublicUrl"}, ""]}]},
        "HasNetwork": {
            "Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "ArchiveSubnets"}]}, ""]}]
        },
        "IsTlsOnly": {"Fn::Equals": [{"Ref": "TlsOnly"}, "true"]},
    }


def _kept(resource: Json, keep: bool) -> Json:
    """In production, what holds data outlives the stack."""
    policy = "Retain" if keep else "Delete"
    return {**resource, "DeletionPolicy": policy, "UpdateReplacePolicy": policy}


def table(keep: bool) -> Json:
    """The one table: paid per request, restorable to any second of 35 days."""
    keys = (("pk", "HASH"), ("sk", "RANGE"))
    properties = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": k, "AttributeType": "S"} for k, _ in keys],
        "KeySchema": [{"AttributeName": k, "KeyType": kind} for k, kind in keys],
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True},
        "DeletionProtectionEnabled": keep,
    }
    return {"Table": _kept({"Type": "AWS::DynamoDB::Table", "Properties": properties}, keep)}


def buckets(keep: bool) -> Json:
    """Artifacts and site: private, encrypted, not versioned, since deleting must free bytes."""
    abort = {
        "Id": "abort-stale-uploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    cors = {
        "CorsRules": [
            {
                "AllowedOrigins": [{"Ref": "PublicUrl"}],
                "AllowedMethods": ["GET", "HEAD"],
                "AllowedHeaders": ["Range", "If-Match", "If-Range"],
                "ExposedHeaders": ["ETag", "Content-Range", "x-amz-checksum-sha256"],
                "MaxAge": 3600,
            }
        ]
    }
    artifacts = {
        "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
        "CorsConfiguration": {"Fn::If": ["HasPublicUrl", cors, {"Ref": "AWS::NoValue"}]},
    }
    found: Json = {}
    for name, more in (("Artifacts", artifacts), ("Site", {})):
        found[name] = _kept(_bucket({**more, "LifecycleConfiguration": {"Rules": [abort]}}), keep)
        found[f"{name}Policy"] = _tls_only(name)
    return found


def _bucket(more: Json) -> Json:
    closed = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    by_default = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    return {
        "Type": "AWS::S3::Bucket",
        "Properties": {
            "PublicAccessBlockConfiguration": dict.fromkeys(closed, True),
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [by_default]},
            **more,
        },
    }


def _tls_only(bucket: str) -> Json:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [{"Fn::GetAtt": [bucket, "Arn"]}, *policies.objects(bucket, "")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Condition": "IsTlsOnly",
        "Properties": {"Bucket": {"Ref": bucket}, "PolicyDocument": policies.policy(statement)},
    }


def queue(name: str, queue_name: str, seconds: int) -> Json:
    """A queue for a function with this timeout, and where its messages go after five failures."""
    dead = f"{name}DeadLetters"
    redrive = {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead, "Arn"]},
        "maxReceiveCount": MAX_RECEIVES,
    }
    common = {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 14 * _DAY}
    return {
        f"{name}Queue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                **common,
                "QueueName": queue_name,
                # Six times the function's time, so that a slow batch is not given to another.
                "VisibilityTimeout": 6 * seconds,
                "RedrivePolicy": redrive,
            },
        },
        dead: {
            "Type": "AWS::SQS::Queue",
            "Properties": {**common, "QueueName": f"{queue_name}-dead"},
        },
    }


def events() -> Json:
    """New objects of the inbox and the blobs become messages; those of manifests and facts do not."""
    rule_arn = {"Fn::GetAtt": ["ObjectCreated", "Arn"]}
    target = {
        "Id": "index",
        "Arn": {"Fn::GetAtt": ["IndexQueue", "Arn"]},
        "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["IndexDeadLetters", "Arn"]}},
    }
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [{"Ref": "Artifacts"}]},
            "object": {"key": [{"prefix": prefix} for prefix in PREFIXES]},
        },
    }
    accept = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    return {
        "ObjectCreated": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Description": "Objects that the registry looks at",
                "EventPattern": pattern,
                "Targets": [target],
            },
        },
        "IndexQueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "IndexQueue"}, {"Ref": "IndexDeadLetters"}],
                "PolicyDocument": policies.policy(accept),
            },
        },
    }


def inbox() -> Json:
    """The role whose sessions write to one project's inbox; only the API can start one."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": {"Fn::GetAtt": ["ApiHandlerRole", "Arn"]}},
        "Action": "sts:AssumeRole",
    }
    own = {"PolicyName": "inbox", "PolicyDocument": policies.inbox_writer()}
    return {
        "InboxRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": policies.policy(trust),
                "Policies": [own],
                "MaxSessionDuration": 3600,
            },
        },
        # Apart from the role's own policies: two roles that name each other would be a circle.
        "InboxGrants": {
            "Type": "AWS::IAM::Policy",
            "Properties": {
                "PolicyName": "inbox-grants",
                "Roles": [{"Ref": "ApiHandlerRole"}],
                "PolicyDocument": policies.inbox_granter(),
            },
        },
    }


def network() -> Json:
    """What a function in a private network needs: the right to its network interfaces."""
    return {
        "ArchiveNetwork": {
            "Type": "AWS::IAM::Policy",
            "Condition": "HasNetwork",
            "Properties": {
                "PolicyName": "archive-network",
                "Roles": [{"Ref": "ArchiveRole"}],
                "PolicyDocument": policies.network_interfaces(),
            },
        },
    }


def environment() -> Json:
    """The settings that every function needs (`chalicelib/settings.py`)."""
    return {
        "WEIGHBRIDGE_CATALOG": {"Fn::Sub": "dynamodb:${Table}"},
        "WEIGHBRIDGE_BUCKET": {"Ref": "Artifacts"},
        "WEIGHBRIDGE_SITE_BUCKET": {"Ref": "Site"},
        "WEIGHBRIDGE_QUEUE": {"Fn::Sub": "sqs:${IndexQueue},${RenderQueue},${ArchiveQueue}"},
        "WEIGHBRIDGE_PUBLIC_URL": {"Ref": "PublicUrl"},
        "WEIGHBRIDGE_S3_ENDPOINT": {"Ref": "S3Endpoint"},
        "WEIGHBRIDGE_S3_PUBLIC_ENDPOINT": {"Ref": "S3PublicEndpoint"},
        "WEIGHBRIDGE_S3_ACCESS_KEY": {"Ref": "S3AccessKey"},
        "WEIGHBRIDGE_S3_SECRET_KEY": {"Ref": "S3SecretKey"},
    }


def functions() -> Json:
    """What is added to the functions that Chalice declares."""
    api = {
        "WEIGHBRIDGE_SECRET": {"Ref": "Secret"},
        # Sessions of a role open S3, and no other store.
        "WEIGHBRIDGE_INBOX_ROLE": {
            "Fn::If": ["HasOwnStore", "", {"Fn::GetAtt": ["InboxRole", "Arn"]}]
        },
    }
    found: Json = {}
    for name in FUNCTIONS:
        variables = {**environment(), **(api if name == "APIHandler" else {})}
        if name in ("APIHandler", "Archive"):
            variables["WEIGHBRIDGE_FATE_STORE"] = {"Ref": "FateStore"}
            variables |= {variable: {"Ref": parameter} for variable, parameter in GETI.items()}
        found[name] = {"Properties": {"Environment": {"Variables": variables}}}
    inside = {
        "SubnetIds": {"Ref": "ArchiveSubnets"},
        "SecurityGroupIds": {"Ref": "ArchiveSecurityGroups"},
    }
    found["Archive"]["Properties"]["VpcConfig"] = {
        "Fn::If": ["HasNetwork", inside, {"Ref": "AWS::NoValue"}]
    }
    for name in ("IndexObject", "RenderPages", "Archive"):
        trigger = {"Properties": {"FunctionResponseTypes": ["ReportBatchItemFailures"]}}
        found[name]["Properties"]["Events"] = {f"{name}SqsEventSource": trigger}
    return found
