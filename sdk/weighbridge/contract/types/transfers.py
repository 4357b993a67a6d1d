"""Plans, parts and downloads: what moves bytes."""

from dataclasses import dataclass
from typing import Literal

from weighbridge.contract.manifests import FileEntry


@dataclass(frozen=True, slots=True)
class WantedBlob:
    """A blob the client wants to be there."""

    blob: str


@dataclass(frozen=True, slots=True)
class PutDone:
    """A single PUT that the client carried out; `key` as the plan gave it."""

    blob: str
    key: str


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Up to 2,000 blobs wanted, and up to 2,000 PUTs done since the last plan."""

    want: tuple[WantedBlob, ...] = ()
    done: tuple[PutDone, ...] = ()


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request for the client to send as it is: exactly these headers, before `expires`."""

    method: str
    url: str
    headers: dict[str, str]
    expires: str = ""


@dataclass(frozen=True, slots=True)
class BlobPlan:
    """What to do for one wanted blob.

    `have`: nothing, it is there. `put`: send `request`, then report `key` as done. `multipart`:
    ask for part URLs under `upload`, send them, then complete.
    """

    blob: str
    action: Literal["have", "put", "multipart"]
    key: str = ""
    upload: str = ""
    request: SignedRequest | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Answers each wanted blob, in order; every `done` of the request was verified."""

    blobs: tuple[BlobPlan, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart upload: its number from 1, its bytes' SHA-256 (hex), its size."""

    number: int
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class PartsRequest:
    """Parts to sign: 1,000 at most per request. With `sendonly`, no copies are offered. With `keep`, a
    part that the upload holds with other bytes is a `conflict` and stays; else it is replaced."""

    parts: tuple[Part, ...]
    sendonly: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class PartPlan:
    """What to do for one part.

    `held`: nothing, the upload has exactly these bytes. `send`: send `request` with the bytes.
    `copy`: send `request` without a body; the store copies from an object of the same project. Its
    answer must carry the part's SHA-256, else ask again with `sendonly`.
    """

    number: int
    request: SignedRequest | None = None
    action: Literal["held", "send", "copy"] = "held"


@dataclass(frozen=True, slots=True)
class KnownPart:
    """A part that a client has hashed, and asks whether the project holds."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class LookRequest:
    """Parts to look for: 1,000 at most per request. Nothing is created or promised by asking."""

    parts: tuple[KnownPart, ...]


@dataclass(frozen=True, slots=True)
class LookAnswer:
    """One answer per part asked for: whether it could be copied."""

    known: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class NewUpload:
    """Opens a multipart upload whose digest is not known yet; `scheme` is that of its cuts.

    `parts` are those that are known so far, 1,000 at most, the first one among them: with these, an
    upload that was left of the same file is gone on with.
    """

    size: int
    scheme: int
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Upload:
    """An open multipart upload. `resumed`: it was there, and holds some of the parts; its other parts
    are asked for with `keep`, because another client may be at it."""

    upload: str
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class PartsPlan:
    """One answer per part asked for."""

    parts: tuple[PartPlan, ...]


@dataclass(frozen=True, slots=True)
class UploadComplete:
    """Asks to complete a multipart upload; the store's own list of parts must yield `blob`."""

    blob: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob is stored and verified."""

    blob: str
    size: int


@dataclass(frozen=True, slots=True)
class FileList:
    """Files of a version or checkpoint, by path. `held` is its state where its verdict holds it back:
    then its bytes are not given out."""

    items: tuple[FileEntry, ...]
    next: str | None = None
    manifest: str = ""
    total: int = 0
    size: int = 0
    held: str = ""


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """Blobs of a version or checkpoint to sign for reading: 1,000 at most per request."""

    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Download:
    """A presigned GET of one blob; ranges may be asked with it.

    `parts` is a presigned GET of its part list (`contract.cuts.encode`), where it has one: each part
    can then be verified by itself.
    """

    blob: str
    size: int
    request: SignedRequest
    parts: SignedRequest | None = None


@dataclass(frozen=True, slots=True)
class Downloads:
    """One per blob asked for, in order."""

    items: tuple[Download, ...]
