"""Inbox credentials: what they open, what they do not, and when they end."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from chalicelib.registry.ports import Credentials
from chalicelib.settings import Settings
from chalicelib.storage import grants
from chalicelib.storage.s3_client import Access, connect_iam
from tests.storage.blobs_fixtures import REGION, Seaweed, seaweed, seaweed_server
from weighbridge.contract.errors import Unavailable, Unsupported

__all__ = ["seaweed"]

ROLE = "arn:aws:iam::123456789012:role/inbox"


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def client(given: Credentials, service: str = "s3"):
    config = Config(
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
    )
    return boto3.session.Session().client(
        service,
        endpoint_url=given.endpoint,
        region_name=given.region,
        aws_access_key_id=given.access_key,
        aws_secret_access_key=given.secret_key,
        config=config,
    )


def granter(store: Seaweed, clock: Callable[[], float] = time.time) -> grants.UserGrants:
    access = Access(REGION, store.endpoint, store.access_key, store.secret_key)
    return grants.UserGrants(access, store.bucket, now=clock)


def refused(attempt: Callable[[], object]) -> bool:
    """Whether the store denies it; any other failure is an error of the test."""
    status = 200
    try:
        attempt()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert status in (200, 204, 403)
    return status == 403


@pytest.fixture
def guest(seaweed) -> Iterator:
    """A client that may write the inbox of project `p1`, in a bucket with other things."""
    with contextlib.closing(seaweed.blobs()) as blobs:
        for key in ("blobs/secret", "inbox/p1/there", "inbox/p2/there", "inbox/p10/there"):
            blobs.put(key, b"secret")
    with contextlib.closing(client(granter(seaweed).grant("inbox/p1/", 3600))) as s3:
        yield s3


@pytest.mark.real
def test_a_grant_opens_its_prefix(seaweed, guest):
    """Whole objects and parts can be put, and what is there can be listed."""
    bucket = seaweed.bucket
    key = "inbox/p1/m/1.0/checkpoint/-/3#epoch é/x"
    guest.put_object(Bucket=bucket, Key=key, Body=b"x", ChecksumAlgorithm="SHA256")
    upload = guest.create_multipart_upload(Bucket=bucket, Key="inbox/p1/big")["UploadId"]
    where = {"Bucket": bucket, "Key": "inbox/p1/big", "UploadId": upload}
    etag = guest.upload_part(**where, PartNumber=1, Body=b"x")["ETag"]
    guest.complete_multipart_upload(
        **where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    upload = guest.create_multipart_upload(Bucket=bucket, Key="inbox/p1/big")["UploadId"]
    guest.abort_multipart_upload(Bucket=bucket, Key="inbox/p1/big", UploadId=upload)
    listed = guest.list_objects_v2(Bucket=bucket, Prefix="inbox/p1/")["Contents"]
    assert {key, "inbox/p1/big", "inbox/p1/there"} <= {entry["Key"] for entry in listed}


@pytest.mark.real
def test_a_grant_opens_nothing_else(seaweed, guest):
    """Nothing else can be written, read, listed, copied or deleted, nor the bucket changed."""
    bucket = seaweed.bucket
    own = "inbox/p1/there"
    upload = guest.create_multipart_upload(Bucket=bucket, Key=own)["UploadId"]
    source = {"Bucket": bucket, "Key": "blobs/secret"}
    attempts = [
        lambda: guest.put_object(Bucket=bucket, Key="blobs/secret", Body=b"x"),
        lambda: guest.put_object(Bucket=bucket, Key="inbox/p2/x", Body=b"x"),
        lambda: guest.put_object(Bucket=bucket, Key="inbox/p10/x", Body=b"x"),
        lambda: guest.put_object(Bucket=bucket, Key="inbox/p1", Body=b"x"),
        lambda: guest.put_object(Bucket=bucket, Key=".uploads/x/0001_x.part", Body=b"x"),
        lambda: guest.put_object(Bucket=seaweed.site_bucket, Key=own, Body=b"x"),
        lambda: guest.create_multipart_upload(Bucket=bucket, Key="blobs/x"),
        lambda: guest.get_object(Bucket=bucket, Key="blobs/secret"),
        lambda: guest.get_object(Bucket=bucket, Key=own),
        lambda: guest.head_object(Bucket=bucket, Key="blobs/secret"),
        lambda: guest.list_objects_v2(Bucket=bucket),
        lambda: guest.list_objects_v2(Bucket=bucket, Prefix="inbox/"),
        lambda: guest.list_objects_v2(Bucket=bucket, Prefix="inbox/p10/"),
        lambda: guest.list_objects(Bucket=bucket, Prefix="blobs/"),
        lambda: guest.list_object_versions(Bucket=bucket, Prefix="blobs/"),
        lambda: guest.copy_object(Bucket=bucket, Key="inbox/p1/stolen", CopySource=source),
        lambda: guest.upload_part_copy(
            Bucket=bucket, Key=own, UploadId=upload, PartNumber=1, CopySource=source
        ),
        lambda: guest.delete_object(Bucket=bucket, Key=own),
        lambda: guest.delete_object(Bucket=bucket, Key="inbox/p2/there"),
        lambda: guest.put_object_tagging(Bucket=bucket, Key=own, Tagging={"TagSet": []}),
        lambda: guest.put_object_acl(Bucket=bucket, Key="blobs/secret", ACL="public-read"),
        lambda: guest.put_bucket_policy(Bucket=bucket, Policy="{}"),
        lambda: guest.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": []}),
        lambda: guest.delete_bucket(Bucket=bucket),
        lambda: guest.create_bucket(Bucket="another-bucket"),
    ]
    for number, attempt in enumerate(attempts):
        assert refused(attempt), f"attempt {number} succeeded"
    for key in ("inbox/p1/../p2/x", "inbox/p1/../../blobs/x"):
        with pytest.raises(ClientError):
            guest.put_object(Bucket=bucket, Key=key, Body=b"x")
    answer = guest.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": own}, {"Key": "blobs/secret"}]}
    )
    assert not answer.get("Deleted")
    with contextlib.closing(seaweed.blobs()) as blobs:
        assert blobs.read("blobs/secret") == b"secret"
        assert blobs.read(own) == b"secret"


@pytest.mark.real
def test_a_grant_makes_no_further_credentials(seaweed):
    """Credentials of a guest open neither the identity service nor the token service."""
    given = granter(seaweed).grant("inbox/p1/", 3600)
    with contextlib.closing(client(given, "iam")) as iam:
        for attempt in (
            lambda: iam.create_user(UserName="other"),
            lambda: iam.create_access_key(UserName="weighbridge"),
            lambda: iam.put_user_policy(
                UserName="weighbridge", PolicyName="p", PolicyDocument=json.dumps({})
            ),
            iam.list_users,
        ):
            with pytest.raises(ClientError):
                attempt()
    with contextlib.closing(client(given, "sts")) as sts:
        for attempt in (
            lambda: sts.assume_role(RoleArn="arn:aws:iam::role/inbox", RoleSessionName="xx"),
            lambda: sts.get_federation_token(Name="xx", DurationSeconds=900),
        ):
            with pytest.raises(ClientError):
                attempt()


@pytest.mark.real
def test_credentials_end(seaweed):
    """After its time a grant opens nothing; others, and our own keys, go on."""
    clock = Clock()
    source = granter(seaweed, clock)
    short, long = source.grant("inbox/p1/", 60), source.grant("inbox/p1/", 600)
    assert (short.expires, long.expires) == (int(clock.now) + 60, int(clock.now) + 600)
    put = {"Bucket": seaweed.bucket, "Key": "inbox/p1/x", "Body": b"x"}
    with (
        contextlib.closing(client(short)) as first,
        contextlib.closing(client(long)) as second,
        contextlib.closing(seaweed.blobs()) as blobs,
    ):
        first.put_object(**put)
        clock.now += 61
        assert source.expire() == 1
        assert source.expire() == 0
        assert refused(lambda: first.put_object(**put))
        second.put_object(**put)
        clock.now += 600
        source.grant("inbox/p2/", 60)
        assert refused(lambda: second.put_object(**put))
        blobs.ping()


@pytest.mark.real
def test_grants_survive_a_restart(tmp_path):
    """Credentials work after a stop and after a kill as they did before."""
    with seaweed_server(tmp_path) as running:
        given = granter(running).grant("inbox/p1/", 3600)
        with contextlib.closing(client(given)) as s3:
            running.server.stop(0)
            running.server.start()
            s3.put_object(Bucket=running.bucket, Key="inbox/p1/x", Body=b"x")
            assert refused(lambda: s3.put_object(Bucket=running.bucket, Key="x", Body=b"x"))
            assert granter(running, lambda: time.time() + 4000).expire() == 1
            running.server.stop(0)
            running.server.start()
            assert refused(
                lambda: s3.put_object(Bucket=running.bucket, Key="inbox/p1/x", Body=b"x")
            )


def test_a_session_of_the_role_may_use_a_key_through_the_store_alone():
    """Nothing else is added to what every guest may; without a right of the role's own it comes to nothing."""
    *plain, key = grants.session_policy("bucket", "inbox/p1/")["Statement"]
    assert plain == grants.inbox_policy("bucket", "inbox/p1/")["Statement"]
    assert set(key["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert key["Condition"] == {"StringLike": {"kms:ViaService": "s3.*"}}


def test_the_policy_names_one_prefix():
    """The policy allows puts below the prefix, lists of it, and nothing else."""
    objects, lists = grants.inbox_policy("bucket", "inbox/p1/")["Statement"]
    assert objects["Resource"] == ["arn:aws:s3:::bucket/inbox/p1/*"]
    assert all(action.startswith(("s3:Put", "s3:Abort", "s3:List")) for action in objects["Action"])
    assert lists["Action"] == ["s3:ListBucket"]
    assert lists["Condition"] == {"StringLike": {"s3:prefix": ["inbox/p1/*"]}}


def test_a_role_is_assumed_for_an_hour_at_most(monkeypatch):
    """On AWS the credentials carry a session token and say when they really end."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        given = grants.RoleGrants(ROLE, "bucket", REGION).grant("inbox/p1/", 30 * 86400)
    assert given.session_token
    assert (given.endpoint, given.bucket, given.region) == ("", "bucket", REGION)
    assert 3500 < given.expires - time.time() <= 3600


def test_a_silent_store_is_unavailable():
    """When the store does not answer, the grant is `Unavailable`."""
    source = grants.UserGrants(Access(REGION, "http://127.0.0.1:9", "a", "b"), "bucket")
    with pytest.raises(Unavailable):
        source.grant("inbox/p1/", 60)


def test_settings_choose_the_kind():
    """The embedded store's users come first, then the role; without either it is refused."""
    local = Settings(inbox_identities="http://127.0.0.1:9", inbox_role=ROLE)
    assert isinstance(grants.grants(local), grants.UserGrants)
    assert isinstance(grants.grants(Settings(inbox_role=ROLE)), grants.RoleGrants)
    with pytest.raises(Unsupported):
        grants.grants(Settings())


@pytest.mark.real
def test_a_grant_that_was_cut_short_is_cleaned_up(seaweed):
    """A user without policy or key opens nothing and is removed in its time."""
    access = Access(REGION, seaweed.endpoint, seaweed.access_key, seaweed.secret_key)
    name = f"inbox-{int(time.time()) - 1}-{'0' * 16}"
    with connect_iam(access) as iam:
        iam.create_user(UserName=name)
        granter(seaweed).expire()
        assert name not in {user["UserName"] for user in iam.list_users()["Users"]}
