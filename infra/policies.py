"""What each Lambda function may do: pure functions that answer IAM policies.

`python -m infra.policies` writes them to `.chalice/`, one file per function. All stages share them:
they name resources of the stack, and nothing of an account. A presigned URL acts with the rights of
the function that signed it, so the API holds what its clients may do with one. Only the sweep
deletes what clients have stored. Nobody scans the table, or changes its settings.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHALICE = Path(__file__).resolve().parents[1] / ".chalice"
Policy = dict[str, Any]
Statement = dict[str, Any]
Resource = Mapping[str, Any]

TABLE: Resource = {"Fn::GetAtt": ["Table", "Arn"]}
_ITEMS = (
    "BatchGetItem", "BatchWriteItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem",
    "Query", "UpdateItem",
)  # fmt: skip

KEYED = ("dynamodb", "s3", "sqs")
"""The services that may use a customer's key in our name."""


def allow(service: str, actions: tuple[str, ...], *resources: Resource, **more: Any) -> Statement:
    """One statement of a policy."""
    names = [f"{service}:{action}" for action in actions]
    return {"Effect": "Allow", "Action": names, "Resource": list(resources), **more}


def policy(*statements: Statement) -> Policy:
    """A policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def objects(bucket: str, *prefixes: str) -> tuple[Resource, ...]:
    """The objects of a bucket of the stack that begin with one of the prefixes."""
    return tuple({"Fn::Sub": f"${{{bucket}.Arn}}/{prefix}*"} for prefix in prefixes)


def listing(bucket: str, *more: str) -> Statement:
    """Listing keys. Without it S3 answers 403, not 404, for an object that is not there."""
    return allow("s3", ("ListBucket", *more), {"Fn::GetAtt": [bucket, "Arn"]})


def _items(without: str = "") -> Statement:
    return allow("dynamodb", tuple(name for name in _ITEMS if name != without), TABLE)


def _logs() -> Statement:
    group = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/lambda/"
    actions = ("CreateLogStream", "PutLogEvents")
    return allow("logs", actions, {"Fn::Sub": f"{group}${{AWS::StackName}}-*"})


def _sends(queue: str) -> Statement:
    return allow("sqs", ("SendMessage",), {"Fn::GetAtt": [queue, "Arn"]})


def _receives(queue: str) -> Statement:
    actions = ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
    return allow("sqs", actions, {"Fn::GetAtt": [queue, "Arn"]})


def api_handler() -> Policy:
    """Keeps metadata, signs what clients send and fetch, writes manifests, wakes the renderer."""
    uploads = ("AbortMultipartUpload", "ListMultipartUploadParts")
    return policy(
        _logs(),
        _items(),
        allow(
            "s3",
            ("GetObject",),
            *objects(
                "Artifacts", "archives/", "blobs/", "facts/", "manifests/", "parts/", "uploads/"
            ),
        ),
        allow(
            "s3",
            ("PutObject",),
            *objects("Artifacts", "blobs/", "manifests/", "parts/", "uploads/"),
        ),
        allow("s3", uploads, *objects("Artifacts", "blobs/")),
        listing("Artifacts"),
        # Search without scripts reads the index documents among the pages.
        allow("s3", ("GetObject",), *objects("Site", "p/")),
        listing("Site"),
        _sends("IndexQueue"),
        _sends("RenderQueue"),
        _sends("ArchiveQueue"),
    )


def _indexes() -> tuple[Statement, ...]:
    return (
        allow(
            "s3", ("GetObject",), *objects("Artifacts", "blobs/", "facts/", "inbox/", "manifests/")
        ),
        allow("s3", ("PutObject",), *objects("Artifacts", "blobs/", "facts/", "manifests/")),
    )


def index_object() -> Policy:
    """Reads what arrived, adopts what was dropped in an inbox, writes facts."""
    return policy(
        _logs(),
        _items(),
        *_indexes(),
        allow("s3", ("AbortMultipartUpload",), *objects("Artifacts", "blobs/")),
        listing("Artifacts"),
        _receives("IndexQueue"),
        _sends("IndexQueue"),
        _sends("RenderQueue"),
    )


def _renders() -> tuple[Statement, ...]:
    return (
        allow("s3", ("GetObject",), *objects("Artifacts", "facts/", "manifests/")),
        allow("s3", ("DeleteObject", "GetObject", "PutObject"), *objects("Site", "p/")),
        listing("Site"),
    )


def render_pages() -> Policy:
    """Reads what pages show, and keeps the site."""
    return policy(
        _logs(),
        _items(without="ConditionCheckItem"),
        listing("Artifacts"),
        *_renders(),
        _receives("RenderQueue"),
    )


def sweep() -> Policy:
    """Ends stale uploads, deletes what nothing refers to, indexes and renders what was missed, and
    keeps the site's styles those of this version."""
    return policy(
        _logs(),
        _items(),
        *_indexes(),
        allow(
            "s3",
            ("DeleteObject",),
            *objects(
                "Artifacts",
                "archives/",
                "blobs/",
                "facts/",
                "inbox/",
                "manifests/",
                "parts/",
                "uploads/",
            ),
        ),
        allow("s3", ("GetObject",), *objects("Artifacts", "archives/", "parts/", "uploads/")),
        allow("s3", ("AbortMultipartUpload",), *objects("Artifacts", "archives/", "blobs/")),
        listing("Artifacts", "ListBucketMultipartUploads"),
        *_renders(),
        allow("s3", ("GetObject", "PutObject"), *objects("Site", "404.html", "static/")),
        _sends("IndexQueue"),
        _sends("RenderQueue"),
        _sends("ArchiveQueue"),
    )


