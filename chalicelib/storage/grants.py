"""`InboxGrants`: credentials that can put objects under one prefix, and nothing else.

On AWS a role is assumed with a policy that narrows it; the credentials last an hour at most,
because a function's role that assumes another is a chain. The embedded store keeps users of its
own; they last as long as was asked, and stop when they are removed, at the latest by `expire`.
"""

import json
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from chalicelib.registry.ports import Credentials
from chalicelib.storage.s3_client import Access, connect_iam, connect_sts, translated
from weighbridge.contract.errors import Unsupported

if TYPE_CHECKING:
    from chalicelib.settings import Settings

CHAINED_SECONDS = 3600
SHORTEST_SECONDS = 900
_USER = re.compile(r"inbox-(\d+)-[0-9a-f]{16}\Z")
_POLICY = "inbox"


def inbox_policy(bucket: str, prefix: str, list_parts: bool = True) -> dict[str, Any]:
    """The policy of a writer of `prefix`: put, abort, list; not read, not delete."""
    actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
    if list_parts:
        actions.append("s3:ListMultipartUploadParts")
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": actions,
                "Resource": [f"arn:aws:s3:::{bucket}/{prefix}*"],
            },
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket}"],
                "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*"]}},
            },
        ],
    }


def session_policy(bucket: str, prefix: str) -> dict[str, Any]:
    """The same for a session of the role: where the bucket has a key of its own, the role may use it, and a
    session may what both of them say."""
    found = inbox_policy(bucket, prefix)
    use = {
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": ["*"],
        "Condition": {"StringLike": {"kms:ViaService": "s3.*"}},
    }
    return {**found, "Statement": [*found["Statement"], use]}


class RoleGrants:
    """Sessions of an AWS role."""

    def __init__(self, role: str, bucket: str, region: str) -> None:
        self._role = role
        self._bucket = bucket
        self._region = region

    def grant(self, prefix: str, seconds: int) -> Credentials:
        """Credentials for `prefix`, for `seconds` but never more than `CHAINED_SECONDS`."""
        with translated("inbox credentials"), connect_sts(Access(self._region)) as sts:
            given = sts.assume_role(
                RoleArn=self._role,
                RoleSessionName="weighbridge-inbox",
                Policy=json.dumps(session_policy(self._bucket, prefix)),
                DurationSeconds=max(SHORTEST_SECONDS, min(seconds, CHAINED_SECONDS)),
            )["Credentials"]
        return Credentials(
            "",
            self._region,
            self._bucket,
            given["AccessKeyId"],
            given["SecretAccessKey"],
            given["SessionToken"],
            int(given["Expiration"].timestamp()),
        )

    def expire(self) -> int:
        """Nothing to do: sessions end by themselves."""
        return 0


class UserGrants:
    """Users of the embedded store, made over its own IAM interface.

    A user's name carries its expiry. `now` is the clock.
    """

    def __init__(
        self,
        access: Access,
        bucket: str,
        public_endpoint: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._bucket = bucket
        self._endpoint = public_endpoint or access.endpoint
        self._now = now

    def grant(self, prefix: str, seconds: int) -> Credentials:
        """Credentials for `prefix`, removed by the first `expire` after `seconds`."""
        self.expire()
        expires = int(self._now()) + seconds
        name = f"inbox-{expires}-{secrets.token_hex(8)}"
        # The store knows no permission to list parts for users, and refuses a policy with it.
        policy = inbox_policy(self._bucket, prefix, list_parts=False)
        with translated("inbox credentials"), connect_iam(self._access) as iam:
            iam.create_user(UserName=name)
            iam.put_user_policy(
                UserName=name, PolicyName=_POLICY, PolicyDocument=json.dumps(policy)
            )
            key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(
            self._endpoint,
            self._access.region,
            self._bucket,
            key["AccessKeyId"],
            key["SecretAccessKey"],
            "",
            expires,
        )

    def expire(self) -> int:
        """Removes the users whose time is over; answers how many."""
        now = self._now()
        removed = 0
        with translated("inbox credentials"), connect_iam(self._access) as iam:
            users = [
                u for page in iam.get_paginator("list_users").paginate() for u in page["Users"]
            ]
            for name in (user["UserName"] for user in users):
                match = _USER.match(name)
                if match and int(match[1]) <= now:
                    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
                        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
                    # Absent if a grant was cut short before the policy was there.
                    with suppress(iam.exceptions.NoSuchEntityException):
                        iam.delete_user_policy(UserName=name, PolicyName=_POLICY)
                    iam.delete_user(UserName=name)
                    removed += 1
        return removed


def grants(config: "Settings") -> RoleGrants | UserGrants:
    """The grants of a configuration: the embedded store's if it has any, else the role's."""
    if config.inbox_identities:
        access = Access(
            config.region,
            config.inbox_identities,
            config.s3_access_key,
            config.s3_secret_key,
            config.s3_ca_file,
        )
        return UserGrants(access, config.bucket, config.s3_public_endpoint or config.s3_endpoint)
    if config.inbox_role:
        return RoleGrants(config.inbox_role, config.bucket, config.region)
    raise Unsupported("no inbox credentials: neither a role nor a store's users are configured")
