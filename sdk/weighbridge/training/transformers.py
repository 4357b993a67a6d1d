"""For Hugging Face's `Trainer`: each checkpoint folder that it saves is pushed.

callback = WeighbridgeCallback(saver)
trainer = Trainer(..., callbacks=[callback])
trainer.train(resume_from_checkpoint=callback.resume())
"""

from pathlib import Path
from typing import Any

from weighbridge.training.extras import library
from weighbridge.training.tracker import Checkpointer

_transformers = library("transformers", "transformers")
_Base: Any = _transformers.TrainerCallback


class WeighbridgeCallback(_Base):
    """Pushes what `Trainer` saves (`save_strategy`, `save_steps`), with the last logged metrics.
    With `publish` the version is published when training ends, with the model as it is then."""

    def __init__(self, saver: Checkpointer, *, publish: bool = True) -> None:
        self.saver = saver
        self._publish = publish
        self._metrics: dict[str, float] = {}

    def resume(self) -> str | None:
        """A folder for `resume_from_checkpoint`, or None where there is no checkpoint."""
        found = self.saver.resume()
        return None if found is None else str(found.path)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """Remembers the metrics for the next checkpoint."""
        self._metrics |= {
            name: value
            for name, value in (logs or {}).items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Queues the folder. Nobody changes it, though rotation may remove it: links are enough."""
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self.saver.snapshot(state.global_step, folder, metrics=self._metrics, keep="link")

    def on_train_end(
        self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any
    ) -> None:
        """Publishes the version."""
        if self._publish and state.is_world_process_zero and model is not None:
            self.saver.log_metrics(self._metrics)
            self.saver.conclude(model.save_pretrained)
