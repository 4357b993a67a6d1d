"""For Keras 3, on any backend: weights and optimizer after every so many epochs.

callback = WeighbridgeCallback(saver)
model.fit(x, y, epochs=20, initial_epoch=callback.resume(model), callbacks=[callback])
"""

import json
from pathlib import Path
from typing import Any

from weighbridge.contract.errors import InvalidManifest
from weighbridge.training.extras import library
from weighbridge.training.tracker import Checkpointer

WEIGHTS = "model.weights.h5"
STATE = "training.json"

_keras = library("keras", "keras")
_Base: Any = _keras.callbacks.Callback


class WeighbridgeCallback(_Base):
    """Saves after every `every_epochs` epochs; a checkpoint's step is the number of epochs done. With
    `publish` the version is published when `fit` ends, with the whole model as `model.keras`."""

    def __init__(self, saver: Checkpointer, *, every_epochs: int = 1, publish: bool = True) -> None:
        super().__init__()
        self.saver = saver
        self._every = max(1, every_epochs)
        self._publish = publish
        self._logs: dict[str, float] = {}

    def resume(self, model: Any) -> int:
        """Restores the weights and the optimizer of a compiled model that is built like the saved
        one; the epoch to start with, 0 where there is no checkpoint."""
        found = self.saver.resume()
        if found is None:
            return 0
        if not (found.path / WEIGHTS).is_file():
            raise InvalidManifest(f"{found.reference} has no {WEIGHTS}; another program saved it")
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None and not optimizer.built:
            # Only a built optimizer has variables into which a saved state could go.
            optimizer.build(model.trainable_variables)
        model.load_weights(str(found.path / WEIGHTS))
        return found.step

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves when it is time."""
        self._logs = {name: float(value) for name, value in (logs or {}).items()}
        if (epoch + 1) % self._every == 0:
            self.saver.snapshot(epoch + 1, self._write, metrics=self._logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Publishes the version."""
        if self._publish:
            self.saver.log_metrics(self._logs)
            self.saver.conclude(lambda folder: self.model.save(str(folder / "model.keras")))

    def _write(self, folder: Path) -> None:
        self.model.save_weights(str(folder / WEIGHTS))
        state = {"keras": _keras.__version__, "backend": _keras.backend.backend()}
        (folder / STATE).write_text(json.dumps(state), encoding="utf-8")
