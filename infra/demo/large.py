"""`python -m infra.demo.large --data FOLDER`: fills a registry with 3 projects, 40 models, 12,000 versions.

Everything is made by the registry's own verbs, on a clock and with randomness of its own: the same plan
makes the same registry. The data folder is one of a server that is not running; its pages are rendered
when it starts next.
"""

import argparse
import hashlib
import json
import random
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors.numpy import save

from chalicelib.indexing import objects
from chalicelib.registry import (
    aliases,
    changing,
    checkpoints,
    models,
    projects,
    publishing,
    uploads,
    versions,
)
from chalicelib.registry.stores import Stores
from chalicelib.storage.memory_queue import MemoryQueue
from infra.demo import inventory
from infra.demo.inventory import Subject
from infra.embedded import opening
from weighbridge.contract import digests, manifests, references
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    AliasTarget,
    ApprovalChange,
    Card,
    CheckpointCommit,
    Claims,
    FileClaims,
    ModelSettings,
    NewModel,
    NewProject,
    NewVersion,
    PlanRequest,
    PutDone,
    SignedRequest,
    Statistics,
    TensorClaim,
    VersionCommit,
    WantedBlob,
)

Send = Callable[[SignedRequest, bytes], object]
Weights = dict[str, NDArray[np.float32]]
VARIANTS = 6
CLAIMED = 40
"""Versions per model, the newest, whose tensors are fingerprinted."""
LAYERS = {"vision": 8, "language": 24, "speech": 6}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much there is to be. `versions` are shared by all models but the one that has `long`."""

    versions: int = 2000
    long: int = 10_000
    series: int = 5_000
    models: int = 40
    seed: int = 8


@dataclass(frozen=True, slots=True)
class Made:
    """Files that a version may have: entries for its manifest, and what is claimed of their tensors."""

    files: tuple[FileEntry, ...]
    claims: Claims


def fill(
    stores: Stores, plan: Plan, send: Send, say: Callable[[str], None] = lambda text: None
) -> None:
    """Fills the registry."""
    _Filling(stores, plan, send, say).all()


def put(request: SignedRequest, data: bytes) -> None:
    """Sends bytes as a client does."""
    asked = urllib.request.Request(  # noqa: S310
        request.url, data=data, headers=request.headers, method=request.method
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
        answer.read()


def upload(
    stores: Stores, project: str, files: Mapping[str, bytes], send: Send
) -> tuple[FileEntry, ...]:
    """Plan, PUT, report, and what the events of the store lead to."""
    entries, data_of = [], {}
    for path, data in sorted(files.items()):
        digest = digests.sha256_of(data)
        entry = FileEntry(path, len(data), digest, digests.single_blob(digest, len(data)))
        entries.append(entry)
        data_of[entry.blob] = data
    wanted = tuple(WantedBlob(blob) for blob in data_of)
    planned = uploads.plan(stores, "ada", project, PlanRequest(wanted))
    done = []
    for blob in planned.blobs:
        if blob.action == "put" and blob.request is not None:
            send(blob.request, data_of[blob.blob])
            done.append(PutDone(blob.blob, blob.key))
    if done:
        uploads.plan(stores, "ada", project, PlanRequest((), tuple(done)))
    for stored in done:
        objects.look(stores, stored.key)
    return tuple(entries)


def weights(project: str, variant: int) -> Weights:
    """A small encoder. From one variant to the next some layers changed, and at last it became wider."""
    width = 48 if variant < VARIANTS - 1 else 64
    found: Weights = {"embeddings.word.weight": _random(project, 0, (512, width))}
    for layer in range(LAYERS[project]):
        # A layer changes with the variants that trained it: later ones train more of them.
        touched = max(
            (v for v in range(variant + 1) if layer >= LAYERS[project] - 2 * v), default=0
        )
        seed = 100 * (layer + 1) + touched
        for index, part in enumerate(("query", "key", "value", "output")):
            name = f"encoder.layer.{layer}.attention.{part}"
            found[f"{name}.weight"] = _random(project, seed + 7000 * index, (width, width))
            found[f"{name}.bias"] = np.zeros(width, np.float32)
        found[f"encoder.layer.{layer}.norm.weight"] = np.ones(width, np.float32)
    found["classifier.weight"] = _random(project, 90_000 + variant, (width, 10))
    return found


def _random(project: str, seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    digest = hashlib.sha256(f"{project}/{seed}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return (rng.standard_normal(shape) * 0.05).astype(np.float32)


def claims_of(path: str, tensors: Weights) -> Claims:
    """What a pushing client claims of these tensors."""
    return Claims((FileClaims(path, tuple(_claim(n, v) for n, v in sorted(tensors.items()))),))


def _claim(name: str, values: NDArray[np.float32]) -> TensorClaim:
    wide = values.astype(np.float64)
    figures = Statistics(
        values.size, values.size, float(wide.min()), float(wide.max()), float(wide.mean()),
        float(wide.std()),
    )  # fmt: skip
    print_ = xxhash.xxh3_128_hexdigest(values.tobytes())
    return TensorClaim(name, "F32", tuple(values.shape), print_, figures)


class _Filling:
    """One registry being filled."""

    def __init__(self, stores: Stores, plan: Plan, send: Send, say: Callable[[str], None]) -> None:
        self._plan, self._send, self._say = plan, send, say
        self._time = inventory.BASE
        rng = random.Random(plan.seed)  # noqa: S311
        # A queue of its own: the server that starts next finds the changes in the outbox.
        self._stores = replace(
            stores, now=lambda: self._time, random=lambda: f"{rng.getrandbits(80):020x}",
            queue=MemoryQueue(),
        )  # fmt: skip

    def all(self) -> None:
        """Everything."""
        names = [(p, m) for p, subject in inventory.SUBJECTS.items() for m in subject.models]
        first = [inventory.NIGHTLY, inventory.SERIES]
        chosen = [*first, *(pair for pair in names if pair not in first)][: self._plan.models]
        counts = self._counts(chosen)
        for project, subject in inventory.SUBJECTS.items():
            mine = [name for place, name in chosen if place == project]
            if not mine:
                continue
            self._time = inventory.BASE
            projects.create(self._stores, "ada", NewProject(project, subject.about))
            made = [self._made(project, variant) for variant in range(VARIANTS)]
            for name in mine:
                self._model(project, subject, name, counts[project, name], made)
                self._say(f"{project}/{name}: {counts[project, name]:,} versions")

    def _counts(self, chosen: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Versions per model: `long` of one, and `versions` in all of the others, some more, some less."""
        rng = random.Random(self._plan.seed)  # noqa: S311
        others = [pair for pair in chosen if pair != inventory.NIGHTLY]
        shares = {pair: rng.uniform(0.3, 2.0) for pair in others}
        total = sum(shares.values())
        counts = {pair: max(1, int(self._plan.versions * s / total)) for pair, s in shares.items()}
        for index in range(self._plan.versions - sum(counts.values())):
            counts[others[index % len(others)]] += 1
        return {**counts, inventory.NIGHTLY: self._plan.long}

    def _made(self, project: str, variant: int) -> Made:
        tensors = weights(project, variant)
        config = {"hidden": tensors["classifier.weight"].shape[0], "layers": LAYERS[project]}
        files = {
            "config.json": json.dumps(config).encode(),
            "model.safetensors": save(tensors, {"variant": str(variant)}),
        }
        entries = upload(self._stores, project, files, self._send)
        return Made(entries, claims_of("model.safetensors", tensors))

    def _model(
        self, project: str, subject: Subject, name: str, count: int, made: Sequence[Made]
    ) -> None:
        rng = random.Random(f"{self._plan.seed}/{project}/{name}")  # noqa: S311
        self._time = inventory.BASE + rng.uniform(60, 5 * 86_400)
        stores, by = self._stores, rng.choice(inventory.PEOPLE[:3])
        settings = ModelSettings(
            main_metric=subject.main,
            directions=inventory.directions(subject, name),  # type: ignore[arg-type]
            protected_aliases=("production",),
        )
        tags = {"team": f"{project}-core", "device": rng.choice(("edge", "server"))}
        models.create(
            stores, by, project, NewModel(name, subject.models[name], tags, settings=settings)
        )
        models.set_card(stores, by, project, name, Card(inventory.card_of(name, subject)))
        step = inventory.SPAN / (count + 1)
        for number in range(1, count + 1):
            self._time += step * rng.uniform(0.7, 1.2)
            self._version(project, subject, name, number, count, made, rng)
        if (project, name) == inventory.SERIES:
            self._series(project, name, count, made, rng)

    def _version(
        self, project: str, subject: Subject, name: str, number: int, count: int,
        made: Sequence[Made], rng: random.Random,
    ) -> None:  # fmt: skip
        stores, done = self._stores, number / count
        by = rng.choice(inventory.PEOPLE)
        chosen = made[min(int(done * len(made)), len(made) - 1)]
        key = hashlib.sha256(f"{project}/{name}/{number}".encode()).hexdigest()
        label = f"{1 + number // 100}.{number // 10 % 10}.{number % 10}" if number % 10 == 0 else ""
        publishing.begin(stores, by, project, name, NewVersion(key, label))
        self._time += rng.uniform(20, 200)
        parents = tuple(f"{project}/{name}@{n}" for n in inventory.parents_of(number))
        publishing.commit(
            stores, by, project, name, number,
            VersionCommit(
                manifests.digest(chosen.files), chosen.files,
                description=f"Run {number}, on the data of week {1 + number % 52}." if number % 4 == 0 else "",
                metrics=inventory.metrics_of(rng, subject, name, done),
                params=inventory.params_of(rng, name, number),
                tags={"stage": "release"} if label else {},
                provenance=inventory.provenance_of(rng, name, number), parents=parents,
                claims=chosen.claims if number > count - CLAIMED else None,
            ),
        )  # fmt: skip
        self._promote(project, name, number, count)

    def _promote(self, project: str, name: str, number: int, count: int) -> None:
        """Aliases move a few times in the life of a model, `production` after somebody looked."""
        stores, every = self._stores, max(1, count // 6)
        selector = references.parse_version(str(number))
        if number % every == 0:
            self._time += 60
            aliases.move(stores, "grace", project, name, "staging", AliasTarget(str(number)))
        if number % (2 * every) == 0 or number == 1:
            self._time += 600
            change = ApprovalChange("approved", "Better on every site.")
            changing.approve(stores, "katherine", project, name, selector, change)
            aliases.move(stores, "katherine", project, name, "production", AliasTarget(str(number)))

    def _series(
        self, project: str, name: str, number: int, made: Sequence[Made], rng: random.Random
    ) -> None:
        """Very many checkpoints of one version."""
        record = models.find(self._stores, project, name)
        found = versions.numbered(self._stores, record, number)
        subject = inventory.SUBJECTS[project]
        for index in range(1, self._plan.series + 1):
            self._time += rng.uniform(5, 40)
            chosen = made[min(index * len(made) // (self._plan.series + 1), len(made) - 1)]
            done = index / self._plan.series
            request = CheckpointCommit(
                manifests.digest(chosen.files), chosen.files, step=100 * index,
                metrics=inventory.metrics_of(rng, subject, name, done),
                tags={"phase": "warm-up"} if done < 0.1 else {},
            )  # fmt: skip
            checkpoints.commit(self._stores, "ci-nightly", found, request)


def main(argv: Sequence[str]) -> int:
    """Fills the registry of a data folder."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo.large", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--versions", type=int, default=Plan().versions)
    parser.add_argument("--long", type=int, default=Plan().long)
    parser.add_argument("--series", type=int, default=Plan().series)
    args = parser.parse_args(argv)
    with ExitStack() as parts:
        stores = opening.stores(args.data, parts)
        if projects.records(stores):
            print(f"{args.data} holds projects already; name another folder", file=sys.stderr)
            return 2
        plan = Plan(args.versions, args.long, args.series)
        fill(stores, plan, put, lambda text: print(text, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
