"""How the files of a release and of a generation are called."""

from weighbridge.contract import pep440
from weighbridge.contract.types import ModelSettings

PACKAGE = "package.4ml"
TAG = "tag.toml"
SETTINGS = ModelSettings(label_order="pep440")
"""The settings of a model that is released so: labels are versions, each greater than the last."""


def state(sid: str) -> str:
    """The path of a state's file."""
    return f"states/{sid}.bin"


def sid_of(path: str) -> str:
    """The reverse of `state`; empty if the path is of something else."""
    if path.startswith("states/") and path.endswith(".bin"):
        return path[len("states/") : -len(".bin")]
    return ""


def label(version: object) -> str:
    """A version in canonical form, as releases are labelled."""
    return pep440.parse(str(version)).text