def archive() -> Policy:
    """Makes archives of blobs and blobs of archives, imports from other servers, publishes what came in,
    and reads the secrets of second stores: those whose names begin with `weighbridge/`."""
    named = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:"
    return policy(
        _logs(),
        _items(),
        allow(
            "s3",
            ("GetObject",),
            *objects(
                "Artifacts", "archives/", "blobs/", "facts/", "manifests/", "parts/", "uploads/"
            ),
        ),
        allow(
            "s3",
            ("PutObject",),
            *objects("Artifacts", "archives/", "blobs/", "manifests/", "parts/"),
        ),
        allow("s3", ("AbortMultipartUpload",), *objects("Artifacts", "archives/", "blobs/")),
        allow("s3", ("ListMultipartUploadParts",), *objects("Artifacts", "blobs/")),
        listing("Artifacts"),
        allow("secretsmanager", ("GetSecretValue",), {"Fn::Sub": f"{named}weighbridge/*"}),
        _receives("ArchiveQueue"),
        _sends("IndexQueue"),
        _sends("RenderQueue"),
    )


FUNCTIONS = {
    "api_handler": api_handler,
    "index_object": index_object,
    "render_pages": render_pages,
    "sweep": sweep,
    "archive": archive,
}

# Of the stack itself, not of a function


def inbox_writer() -> Policy:
    """The most that credentials for an inbox can be given; each grant is cut to one project."""
    uploads = ("AbortMultipartUpload", "ListMultipartUploadParts", "PutObject")
    only = {"StringLike": {"s3:prefix": ["inbox/*"]}}
    return policy(
        allow("s3", uploads, *objects("Artifacts", "inbox/")),
        {**listing("Artifacts"), "Condition": only},
    )


def inbox_granter() -> Policy:
    """What lets the API hand out such credentials."""
    return policy(allow("sts", ("AssumeRole",), {"Fn::GetAtt": ["InboxRole", "Arn"]}))


def network_interfaces() -> Policy:
    """What Lambda needs to place a function in a private network; it names no interface beforehand."""
    verbs = ("CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces")
    return policy({"Effect": "Allow", "Action": [f"ec2:{verb}" for verb in verbs], "Resource": "*"})


def read_by_cdn() -> tuple[Statement, ...]:
    """What the site's bucket allows our distribution: to read pages and assets, and to learn that one is
    not there. No behaviour of the distribution leads to the bucket itself, so nobody can list it."""
    name = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Distribution}"
    viewer = {
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Condition": {"StringEquals": {"aws:SourceArn": {"Fn::Sub": name}}},
    }
    return (
        allow("s3", ("GetObject",), *objects("Site", "p/", "static/"), **viewer),
        {**listing("Site"), **viewer},
    )


def key_use(key: Resource) -> Policy:
    """What a customer's key needs of those who use the stores that it encrypts, and only through them."""
    stores = [{"Fn::Sub": f"{name}.${{AWS::Region}}.${{AWS::URLSuffix}}"} for name in KEYED]
    through = {"StringEquals": {"kms:ViaService": stores}}
    verbs = ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey")
    return policy(allow("kms", verbs, key, Condition=through))


def traces() -> Policy:
    """Sending traces. X-Ray has no resources that a right could name."""
    verbs = ("PutTelemetryRecords", "PutTraceSegments")
    return policy(
        {"Effect": "Allow", "Action": [f"xray:{verb}" for verb in verbs], "Resource": "*"}
    )


def files() -> dict[Path, str]:
    """The policy files of the repository, by path."""
    return {
        CHALICE / f"policy-{name}.json": json.dumps(make(), indent=2) + "\n"
        for name, make in FUNCTIONS.items()
    }


def main() -> None:
    """Writes the files."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(CHALICE.parent))


if __name__ == "__main__":
    main()
