"""What MiniStack's CloudFront leaves out and our distribution needs, added to it in its own process.

Functions at the edge find their key-value store (`import cf from 'cloudfront'`), and an origin at the address
of API Gateway is the emulator's own. Everything else is as MiniStack has it: behaviours, origins, signed
requests to S3, headers.
"""

import json
import re
from typing import Any

_IMPORT = re.compile(r"^\s*import\s+(\w+)\s+from\s+['\"]cloudfront['\"]\s*;?\s*$", re.M)
_STORE = """const %s = { kvs: () => ({ get: async (name) => {
    const items = %s;
    if (!Object.prototype.hasOwnProperty.call(items, name)) throw new Error('KeyNotFound');
    return items[name];
} }) };"""
_GATEWAY = re.compile(r"^([a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com$")


def with_store(code: bytes, items: dict[str, str]) -> bytes:
    """The source of a function, with the items of its store in place of the module that answers them."""

    def filled(found: "re.Match[str]") -> str:
        return _STORE % (found[1], json.dumps(items))

    return _IMPORT.sub(filled, code.decode("utf-8")).encode("utf-8")


def install(port: int) -> None:
    """Adds it to the MiniStack that this process is about to serve at `port`."""
    from ministack.services import (  # type: ignore[import-not-found]
        cloudfront,
        cloudfront_keyvaluestore,
    )

    plain_code = cloudfront.live_function_code
    plain_target = cloudfront._origin_connect_target
    plain_headers = cloudfront._origin_request_headers

    def live_function_code(function_arn: str) -> Any:
        code = plain_code(function_arn)
        if code is None:
            return None
        found = cloudfront._functions.get(function_arn.rpartition("/")[2], {})
        items: dict[str, str] = {}
        for arn in found.get("kvs_arns", ()):
            store = cloudfront_keyvaluestore._stores.get(arn)
            items |= store["items"] if store else {}
        return with_store(code, items)

    def connect_target(origin: dict[str, Any], viewer_is_https: bool) -> tuple[str, int, bool]:
        host, own, https = plain_target(origin, viewer_is_https)
        return ("127.0.0.1", port, False) if _GATEWAY.match(host) else (host, own, https)

    def request_headers(origin: dict[str, Any], *arguments: Any) -> dict[str, str]:
        headers: dict[str, str] = plain_headers(origin, *arguments)
        if found := _GATEWAY.match(origin["domain_name"]):
            headers["Host"] = f"{found[1]}.execute-api.localhost"
        return headers

    cloudfront._origin_request_headers = request_headers
    cloudfront.live_function_code = live_function_code
    cloudfront._origin_connect_target = connect_target
