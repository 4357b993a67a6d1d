"""The frameworks are optional: what is missing is named together with the command that brings it."""

from importlib import import_module
from typing import Any


def library(module: str, extra: str) -> Any:
    """An installed library's module; `ImportError` names the extra that installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise ImportError(
            f"{module} is not installed: pip install 'weighbridge[{extra}]'", name=module
        ) from error
