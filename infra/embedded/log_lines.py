"""The log of a server: a file beside its data, and warnings on standard error, as text or as JSON lines."""

import json
import logging
import logging.handlers
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chalicelib.api.observing import Line

MOST = 8 * 1024**2
"""Bytes of a file before it is put aside; two that were are kept."""
_LOOK = 500
_requests = logging.getLogger("weighbridge.requests")


class Kept(logging.handlers.RotatingFileHandler):
    """Looks only now and then whether the file is long enough: asking the disk for each line takes longer
    than writing it."""

    _lines = 0

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether the file is put aside before this line."""
        self._lines += 1
        return self._lines % _LOOK == 0 and bool(super().shouldRollover(record))


class JsonLines(logging.Formatter):
    """One JSON object per record; what is told of a request or message has the fields it has on AWS."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found: dict[str, Any] = {
            "time": f"{when}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
        }
        told: Any = None
        if record.name == _requests.name and isinstance(record.args, tuple) and record.args:
            told = record.args[0]
        else:
            found["message"] = record.getMessage()
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps({**found, **(told.fields() if told else {})}, ensure_ascii=False)


def start(file: Path) -> None:
    """Sends all that is logged in this process to `file`, in the form that `WEIGHBRIDGE_LOG` names."""
    kept = Kept(file, maxBytes=MOST, backupCount=2)
    if os.environ.get("WEIGHBRIDGE_LOG") == "json":
        kept.setFormatter(JsonLines())
    else:
        kept.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    shown = logging.StreamHandler(sys.stderr)
    shown.setLevel(logging.WARNING)
    shown.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[kept, shown], force=True)


def of_request(line: "Line") -> None:
    """Where the app's lines go on one machine."""
    _requests.info("%s", line)


def replace_handlers(logger: logging.Logger) -> None:
    """Chalice prints to standard output what it logs; here it goes where all else goes."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.propagate = True
