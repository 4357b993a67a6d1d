"""ForML's model registry, kept in Weighbridge: name it in ForML's configuration as
`provider = "weighbridge.forml:Registry"` (docs/how-to/forml.md).

A project is a model, a release a version, a generation a checkpoint, its states are files. The rules are
the server's; this module translates calls, keys and errors. Import it only where ForML is installed.
"""

import functools
import hashlib
import os
import threading
import uuid
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, Concatenate, ParamSpec, TypeVar

try:
    import forml
    from forml import project as prj
    from forml import setup
    from forml.io import asset
except ModuleNotFoundError as missing:
    if missing.name != "forml":
        raise
    raise ModuleNotFoundError(
        "weighbridge.forml is a provider for ForML, which is not installed: "
        "pip install 'weighbridge[forml]'",
        name="forml",
    ) from missing

from weighbridge import config, provenance
from weighbridge.client import Client
from weighbridge.contract import names as grammar
from weighbridge.contract import pep440, types
from weighbridge.contract.errors import (
    Conflict,
    Gone,
    HeldBack,
    InvalidRequest,
    NotFound,
    RegistryError,
)
from weighbridge.contract.forml_packages import Manifest
from weighbridge.generations import names, packages, releases
from weighbridge.generations.listings import Listings
from weighbridge.generations.states import States
from weighbridge.reading import local_cache

__all__ = ["Registry"]

NAMESPACE = "forml"
P = ParamSpec("P")
T = TypeVar("T")


