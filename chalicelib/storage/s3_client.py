"""A botocore client for S3 or a store that speaks it, and its errors in our words.

Knows endpoints, timeouts and error codes; nothing of objects or of the registry.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from chalicelib.registry import turns
from chalicelib.registry.ports import Precondition, SignedForm
from chalicelib.storage.presign import Keys
from weighbridge.contract.errors import IntegrityError, NotFound, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS = 3
READ_SECONDS = 12
ATTEMPTS = 2
"""Together shorter than the 29 s that the gateway in front of the API waits: we answer, not it."""
COPY_SECONDS = 600
"""For copies of gigabytes, which only the event functions make."""

_ABSENT = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchBucket", "NotFound", "404"})
_REFUSED = frozenset({"PreconditionFailed", "412"})
_WRONG = frozenset({"InvalidPart", "InvalidPartOrder", "BadDigest", "EntityTooSmall"})
# 409: two conditional writes of one key at the same moment; S3 asks to repeat the request.
_BUSY = frozenset(
    {
        "InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "TooManyRequests",
        "Throttling", "ConditionalRequestConflict", "OperationAborted", "503", "500",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one store. Empty keys mean the usual AWS credentials of the process."""

    region: str
    endpoint: str = ""
    access_key: str = ""
    secret_key: str = ""
    ca_file: str = ""
    read_seconds: float = READ_SECONDS
    session_token: str = ""
    addressing: str = ""
    """`path` or `virtual`; empty: by path at an own endpoint, virtual at AWS."""


def connect(access: Access) -> "S3Client":
    """A client that signs with version 4, by path at an own endpoint and regionally at AWS."""
    return _client("s3", access)  # type: ignore[no-any-return]


@contextmanager
def connect_sts(access: Access) -> Iterator[Any]:
    """A client of the security token service, for the time of the block."""
    with closing(_client("sts", access)) as client:
        yield client


@contextmanager
def connect_iam(access: Access) -> Iterator[Any]:
    """A client of the identity service, for the time of the block."""
    with closing(_client("iam", access)) as client:
        yield client


def _client(service: Literal["s3", "sts", "iam"], access: Access) -> Any:
    # Here, because only who talks to a store should pay for the import. Not boto3: its session makes
    # the same clients, and adds a fifth to the time of a cold start for what nobody here calls.
    import botocore.session
    from botocore.config import Config

    config = Config(
        signature_version="s3v4" if service == "s3" else None,
        s3={
            "addressing_style": _addressing(access),
            "us_east_1_regional_endpoint": "regional",
        },
        connect_timeout=CONNECT_SECONDS,
        read_timeout=access.read_seconds,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # We send SHA-256 where we want a checksum; botocore's own CRC32 would end up in signed URLs.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=32,
    )
    # A session is not safe to use from several threads: each client is made by its own.
    session: Any = botocore.session.Session()
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=moment)
    client = session.create_client(
        service,
        region_name=access.region,
        endpoint_url=access.endpoint or None,
        aws_access_key_id=access.access_key or None,
        aws_secret_access_key=access.secret_key or None,
        aws_session_token=access.session_token or None,
        verify=access.ca_file or None,
        config=config,
    )
    _wait_aside(client)
    return client


def _wait_aside(client: Any) -> None:
    """While a request is on its way, others may compute."""
    wire = client._endpoint.http_session
    send = wire.send

    def sent(request: Any) -> Any:
        with turns.waiting():
            return send(request)

    wire.send = sent


def moment(value: Any) -> datetime:
    """A time in an answer. Lists have one for each object, and botocore's own reader, which also takes
    anything else, needs a fifth of the time that registering ten thousand files takes."""
    if isinstance(value, str) and value.endswith("Z") and value[:1].isdigit():
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    from botocore.utils import parse_timestamp

    found: datetime = parse_timestamp(value)
    return found


def _addressing(access: Access) -> Literal["path", "virtual"]:
    if access.addressing:
        return "virtual" if access.addressing == "virtual" else "path"
    return "path" if access.endpoint else "virtual"


def key_source(access: Access) -> Callable[[], Keys]:
    """Answers the keys to sign with: those given, else the usual ones of the process, which may be
    others from one call to the next."""
    if access.access_key:
        fixed = Keys(access.access_key, access.secret_key, access.session_token)
        return lambda: fixed
    import botocore.session

    found: Any = botocore.session.Session().get_credentials()

    def current() -> Keys:
        if found is None:
            raise Unavailable("there are no AWS credentials to sign addresses with")
        frozen = found.get_frozen_credentials()
        return Keys(frozen.access_key, frozen.secret_key, frozen.token or "")

    return current


def error_code(error: Any) -> str:
    """The store's own code of a botocore error."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns the store's errors inside the block into ours; `what` is named in the message.

    Codes that nothing here explains (403, a missing bucket setting) stay botocore's errors: they
    are faults of the installation and belong into the log with their traceback.
    """
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    try:
        yield
    except boto.ClientError as error:
        code = error_code(error)
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _ABSENT or status == 404:
            raise NotFound(f"the store has no {what}") from error
        if code in _REFUSED or status == 412:
            raise Precondition(f"the store refused the condition on {what}") from error
        # Before the status: a completion that failed half way is a 200 with an error inside, which
        # botocore reports as a 500.
        if code in _WRONG:
            raise IntegrityError(f"the store refused {what}: {code}") from error
        if code in _BUSY or status >= 500 or status == 429:
            raise Unavailable(f"the object store failed on {what}: {code}") from error
        raise
    except (
        boto.ConnectionError,
        boto.HTTPClientError,
        boto.IncompleteReadError,
        ResponseParserError,
    ) as error:
        raise Unavailable(
            f"the object store did not answer for {what}: {type(error).__name__}"
        ) from error


def form(s3: "S3Client", bucket: str, key: str, size: int, seconds: int) -> SignedForm:
    """A form with one file of exactly `size` bytes."""
    exactly: list[Any] = [["content-length-range", size, size]]
    made = s3.generate_presigned_post(bucket, key, Conditions=exactly, ExpiresIn=seconds)
    return SignedForm(made["url"], dict(made["fields"]), int(time.time()) + seconds)
