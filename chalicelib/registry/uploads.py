"""Planning and completing uploads: which bytes to send, signed; and what arrived, verified."""

from concurrent.futures import ThreadPoolExecutor

from chalicelib.registry import blobs, keys, parts, projects, turns, unfinished, usage
from chalicelib.registry.ports import Delete, Head, Item, Signed, StoredPart
from chalicelib.registry.stores import Stores, iso
from weighbridge.contract import cuts, digests, manifests
from weighbridge.contract.errors import (
    Conflict,
    IntegrityError,
    InvalidRequest,
    NotFound,
    RegistryError,
    TooLarge,
    Unsupported,
)
from weighbridge.contract.types import (
    BlobPlan,
    Deleted,
    LookAnswer,
    LookRequest,
    NewUpload,
    PartPlan,
    PartsPlan,
    PartsRequest,
    Plan,
    PlanRequest,
    SignedRequest,
    Stored,
    Upload,
    UploadComplete,
)

MAX_BATCH = 1000
MAX_PLAN = 2000
"""Blobs in one plan: what 2,000 signed addresses weigh, a Lambda function can answer."""
MAX_SINGLE = 5 * 1024**3
MIN_PART = 5 * 1024**2
MAX_PARTS = 10_000
FEW = 16
"""More single PUTs than these are verified by one LIST instead of a HEAD each."""


def signed_request(signed: Signed) -> SignedRequest:
    """A signed request as it travels."""
    return SignedRequest(signed.method, signed.url, signed.headers, iso(signed.expires))


def plan(stores: Stores, by: str, project: str, request: PlanRequest) -> Plan:
    """Verifies the PUTs that are done, then says per wanted blob what to send."""
    if not stores.blobs.verifies_sha256:
        raise Unsupported("this object store does not verify SHA-256, so it cannot hold blobs")
    for batch in (request.want, request.done):
        if len(batch) > MAX_PLAN:
            raise TooLarge(f"{len(batch)} blobs in one request; {MAX_PLAN} at most", limit=MAX_PLAN)
    record = projects.find(stores, project)
    if request.done:
        _register(stores, record.id, [(d.blob, d.key) for d in request.done])
    wanted = [digests.parse_blob(w.blob) for w in request.want]
    ids = [w.blob for w in request.want]
    have = blobs.live(stores, record.id, ids)
    have = {b: have[b] for b in have.keys() - blobs.lease(stores, record.id, have)}
    missing = {b: d.size for b, d in zip(ids, wanted, strict=True) if b not in have}
    if missing:
        usage.require_bytes(stores, record.id, sum(missing.values()), record)
    many = sum(not d.parts and b not in have for b, d in zip(ids, wanted, strict=True)) > FEW
    shared = stores.random() if many else ""
    plans: list[BlobPlan] = []
    for blob, digest in zip(ids, wanted, strict=True):
        if blob in have:
            plans.append(BlobPlan(blob, "have"))
        elif digest.parts:
            plans.append(_multipart(stores, by, record.id, blob, digest))
        else:
            plans.append(_single(stores, record.id, blob, digest, shared))
    return Plan(tuple(plans))


def _register(stores: Stores, project_id: str, done: list[tuple[str, str]]) -> None:
    for blob, key in done:
        digests.parse_blob(blob)
        if keys.project_of_object(key) != project_id:
            raise InvalidRequest(f"{key[:120]!r} is no upload of this project")

    listed = _listed(stores, project_id, done)
    blobs.note(stores, project_id, [blob for blob, _ in done])
    pairs = list(dict.fromkeys(done))
    others = [pair for pair in pairs if pair not in listed]

    def look(pair: tuple[str, str]) -> Head | RegistryError:
        try:
            return blobs.verified(stores, *pair)
        except RegistryError as error:
            return error

    with turns.waiting(), ThreadPoolExecutor(max(1, min(16, len(others)))) as pool:
        seen = {**listed, **dict(zip(others, pool.map(look, others), strict=True))}
    heads: dict[str, Head] = {}
    failure: RegistryError | None = None
    for pair in pairs:
        head = seen[pair]
        if isinstance(head, RegistryError):
            failure = failure or head
        elif pair[0] in heads:
            blobs.claim(stores, project_id, pair[0], head)  # the same bytes twice: one is freed
        else:
            heads[pair[0]] = head
    for blob in blobs.claim_many(stores, project_id, heads):
        parts.index(stores, project_id, blob, heads[blob], parts.of_single(blob))
    if failure is not None:
        raise failure  # what is there was taken all the same


def _listed(
    stores: Stores, project_id: str, done: list[tuple[str, str]]
) -> dict[tuple[str, str], Head]:
    """Those of the PUTs that a list of their batch vouches for.

    The name of such an object is bound to its blob, and only a PUT that was signed for that blob's
    checksum and size can have made it: that it is there proves its bytes (`keys.batch_object`).
    """
    batches: dict[str, list[tuple[str, str]]] = {}
    for blob, key in done:
        if prefix := keys.batch_of(project_id, key, blob):
            batches.setdefault(prefix, []).append((blob, key))
    found: dict[tuple[str, str], Head] = {}
    for prefix, pairs in batches.items():
        if len(pairs) <= FEW:
            continue
        heads: dict[str, Head] = {}
        after: str | None = ""
        while after is not None and len(heads) < MAX_PLAN:
            page = stores.blobs.list(prefix, after)
            heads |= {head.key: head for head in page.heads}
            after = page.next
        for blob, key in pairs:
            head = heads.get(key)
            if head is not None and head.size == digests.parse_blob(blob).size:
                found[blob, key] = head
    return found


