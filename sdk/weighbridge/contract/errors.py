"""Every error a caller can meet, split by what the caller can do about it.

    RegistryError                    the base; an unknown code becomes the class of its status range
    ├── InvalidRequest   400         fix the request: `invalid_request`
    │   ├── InvalidName              a name outside the grammar: `invalid_name`
    │   └── InvalidManifest          a path or file list that cannot be stored: `invalid_manifest`
    ├── Unauthenticated  401         sign in: no token, or one that is wrong or expired
    ├── Forbidden        403         ask for a wider token
    ├── NotFound         404         it is not there (or the caller may not know that it is)
    ├── Gone             410         it was there and was deleted; its number is never used again
    ├── Conflict         409         the state does not allow it; look, then decide: `conflict`
    │   ├── AlreadyExists            choose another name: `already_exists`
    │   ├── InUse                    something still refers to it: `in_use`
    │   └── HeldBack                 its safety verdict is missing or bad: `held_back`
    ├── TooLarge         413         over a stated limit
    ├── IntegrityError   422         bytes are not what was promised: `integrity`
    ├── Throttled        429         retry later
    ├── Unsupported      501         this server or store cannot do it
    └── Unavailable      503         retry: a store did not answer, or a race was lost too often

The client's own failures (no connection, a file that changed while it was read) are `TransferError`
and `FileChanged`; they have no status and never travel.
"""

from typing import Any, ClassVar


class RegistryError(Exception):
    """Base of all errors; `code` is stable, `message` is for people, `details` for programs."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details
        self.request_id: str | None = None
        self.foreign = False
        """Whether the answer was not this registry's: a gateway's, or another server's."""

    def body(self, request_id: str | None = None) -> dict[str, Any]:
        """The one error body of the HTTP API."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "details": self.details,
                "request_id": request_id or self.request_id or "",
            }
        }


class InvalidRequest(RegistryError):
    """The request is malformed or names something impossible."""

    code = "invalid_request"
    status = 400


class InvalidName(InvalidRequest):
    """A name is outside the grammar."""

    code = "invalid_name"


class InvalidManifest(InvalidRequest):
    """A path or a list of files cannot be stored."""

    code = "invalid_manifest"


class Unauthenticated(RegistryError):
    """There is no token, or it is wrong, expired or revoked."""

    code = "unauthenticated"
    status = 401


class Forbidden(RegistryError):
    """The token is good but its scopes do not allow this."""

    code = "forbidden"
    status = 403


class NotFound(RegistryError):
    """Nothing of that name is visible to this caller."""

    code = "not_found"
    status = 404


class Gone(RegistryError):
    """It existed and was deleted or aborted."""

    code = "gone"
    status = 410


class Conflict(RegistryError):
    """The present state does not allow the change."""

    code = "conflict"
    status = 409


class AlreadyExists(Conflict):
    """The name, label or checkpoint is taken."""

    code = "already_exists"


class InUse(Conflict):
    """Something still refers to what was to be deleted; `details["by"]` says what."""

    code = "in_use"


class HeldBack(Conflict):
    """The project's safety policy holds it back; `details["state"]` is `checking` or `blocked`."""

    code = "held_back"


class TooLarge(RegistryError):
    """A stated limit was exceeded; `details["limit"]` gives it."""

    code = "too_large"
    status = 413


class IntegrityError(RegistryError):
    """Bytes, sizes or digests are not what was promised."""

    code = "integrity"
    status = 422


class Throttled(RegistryError):
    """Too many requests; try again later."""

    code = "throttled"
    status = 429


class Unsupported(RegistryError):
    """This server or its store cannot do what was asked."""

    code = "unsupported"
    status = 501


class Unavailable(RegistryError):
    """A store did not answer in time, or too many others wrote at once; try again."""

    code = "unavailable"
    status = 503


class TransferError(RegistryError):
    """Bytes could not be moved: no connection, or the store kept failing. Run it again to resume."""

    code = "transfer"
    status = 0


class FileChanged(TransferError):
    """A local file changed while it was being pushed."""

    code = "file_changed"


BY_CODE: dict[str, type[RegistryError]] = {
    c.code: c
    for c in (
        InvalidRequest, InvalidName, InvalidManifest, Unauthenticated, Forbidden, NotFound, Gone,
        Conflict, AlreadyExists, InUse, HeldBack, TooLarge, IntegrityError, Throttled, Unsupported,
        Unavailable, TransferError, FileChanged,
    )
}  # fmt: skip

_BY_STATUS: dict[int, type[RegistryError]] = {
    400: InvalidRequest, 401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict,
    410: Gone, 413: TooLarge, 422: IntegrityError, 429: Throttled, 501: Unsupported,
    502: Unavailable, 503: Unavailable, 504: Unavailable,
}  # fmt: skip


def from_body(status: int, body: Any) -> RegistryError:
    """The error a response carries: the same class that the server raised."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        cls = _BY_STATUS.get(status, RegistryError)
        text = body.get("message") or body.get("Message") if isinstance(body, dict) else None
        alien = cls(str(text or f"the server answered with status {status}"))
        alien.foreign = True
        return alien
    cls = BY_CODE.get(str(error.get("code")), _BY_STATUS.get(status, RegistryError))
    details = error.get("details")
    raised = cls(str(error.get("message", "")), **(details if isinstance(details, dict) else {}))
    raised.request_id = str(error.get("request_id") or "") or None
    return raised
