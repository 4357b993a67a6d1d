"""The environment, read once into a frozen dataclass. `docs/settings.md` lists every variable."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

from weighbridge.contract import geti_access
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.geti_access import Access

Anonymous = Literal["none", "read", "write", "admin"]
Delivery = Literal["redirect", "inline", "auto"]
Log = Literal["none", "text", "json"]
_YES = frozenset({"yes", "y", "true", "t", "1", "on"})
_NO = frozenset({"no", "n", "false", "f", "0", "off"})


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the stores are and how long signatures live. Names are those of the variables."""

    catalog: str = "dynamodb:weighbridge"
    """`WEIGHBRIDGE_CATALOG`: `dynamodb:TABLE` or `sqlite:PATH`."""
    bucket: str = "weighbridge-artifacts"
    """`WEIGHBRIDGE_BUCKET`: the artifact bucket."""
    site_bucket: str = "weighbridge-site"
    """`WEIGHBRIDGE_SITE_BUCKET`: the bucket of the rendered pages."""
    region: str = "us-east-1"
    """`WEIGHBRIDGE_REGION`, else `AWS_REGION`."""
    s3_endpoint: str = ""
    """`WEIGHBRIDGE_S3_ENDPOINT`: an S3-compatible store instead of S3, as the server reaches it."""
    s3_public_endpoint: str = ""
    """`WEIGHBRIDGE_S3_PUBLIC_ENDPOINT`: the same as clients reach it; presigned URLs carry it."""
    s3_access_key: str = ""
    """`WEIGHBRIDGE_S3_ACCESS_KEY`: keys for that store; empty: the usual AWS credentials."""
    s3_secret_key: str = ""
    """`WEIGHBRIDGE_S3_SECRET_KEY`."""
    store_events: bool = True
    """`WEIGHBRIDGE_STORE_EVENTS`: whether the store says by itself what arrived; no: we say it."""
    s3_ca_file: str = ""
    """`WEIGHBRIDGE_S3_CA_FILE`: certificates to trust when the server itself speaks TLS to it."""
    dynamodb_endpoint: str = ""
    """`WEIGHBRIDGE_DYNAMODB_ENDPOINT`: a DynamoDB-compatible service."""
    queue: str = "none"
    """`WEIGHBRIDGE_QUEUE`: `sqs:INDEX_URL,RENDER_URL,ARCHIVE_URL`, `sqlite:PATH` or `none`."""
    inbox_role: str = ""
    """`WEIGHBRIDGE_INBOX_ROLE`: the role whose session credentials `inbox grant` hands out (AWS)."""
    inbox_identities: str = ""
    """`WEIGHBRIDGE_INBOX_IDENTITIES`: the embedded store's address for making users."""
    public_url: str = ""
    """`WEIGHBRIDGE_PUBLIC_URL`: where browsers and clients reach the server."""
    secret: str = ""
    """`WEIGHBRIDGE_SECRET`: 32 random bytes or more; signs cookies and sign-in tickets."""
    cookie_epoch: int = 0
    """`WEIGHBRIDGE_COOKIE_EPOCH`: sign-in cookies issued at or before this time are refused."""
    anonymous: Anonymous = "none"
    """`WEIGHBRIDGE_ANONYMOUS`: what callers without a token may do (on one machine: loopback only)."""
    log: Log = "text"
    """`WEIGHBRIDGE_LOG`: how each request and each message is logged: `none`, `text` or `json`."""
    deployment: str = ""
    """`WEIGHBRIDGE_DEPLOYMENT`: the stack under whose name metrics are counted (CloudWatch); empty: none."""
    sign_seconds: int = 3600
    """`WEIGHBRIDGE_SIGN_SECONDS`: lifetime of presigned URLs."""
    lease_seconds: int = 86400
    """`WEIGHBRIDGE_LEASE_SECONDS`: how long an unreferenced blob is kept for its uploader."""
    requests_per_minute: int = 12_000
    """`WEIGHBRIDGE_REQUESTS_PER_MINUTE`: how many requests a token may make; 0: no limit."""
    open_uploads: int = 1000
    """`WEIGHBRIDGE_OPEN_UPLOADS`: how many multipart uploads may be open in a project."""
    stale_seconds: int = 7 * 86400
    """`WEIGHBRIDGE_STALE_SECONDS`: uploads and open versions untouched for longer are swept."""
    inbox_seconds: int = 14 * 86400
    """`WEIGHBRIDGE_INBOX_SECONDS`: inbox folders untouched for longer are removed by the sweep."""
    door_project: str = "models"
    """`WEIGHBRIDGE_DOOR_PROJECT`: the project of foreign clients' names whose token names none."""
    edge_download: Delivery = "auto"
    """`WEIGHBRIDGE_EDGE_DOWNLOAD`: how edge clients get packages: `redirect`, `inline` or `auto`."""
    edge_url_scheme: str = "s3"
    """`WEIGHBRIDGE_EDGE_URL_SCHEME`: the scheme of `file_url` in edge records."""
    long_bodies: bool = False
    """`WEIGHBRIDGE_LONG_BODIES`: the server in front of the app streams long files to and from the store
    (`serve` says so by itself)."""
    provider_project: str = "providers"
    """`WEIGHBRIDGE_PROVIDER_PROJECT`: the project of providers that foreign clients register."""
    default_provider: str = "fate:2.2.0@local"
    """`WEIGHBRIDGE_DEFAULT_PROVIDER`: what runs a federated task that names no provider."""
    fate_store: str = ""
    """`WEIGHBRIDGE_FATE_STORE`: the second store of FATE models: a file with the reference's
    `model_store_address` and `enable_model_store`, or such a JSON object."""
    fate_store_root: str = ""
    """`WEIGHBRIDGE_FATE_STORE_ROOT`: the folder below which second stores may be folders."""


