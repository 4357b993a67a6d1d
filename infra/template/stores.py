"""The table and the two buckets."""

from infra import policies
from infra.template.stages import Json, when

STALE_UPLOAD_DAYS = 7
INBOX_DAYS = 30
"""A backstop behind the sweep, which removes inbox folders untouched for 14 days. Events wait in queues
for 14 days at most: nothing that somebody may still adopt is 30 days old."""


def _kept(resource: Json, keep: bool) -> Json:
    """In production, what holds data outlives the stack."""
    policy = "Retain" if keep else "Delete"
    return {**resource, "DeletionPolicy": policy, "UpdateReplacePolicy": policy}


def table(keep: bool) -> Json:
    """The one table: paid per request, restorable to any second of 35 days."""
    keys = (("pk", "HASH"), ("sk", "RANGE"))
    own_key = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"Ref": "KmsKeyArn"}}
    properties = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": k, "AttributeType": "S"} for k, _ in keys],
        "KeySchema": [{"AttributeName": k, "KeyType": kind} for k, kind in keys],
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True},
        "SSESpecification": when("HasKey", own_key),
        "DeletionProtectionEnabled": keep,
    }
    return {"Table": _kept({"Type": "AWS::DynamoDB::Table", "Properties": properties}, keep)}


def public_url() -> Json:
    """Where browsers and clients reach the registry, as far as the template knows."""
    return when("HasDomain", {"Fn::Sub": "https://${Domain}"}, {"Ref": "PublicUrl"})


def buckets(keep: bool) -> Json:
    """Artifacts and site: private, encrypted, not versioned, since deleting must free bytes."""
    cors = {
        "CorsRules": [
            {
                "AllowedOrigins": [public_url()],
                "AllowedMethods": ["GET", "HEAD"],
                "AllowedHeaders": ["Range", "If-Match", "If-Range"],
                "ExposedHeaders": ["ETag", "Content-Range", "x-amz-checksum-sha256"],
                "MaxAge": 3600,
            }
        ]
    }
    artifacts = {
        "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
        "CorsConfiguration": when("HasPublicUrl", cors),
        "LifecycleConfiguration": {"Rules": [_abort(), _expire()]},
    }
    site = {"LifecycleConfiguration": {"Rules": [_abort()]}}
    return {
        "Artifacts": _kept(_bucket(artifacts), keep),
        "ArtifactsPolicy": _bucket_policy("Artifacts", "IsTlsOnly", _tls_only("Artifacts")),
        "Site": _kept(_bucket(site), keep),
        "SitePolicy": _bucket_policy(
            "Site", "HasSitePolicy",
            when("IsTlsOnly", _tls_only("Site")),
            *(when("HasCdn", statement) for statement in policies.read_by_cdn()),
        ),
    }  # fmt: skip


def _abort() -> Json:
    return {
        "Id": "abort-stale-uploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": STALE_UPLOAD_DAYS},
    }


def _expire() -> Json:
    return {
        "Id": "expire-inbox-leftovers",
        "Status": "Enabled",
        "Prefix": "inbox/",
        "ExpirationInDays": INBOX_DAYS,
    }


def _bucket(more: Json) -> Json:
    closed = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    managed = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    own = {
        "ServerSideEncryptionByDefault": {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": {"Ref": "KmsKeyArn"},
        },
        # One key per bucket and a while, not one per object: the key service bills each request.
        "BucketKeyEnabled": True,
    }
    return {
        "Type": "AWS::S3::Bucket",
        "Properties": {
            "PublicAccessBlockConfiguration": dict.fromkeys(closed, True),
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [when("HasKey", own, managed)]
            },
            **more,
        },
    }


def _bucket_policy(bucket: str, condition: str, *statements: Json) -> Json:
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Condition": condition,
        "Properties": {"Bucket": {"Ref": bucket}, "PolicyDocument": policies.policy(*statements)},
    }


def _tls_only(bucket: str) -> Json:
    return {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [{"Fn::GetAtt": [bucket, "Arn"]}, *policies.objects(bucket, "")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
