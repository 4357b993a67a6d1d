"""What a pusher claims of the tensors it pushes, as it travels. Nobody has verified it."""

from dataclasses import dataclass

from weighbridge.contract.types.facts import Statistics


@dataclass(frozen=True, slots=True)
class TensorClaim:
    """One tensor: the XXH3-128 of its bytes (32 hex digits, or empty) and its statistics."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    fingerprint: str = ""
    statistics: Statistics | None = None


@dataclass(frozen=True, slots=True)
class FileClaims:
    """Tensors of the file at `path`. A file may stand in several pages."""

    path: str
    tensors: tuple[TensorClaim, ...]


@dataclass(frozen=True, slots=True)
class ClaimsPage:
    """Claims that are stored ahead of a commit: 5,000 tensors at most."""

    files: tuple[FileClaims, ...]


@dataclass(frozen=True, slots=True)
class StoredPage:
    """The name of a stored page, for the commit."""

    page: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What a commit brings: claims in it (5,000 tensors at most), and pages stored before."""

    files: tuple[FileClaims, ...] = ()
    pages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimsSummary:
    """What was claimed of a version's or checkpoint's tensors, in numbers.

    `tensors` were named, `fingerprints` of them with a fingerprint, `statistics` with statistics,
    `sampled` of these from a part of the numbers; `nan` and `inf` have such numbers.
    """

    pages: tuple[str, ...]
    tensors: int = 0
    fingerprints: int = 0
    statistics: int = 0
    sampled: int = 0
    nan: int = 0
    inf: int = 0
