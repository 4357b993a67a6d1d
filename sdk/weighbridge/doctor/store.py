"""The object store as clients meet it: through the requests that the server signs, and without them."""

import hashlib
import re
import time
from urllib.parse import urlsplit, urlunsplit

from weighbridge.contract import digests, manifests, origins
from weighbridge.contract.errors import RegistryError
from weighbridge.contract.types import (
    BlobPlan,
    Download,
    Part,
    PutDone,
    SignedRequest,
    VersionCommit,
)
from weighbridge.doctor.scratch import Scratch
from weighbridge.doctor.server import CLOCK_FAILS, CLOCK_WARNS
from weighbridge.doctor.visit import Visit
from weighbridge.http import Reply
from weighbridge.transfer import skew
from weighbridge.transfer.progress import duration

_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_RANGE = (100, 299)
_FOREIGN = "https://foreign.example"
_PUBLIC = "let nobody read the bucket: remove its policy and its public access"
_LONG = 86400


def publish(visit: Visit, scratch: Scratch) -> bool:
    """Sends the file as clients do, after bytes that the store must refuse; whether it was published."""
    plan = _plan(visit, scratch)
    request = plan.request
    assert request is not None
    _address(visit, request)
    try:
        reply = visit.send(request, _damaged(scratch.data))
    except RegistryError as error:
        visit.fail(
            "store", f"the store at {urlsplit(request.url).netloc} cannot be reached: {error.message}",
            "signed addresses must lead to the store from where clients are: set "
            "WEIGHBRIDGE_S3_PUBLIC_ENDPOINT (`serve --s3-public-url`), or let them through",
        )  # fmt: skip
        return False
    _clock(visit, reply)
    if reply.status == 200:
        visit.fail(
            "checksum", "the store took other bytes than the SHA-256 that was signed with the request",
            "use a store that verifies x-amz-checksum-sha256, and let nothing strip that header",
        )  # fmt: skip
        plan = _plan(visit, scratch)
        request = plan.request
        assert request is not None
    elif reply.status == 400:
        visit.ok("checksum", f"other bytes than were signed are refused ({_code(reply)})")
    elif not _allowed(visit, request, reply):
        return False
    if not _stored(visit, request, scratch.data):
        return False
    _once(visit, request, scratch.data)
    client, entry = visit.client, scratch.entry
    try:
        client.plan(scratch.project, (), [PutDone(entry.blob, plan.key)])
        commit = VersionCommit(manifests.digest((entry,)), (entry,), "Made by `weighbridge doctor`")
        client.commit_version(scratch.project, scratch.model, scratch.version, commit)
    except RegistryError as error:
        visit.fail(
            "publish", f"what was sent cannot be published: {error.message}",
            "the server looks at another bucket or store than its signed addresses lead to, or may not "
            "read there",
        )  # fmt: skip
        return False
    scratch.published = time.monotonic()
    visit.ok("publish", f"{len(scratch.data):,} bytes were sent, verified and published")
    return True


def _plan(visit: Visit, scratch: Scratch) -> BlobPlan:
    return visit.client.plan(scratch.project, [scratch.entry.blob]).blobs[0]


