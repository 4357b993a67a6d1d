"""The facade that trainers and consumers use: push, pull, versions, checkpoints, aliases."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from weighbridge import config, reading, tensor_pulls, verdicts
from weighbridge.client import Client
from weighbridge.client.session import VersionLike
from weighbridge.contract import references, types
from weighbridge.contract.errors import InvalidName
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import Reference
from weighbridge.results import PullResult, PushResult, Resumed, TensorData, TensorsResult
from weighbridge.series import Series
from weighbridge.sessions import VersionSession
from weighbridge.sources import PathLike, collect
from weighbridge.transfer.clone import Link
from weighbridge.transfer.fingerprints import Wanted
from weighbridge.transfer.progress import Watcher
from weighbridge.writing import Clock, Draft, publish_checkpoint, publish_version

__all__ = ["PullResult", "PushResult", "Registry", "Resumed", "TensorData", "TensorsResult"]


class Registry(Series):
    """A registry at `url` (argument, else environment, else what `login` or `serve` stored).

    Constructing it does nothing on the network. Usable from several threads, and as a `with` block
    that closes its connections at the end. `.client` has one typed method per route.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, ca_file: str | None = None
    ) -> None:
        chosen = config.load(url, token, ca_file)
        self.url = chosen.url
        self.client = Client(chosen.url, chosen.token, chosen.ca_file)

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self.client.close()

    def __enter__(self) -> "Registry":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Writing

    def push(
        self,
        model: str,
        paths: PathLike | Iterable[PathLike],
        *,
        as_name: str | None = None,
        label: str | None = None,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        alias: str | Iterable[str] = (),
        parents: Iterable[str] = (),
        description: str = "",
        attributes: Mapping[str, Any] | None = None,
        provenance: types.Provenance | None = None,
        progress: Watcher | None = None,
        dry_run: bool = False,
        create: bool = True,
        stats: bool | None = None,
        fingerprints: bool | None = None,
        wait: float | None = None,
        package: str = "",
    ) -> PushResult:
        """Publishes files as the next version of `model` (`"project/model"`).

        Folders are walked, hidden files included; their content stands at the top of the version.
        `as_name` renames a single file, or is the folder for a single folder's content. What the
        project holds already is not sent again, and an interrupted push continues when it is run
        again. Project and model are made if missing, unless `create` is false. Nothing is visible until
        all is there; then each `alias` is moved. A dry run reports what the version would hold, with
        `sent_bytes` 0. `stats` and `fingerprints`: whether tensors are looked at; `wait`: seconds that
        its verdict is waited for. `package`: the id by which clients of edge registries shall know its ZIP
        file, instead of one that is made up. `progress` is called with each `ProgressEvent`.
        """
        return publish_version(
            self.client,
            _model(model),
            collect(paths, as_name),
            Draft.of(
                label=label or "",
                metrics=metrics,
                params=params,
                tags=tags,
                aliases=(alias,) if isinstance(alias, str) else tuple(alias),
                parents=parents,
                description=description,
                attributes=attributes,
                provenance=provenance,
                package=package,
            ),
            progress=progress,
            dry_run=dry_run,
            create=create,
            wanted=Wanted.of(fingerprints, stats),
            wait=wait,
        )

    def push_checkpoint(
        self,
        ref: str,
        paths: PathLike | Iterable[PathLike],
        step: int,
        component: str = "",
        name: str = "",
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        as_name: str | None = None,
        progress: Watcher | None = None,
        dry_run: bool = False,
        stats: bool | None = None,
        fingerprints: bool | None = None,
        wait: float | None = 0.0,
    ) -> PushResult:
        """Publishes files as a checkpoint of the version `ref` (open or ready).

        (component, step, name) is its identity: the same content twice is one checkpoint, other
        content under the same identity is `AlreadyExists`. `wait`: as in `push`, but 0 by default.
        """
        return publish_checkpoint(
            self.client,
            parse(ref),
            collect(paths, as_name),
            step=step,
            component=component,
            name=name,
            metrics=metrics,
            tags=tags,
            progress=progress,
            dry_run=dry_run,
            wanted=Wanted.of(fingerprints, stats),
            wait=wait,
        )

    def version(
        self,
        model: str,
        label: str | None = None,
        *,
        resume: bool = False,
        description: str = "",
        parents: Iterable[str] = (),
        alias: str | Iterable[str] = (),
        provenance: types.Provenance | None = None,
        retention: types.Retention | None = None,
        progress: Watcher | None = None,
        create: bool = True,
        stats: bool | None = None,
        fingerprints: bool | None = None,
    ) -> VersionSession:
        """A version to fill in a `with` block: published at its end, given up on an exception.

        After an exception a version that has checkpoints already is left open instead; it is
        continued by `version(model, label, resume=True)`. `retention` says which checkpoints are
        kept, instead of the model's; of a version that is continued, only where it says another than
        before, which needs the right to delete.
        """
        return VersionSession(
            self.client,
            _model(model),
            Draft.of(
                label=label or "",
                description=description,
                parents=parents,
                aliases=(alias,) if isinstance(alias, str) else tuple(alias),
                provenance=provenance,
            ),
            resume=resume,
            retention=retention,
            progress=progress,
            create=create,
            wanted=Wanted.of(fingerprints, stats),
        )

    # Reading

    def pull(
        self,
        ref: str,
        to: PathLike | None = None,
        files: str | Iterable[str] = (),
        force: bool = False,
        progress: Watcher | None = None,
        exclude: str | Iterable[str] = (),
        link: Link = "auto",
        verify: config.Verify | None = None,
    ) -> PullResult:
        """Downloads a version or checkpoint (`p/m`, `p/m@3`, `p/m@prod:best`) and verifies it.

        `to` is the folder, by default `MODEL-VERSION` here. `files` limits it to paths that match a
        pattern (`*.json`), `exclude` leaves such out. An identical file that is there is left alone;
        a different one is an `AlreadyExists` unless `force`. What this machine pulled before is not
        fetched again; `link` says how files share bytes with the cache: `auto`, `copy`, `hard` or
        `reflink`. `verify` (by default `WEIGHBRIDGE_VERIFY`, or `whole`) says what proves a large
        file: its SHA-256, or `parts`, its blob id alone, which hashes it once instead of twice. An
        interrupted pull continues when it is run again.
        """
        clock = Clock(self.client)
        chosen, manifest = reading.resolve(self.client, parse(ref))
        return reading.pull(
            self.client,
            chosen,
            manifest,
            Path(to) if to is not None else None,
            reading.Choice(_texts(files), _texts(exclude)),
            force=force,
            progress=progress,
            clock=clock,
            link=link,
            verify=verify,
        )

    def tensor(self, ref: str, name: str, file: str = "") -> TensorData:
        """One tensor of a safetensors file of a version or checkpoint: its bytes, dtype and shape.

        Fetches the headers and that tensor, not the file. `file` is a pattern that limits which
        files are looked through. `verified` tells whether parts with known digests cover it.
        """
        return tensor_pulls.one(self.client, parse(ref), name, file)

    def pull_tensors(
        self,
        ref: str,
        names: str | Iterable[str],
        to: PathLike | None = None,
        files: str | Iterable[str] = (),
        force: bool = False,
    ) -> TensorsResult:
        """Writes a safetensors file with just these tensors of a version or checkpoint.

        `to` is the file, by default `MODEL-VERSION-tensors.safetensors` here; see `tensor`.
        """
        return tensor_pulls.some(
            self.client,
            parse(ref),
            _texts(names),
            Path(to) if to is not None else None,
            _texts(files),
            force=force,
            clock=Clock(self.client),
        )

    def resolve(self, ref: str) -> Reference:
        """`ref` with numbers in place of aliases, labels, `latest`, `last` and `best`. Asks
        nothing where it has numbers already."""
        return reading.resolve(self.client, parse(ref))[0]

    def files(self, ref: str) -> tuple[FileEntry, ...]:
        """The files of a version or checkpoint by path, verified against its manifest."""
        return reading.files(self.client, self.resolve(ref))[0]

    def projects(self) -> Iterator[types.Project]:
        """All projects that the token may read."""
        return self.client.iter_projects()

    def models(self, project: str, prefix: str = "") -> Iterator[types.Model]:
        """All models of a project."""
        return self.client.iter_models(project, prefix)

    def model(self, model: str) -> types.Model:
        """One model (`"project/model"`) with its aliases."""
        ref = _model(model)
        return self.client.model(ref.project, ref.model)

    def versions(
        self, model: str, state: str = "ready", order: str = "newest"
    ) -> Iterator[types.Version]:
        """The versions of a model, newest first unless `order` is `oldest`."""
        ref = _model(model)
        return self.client.iter_versions(ref.project, ref.model, state, order)

    def federated(self, project: str, model_id: str = "") -> Iterator[types.FederatedVersion]:
        """The federated versions of a project: which parties hold a part, and who is missing."""
        return self.client.iter_federated(project, model_id)

    def show(self, ref: str) -> types.Version:
        """One version: its metrics, parameters, tags, provenance and state."""
        wanted = parse(ref)
        return self.client.version(
            wanted.project, wanted.model, wanted.version or references.LATEST
        )

    def best(self, model: str, metric: str = "") -> types.Version:
        """The best version by `metric`, or by the model's main metric."""
        ref = _model(model)
        return self.client.best_version(ref.project, ref.model, metric)

    def facts(self, ref: str) -> types.VersionFacts:
        """What indexing found in the files of a version or checkpoint, and what its pusher claims."""
        wanted = parse(ref)
        version = wanted.version or references.LATEST
        at = (wanted.project, wanted.model, version)
        if wanted.checkpoint is None:
            return self.client.version_facts(*at)
        return self.client.checkpoint_facts(*at, wanted.checkpoint)

    def verdict(self, ref: str, wait: float = 0.0) -> types.VerdictReport:
        """Whether loading a version or checkpoint can execute code, and which files are to blame.

        `wait`: seconds that a verdict which is still `pending` is waited for.
        """
        at = _versioned(parse(ref))
        return verdicts.settled(self.client.verdict(at), lambda: self.client.verdict(at), wait)

    def compare(self, *refs: str) -> types.Comparison:
        """Two to six versions and checkpoints side by side, differences only."""
        return self.client.compare(*(str(_versioned(parse(ref))) for ref in refs))

    def history(self, project: str, model: str = "") -> Iterator[types.Event]:
        """What happened in a project (or to one of its models), newest first."""
        return self.client.iter_events(project, model)

    # Aliases, approval, deletion

    def alias(
        self,
        model: str,
        alias: str,
        version: VersionLike | None = None,
        expected: int | None = None,
    ) -> types.AliasMove:
        """Where `alias` points; with `version`, moves it there first."""
        ref = _model(model)
        if version is None:
            return self.client.alias(ref.project, ref.model, alias)
        return self.client.move_alias(ref.project, ref.model, alias, version, expected)

    def remove_alias(self, model: str, alias: str) -> types.AliasMove:
        """Removes an alias; its history stays."""
        ref = _model(model)
        return self.client.remove_alias(ref.project, ref.model, alias)

    def alias_history(self, model: str, alias: str) -> Iterator[types.AliasMove]:
        """The moves of an alias, newest first."""
        ref = _model(model)
        return self.client.iter_alias_history(ref.project, ref.model, alias)

    def approve(
        self, ref: str, state: types.ApprovalState = "approved", comment: str = ""
    ) -> types.Version:
        """Signs a version off, or rejects it."""
        wanted = _named_version(ref)
        assert wanted.version is not None
        return self.client.approve(wanted.project, wanted.model, wanted.version, state, comment)

    def delete(self, ref: str) -> types.Deleted:
        """Deletes a version or checkpoint, which must be named (`p/m@3`, `p/m@3:12`)."""
        wanted = _named_version(ref)
        assert wanted.version is not None
        at = (wanted.project, wanted.model, wanted.version)
        if wanted.checkpoint is None:
            return self.client.delete_version(*at)
        return self.client.delete_checkpoint(*at, wanted.checkpoint)


def parse(ref: str) -> Reference:
    """`ref` as a reference."""
    return references.parse(ref)


def _texts(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _model(text: str) -> Reference:
    ref = references.parse(text)
    if ref.version is not None or ref.checkpoint is not None:
        raise InvalidName(f"{text!r} names a version; here a model is meant: PROJECT/MODEL")
    return ref


def _named_version(text: str) -> Reference:
    ref = references.parse(text)
    if ref.version is None:
        raise InvalidName(f"{text!r} names no version; write PROJECT/MODEL@VERSION")
    return ref


def _versioned(ref: Reference) -> Reference:
    return Reference(ref.project, ref.model, ref.version or references.LATEST, ref.checkpoint)
