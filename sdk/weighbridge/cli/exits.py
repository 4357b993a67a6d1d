"""The exit codes: one per thing that a script can do about a failure."""

from weighbridge.contract import errors

DIFFERENT = 1
USAGE = 2
UNEXPECTED = 9
HELD = 10
INTERRUPTED = 130
PIPE = 141
TERMINATED = 143

BY_ERROR: dict[type[errors.RegistryError], int] = {
    errors.InvalidRequest: USAGE,
    errors.TooLarge: USAGE,
    errors.Unsupported: USAGE,
    errors.Unauthenticated: 3,
    errors.Forbidden: 3,
    errors.NotFound: 4,
    errors.Gone: 4,
    errors.Conflict: 5,
    errors.HeldBack: HELD,
    errors.IntegrityError: 6,
    errors.FileChanged: 6,
    errors.TransferError: 7,
    errors.Unavailable: 7,
    errors.Throttled: 7,
}
LOCAL = 8

MEANINGS: dict[int, str] = {
    0: "Done. For `diff`: the versions are equal.",
    DIFFERENT: "`diff`: the versions differ. `edge import`, `geti import`: some were not copied. "
    "`site check`, `doctor`: something is wrong.",
    USAGE: "The command or the request is wrong, or over a limit; change it.",
    3: "No token, a wrong one, or one that may not do this.",
    4: "Not there, or not visible to this token; or it was deleted.",
    5: "The present state does not allow it: taken, in use, or changed by another.",
    6: "Bytes are not what was promised, or a file changed while it was pushed.",
    7: "The server or the store could not be reached; run it again, it resumes.",
    LOCAL: "A local file or folder could not be read or written.",
    UNEXPECTED: "Unexpected: a fault of the server or of this program; see `--debug`.",
    HELD: "Held back by the project's safety policy: blocked, or still being checked.",
    INTERRUPTED: "Interrupted by Ctrl-C.",
    PIPE: "Whoever read the output stopped reading (quiet).",
    TERMINATED: "A transfer was ended by SIGTERM; run it again, it resumes.",
}


def of(error: BaseException) -> int:
    """The exit code for an error: that of its nearest class in the table."""
    for cls in type(error).__mro__:
        if cls in BY_ERROR:
            return BY_ERROR[cls]
    return LOCAL if isinstance(error, OSError) else UNEXPECTED
