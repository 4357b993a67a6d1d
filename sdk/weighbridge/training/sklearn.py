"""For scikit-learn: estimators that learn in pieces (`partial_fit`, `warm_start`), and those that do
not.

Estimators are stored by skops where it is installed, which reads them without running code. Joblib
files are pickles: reading one runs whatever its writer put there, so they are only written and read
where `format="joblib"` says so.
"""

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from weighbridge.contract.errors import InvalidManifest, InvalidRequest
from weighbridge.training.extras import library
from weighbridge.training.tracker import Checkpointer

Format = Literal["skops", "joblib"]
Score = Callable[[Any], Mapping[str, float]]


class SklearnLoop:
    """Saves an estimator after every `every` steps of a loop. `trusted` names types beyond
    scikit-learn's own that skops may load; `score` gives the metrics of a checkpoint."""

    def __init__(
        self,
        saver: Checkpointer,
        *,
        every: int = 1,
        format: Format | None = None,
        trusted: Iterable[str] = (),
        score: Score | None = None,
    ) -> None:
        if format is None:
            if find_spec("skops") is None:
                raise InvalidRequest(
                    "skops is not installed (pip install 'weighbridge[sklearn]'); if joblib's "
                    "pickles will do, say format='joblib'"
                )
            format = "skops"
        if format not in ("skops", "joblib"):
            raise InvalidRequest(f"format is skops or joblib, not {format!r}")
        self.saver = saver
        self.file = f"model.{format}"
        self._every = max(1, every)
        self._format = format
        self._trusted = list(trusted)
        self._score = score

    def resume(self) -> tuple[int, Any]:
        """The step and the estimator of the last checkpoint, or 0 and None."""
        found = self.saver.resume()
        if found is None:
            return 0, None
        file = found.path / self.file
        if not file.is_file():
            raise InvalidManifest(f"{found.reference} has no {self.file}: give its format")
        return found.step, self.load(file)

    def step(self, step: int, estimator: Any, metrics: Mapping[str, Any] | None = None) -> bool:
        """Call it after each step: saves when it is time. True if a snapshot was taken."""
        return step % self._every == 0 and self.save(step, estimator, metrics)

    def save(self, step: int, estimator: Any, metrics: Mapping[str, Any] | None = None) -> bool:
        """Takes a snapshot now."""
        if metrics is None and self._score is not None:
            metrics = self._score(estimator)
        return self.saver.snapshot(
            step, lambda folder: self.dump(estimator, folder / self.file), metrics=metrics
        )

    def finish(self, estimator: Any) -> str:
        """Publishes the version with the estimator; its reference."""
        if self._score is not None:
            self.saver.log_metrics(self._score(estimator))
        return self.saver.finish(lambda folder: self.dump(estimator, folder / self.file))

    def partial_fit(
        self, estimator: Any, batches: Iterable[tuple[Any, Any]], **options: Any
    ) -> Any:
        """Learns from the batches, which must come in the same order in every run: those that an
        earlier run learned from are passed over. Publishes, and answers the estimator."""
        done, found = self.resume()
        estimator = estimator if found is None else found
        for step, (x, y) in enumerate(batches, 1):
            if step > done:
                estimator.partial_fit(x, y, **options)
                self.step(step, estimator)
        self.finish(estimator)
        return estimator

    def warm_start(
        self, estimator: Any, x: Any, y: Any, parameter: str, values: Iterable[int]
    ) -> Any:
        """Fits with `warm_start` while `parameter` (`n_estimators`, `max_iter`) takes each of the
        growing values; those that an earlier run reached are passed over. Publishes, and answers the
        estimator."""
        _, found = self.resume()
        estimator = estimator if found is None else found
        reached = estimator.get_params()[parameter] if found is not None else None
        estimator.set_params(warm_start=True)
        for value in values:
            if reached is None or value > reached:
                estimator.set_params(**{parameter: value}).fit(x, y)
                self.step(value, estimator)
        self.finish(estimator)
        return estimator

    def fit(self, estimator: Any, x: Any, y: Any = None, **options: Any) -> Any:
        """Fits in one go and publishes; what an earlier run of the label published is loaded."""
        _, found = self.resume()
        if found is None:
            estimator.fit(x, y, **options)
            self.save(1, estimator)
        else:
            estimator = found
        self.finish(estimator)
        return estimator

    def dump(self, estimator: Any, file: Path) -> None:
        """Writes an estimator in the chosen format."""
        if self._format == "skops":
            library("skops.io", "sklearn").dump(estimator, file)
        else:
            library("joblib", "sklearn").dump(estimator, file)

    def load(self, file: Path) -> Any:
        """Reads an estimator. Joblib runs code that the file holds; skops refuses unknown types."""
        if self._format == "joblib":
            return library("joblib", "sklearn").load(file)
        return library("skops.io", "sklearn").load(file, trusted=self._trusted)
