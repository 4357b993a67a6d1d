"""Taking over a registry of ForML: every project, release and generation, repeatable and verified.

What is there already is compared, not written again; what differs is a problem, never overwritten.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol

from weighbridge import provenance
from weighbridge.client import Client
from weighbridge.contract import pep440, types
from weighbridge.contract.errors import NotFound, RegistryError
from weighbridge.generations import names, packages, releases, tags
from weighbridge.generations.errors import BadPackage
from weighbridge.generations.states import States


class Release(Protocol):
    """A release to take over."""

    @property
    def project(self) -> str:
        """Its project."""

    @property
    def label(self) -> str:
        """Its version, in canonical form."""

    def package(self, workplace: Path) -> Path:
        """Its package as a file."""

    def generations(self) -> list[int]:
        """Its closed generations."""

    def tag(self, generation: int) -> bytes:
        """The bytes of a tag."""

    def state(self, generation: int, sid: str) -> bytes:
        """The bytes of a state."""


class Source(Protocol):
    """A registry to take over."""

    def releases(self) -> Iterable[Release]:
        """Every release, by project; those of a project in the order of their versions."""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a release (`generation` 0) or of a generation."""

    project: str
    release: str
    generation: int
    outcome: Literal["imported", "there", "missing", "problem"]
    problem: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Importer:
    """Takes a registry over into a namespace."""

    client: Client
    namespace: str
    renumber: bool = False
    dry_run: bool = False
    """Only compares: what would be written is `missing`."""

    def run(
        self, source: Source, wanted: Iterable[str] = (), told: Callable[[Step], object] = repr
    ) -> list[Step]:
        """Every step, in order. After a problem the rest of its project is left alone, because
        releases and generations build on those before."""
        chosen, steps, failed = set(wanted), list[Step](), set[str]()
        for release in source.releases():
            if release.project in failed or (chosen and release.project not in chosen):
                continue
            try:
                for step in self._release(release):
                    steps.append(step)
                    told(step)
            except (RegistryError, OSError) as error:
                failed.add(release.project)
                done = [
                    s for s in steps if (s.project, s.release) == (release.project, release.label)
                ]
                at = done[-1].generation + 1 if done else 0
                step = Step(release.project, release.label, at, "problem", str(error))
                steps.append(step)
                told(step)
        return steps

    def _release(self, release: Release) -> Iterable[Step]:
        numbers = release.generations()
        if not self.renumber and numbers != list(range(1, len(numbers) + 1)):
            raise BadPackage(
                f"its generations are {numbers}: the registry lost some. With --renumber they are "
                "taken over as 1, 2, 3…"
            )
        with TemporaryDirectory(prefix="forml-import-") as folder:
            package = release.package(Path(folder))
            manifest = packages.manifest_of(package)
            same = pep440.parse(manifest.version) == pep440.parse(release.label)
            if manifest.name != release.project or not same:
                raise BadPackage(f"its package is of {manifest.name} {manifest.version}")
            version, step = self._package(release, package)
            yield step
            states = States(self.client, self.namespace, Path(folder) / "spool")
            for number, old in enumerate(numbers, 1):
                yield self._generation(release, version, states, number, old)

    def _package(self, release: Release, package: Path) -> tuple[int, Step]:
        size, at = package.stat().st_size, (release.project, release.label)
        there = self._there(*at)
        if there is not None:
            files = self.client.version_files(self.namespace, release.project, there.number).items
            with package.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if [(f.path, f.sha256) for f in files] != [(names.PACKAGE, digest)]:
                raise BadPackage(f"{release.project} {release.label} is there with another package")
            return there.number, Step(*at, 0, "there", bytes=size)
        if self.dry_run:
            return 0, Step(*at, 0, "missing", bytes=size)
        made = releases.push(
            self.client, self.namespace, release.project, release.label, package,
            provenance.collect(),
        )  # fmt: skip
        return made.number, Step(*at, 0, "imported", bytes=size)

    def _there(self, project: str, label: str) -> types.Version | None:
        try:
            found = self.client.version(self.namespace, project, f"={label}")
        except NotFound as error:
            if error.foreign:
                raise
            return None
        return found if found.state == "ready" else None

    def _generation(
        self, release: Release, version: int, states: States, number: int, old: int
    ) -> Step:
        raw = release.tag(old)
        sids = tags.states(raw)
        digests = {names.TAG: hashlib.sha256(raw).hexdigest()}
        size = len(raw)
        there = self._digests(release, version, number) if version else None
        step = (release.project, release.label, number)
        for sid in dict.fromkeys(sids):
            data = release.state(old, sid)
            size += len(data)
            digests[names.state(sid)] = hashlib.sha256(data).hexdigest()
            if there is None and not self.dry_run:
                states.write(release.project, version, sid, data)
        if there is None and self.dry_run:
            return Step(*step, "missing", bytes=size)
        if there is None:
            states.close(release.project, version, number, raw, sids)
        if (there or self._digests(release, version, number)) != digests:
            raise BadPackage(f"generation {number} is there with other content")
        return Step(*step, "there" if there is not None else "imported", bytes=size)

    def _digests(self, release: Release, version: int, number: int) -> dict[str, str] | None:
        """What each file of a generation holds, as its pusher said and its store confirmed."""
        at = (self.namespace, release.project, version, number)
        try:
            files = list(self.client.iter_checkpoint_files(*at))
        except NotFound as error:
            if error.foreign:
                raise
            return None
        return {entry.path: entry.sha256 for entry in files}