def _translated(
    method: Callable[Concatenate["Registry", P], T],
) -> Callable[Concatenate["Registry", P], T]:
    """Raises only ForML's own errors, and none that it takes for "there is nothing yet"."""

    @functools.wraps(method)
    def wrapper(self: "Registry", /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except RegistryError as error:
            raise self._told(error) from error
        except OSError as error:
            raise forml.FailedError(f"Weighbridge: {error}") from error

    return wrapper


@dataclass(frozen=True, slots=True)
class _Live:
    """What is made anew in every process: connections, locks, what was listed."""

    client: Client
    listings: Listings
    states: States
    known: dict[tuple[str, str], types.Version] = field(default_factory=dict)
    """Releases that were met: they never change."""


_LIVING: dict[Hashable, _Live] = {}
_GUARD = threading.Lock()
_IMPORTING = threading.Lock()
"""ForML reads a manifest by importing it under one name for all: two threads would meet each other's."""


def _alive(identity: Hashable, make: Callable[[], _Live]) -> _Live:
    """What is alive for a registry in this process. Equal ones share it, because a runner unpickles one
    for every task; a forked child speaks on connections of its own, and meets no lock of its parent."""
    with _GUARD:
        live = _LIVING.get(identity)
        if live is None:
            live = _LIVING[identity] = make()
        return live


def _forked() -> None:
    global _GUARD, _IMPORTING
    _GUARD, _IMPORTING = threading.Lock(), threading.Lock()
    _LIVING.clear()


os.register_at_fork(after_in_child=_forked)


class Registry(asset.Registry):
    """A registry of projects at `url`, in the Weighbridge project `namespace`.

    Where they are not given, address and token come from the environment (`WEIGHBRIDGE_URL`,
    `WEIGHBRIDGE_TOKEN`) or from what `weighbridge login` stored. `staging` is a folder that all workers
    of a run can reach; by default one in ForML's home, for this address and namespace.
    """

    def __init__(
        self,
        url: str | None = None,
        namespace: str = NAMESPACE,
        staging: str | Path | None = None,
        token: str | None = None,
    ) -> None:
        try:
            self._config = config.load(url, token)
            self._namespace = str(grammar.project_name(namespace))
        except RegistryError as error:
            raise forml.InvalidError(f"Weighbridge: {error.message}") from error
        self._token = token
        super().__init__(staging or _default_staging(self._config.url, self._namespace))

    def __repr__(self) -> str:
        return f"Weighbridge-registry({self._config.url}, {self._namespace})"

    def _identity(self) -> tuple[object, ...]:
        return self._config.url, self._namespace.lower(), self._staging

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Registry) or type(other) is not type(self):
            return False
        return other._identity() == self._identity()

    def __hash__(self) -> int:
        return hash((type(self), self._identity()))

    def __reduce__(self) -> tuple[Any, ...]:
        known = {"url": self._config.url, "namespace": self._namespace, "token": self._token}
        return _remade, (type(self), {**known, "staging": str(self._staging)})

    @property
    def _live(self) -> _Live:
        return _alive((*self._identity(), self._config.token), self._connected)

    def _connected(self) -> _Live:
        found = self._config
        client = Client(found.url, found.token, found.ca_file)
        states = States(client, self._namespace, self._staging / ".spool")
        return _Live(client, Listings(client, self._namespace), states)

    def _told(self, error: RegistryError) -> forml.AnyError:
        """ForML's word for an error. What is transient, or of access, is never "missing"."""
        text = f"Weighbridge: {error.message or type(error).__name__}"
        refused = isinstance(error, (NotFound, Gone, Conflict, InvalidRequest))
        if not refused or error.foreign or isinstance(error, HeldBack):
            return forml.FailedError(text)
        if isinstance(error, NotFound) and not self._readable():
            return forml.FailedError(f"{text}, or this token may not read it")
        return asset.Level.Invalid(text)

    def _readable(self) -> bool:
        """Whether the token may read the namespace: the registry hides it from others."""
        try:
            scopes = self._live.client.whoami().scopes
        except RegistryError:
            return False
        wanted = self._namespace.lower()
        return any("read" in s.verbs and fnmatchcase(wanted, s.project.lower()) for s in scopes)

    # Listings

    @_translated
    def projects(self) -> Iterable[str]:
        """All projects with at least one release."""
        try:
            return [model.name for model in self._live.listings.models()]
        except NotFound as error:
            if error.foreign or not self._readable():
                raise
            return []  # nobody released into this namespace yet

    @_translated
    def releases(self, project: str) -> Iterable[str]:
        """The releases of a project."""
        found = self._live.listings.releases(_model(project))
        return [version.label for version in found if _is_release(version)]

    @_translated
    def generations(self, project: str, release: object) -> Iterable[int]:
        """The numbers of the closed generations of a release."""
        version = self._version(project, release)
        return list(self._live.listings.generations(version.model, version.number))

    def _version(self, project: str, release: object) -> types.Version:
        """The version that is the release; equal texts such as `1.0` and `1.0.0` mean the same."""
        name, wanted = _model(project), pep440.parse(str(release))
        live = self._live
        if found := live.known.get((name, wanted.normal)):
            return found
        for fresh in (False, True):
            for version in reversed(live.listings.releases(name, fresh=fresh)):
                if _is_release(version) and pep440.parse(version.label) == wanted:
                    return live.known.setdefault((name, wanted.normal), version)
        raise asset.Level.Invalid(f"Weighbridge: there is no release {wanted} of {project}")

    # Packages

    @_translated
    def push(self, package: prj.Package) -> None:
        """Publishes a package as a new release, strictly greater than all before it."""
        name, version = _model(package.manifest.name), names.label(package.manifest.version)
        told = provenance.collect()
        told = types.Provenance(
            told.git_commit, told.git_dirty, told.command, f"forml {forml.__version__}",
            told.hardware, told.python, told.datasets,
        )  # fmt: skip
        try:
            with TemporaryDirectory(prefix="forml-push-") as folder:
                path = Path(package.path)
                if path.is_dir():
                    target = Path(folder) / names.PACKAGE
                    with _IMPORTING:
                        path = Path(prj.Package.create(path, package.manifest, target).path)
                packages.manifest_of(path)
                releases.push(self._live.client, self._namespace, name, version, path, told)
        finally:
            self._live.listings.drop()

    @_translated
    def pull(self, project: str, release: object) -> prj.Package:
        """The package of a release, verified, in a fresh folder: Python remembers zips by path."""
        found = self._version(project, release)
        self._staging.mkdir(parents=True, exist_ok=True)
        path, _ = self._fetched(found, Path(mkdtemp(prefix=".pull-", dir=self._staging)))
        with _IMPORTING:
            return prj.Package(path)

    @_translated
    def mount(self, project: str, release: object) -> prj.Artifact:
        """The code of a release on this process's path. The folder's name holds the content's digest,
        so no other registry, and none made anew, can be met there."""
        found = self._version(project, release)
        target = self._staging / found.model / f"{found.label}-{found.manifest[:16]}"
        if not target.is_dir():
            self._staging.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".pull-", dir=self._staging) as folder:
                path, manifest = self._fetched(found, Path(folder))
                packages.unpack(path, target, manifest)
        with _IMPORTING:
            return prj.Package(target).install(target)

    def _fetched(self, found: types.Version, folder: Path) -> tuple[Path, Manifest]:
        """The file, verified and looked into before ForML executes its manifest."""
        at = (self._namespace, found.model, found.number)
        path = releases.fetch(self._live.client, *at, folder, local_cache())
        manifest = packages.manifest_of(path)
        same = pep440.parse(manifest.version) == pep440.parse(found.label)
        if manifest.name != found.model or not same:
            raise forml.FailedError(
                f"Weighbridge: the package of {found.model} {found.label} is of {manifest.name} "
                f"{manifest.version}"
            )
        return path, manifest

    # Generations

    @_translated
    def write(self, project: str, release: object, sid: uuid.UUID, state: bytes) -> None:
        """Stores a state that belongs to no generation yet."""
        found = self._version(project, release)
        self._live.states.write(found.model, found.number, str(sid), state)

    @_translated
    def close(self, project: str, release: object, generation: object, tag: asset.Tag) -> None:
        """Makes a generation of states that were written, under that number or not at all."""
        found, number = self._version(project, release), int(asset.Generation.Key(generation))
        sids = [str(sid) for sid in tag.states]
        try:
            self._live.states.close(found.model, found.number, number, tag.dumps(), sids)
        finally:
            self._live.listings.drop()

    @_translated
    def open(self, project: str, release: object, generation: object) -> asset.Tag:
        """The tag of a generation."""
        found, number = self._version(project, release), int(asset.Generation.Key(generation))
        raw = self._live.states.tag(found.model, found.number, number)
        try:
            return asset.Tag.loads(raw)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise forml.FailedError(
                f"Weighbridge: the tag of generation {number} of {project} {release} is damaged: {error}"
            ) from error

    @_translated
    def read(self, project: str, release: object, generation: object, sid: uuid.UUID) -> bytes:
        """A state of a generation; empty if the generation has no such state."""
        found, number = self._version(project, release), int(asset.Generation.Key(generation))
        return self._live.states.read(found.model, found.number, number, str(sid))


def _remade(cls: type[Registry], parameters: Mapping[str, Any]) -> Registry:
    return cls(**parameters)


def _model(project: str) -> str:
    return str(grammar.model_name(str(project)))


def _is_release(version: types.Version) -> bool:
    """Whether ForML can know it: a version that was published before labels were ordered may not be."""
    try:
        pep440.parse(version.label)
    except InvalidRequest:
        return False
    return True


def _default_staging(url: str, namespace: str) -> Path:
    digest = hashlib.sha256(f"{url}\0{namespace.lower()}".encode()).hexdigest()[:16]
    return Path(setup.USRDIR) / "weighbridge" / digest
