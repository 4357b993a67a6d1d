"""Signature Version 4A for botocore, which has it only with a compiled library.

CloudFront's key-value stores accept no other signature. That library would take over every other signature
too, those that the registry's own tests are about, so this is the one that is missing: ECDSA over P-256,
with a key derived from the secret key, and a set of regions instead of one.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Any

import botocore.auth
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

ALGORITHM = "AWS4-ECDSA-P256-SHA256"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of points of P-256."""
_LAST_COUNTER = 254


@lru_cache(maxsize=8)
def derived_key(access_key: str, secret_key: str) -> ec.EllipticCurvePrivateKey:
    """The private key that belongs to a pair of AWS keys (NIST SP 800-108, counter mode, one block)."""
    for counter in range(1, _LAST_COUNTER + 1):
        context = access_key.encode("ascii") + bytes([counter])
        message = b"\0\0\0\1" + ALGORITHM.encode("ascii") + b"\0" + context + b"\0\0\1\0"
        block = hmac.new(b"AWS4A" + secret_key.encode("ascii"), message, hashlib.sha256).digest()
        candidate = int.from_bytes(block, "big")
        if candidate <= _ORDER - 2:
            return ec.derive_private_key(candidate + 1, ec.SECP256R1())
    raise ValueError("no signing key can be derived from these credentials")


_V4: Any = botocore.auth.SigV4Auth
"""Its stubs leave out what a signer of one's own overrides."""


class SigV4AAuth(_V4):  # type: ignore[misc]
    """Signs as version 4 does, but for what its name says."""

    def scope(self, request: Any) -> str:
        """Who signs, and for what."""
        access_key: str = self.credentials.access_key
        return f"{access_key}/{self.credential_scope(request)}"

    def credential_scope(self, request: Any) -> str:
        """Day and service: regions are in a header."""
        return f"{request.context['timestamp'][:8]}/{self._service_name}/aws4_request"

    def string_to_sign(self, request: Any, canonical_request: str) -> str:
        """What is signed."""
        digest = hashlib.sha256(canonical_request.encode("utf-8")).hexdigest()
        stamp = request.context["timestamp"]
        return "\n".join((ALGORITHM, stamp, self.credential_scope(request), digest))

    def signature(self, string_to_sign: str, request: Any) -> str:
        """The signature in hex."""
        key = derived_key(self.credentials.access_key, self.credentials.secret_key)
        return key.sign(string_to_sign.encode("utf-8"), ec.ECDSA(hashes.SHA256())).hex()

    def _modify_request_before_signing(self, request: Any) -> None:
        del request.headers["X-Amz-Region-Set"]
        request.headers["X-Amz-Region-Set"] = self._region_name
        super()._modify_request_before_signing(request)

    def _inject_signature_to_request(self, request: Any, signature: str) -> Any:
        signed = self.signed_headers(self.headers_to_sign(request))
        request.headers["Authorization"] = (
            f"{ALGORITHM} Credential={self.scope(request)}, SignedHeaders={signed}, "
            f"Signature={signature}"
        )
        return request


def enable() -> None:
    """Lets botocore sign so, where it cannot by itself."""
    botocore.auth.AUTH_TYPE_MAPS.setdefault("v4a", SigV4AAuth)
