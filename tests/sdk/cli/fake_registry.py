"""The real facade over the fake client; only what moves bytes is replaced."""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from tests.sdk.cli.fake_client import URL
from weighbridge.contract import manifests, references, types
from weighbridge.contract.errors import AlreadyExists, NotFound
from weighbridge.registry import Registry
from weighbridge.results import PullResult, PushResult, Resumed, TensorsResult
from weighbridge.sources import collect
from weighbridge.writing import Draft, hashed


class FakeRegistry(Registry):
    """The real facade over the fake client; only what moves bytes is its own."""

    def __init__(self, client, url=URL):
        self.url = url
        self.client = client
        self.closed = False

    def close(self):
        self.closed = True

    def push(self, model, paths, *, as_name=None, label=None, metrics=None, params=None,
             tags=None, alias=(), parents=(), description="", attributes=None, provenance=None,
             progress=None, dry_run=False, create=True, stats=None, fingerprints=None,
             wait=None, package=""):  # fmt: skip
        at = references.parse(model)
        draft = Draft.of(
            label=label or "", metrics=metrics, params=params, tags=tags, parents=parents,
            description=description,
        )  # fmt: skip
        sent = hashed(collect(paths, as_name), progress)
        number, made = 0, None
        if not dry_run:
            opened = self.client.begin_version(at.project, at.model, "k", draft.label)
            number = opened.number
            commit = replace(
                types.VersionCommit(manifests.digest(sent.entries), sent.entries, description),
                metrics=draft.metrics, params=draft.params, tags=draft.tags, parents=draft.parents,
            )  # fmt: skip
            made = self.client.commit_version(at.project, at.model, number, commit)
            for name in alias:
                self.client.move_alias(at.project, at.model, name, number)
        text = f"{model}@{number}" if number else model
        return self._pushed(text, number, sent, dry_run, judged=made)

    def push_checkpoint(self, ref, paths, step, component="", name="", metrics=None, tags=None, *,
                        as_name=None, progress=None, dry_run=False, stats=None,
                        fingerprints=None, wait=0.0):  # fmt: skip
        at = references.parse(ref)
        sent = hashed(collect(paths, as_name), progress)
        if dry_run:
            return self._pushed(ref, 0, sent, True)
        made = self.client.commit_checkpoint(
            at.project, at.model, at.version,
            types.CheckpointCommit(
                manifests.digest(sent.entries), sent.entries, step, component, name, metrics or {},
                tags or {},
            ),
        )  # fmt: skip
        text = f"{at.project}/{at.model}@{made.version}:{made.number}"
        return self._pushed(text, made.version, sent, False, made.number, judged=made)

    def resume(self, ref, component="", to=None, *, force=True, progress=None):
        last = self.last_checkpoint(ref, component)
        if last is None:
            return None
        at = f"{last.project}/{last.model}@{last.version}:{last.number}"
        return Resumed(at, last.step, last, self.pull(at, to, force=force))

    def _pushed(self, reference, version, sent, dry_run, checkpoint=0, judged=None):
        size = sum(e.size for e in sent.entries)
        return PushResult(
            reference, version, 0 if dry_run else size, 0, len(sent.entries), 0.25, 4, 1,
            manifests.digest(sent.entries), checkpoint, sent.entries, dry_run,
            state=judged.state if judged else "",
            verdict=judged.verdict if judged else "pending",
        )  # fmt: skip

    def pull_tensors(self, ref, names, to=None, files=(), force=False):
        chosen = self.resolve(ref)
        path = Path(to or "tensors.safetensors")
        path.write_bytes(b"t")
        tensors = tuple(
            types.Tensor(name, "F32", (2, 2), 16, 16 * i) for i, name in enumerate(names)
        )
        return TensorsResult(str(chosen), path, tensors, 100, 120, False, 0.5, 4)

    def pull(
        self, ref, to=None, files=(), force=False, progress=None, exclude=(), link="auto",
        verify=None,
    ):  # fmt: skip
        chosen = self.resolve(ref)
        number = chosen.checkpoint.number if chosen.checkpoint else 0
        at = (chosen.project, chosen.model, chosen.version.number, number)
        wanted = tuple(
            f for f in self.client.files.get(at, ())
            if (not files or any(fnmatchcase(f.path, p) for p in files))
            and not any(fnmatchcase(f.path, p) for p in exclude)
        )  # fmt: skip
        if files and not wanted:
            raise NotFound(f"no file of {chosen} matches {', '.join(files)}")
        folder = Path(to or f"{chosen.model}-{at[2]}")
        folder.mkdir(exist_ok=True)
        for file in wanted:
            if (folder / file.path).exists() and not force:
                raise AlreadyExists(f"{folder / file.path} is there already")
            (folder / file.path).write_bytes(b"x")
        size = sum(f.size for f in wanted)
        return PullResult(
            str(chosen), at[2], folder, wanted, size, 0, 0.5, 3, manifests.digest(wanted), number
        )