def _single(
    stores: Stores, project_id: str, blob: str, digest: digests.BlobDigest, batch: str
) -> BlobPlan:
    if digest.size > MAX_SINGLE:
        raise TooLarge(f"{digest.size} bytes in one PUT; {MAX_SINGLE} at most", limit=MAX_SINGLE)
    key = (
        keys.batch_object(project_id, batch, blob)
        if batch
        else keys.blob_object(project_id, stores.random())
    )
    signed = stores.blobs.sign_put(
        key, digests.to_base64(digest.sha256), digest.size, stores.sign_seconds
    )
    return BlobPlan(blob, "put", key=key, request=signed_request(signed))


def _multipart(
    stores: Stores, by: str, project_id: str, blob: str, digest: digests.BlobDigest
) -> BlobPlan:
    if digest.scheme not in cuts.SCHEMES:
        raise Unsupported(f"cut scheme {digest.scheme} is not known here; update the server")
    if not 2 <= digest.parts <= MAX_PARTS:
        raise InvalidRequest(f"a multipart blob has 2 to {MAX_PARTS} parts, not {digest.parts}")
    start = unfinished.name_start(digest.scheme, digest.size, blob)
    upload = unfinished.left(stores, by, project_id, start, blob, ())
    if not upload:
        upload = unfinished.opened(stores, by, project_id, digest.scheme, blob, start)
    return BlobPlan(blob, "multipart", upload=upload)


def look(stores: Stores, project: str, request: LookRequest) -> LookAnswer:
    """Which parts the project holds somewhere; nothing is created or promised."""
    if len(request.parts) > MAX_BATCH:
        raise TooLarge(f"{len(request.parts)} parts in one request; {MAX_BATCH} at most")
    return parts.look(stores, projects.find(stores, project).id, request)


def start(stores: Stores, by: str, project: str, new: NewUpload) -> Upload:
    """Opens a multipart upload whose digest is known only when its file is read to the end; or goes
    on with one that was left of it, as its first parts tell."""
    if new.scheme not in cuts.SCHEMES:
        raise Unsupported(f"cut scheme {new.scheme} is not known here; update the server")
    if not 0 < new.size <= manifests.MAX_SIZE:
        raise InvalidRequest(f"a file of {new.size} bytes cannot be uploaded in parts")
    if not stores.blobs.verifies_sha256:
        raise Unsupported("this object store does not verify SHA-256, so it cannot hold blobs")
    if len(new.parts) > MAX_BATCH:
        raise TooLarge(f"{len(new.parts)} parts in one request; {MAX_BATCH} at most")
    for part in new.parts:
        digests.sha256(part.sha256)
        if not 1 <= part.number <= MAX_PARTS:
            raise InvalidRequest(f"there is no part {part.number} of {MAX_PARTS}")
    record = projects.find(stores, project)
    first = next((part.sha256 for part in new.parts if part.number == 1), "")
    begins = unfinished.name_start(new.scheme, new.size, first)
    if there := unfinished.left(stores, by, record.id, begins, "", new.parts):
        return Upload(there, resumed=True)
    usage.require_bytes(stores, record.id, new.size, record)
    return Upload(unfinished.opened(stores, by, record.id, new.scheme, "", begins))


def _upload(stores: Stores, project_id: str, identifier: str) -> Item:
    item = stores.table.get(keys.upload(project_id, identifier))
    if item is None:
        raise NotFound(f"there is no upload {identifier[:60]!r}; plan again")
    return item


def _scheme(upload: Item) -> int:
    """How the file of an upload is cut."""
    return int(upload.doc.get("scheme", digests.CUT_SCHEME))