_DEFAULTS = Settings()
MAX_SIGN = 7 * 86400
MAX_OPEN = 1000


def boolean(name: str, text: str) -> bool:
    """Yes or no, in any of the words that are usual, in any case; else an error that names the variable."""
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise InvalidRequest(f"{name} must be yes or no (or true, false, 1, 0), not {text!r}")
    return word in _YES


def read(env: Mapping[str, str]) -> Settings:
    """The settings that `env` holds; an unusable value is an error that names its variable."""
    values: dict[str, str | int | bool] = {}
    for name in Settings.__slots__:
        text = env.get(f"WEIGHBRIDGE_{name.upper()}", "")
        if not text and name == "region":
            text = env.get("AWS_REGION", "") or env.get("AWS_DEFAULT_REGION", "")
        if not text:
            continue
        default = getattr(_DEFAULTS, name)
        if isinstance(default, bool):
            values[name] = boolean(f"WEIGHBRIDGE_{name.upper()}", text)
        elif isinstance(default, int):
            if not text.isdigit():
                raise InvalidRequest(
                    f"WEIGHBRIDGE_{name.upper()} must be a whole number, not {text!r}"
                )
            values[name] = int(text)
        else:
            values[name] = text
    settings = Settings(**cast("dict[str, str]", values))  # type: ignore[arg-type]
    if settings.anonymous not in ("none", "read", "write", "admin"):
        raise InvalidRequest(
            f"WEIGHBRIDGE_ANONYMOUS must be none, read, write or admin, not {settings.anonymous!r}"
        )
    if settings.log not in ("none", "text", "json"):
        raise InvalidRequest(f"WEIGHBRIDGE_LOG must be none, text or json, not {settings.log!r}")
    if settings.edge_download not in ("redirect", "inline", "auto"):
        raise InvalidRequest(
            "WEIGHBRIDGE_EDGE_DOWNLOAD must be redirect, inline or auto, not "
            f"{settings.edge_download!r}"
        )
    if not 1 <= settings.sign_seconds <= MAX_SIGN:
        raise InvalidRequest(
            f"WEIGHBRIDGE_SIGN_SECONDS must be from 1 to {MAX_SIGN} (a week, the most that S3 takes), not "
            f"{settings.sign_seconds}"
        )
    if not 1 <= settings.open_uploads <= MAX_OPEN:
        raise InvalidRequest(
            f"WEIGHBRIDGE_OPEN_UPLOADS must be from 1 to {MAX_OPEN}, not {settings.open_uploads}"
        )
    if not re.fullmatch(r"[a-z][a-z0-9+.-]{0,31}", settings.edge_url_scheme):
        raise InvalidRequest(
            "WEIGHBRIDGE_EDGE_URL_SCHEME must be the scheme of an address such as s3, not "
            f"{settings.edge_url_scheme!r}"
        )
    if settings.catalog.partition(":")[0] not in ("dynamodb", "sqlite"):
        raise InvalidRequest(
            f"WEIGHBRIDGE_CATALOG must be dynamodb:TABLE or sqlite:PATH, not {settings.catalog!r}"
        )
    return settings


@cache
def settings() -> Settings:
    """The settings of this process."""
    return read(os.environ)


def geti() -> Access:
    """The Geti server that edge clients may import from; its variables have no prefix of ours."""
    return geti_access.read(os.environ)
