"""Weighbridge: where model weights are checked in, compared and shipped.

    import weighbridge

    registry = weighbridge.Registry()
    registry.push("vision/digits", "model.safetensors", metrics={"accuracy": 0.97})
    registry.pull("vision/digits@production", to="model")

Importing this package is cheap: each public name is loaded at its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weighbridge.client import Client
    from weighbridge.contract.errors import (
        FileChanged,
        IntegrityError,
        RegistryError,
        TransferError,
    )
    from weighbridge.registry import Registry
    from weighbridge.results import PullResult, PushResult, Resumed
    from weighbridge.sessions import VersionSession
    from weighbridge.transfer.progress import Progress, ProgressEvent

__version__ = "0.1.0"

_HOMES = {
    "Client": "weighbridge.client",
    "FileChanged": "weighbridge.contract.errors",
    "IntegrityError": "weighbridge.contract.errors",
    "Progress": "weighbridge.transfer.progress",
    "ProgressEvent": "weighbridge.transfer.progress",
    "PullResult": "weighbridge.results",
    "PushResult": "weighbridge.results",
    "Registry": "weighbridge.registry",
    "RegistryError": "weighbridge.contract.errors",
    "Resumed": "weighbridge.results",
    "TransferError": "weighbridge.contract.errors",
    "VersionSession": "weighbridge.sessions",
}

__all__ = [
    "Client",
    "FileChanged",
    "IntegrityError",
    "Progress",
    "ProgressEvent",
    "PullResult",
    "PushResult",
    "Registry",
    "RegistryError",
    "Resumed",
    "TransferError",
    "VersionSession",
    "__version__",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
