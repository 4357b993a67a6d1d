"""What both sides know of edge model registries: how their names and records stand in ours.

A record is a version that is one ZIP file. Its name is the model's, percent-encoded where a model name
cannot hold it; all else is an attribute of that name, but for the score, which is a metric.
"""

import unicodedata
from urllib.parse import unquote

from weighbridge.contract import names
from weighbridge.contract.errors import InvalidName

NAME, VERSION, PRECISION = "package_name", "package_version", "precision"
PROJECT_NAME, PROJECT_ID = "project_name", "project_id"
CREATED, CHANGED, SIZE = "created_date", "last_updated_date", "package_size"
TEXTS = (
    "target_device", "format", "origin", PROJECT_ID, PROJECT_NAME, "category",
    "target_device_type", "architecture",
)  # fmt: skip
DOCUMENTS = ("overview", "optimization_capabilities", "labels")
SCORE = "score"
DEFAULT_PRECISION = ("fp32",)


def model_of(name: str) -> str:
    """The model name that stands for a free text; `name_of` reads it back.

    `%` and what a model name cannot hold are percent-encoded.
    """
    encoded = "".join(_quoted(c) if c in "/@:%" or _unprintable(c) else c for c in name)
    if encoded[:1].isspace():
        encoded = _quoted(encoded[0]) + encoded[1:]
    if encoded[-1:].isspace():
        encoded = encoded[:-1] + _quoted(encoded[-1])
    if encoded in (".", ".."):
        encoded = encoded.replace(".", "%2E")
    return names.model_name(encoded)


def name_of(model: str) -> str:
    """The free text that a model name stands for; a name that stands for none is itself."""
    try:
        name = unquote(model, errors="strict")
        return name if model_of(name) == model else model
    except (UnicodeDecodeError, InvalidName):
        return model


def _quoted(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _unprintable(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs") or char in "\u2028\u2029"
