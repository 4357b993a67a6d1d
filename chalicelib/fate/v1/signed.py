"""Who calls at the door of FATE 1.x: a token in `Authorization`, or a request signed with its secret.

The scheme: four headers, and an HMAC-SHA1 over timestamp, nonce, key, the path as the client sent it,
the body if it is JSON, and the fields if it is a form. Files are not signed.
"""

import base64
import hmac
from urllib.parse import quote, urlencode, urlsplit

from chalice.app import Request

from chalicelib.api import doors
from chalicelib.fate.forms import Sent
from chalicelib.registry.signing import Claim
from chalicelib.registry.tokens import Principal
from chalicelib.settings import settings


def authenticate(request: Request, sent: Sent, parts: list[str]) -> Principal:
    """The principal of a request. `Authorization` counts where it is given."""
    headers = request.headers
    key = headers.get("app_key") or headers.get("app-key") or ""
    if headers.get("authorization") or not key:
        return doors.authenticate(headers.get("authorization"))
    claim = Claim(
        "fate-v1", key, headers.get("timestamp", ""), headers.get("nonce", ""),
        headers.get("signature", ""),
    )  # fmt: skip
    given = claim.signature.encode("utf-8", "replace")

    def sign(secret: str) -> str:
        expected = [
            _signature(secret, claim, path, request, sent) for path in _paths(request, parts)
        ]
        matching = [text for text in expected if hmac.compare_digest(text.encode(), given)]
        return matching[0] if matching else expected[0]

    return doors.signed(claim, sign)


def _paths(request: Request, parts: list[str]) -> list[str]:
    """The path as the client may have sent it: the gateway's stage, or a prefix of ours, stands before
    it where the client was told so, and we cannot see which."""
    path = "/v1/" + "/".join(parts)
    context = request.context or {}
    prefixes = ["", urlsplit(settings().public_url).path.rstrip("/")]
    if stage := str(context.get("stage") or ""):
        prefixes.append(f"/{stage}")
    params = request.query_params
    pairs = [(name, value) for name in params or () for value in (params or {}).getlist(name)]
    query = f"?{urlencode(pairs, quote_via=quote, safe='-._~')}" if pairs else ""
    return [f"{prefix}{path}{slash}{query}" for prefix in dict.fromkeys(prefixes)
            for slash in ("", "/")]  # fmt: skip


def _signature(secret: str, claim: Claim, path: str, request: Request, sent: Sent) -> str:
    raw = request.raw_body
    body = (raw.encode() if isinstance(raw, str) else bytes(raw or b"")) if sent.is_json else b""
    form = urlencode(sorted(sent.form), quote_via=quote, safe="-._~") if sent.form else ""
    joined = b"\n".join([
        claim.timestamp.encode(), claim.nonce.encode(), claim.token_id.encode(), path.encode(),
        body, form.encode(),
    ])  # fmt: skip
    return base64.b64encode(hmac.new(secret.encode(), joined, "sha1").digest()).decode("ascii")
