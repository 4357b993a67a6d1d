"""For XGBoost: the model after every so many rounds, in XGBoost's own format.

callback = WeighbridgeCallback(saver, every=10)
start, model = callback.resume()
xgboost.train(params, data, 100 - start, xgb_model=model, callbacks=[callback])
"""

from pathlib import Path
from typing import Any

from weighbridge.contract.errors import InvalidRequest
from weighbridge.training.extras import library
from weighbridge.training.tracker import Checkpointer

FILE = "model.ubj"

_xgboost = library("xgboost", "xgboost")
_Base: Any = _xgboost.callback.TrainingCallback


class WeighbridgeCallback(_Base):
    """Saves after every `every` rounds; a checkpoint's step is the number of rounds in the model.
    With `publish` the version is published when training ends."""

    def __init__(self, saver: Checkpointer, *, every: int = 10, publish: bool = True) -> None:
        super().__init__()
        self.saver = saver
        self._every = max(1, every)
        self._publish = publish

    def resume(self) -> tuple[int, str | None]:
        """The rounds that are done and the file to go on from (`xgb_model`), or 0 and None."""
        found = self.saver.resume()
        return (0, None) if found is None else (found.step, str(found.path / FILE))

    def before_training(self, model: Any) -> Any:
        """Refuses `cv`, which trains many models at once."""
        if not isinstance(model, _xgboost.Booster):
            raise InvalidRequest("a checkpoint holds one model: use it with train, not with cv")
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Saves when it is time; never ends the training."""
        rounds = model.num_boosted_rounds()
        if rounds % self._every == 0 and self.saver.admits():
            data = bytes(model.save_raw("ubj"))
            self.saver.snapshot(rounds, {FILE: data}, metrics=_metrics(evals_log))
        return False

    def after_training(self, model: Any) -> Any:
        """Publishes the version."""
        if self._publish:
            self.saver.conclude(lambda folder: _save(model, folder))
        return model


def _save(model: Any, folder: Path) -> None:
    model.save_model(str(folder / FILE))


def _metrics(evals_log: Any) -> dict[str, float]:
    """The last value of each metric of each data set, as `validation-logloss`."""
    found = {}
    for data, metrics in (evals_log or {}).items():
        for name, values in metrics.items():
            last = values[-1]
            found[f"{data}-{name}"] = float(last[0] if isinstance(last, tuple) else last)
    return found
