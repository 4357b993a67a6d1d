"""`ModelCheckpoint`: FATE's checkpoint callback for code without FATE, straight into the registry."""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from weighbridge.contract import federated, names, types
from weighbridge.contract.errors import InvalidManifest
from weighbridge.fate import layout, markers
from weighbridge.fate.markers import Buffer, Marker
from weighbridge.fate.syncing import checked_max
from weighbridge.registry import Registry
from weighbridge.sources import PathLike
from weighbridge.training.background import Policy
from weighbridge.training.tracker import Checkpointer, OnError

Given = Mapping[str, tuple[str, bytes, Any]]
"""Buffers as FATE's checkpoints take them: name → (class name, bytes, the same as JSON)."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The latest checkpoint: training goes on with the epoch after `step_index`."""

    step_index: int
    step_name: str
    create_time: str
    models: dict[str, tuple[str, bytes, Any]]
    reference: str
    published: bool
    """Whether the model is published already, so that nothing is left to train."""


def checked_frequency(save_freq: object) -> int:
    """The epochs between two checkpoints: a number from 1, or the word `epoch` for each."""
    if save_freq == "epoch":
        return 1
    if isinstance(save_freq, str):
        raise ValueError(f"save_freq is a number of epochs or 'epoch', not {save_freq!r}")
    if isinstance(save_freq, bool) or not isinstance(save_freq, int):
        raise TypeError(f"save_freq is a whole number or 'epoch', not {save_freq!r}")
    if save_freq < 1:
        raise ValueError(f"save_freq is 1 or more, not {save_freq}")
    return save_freq


class ModelCheckpoint:
    """Saves a component's buffers after every epoch whose number (from 0) `save_freq` divides.

    They become checkpoints of the version labelled `model_version` of the party's model, in FATE's
    layout, sent in the background and in order; a training that is faster waits (`when_full`).
    `max_to_keep` keeps the newest of each component: an old one goes after the new one is complete.
    `strict` raises at the next call what could not be sent. Constructing it does nothing on the network.
    """

    def __init__(
        self,
        registry: Registry | None,
        project: str,
        *,
        role: str,
        party_id: int | str,
        model_id: str,
        model_version: str,
        component: str,
        step_name: str = "step_name",
        save_freq: int | str = 1,
        max_to_keep: int | None = None,
        when_full: Policy = "wait",
        strict: bool = False,
        on_error: OnError | None = None,
        stop_seconds: float = 30.0,
        exit_seconds: float = 300.0,
        signals: bool = True,
        alias: str | Iterable[str] = (),
    ) -> None:
        self.save_freq = checked_frequency(save_freq)
        self.max_to_keep = checked_max(max_to_keep)
        self.step_name = names.step_name(step_name)
        self.party = federated.party_model(role, party_id, model_id)
        keep = types.Retention(keep_last=self.max_to_keep) if self.max_to_keep else None
        self._checkpointer = Checkpointer(
            registry, f"{names.project_name(project)}/{names.model_name(self.party.name)}",
            model_version, component=component, alias=alias, when_full=when_full, strict=strict,
            on_error=on_error, stop_seconds=stop_seconds, exit_seconds=exit_seconds,
            signals=signals, retention=keep,
        )  # fmt: skip

    @property
    def pushed(self) -> int:
        """Checkpoints that this process has published."""
        return self._checkpointer.pushed

    def on_epoch_end(self, epoch: int, buffers: Given) -> bool:
        """Saves if it is this epoch's turn; whether it did."""
        if isinstance(epoch, bool) or not isinstance(epoch, int):
            raise TypeError(f"an epoch is a whole number, not {epoch!r}")
        if epoch < 0:
            raise ValueError(f"epochs are counted from 0, not from {epoch}")
        return epoch % self.save_freq == 0 and self.save(epoch, buffers)

    def save(self, step_index: int, buffers: Given, step_name: str = "") -> bool:
        """Saves now, whatever the epoch; False if it was not taken (`when_full`)."""
        name = step_name or self.step_name
        return self._checkpointer.snapshot(step_index, _files(step_index, name, buffers), name=name)

    def latest(self, to: PathLike | None = None) -> Restored | None:
        """The latest complete checkpoint, verified; None if there is none. Its files stay under `to`,
        if that is given."""
        markers.yaml_needed()
        if to is None:
            with TemporaryDirectory(prefix="weighbridge-fate-") as folder:
                return self._latest(Path(folder))
        return self._latest(Path(to))

    def flush(self, seconds: float | None = None) -> bool:
        """Waits until everything is sent; False if that takes longer."""
        return self._checkpointer.flush(seconds)

    def finish(self, folder: PathLike) -> str:
        """Publishes the version with the model's files below `folder` (`define/`, `variables/`,
        `run_parameters/`; no checkpoints, no locks), and answers its reference."""
        sources = layout.Tree(self.party.name, self._checkpointer.label, Path(folder)).sources()
        if not sources:
            raise InvalidManifest(f"there is no file of a model in {folder}")

        def copy(target: Path) -> None:
            for source in sources:
                place = target / source.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source.path, place)

        return self._checkpointer.finish(copy)

    def close(self) -> None:
        """Sends what waits and leaves the version open: the next run goes on with it."""
        self._checkpointer.close()

    def __enter__(self) -> "ModelCheckpoint":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._checkpointer.__exit__(kind, error, trace)

    def _latest(self, folder: Path) -> Restored | None:
        found = self._checkpointer.resume(folder)
        if found is None:
            return None
        marker = markers.parse(markers.small(folder / markers.MARKER))
        markers.check(folder, marker.step_index, marker.step_name)
        models = {
            name: (
                buffer.buffer_name,
                (folder / f"{name}.pb").read_bytes(),
                json.loads((folder / f"{name}.json").read_bytes()),
            )
            for name, buffer in marker.models.items()
        }
        return Restored(
            marker.step_index, marker.step_name, marker.create_time, models, found.reference,
            found.published,
        )  # fmt: skip


def _files(index: int, name: str, buffers: Given) -> dict[str, bytes]:
    """The files of a checkpoint, `database.yaml` the last."""
    if not buffers:
        raise ValueError("a checkpoint needs at least one buffer")
    files: dict[str, bytes] = {}
    models = {}
    for model, given in buffers.items():
        if not isinstance(given, tuple) or len(given) != 3 or not isinstance(given[1], bytes):
            raise TypeError(
                f"the buffer {model!r} is not (class name, bytes, JSON) but {type(given).__name__}"
            )
        if not isinstance(model, str) or not model or "/" in model:
            raise ValueError(f"{model!r} can be no buffer's name")
        class_name, data, document = given
        files[f"{model}.pb"] = data
        files[f"{model}.json"] = json.dumps(document, allow_nan=False).encode()
        models[model] = Buffer(sha1(data, usedforsecurity=False).hexdigest(), class_name)
    files[markers.MARKER] = markers.encode(Marker(index, name, markers.now(), models))
    return files
