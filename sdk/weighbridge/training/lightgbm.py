"""For LightGBM: the model after every so many rounds, in LightGBM's text format.

callback = WeighbridgeCallback(saver, every=10)
start, model = callback.resume()
booster = lightgbm.train(params, data, 100 - start, init_model=model, callbacks=[callback])
callback.finish(booster)
"""

from collections.abc import Iterable, Mapping
from typing import Any

from weighbridge.contract.errors import InvalidRequest
from weighbridge.training.extras import library
from weighbridge.training.tracker import Checkpointer

FILE = "model.txt"

_lightgbm = library("lightgbm", "lightgbm")


class WeighbridgeCallback:
    """Saves after every `every` rounds; a checkpoint's step is the number of rounds in the model.
    `train` does everything; with `lightgbm.train` itself, which does not tell its callbacks when
    training ends, use `resume` before and `finish` after it."""

    order = 100
    before_iteration = False

    def __init__(self, saver: Checkpointer, *, every: int = 10) -> None:
        self.saver = saver
        self._every = max(1, every)

    def train(
        self,
        params: Mapping[str, Any],
        data: Any,
        rounds: int,
        *,
        callbacks: Iterable[Any] = (),
        **options: Any,
    ) -> Any:
        """`lightgbm.train` up to `rounds` in all: resumed, saved, published; the booster. Further
        options are handed on."""
        done, model = self.resume()
        if model is not None and done >= rounds:
            booster = _lightgbm.Booster(model_file=model)
        else:
            booster = _lightgbm.train(
                dict(params), data, rounds - done, init_model=model,
                callbacks=[*callbacks, self], **options,
            )  # fmt: skip
        self.finish(booster)
        return booster

    def resume(self) -> tuple[int, str | None]:
        """The rounds that are done and the file to go on from (`init_model`), or 0 and None."""
        found = self.saver.resume()
        return (0, None) if found is None else (found.step, str(found.path / FILE))

    def __call__(self, env: Any) -> None:
        """Saves when it is time; LightGBM calls it after each round."""
        if not isinstance(env.model, _lightgbm.Booster):
            raise InvalidRequest("a checkpoint holds one model: use it with train, not with cv")
        rounds = env.model.current_iteration()
        if rounds % self._every == 0 and self.saver.admits():
            self.saver.snapshot(rounds, _content(env.model), metrics=_metrics(env))

    def finish(self, booster: Any) -> str:
        """Publishes the version with the trained model; its reference."""
        return self.saver.finish(_content(booster))


def _content(booster: Any) -> dict[str, bytes]:
    # All rounds: the best one, which is the default, may be an early one.
    return {FILE: booster.model_to_string(num_iteration=-1).encode()}


def _metrics(env: Any) -> dict[str, float]:
    return {
        f"{data}-{name}": float(value) for data, name, value, *_ in env.evaluation_result_list or ()
    }
