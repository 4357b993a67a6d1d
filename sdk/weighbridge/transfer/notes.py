"""What the files of one push were seen to hold: claims about their tensors, read or remembered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from weighbridge.contract.types import TensorClaim
from weighbridge.transfer import fingerprints
from weighbridge.transfer.fingerprints import TensorScan, Wanted
from weighbridge.transfer.hashing import Hashed, Stamp
from weighbridge.transfer.statcache import StatCache

Observe = Callable[[memoryview], None]
"""Is given every block of a file, from the first to the last; it does not keep them."""
NOTHING = Wanted(fingerprints=False, statistics=False)


@dataclass(frozen=True, slots=True)
class Watch:
    """The reading of one file. `observe` must be given its blocks; None: nobody wants them."""

    scan: TensorScan | None = None
    stamp: Stamp | None = None

    @property
    def observe(self) -> Observe | None:
        """What wants the file's blocks, in order."""
        return self.scan.update if self.scan else None


class Notes:
    """Claims by path. Usable from several threads, each with a file of its own."""

    def __init__(self, wanted: Wanted = NOTHING, cache: StatCache | None = None) -> None:
        self._wanted = wanted
        self._cache = cache or StatCache(None)
        self._found: dict[Path, tuple[TensorClaim, ...]] = {}

    def of(self, path: Path) -> tuple[TensorClaim, ...]:
        """What is known of the tensors of a file."""
        return self._found.get(path, ())

    @contextmanager
    def watch(self, path: Path) -> Iterator[Watch]:
        """A watch over the reading of a file, which ends with it."""
        opened = fingerprints.open_scan(path, self._wanted)
        if opened is None:
            yield Watch()
            return
        scan, stamp = opened
        try:
            yield Watch(scan, stamp)
        finally:
            scan.close()

    def keep(self, watch: Watch, file: Hashed) -> tuple[TensorClaim, ...]:
        """Keeps what was seen of a file that is read now."""
        if watch.scan is None or watch.stamp != file.stamp:
            return ()
        self._found[file.path] = found = watch.scan.finish()
        return found

    def recall(self, file: Hashed) -> None:
        """Takes what an earlier push saw of a file that did not change since."""
        wanted = self._wanted
        if wanted.fingerprints or wanted.statistics:
            self._found[file.path] = tuple(
                replace(
                    claim,
                    fingerprint=claim.fingerprint if wanted.fingerprints else "",
                    statistics=claim.statistics if wanted.statistics else None,
                )
                for claim in self._cache.claims(file)
            )
