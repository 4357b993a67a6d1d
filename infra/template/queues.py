"""Queues with their dead letters, and the rule that makes messages of S3's events."""

from infra import policies
from infra.template.stages import Json, when

MAX_RECEIVES = 5
PREFIXES = ("inbox/", "blobs/")
_DAY = 86400


def queue(name: str, queue_name: str, seconds: int) -> Json:
    """A queue for a function with this timeout, and where its messages go after five failures."""
    dead = f"{name}DeadLetters"
    redrive = {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead, "Arn"]},
        "maxReceiveCount": MAX_RECEIVES,
    }
    common = {
        "SqsManagedSseEnabled": when("HasKey", False, True),
        "KmsMasterKeyId": when("HasKey", {"Ref": "KmsKeyArn"}),
        "MessageRetentionPeriod": 14 * _DAY,
    }
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
        "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["ObjectCreated", "Arn"]}}},
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