def sign_parts(stores: Stores, project: str, identifier: str, request: PartsRequest) -> PartsPlan:
    """Signs parts of a multipart upload; those that the store holds already need nothing."""
    if len(request.parts) > MAX_BATCH:
        raise TooLarge(f"{len(request.parts)} parts in one request; {MAX_BATCH} at most")
    record = projects.find(stores, project)
    item = _upload(stores, record.id, identifier)
    key, store_id = str(item.doc["key"]), str(item.doc["store_id"])
    planned = str(item.doc["blob"])
    last = digests.parse_blob(planned).parts if planned else 0
    for part in request.parts:
        digests.sha256(part.sha256)
        if not 1 <= part.number <= (last or MAX_PARTS):
            raise InvalidRequest(f"part {part.number} is not of this upload's {last or MAX_PARTS}")
        if last and part.size < MIN_PART and part.number != last:
            raise InvalidRequest(
                f"part {part.number} has {part.size} bytes; all but the last need {MIN_PART}",
                limit=MIN_PART,
            )
    listed = stores.blobs.parts(key, store_id)
    if request.keep and (others := unfinished.differing(listed, request.parts)):
        raise Conflict(
            f"part {others[0]} of this upload is there with other bytes: it is of another file; open "
            "another upload",
            parts=others[:20],
        )
    held = {part.number: part for part in listed}
    sources: dict[tuple[str, int], Item] = {}
    if not request.sendonly:
        wanted = [(part.sha256, part.size) for part in request.parts]
        sources = parts.find(stores, record.id, wanted)
    guesses = parts.before(_scheme(item), request.parts, sources)
    plans = []
    for part in request.parts:
        there = held.get(part.number)
        if there and (there.sha256, there.size) == (part.sha256, part.size):
            plans.append(PartPlan(part.number))
            continue
        if source := sources.get((part.sha256, part.size)) or guesses.get(part.number):
            where = Head(str(source.doc["key"]), 0, str(source.doc["etag"]))
            copied = stores.blobs.sign_copy(
                key, store_id, part.number, where, int(source.doc["offset"]), part.size,
                stores.sign_seconds,
            )  # fmt: skip
            plans.append(PartPlan(part.number, signed_request(copied), "copy"))
            continue
        signed = stores.blobs.sign_part(
            key, store_id, part.number, digests.to_base64(digests.Sha256(part.sha256)),
            stores.sign_seconds,
        )  # fmt: skip
        plans.append(PartPlan(part.number, signed_request(signed), "send"))
    return PartsPlan(tuple(plans))


def complete(stores: Stores, project: str, identifier: str, request: UploadComplete) -> Stored:
    """Joins the parts and registers the blob. What the store lists counts, never the client's word.

    Safe to repeat: after a lost answer the object is looked at before anything is done.
    """
    expected = digests.parse_blob(request.blob)
    record = projects.find(stores, project)
    try:
        item = _upload(stores, record.id, identifier)
    except NotFound:
        if blobs.live(stores, record.id, [request.blob]):
            return Stored(request.blob, expected.size)
        raise
    if item.doc["blob"] not in ("", request.blob):
        raise InvalidRequest(f"the upload was planned for {item.doc['blob']}, not {request.blob}")
    if expected.scheme != _scheme(item):
        raise InvalidRequest(f"the upload was opened for another cut scheme than {request.blob}")
    key, store_id = str(item.doc["key"]), str(item.doc["store_id"])
    there = blobs.live(stores, record.id, [request.blob]).get(request.blob)
    if there is not None and there.doc["key"] != key:  # somebody was faster
        stores.blobs.abort_multipart(key, store_id)
        stores.table.write(Delete(item.key))
        return Stored(request.blob, expected.size)
    _join(stores, record.id, key, store_id, request.blob)
    head = blobs.verified(stores, request.blob, key)
    if blobs.claim(stores, record.id, request.blob, head):
        listed = parts.saved(stores, record.id, request.blob)
        parts.index(stores, record.id, request.blob, head, listed)
    stores.table.write(Delete(item.key))
    return Stored(request.blob, expected.size)


def _join(stores: Stores, project_id: str, key: str, store_id: str, blob: str) -> None:
    """Saves the part list, then joins the parts: the store tells their digests only until then, and
    the answer to joining thousands can be lost."""
    try:
        stored = stores.blobs.parts(key, store_id)
        _check_parts(stored, digests.parse_blob(blob), blob)
        blobs.note(stores, project_id, [blob])
        parts.save(stores, project_id, blob, stored)
        stores.blobs.complete_multipart(key, store_id, stored)
    except NotFound:
        pass  # joined before: the object's head tells


def _check_parts(stored: list[StoredPart], expected: digests.BlobDigest, blob: str) -> None:
    numbers = [part.number for part in stored]
    if missing := sorted(set(range(1, expected.parts + 1)) - set(numbers))[:20]:
        raise IntegrityError(
            f"{len(set(range(1, expected.parts + 1)) - set(numbers))} of {expected.parts} parts are "
            f"missing (first: {missing[0]}); send them, then complete",
            missing=missing, blob=blob,
        )  # fmt: skip
    if len(numbers) > expected.parts:
        raise IntegrityError(
            f"the upload has {len(numbers)} parts, not {expected.parts}; plan again", blob=blob
        )
    size = sum(part.size for part in stored)
    if size != expected.size:
        raise IntegrityError(
            f"the parts hold {size} bytes together, not {expected.size}; plan again", blob=blob
        )
    digest = digests.composite(digests.Sha256(part.sha256) for part in stored)
    if digest != expected.sha256:
        raise IntegrityError("the parts do not make up this blob; send them again", blob=blob)


def abort(stores: Stores, project: str, identifier: str) -> Deleted:
    """Gives an upload up and frees its parts."""
    record = projects.find(stores, project)
    item = _upload(stores, record.id, identifier)
    stores.blobs.abort_multipart(str(item.doc["key"]), str(item.doc["store_id"]))
    stores.table.write(Delete(item.key))
    return Deleted(identifier)
