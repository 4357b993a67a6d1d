"""What the function at the edge knows: the keys of sign-in cookies, since when they count, who needs none.

    key:<id>  a derived key, in hex        epoch  cookies issued at or before it are refused
    open      `read` where pages need no cookie

It has no environment, so these are in CloudFront's key-value store, which a deployment fills.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chalicelib.api import cookie
from infra import sigv4a

if TYPE_CHECKING:
    from boto3.session import Session

_PAGE = 50
_KEY = "key:"


def wanted(secret: str, epoch: int, anonymous: str) -> dict[str, str]:
    """What the store should hold for these settings of the functions."""
    keys = cookie.read_keys(secret, epoch)
    found = {f"{_KEY}{name}": key for name, key in keys.secrets.items()}
    found["epoch"] = str(keys.epoch)
    if anonymous != "none":
        found["open"] = "read"
    return found


def publish(session: "Session", store: str, values: Mapping[str, str], *, keep: bool) -> int:
    """Puts the values into the store (an ARN), all or none; answers how many changed. With `keep`, other
    keys stay: cookies of both secrets are believed while functions are exchanged."""
    client = _client(session, store)
    try:
        version = client.describe_key_value_store(KvsARN=store)["ETag"]
        stored = _stored(client, store)
        puts = [{"Key": k, "Value": v} for k, v in values.items() if stored.get(k) != v]
        gone = [] if keep else [{"Key": name} for name in sorted(set(stored) - set(values))]
        if puts or gone:
            client.update_keys(KvsARN=store, IfMatch=version, Puts=puts, Deletes=gone)
        return len(puts) + len(gone)
    finally:
        client.close()


def _client(session: "Session", store: str) -> Any:
    sigv4a.enable()
    client: Any = session.client("cloudfront-keyvaluestore")
    authority = urlsplit(client.meta.endpoint_url).netloc
    account = store.split(":")[4]

    def directly(request: Any, **_: Any) -> None:
        request.url = request.url.replace(f"//{account}.{authority}/", f"//{authority}/")

    # botocore asks at the account's own name below the endpoint: a number has no names below it.
    if re.fullmatch(r"[0-9.]+", authority.partition(":")[0]):
        client.meta.events.register("before-sign.cloudfront-keyvaluestore", directly)
    return client


def _stored(client: Any, store: str) -> dict[str, str]:
    found: dict[str, str] = {}
    more: dict[str, str] = {}
    while True:
        page = client.list_keys(KvsARN=store, MaxResults=_PAGE, **more)
        found |= {item["Key"]: item["Value"] for item in page.get("Items", [])}
        if not page.get("NextToken"):
            return found
        more = {"NextToken": page["NextToken"]}
