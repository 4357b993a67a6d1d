"""The signature that CloudFront's key-value stores want, against what AWS's own signer made."""

import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from infra import sigv4a

KEYS = {
    ("AKISORANDOMAASORANDOM", "q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom"): (
        0x15D242CEEBF8D8169FD6A8B5A746C41140414C3B07579038DA06AF89190FFFCB,
        0x515242CEDD82E94799482E4C0514B505AFCCF2C0C98D6A553BF539F424C5EC0,
    ),
    ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"): (
        0x18B7D04643359F6EC270DCBAB8DCE6D169D66DDC9778C75CFB08DFDB701637AB,
        0xFA36B35E4FE67E3112261D2E17A956EF85B06E44712D2850BCD3C2161E9993F2,
    ),
}
"""The points that AWS's signer (awscrt 0.38.1) derives from pairs of example keys."""
URL = (
    "https://abc.cloudfront-kvs.global.api.aws/key-value-stores/"
    "arn%3Aaws%3Acloudfront%3A%3A123%3Akey-value-store%2Fx/keys?MaxResults=50&a=b%20c"
)
SIGNED = bytes.fromhex(
    "3046022100b3f7b654807381641ab700f87e13fed763be5eabc8def90032ea6dc332749d51"
    "022100dc14a71bbf7431041346043f2d5293a6942551ad0c7fa8bc417ebf5bef6a6702"
)
"""What it made of the request below, with the second pair."""


def request():
    """A request as the recorded one was."""
    headers = {
        "If-Match": "E1", "Content-Type": "application/json", "X-Amz-Security-Token": "session-token",
        "X-Amz-Date": "20261121T224303Z", "X-Amz-Region-Set": "*",
    }  # fmt: skip
    found = AWSRequest("POST", URL, data=b'{"a":1}', headers=headers)
    found.context["timestamp"] = "20261121T224303Z"
    return found


def signer():
    """Ours, for the second pair."""
    access, secret = list(KEYS)[1]
    credentials = Credentials(access, secret, "session-token")
    return sigv4a.SigV4AAuth(credentials, "cloudfront-keyvaluestore", "*")


@pytest.mark.parametrize("pair", KEYS)
def test_the_derived_keys_are_those_of_the_vendor(pair):
    """From the same AWS keys comes the same point."""
    numbers = sigv4a.derived_key(*pair).public_key().public_numbers()
    assert (numbers.x, numbers.y) == KEYS[pair]


def test_the_vendors_signature_is_one_over_what_we_would_sign():
    """Canonical request, scope and string to sign are theirs; a changed request is another one."""
    ours, asked = signer(), request()
    text = ours.string_to_sign(asked, ours.canonical_request(asked))
    public = sigv4a.derived_key(*list(KEYS)[1]).public_key()
    public.verify(SIGNED, text.encode(), ec.ECDSA(hashes.SHA256()))
    asked.headers["If-Match"] = "E2"
    other = ours.string_to_sign(asked, ours.canonical_request(asked))
    with pytest.raises(InvalidSignature):
        public.verify(SIGNED, other.encode(), ec.ECDSA(hashes.SHA256()))


def test_a_request_is_signed_with_its_regions():
    """What is sent names all regions, signs that header, and carries a signature that verifies."""
    ours, asked = signer(), request()
    ours.add_auth(asked)
    assert asked.headers["X-Amz-Region-Set"] == "*"
    head, signed, signature = asked.headers["Authorization"].split(", ")
    assert head.startswith("AWS4-ECDSA-P256-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/")
    assert head.endswith("/cloudfront-keyvaluestore/aws4_request")
    assert "x-amz-region-set" in signed
    del asked.headers["Authorization"]
    text = ours.string_to_sign(asked, ours.canonical_request(asked))
    public = sigv4a.derived_key(*list(KEYS)[1]).public_key()
    made = bytes.fromhex(signature.removeprefix("Signature="))
    public.verify(made, text.encode(), ec.ECDSA(hashes.SHA256()))
