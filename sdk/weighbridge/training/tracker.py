"""`Checkpointer`: what a training loop gives its snapshots to.

The loop pays for the snapshot; everything that touches the network happens in another thread, and
what fails there is reported and does not end the training (unless `strict`).
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from weighbridge.contract import names, types
from weighbridge.contract.errors import Conflict, InvalidName, InvalidRequest
from weighbridge.contract.references import parse
from weighbridge.registry import Registry
from weighbridge.sessions import VersionSession
from weighbridge.training import endings, resuming
from weighbridge.training.background import Background, Policy, Snapshot, log
from weighbridge.training.resuming import Resumed
from weighbridge.training.spool import Files, Keep, Spool, fill, size_of
from weighbridge.values import metrics_of, params_of, tags_of
from weighbridge.writing import checkpoint_draft

OnError = Callable[[int, Exception], object]


class Checkpointer:
    """Pushes snapshots as checkpoints of one open version of `model`, found again by `label`.

    Constructing it does nothing on the network. `waiting` snapshots of `waiting_bytes` in all may
    wait; when that is full, `when_full` says whether the oldest of them is dropped, the new one is
    skipped, or the loop waits. `on_error` is told the step and the error of what could not be
    pushed; `strict` raises it at the next call instead. `stop_seconds` is the time that SIGTERM
    leaves for pushing, `exit_seconds` the time at the interpreter's exit. In a process where
    `enabled` is false (all ranks but one) nothing is pushed, and `resume` works still. `retention` says
    which checkpoints are kept, instead of what the model says.
    """

    def __init__(
        self,
        registry: Registry | None,
        model: str,
        label: str,
        *,
        component: str = "",
        description: str = "",
        parents: Iterable[str] = (),
        alias: str | Iterable[str] = (),
        retention: types.Retention | None = None,
        waiting: int = 2,
        waiting_bytes: int = 4 * 1024**3,
        when_full: Policy = "drop_oldest",
        strict: bool = False,
        on_error: OnError | None = None,
        stop_seconds: float = 30.0,
        exit_seconds: float = 300.0,
        signals: bool = True,
        enabled: bool = True,
        folder: Path | None = None,
    ) -> None:
        if not label:
            raise InvalidRequest("a run is found again by its label: give one")
        self.model = parse(model)
        if self.model.version is not None or self.model.checkpoint is not None:
            raise InvalidName(f"{model!r} names a version; here a model is meant: PROJECT/MODEL")
        self.label = names.label(label)
        self.component = names.component(component)
        self.registry = registry or Registry()
        self.stop_seconds = stop_seconds
        self.exit_seconds = exit_seconds
        self.pushed = 0
        """Checkpoints that this process has published."""
        self.dropped = 0
        """Snapshots that were given up because the queue was full."""
        self.failed = 0
        """Snapshots that could not be pushed."""
        self._aliases = alias
        self._retention = retention
        self._parents = tuple([parents] if isinstance(parents, str) else parents)
        self._description = description
        self._strict = strict
        self._on_error = on_error
        self._enabled = enabled
        self._owner = os.getpid()
        self._spool = Spool(folder)
        self._background = Background(
            self._push, self._drop, self._report,
            waiting=waiting, most_bytes=waiting_bytes, when_full=when_full,
        )  # fmt: skip
        self._session: VersionSession | None = None
        self._last: types.Checkpoint | None = None
        self._lost: tuple[int, Exception] | None = None
        self._pending: Exception | None = None
        self._closed = False
        self._said: list[Callable[[VersionSession], None]] = []
        if enabled:
            endings.watch(self, signals=signals)

    # What a loop calls

    def resume(self, to: str | os.PathLike[str] | None = None) -> Resumed | None:
        """Pulls the last complete checkpoint of this label; None if there is none. Without `to` its
        files are removed when the checkpointer is closed. Raises what stands in the way: a run that
        cannot know where it stood should not begin anew."""
        version = resuming.labelled(self.registry, self.model, self.label)
        if version is None:
            return None
        folder = Path(to) if to is not None else self._spool.new()
        found = resuming.fetch(self.registry, version, self.component, folder)
        if found is None and to is None:
            self._spool.discard(folder)
        resumed, self._last = found or (None, self._last)
        return resumed

    def snapshot(
        self,
        step: int,
        files: Files,
        *,
        metrics: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        name: str = "",
        keep: Keep = "copy",
    ) -> bool:
        """Takes a copy of `files` now (or links those that nobody changes: `keep="link"`) and pushes
        it later. False if it was not taken. Metrics that are not finite are left out."""
        snapshot = self._begin(step, metrics, tags, name)
        if snapshot is None:
            return False
        try:
            snapshot.folder = self._spool.new()
            fill(snapshot.folder, files, keep)
            snapshot.size = size_of(snapshot.folder)
        except Exception as error:
            self._spool.discard(snapshot.folder)
            self._report(snapshot, error)
            self._raise_pending()
            return False
        self._background.put(snapshot)
        return True

    def defer(
        self,
        step: int,
        write: Callable[[Path], object],
        size: int,
        *,
        metrics: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        name: str = "",
    ) -> bool:
        """As `snapshot`, for a caller that holds about `size` bytes of copies in memory: `write` puts
        them into the folder it is given, in the pushing thread."""
        snapshot = self._begin(step, metrics, tags, name)
        if snapshot is None:
            return False
        snapshot.write, snapshot.size = write, size
        self._background.put(snapshot)
        return True

    def admits(self) -> bool:
        """Whether a snapshot would be taken now; ask before an expensive copy. Waits for room where
        that is the policy, and counts what is skipped."""
        if not self._active():
            return False
        self._raise_pending()
        if self._background.admits():
            return True
        self.dropped += 1
        log.warning("a snapshot of %s is skipped: earlier ones wait still", self.model)
        return False

    def log_metrics(self, metrics: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Sets metrics of the version; the last value of a name counts."""
        found = metrics_of(_finite({**(metrics or {}), **more}))
        self._said.append(lambda session: session.log_metrics(found))

    def log_params(self, params: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Sets parameters of the version."""
        found = params_of({**(params or {}), **more})
        self._said.append(lambda session: session.log_params(found))

    def tag(self, tags: Mapping[str, str] | None = None, **more: str) -> None:
        """Sets tags of the version."""
        found = tags_of({**(tags or {}), **more})
        self._said.append(lambda session: session.tag(found))

    def flush(self, seconds: float | None = None) -> bool:
        """Waits until everything is pushed; False if that takes longer."""
        done = not self._active() or self._background.flush(seconds)
        self._raise_pending()
        return done

    def finish(self, files: Files | None = None, *, pick: str | Iterable[str] = ()) -> str:
        """Publishes the version with these files, or with those of the last checkpoint that match
        `pick`, and answers its reference. Raises what stands in the way; the version then stays open.
        A version that was published before, by an earlier run of this label, is left as it is."""
        if not self._active():
            return ""
        self.flush()
        found = resuming.labelled(self.registry, self.model, self.label)
        if found is not None and found.state != "open" and not self.pushed:
            self.close()
            return f"{self.model}@{found.number}"
        session = self._session or self._opened()
        self._session = None
        patterns = (pick,) if isinstance(pick, str) else tuple(pick)
        with ExitStack() as end:
            end.push(session)
            if files is not None:
                folder = self._spool.new()
                fill(folder, files)
                session.add(folder)
            else:
                session.add_checkpoint(self._newest(), patterns)
            for say in self._said:
                say(session)
        assert session.result is not None
        self.close()
        return session.result.reference

    def conclude(self, files: Files) -> None:
        """`finish` at the end of a framework's own loop: what stands in the way is reported, and is
        raised only if `strict`."""
        try:
            self.finish(files)
        except Exception as error:
            if self._strict:
                raise
            log.warning("%s is not published, it stays open: %s", self.model, error, exc_info=error)
            self._tell(self._last.step if self._last else 0, error)

    def close(self) -> None:
        """Pushes what waits, for at most `exit_seconds`, and leaves the version open: the next run of
        the label goes on with it."""
        if self._closed or self._owner != os.getpid():
            return
        done = self._background.flush(self.exit_seconds)
        self._closed = True
        left = self._background.stop()
        if not done:
            log.warning(
                "%s: not pushed within %.0f s: %s", self.model, self.exit_seconds,
                ", ".join(f"step {snapshot.step}" for snapshot in left) or "the last step",
            )  # fmt: skip
        session, self._session = self._session, None
        if done and session is not None:
            stopped = Conflict("the run ended before it published its version")
            session.__exit__(Conflict, stopped, None)
        self._spool.remove()
        endings.forget(self)

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is None:
            self._raise_pending()

    # What `endings` calls

    def drain(self, seconds: float) -> bool:
        """Waits until everything is pushed, and raises nothing."""
        done = self._background.flush(seconds)
        if not done:
            log.warning("%s: not everything was pushed within %.0f s", self.model, seconds)
        return done

    def hurry(self) -> None:
        """Ends that wait."""
        self._background.hurry()

    def abandon(self) -> None:
        """Removes the snapshots from the disk: the process is about to die."""
        self._spool.remove()

    # The pushing thread

    def _push(self, snapshot: Snapshot) -> None:
        if snapshot.write is not None:
            folder = self._spool.new()
            snapshot.write(folder)
            snapshot.folder, snapshot.write = folder, None
        if self._session is None:
            self._session = self._opened()
        self._last = self._session.checkpoint(
            step=snapshot.step,
            files=snapshot.folder,
            component=self.component,
            name=snapshot.name,
            metrics=snapshot.metrics,
            tags=snapshot.tags,
        )
        self.pushed += 1
        self._lost = None
        log.info("step %d of %s is checkpoint %d", snapshot.step, self.model, self._last.number)
        self._spool.discard(snapshot.folder)

    def _opened(self) -> VersionSession:
        found = resuming.labelled(self.registry, self.model, self.label)
        if found is not None and found.state != "open":
            raise Conflict(
                f"{self.model}@{found.number} was published with the label {self.label!r}; to train "
                "on, take another label (and name this version as a parent)"
            )
        session = self.registry.version(
            str(self.model), self.label, resume=True, description=self._description,
            parents=self._parents, alias=self._aliases, retention=self._retention,
        )  # fmt: skip
        return session.__enter__()

    def _drop(self, snapshot: Snapshot) -> None:
        self.dropped += 1
        self._spool.discard(snapshot.folder)
        log.warning(
            "step %d of %s is dropped for a newer one: pushing is slower than training",
            snapshot.step, self.model,
        )  # fmt: skip

    def _report(self, snapshot: Snapshot, error: Exception) -> None:
        self.failed += 1
        self._lost = (snapshot.step, error)
        self._spool.discard(snapshot.folder)
        if self._strict:
            self._pending = self._pending or error
        else:
            log.warning(
                "step %d of %s could not be pushed, training goes on: %s",
                snapshot.step, self.model, error, exc_info=error,
            )  # fmt: skip
        self._tell(snapshot.step, error)

    # Details

    def _tell(self, step: int, error: Exception) -> None:
        if self._on_error is not None:
            try:
                self._on_error(step, error)
            except Exception:
                log.exception("on_error itself failed")

    def _active(self) -> bool:
        """Whether calls do anything here; a forked child, such as a data loader's, pushes nothing."""
        if not self._enabled or self._owner != os.getpid():
            return False
        if self._closed:
            raise Conflict("the checkpointer is closed; make another one")
        return True

    def _begin(
        self,
        step: int,
        metrics: Mapping[str, Any] | None,
        tags: Mapping[str, str] | None,
        name: str,
    ) -> Snapshot | None:
        if not self._active():
            return None
        draft = checkpoint_draft(step, self.component, name, _finite(metrics or {}), tags)
        if not self.admits():
            return None
        return Snapshot(draft.step, draft.name, draft.metrics, draft.tags, Path(), 0)

    def _newest(self) -> int:
        if self._lost is not None:
            step, error = self._lost
            raise Conflict(
                f"step {step}, the newest, is not in the registry, so it cannot be published; name "
                "the files to publish, or run again"
            ) from error
        if self._last is None:
            raise InvalidRequest("nothing was pushed: name the files to publish")
        return self._last.number

    def _raise_pending(self) -> None:
        error, self._pending = self._pending, None
        if error is not None:
            raise error


def _finite(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics without NaN and infinities, which no registry can order."""
    found = {}
    for name, number in metrics_of(metrics).items():
        if math.isfinite(number):
            found[name] = number
        else:
            log.debug("the metric %s is %s and left out", name, number)
    return found
