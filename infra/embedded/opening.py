"""The stores of a registry, for programs that work straight at them: those of a data folder, or those that
the settings in the environment name."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from infra.embedded import options
from weighbridge.contract.errors import Conflict, InvalidRequest

if TYPE_CHECKING:
    from chalicelib.registry.stores import Stores
    from infra.embedded.data_folder import DataFolder, Secrets

RUNNING = "store.json"
"""Where a server that runs says at which address its object store answers."""


def stores(
    data: Path | None, parts: ExitStack, *, create: bool = False, running: bool = False
) -> "Stores":
    """The stores of the data folder `data`, or of the environment where it names a catalogue and no folder
    is given. With `create` the folder may be new; with `running` its server may run."""
    from chalicelib import wiring

    if data is None and os.environ.get("WEIGHBRIDGE_CATALOG"):
        return wiring.stores()
    path = (data or options.default_data(os.environ)).absolute()
    if not create or path.exists():
        _check(path, create)
    from infra.embedded.data_folder import DataFolder

    try:
        folder = DataFolder(path)
    except Conflict:
        if not running:
            raise
        return _of_running(path, parts)
    parts.callback(folder.close)
    return _of_folder(path, folder, parts)


def _check(path: Path, create: bool) -> None:
    if create and path.is_dir() and not any(path.iterdir()):
        return
    if not (path / "catalog.sqlite").is_file():
        raise InvalidRequest(f"{path} holds no registry; name its data folder with --data")
    if not (path / "objects").is_dir():
        raise InvalidRequest(
            f"the files of {path} are in another store; put its settings (WEIGHBRIDGE_CATALOG, "
            "WEIGHBRIDGE_S3_ENDPOINT and the rest) into the environment, and leave out --data"
        )


def _of_folder(path: Path, folder: "DataFolder", parts: ExitStack) -> "Stores":
    """The stores of a folder that nobody serves; its object store runs until `parts` are closed."""
    from infra.embedded.seaweed import SeaweedFS

    keys = folder.secrets()
    store = SeaweedFS(
        path / "objects", access_key=keys.s3_access_key, secret_key=keys.s3_secret_key
    )
    parts.enter_context(store)
    return _built(path, keys, store.endpoint, parts)


def _of_running(path: Path, parts: ExitStack) -> "Stores":
    """The stores of a folder whose server runs."""
    from infra.embedded.data_folder import Secrets

    try:
        endpoint = str(json.loads((path / RUNNING).read_text())["endpoint"])
        keys = Secrets(**json.loads((path / "secrets.json").read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        raise Conflict(
            f"the server of {path} does not say where its object store is; stop it, and try again"
        ) from None
    return _built(path, keys, endpoint, parts)


def _built(path: Path, keys: "Secrets", endpoint: str, parts: ExitStack) -> "Stores":
    from chalicelib import wiring
    from chalicelib.settings import settings
    from infra.embedded import stack

    os.environ.update(stack.environment(options.Options(path), path, keys, ""))
    os.environ["WEIGHBRIDGE_S3_ENDPOINT"] = endpoint
    settings.cache_clear()
    made = wiring.build(settings())
    parts.callback(made.table.close)  # type: ignore[attr-defined]
    return made
