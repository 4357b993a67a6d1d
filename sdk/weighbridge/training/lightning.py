"""For Lightning: a checkpoint of the trainer every so many epochs or steps.

    callback = WeighbridgeCallback(saver)
    trainer = Trainer(..., callbacks=[callback])
    trainer.fit(module, data, ckpt_path=callback.resume())

Works with `lightning` and with `pytorch_lightning`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from weighbridge.contract.errors import InvalidRequest
from weighbridge.training.extras import library
from weighbridge.training.torch import save_weights
from weighbridge.training.tracker import Checkpointer

FILE = "lightning.ckpt"

try:
    _callbacks = library("lightning.pytorch.callbacks", "lightning")
except ImportError:
    _callbacks = library("pytorch_lightning.callbacks", "lightning")
_Base: Any = _callbacks.Checkpoint


class WeighbridgeCallback(_Base):
    """Saves every `every_epochs` epochs, and every `every_steps` steps if that is not 0. With
    `publish` the version is published when fitting ends, with the weights as they are then."""

    def __init__(
        self,
        saver: Checkpointer,
        *,
        every_epochs: int = 1,
        every_steps: int = 0,
        publish: bool = True,
    ) -> None:
        if every_epochs < 0 or every_steps < 0 or not (every_epochs or every_steps):
            raise InvalidRequest("say after how many epochs or steps to save")
        self.saver = saver
        self._epochs = every_epochs
        self._steps = every_steps
        self._publish = publish
        self._saved = -1

    def resume(self) -> str | None:
        """A file for `ckpt_path`, or None where there is no checkpoint."""
        found = self.saver.resume()
        if found is None:
            return None
        self._saved = found.step
        return str(found.path / FILE)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        """Saves when it is time by steps."""
        if self._steps and trainer.global_step % self._steps == 0:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Saves when it is time by epochs."""
        if self._epochs and (trainer.current_epoch + 1) % self._epochs == 0:
            self._save(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Publishes the version, unless the training was cut short."""
        if self._publish and trainer.is_global_zero and not trainer.interrupted:
            self.saver.log_metrics(_metrics(trainer))
            self.saver.conclude(
                lambda folder: save_weights(pl_module, folder / "model.safetensors")
            )

    def _save(self, trainer: Any) -> None:
        step = trainer.global_step
        if step == self._saved or trainer.sanity_checking:
            return
        self._saved = step
        # Every rank takes part in saving; only the first one has something to push then.
        with TemporaryDirectory(prefix="weighbridge-") as made:
            folder = Path(trainer.strategy.broadcast(made))
            trainer.save_checkpoint(folder / FILE)
            if trainer.is_global_zero:
                self.saver.snapshot(step, folder, metrics=_metrics(trainer), keep="link")


def _metrics(trainer: Any) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