def _damaged(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _code(reply: Reply) -> str:
    match = _CODE.search(reply.body[:4096])
    return f"{reply.status} {match[1].decode('ascii', 'replace')}" if match else str(reply.status)


def _address(visit: Visit, request: SignedRequest) -> None:
    """Whether signed requests lead where clients can follow, and how long they are good."""
    target = urlsplit(request.url)
    if origins.loopback(target.hostname or "") and not visit.local:
        visit.fail(
            "address", f"signed requests lead to {target.netloc}, which is every client's own machine",
            "set WEIGHBRIDGE_S3_PUBLIC_ENDPOINT (`serve --s3-public-url`)",
        )  # fmt: skip
    elif visit.secure and target.scheme != "https":
        visit.fail(
            "address", f"signed requests lead to {target.netloc} without TLS",
            "give the store a certificate, and an https:// address",
        )  # fmt: skip
    else:
        visit.ok("address", f"signed requests lead to {target.scheme}://{target.netloc}")
    match = re.search(r"[?&]X-Amz-Expires=(\d+)", request.url)
    if match and int(match[1]) > _LONG:
        visit.warn(
            "lifetime", f"signed requests are good for {duration(int(match[1]))}",
            "an hour will do: WEIGHBRIDGE_SIGN_SECONDS=3600",
        )  # fmt: skip
    elif match:
        visit.ok("lifetime", f"signed requests are good for {duration(int(match[1]))}")


def _allowed(visit: Visit, request: SignedRequest, reply: Reply) -> bool:
    """Whether a refusal was for the bytes; one for the signature means that nothing can be sent."""
    if reply.status in (401, 403):
        why = skew.text(request.url, reply.headers.get("date", "")) or _code(reply)
        visit.fail(
            "signed", f"the store refuses what the server signs: {why}",
            "the keys that sign, the region and the bucket's policy must allow s3:PutObject and "
            "s3:GetObject; nothing on the way may change the Host header, the path or the query",
        )  # fmt: skip
        return False
    visit.warn(
        "checksum", f"other bytes than were signed are answered with {_code(reply)}, not with 400",
        "such a store may tell damage and outage apart badly; see its log",
    )  # fmt: skip
    return True


def _stored(visit: Visit, request: SignedRequest, data: bytes) -> bool:
    reply = visit.send(request, data)
    if reply.status in (200, 201, 204):
        visit.ok("signed", "what the server signs is accepted")
        return True
    if _allowed(visit, request, reply):
        visit.fail("signed", f"the store answers {_code(reply)} to a signed PUT", "see its log")
    return False


def _once(visit: Visit, request: SignedRequest, data: bytes) -> None:
    reply = visit.send(request, data)
    if reply.status == 412:
        visit.ok("once", "a signed address writes once")
    else:
        visit.fail(
            "once", f"a signed PUT is answered with {_code(reply)} the second time, not with 412",
            "use a store that obeys If-None-Match: *, and let nothing strip that header",
        )  # fmt: skip


def _clock(visit: Visit, reply: Reply) -> None:
    told = skew.when(reply.headers.get("date", ""))
    if told is None:
        visit.skip("store clock", "the store tells no date")
        return
    ahead = told - (time.time() + visit.ahead)
    if abs(ahead) <= CLOCK_WARNS:
        visit.ok("store clock", "the store's agrees with the server's")
        return
    word = "ahead of" if ahead > 0 else "behind"
    note = visit.fail if abs(ahead) > CLOCK_FAILS else visit.warn
    note(
        "store clock", f"the store's is {duration(abs(ahead))} {word} the server's",
        "set the wrong one right (NTP): stores refuse what is signed too early or too late",
    )  # fmt: skip


def parts(visit: Visit, scratch: Scratch) -> None:
    """Whether parts of large files are verified as well."""
    client, data = visit.client, scratch.data
    upload = client.open_upload(scratch.project, len(data), digests.CUT_SCHEME).upload
    try:
        part = Part(1, hashlib.sha256(data).hexdigest(), len(data))
        [plan] = client.sign_parts(scratch.project, upload, [part], sendonly=True).parts
        assert plan.request is not None
        wrong = visit.send(plan.request, _damaged(data))
        right = visit.send(plan.request, data)
    finally:
        client.abort_upload(scratch.project, upload)
    if wrong.status == 200:
        visit.fail(
            "parts", "the store took a part with other bytes than the SHA-256 that was signed",
            "use a store that verifies x-amz-checksum-sha256 of parts",
        )  # fmt: skip
    elif right.status != 200:
        visit.fail(
            "parts", f"the store answers {_code(right)} to a signed part",
            "let signed requests with ?partNumber=…&uploadId=… through as they are",
        )  # fmt: skip
    else:
        visit.ok("parts", f"wrong parts are refused ({_code(wrong)}), right ones taken")


def read(visit: Visit, scratch: Scratch) -> None:
    """Whether what was published can be read as it must be, and in no other way."""
    at = (scratch.project, scratch.model, scratch.version)
    [found] = visit.client.version_downloads(*at, [scratch.entry.blob]).items
    reply = visit.send(found.request)
    if reply.status == 200 and reply.body == scratch.data:
        visit.ok("download", "the same bytes come back")
    else:
        visit.fail(
            "download", f"status {_code(reply)}, {len(reply.body):,} bytes, not those that were sent"
            if reply.status == 200 else f"the store answers {_code(reply)} to a signed GET",
            "nothing between clients and the store may change bodies, or keep answers",
        )  # fmt: skip
    _ranges(visit, found, scratch.data)
    _unsigned(visit, found)
    _cors(visit, found)


def _ranges(visit: Visit, found: Download, data: bytes) -> None:
    first, last = _RANGE
    reply = visit.send(found.request, extra={"Range": f"bytes={first}-{last}"})
    if reply.status == 206 and reply.body == data[first : last + 1]:
        visit.ok("ranges", "a range is answered with just that")
    else:
        visit.fail(
            "ranges", f"a range of {last - first + 1} bytes is answered with {reply.status} and "
            f"{len(reply.body):,} bytes",
            "let the Range header through to the store: parallel and resumed downloads need it",
        )  # fmt: skip


def _unsigned(visit: Visit, found: Download) -> None:
    parts_ = urlsplit(found.request.url)
    bare = urlunsplit((parts_.scheme, parts_.netloc, parts_.path, "", ""))
    reply = visit.pool.send("GET", bare, {})
    if reply.status == 200:
        visit.fail("public", "anybody can read an object without a signature", _PUBLIC)
    else:
        visit.ok("public", f"an object's address alone opens nothing ({_code(reply)})")
    folder, _, _ = parts_.path.rpartition("/blobs/")
    reply = visit.pool.send(
        "GET", f"{parts_.scheme}://{parts_.netloc}{folder or '/'}?list-type=2&max-keys=1", {}
    )
    if reply.status == 200 and b"<ListBucketResult" in reply.body:
        visit.fail("listing", "anybody can list the bucket without a signature", _PUBLIC)
    else:
        visit.ok("listing", f"the bucket lists nothing to strangers ({_code(reply)})")
    signature = re.search(r"X-Amz-Signature=([0-9a-f]{64})", found.request.url)
    if signature is None:
        visit.skip("signature", "the signed address has no signature of version 4")
        return
    other = signature[1][:-1] + ("0" if signature[1][-1] != "0" else "1")
    reply = visit.pool.send("GET", found.request.url.replace(signature[1], other), {})
    if reply.status == 200:
        visit.fail(
            "signature", "a signature that was changed is accepted",
            "use a store that checks signatures: this one is open to everybody",
        )  # fmt: skip
    else:
        visit.ok("signature", f"a signature that was changed is refused ({_code(reply)})")


def _cors(visit: Visit, found: Download) -> None:
    mine = _preflight(visit, found, visit.origin)
    other = _preflight(visit, found, _FOREIGN)
    if mine not in (visit.origin, "*"):
        visit.warn(
            "cors", f"the store does not let pages of {visit.origin} read what was signed",
            "allow GET and HEAD from that origin in the bucket's CORS rules; the template does so for "
            "the parameter PublicUrl",
        )  # fmt: skip
    elif other in (_FOREIGN, "*"):
        visit.warn(
            "cors", "the store lets pages of every origin read what was signed",
            f"allow {visit.origin} alone in the bucket's CORS rules",
        )  # fmt: skip
    else:
        visit.ok("cors", f"pages of {visit.origin} may read what was signed, others not")


def _preflight(visit: Visit, found: Download, origin: str) -> str:
    asked = {
        "Origin": origin, "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "range",
    }  # fmt: skip
    reply = visit.pool.send("OPTIONS", found.request.url, asked)
    return reply.headers.get("access-control-allow-origin", "") if reply.status < 300 else ""
