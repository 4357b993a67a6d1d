"""A small registry made of values: three projects, ten models, forty versions; and its `Source`."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.catalogue import reading
from chalicelib.catalogue.registry_source import federated_row
from chalicelib.catalogue.views import (
    DETAILED_MODELS,
    SPARK,
    FederatedRow,
    ModelRow,
    ProjectSummary,
)
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.federated import PartyModel, parse
from weighbridge.contract.types import (
    AliasMove,
    Approval,
    Checkpoint,
    Facts,
    FileFacts,
    Model,
    ModelSettings,
    Port,
    Project,
    Provenance,
    Provider,
    Tensor,
    Version,
    VersionFacts,
)

Numbered = dict[tuple[str, str, int], Any]


def sha(text: str) -> str:
    """A digest that depends only on `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def at(day: int, hour: int = 9, minute: int = 10) -> str:
    """A time in November 2026."""
    return f"2026-11-{day:02d}T{hour:02d}:{minute:02d}:00.000Z"


@dataclass
class FakeSource:
    """A `Source` over plain dictionaries, keyed by project id, model name and number."""

    clock: int = 1_763_716_200_000
    projects: dict[str, Project] = field(default_factory=dict)
    model_list: dict[tuple[str, str], Model] = field(default_factory=dict)
    cards: dict[tuple[str, str], str] = field(default_factory=dict)
    versions: dict[tuple[str, str, int], Version] = field(default_factory=dict)
    fact_list: dict[tuple[str, str, int], VersionFacts] = field(default_factory=dict)
    provider_list: dict[str, tuple[Provider, ...]] = field(default_factory=dict)
    point_list: dict[tuple[str, str, int, int], VersionFacts] = field(default_factory=dict)
    checkpoint_list: dict[tuple[str, str, int], tuple[Checkpoint, ...]] = field(
        default_factory=dict
    )
    move_list: dict[tuple[str, str], tuple[AliasMove, ...]] = field(default_factory=dict)

    def now(self) -> int:
        self.clock += 1000
        return self.clock

    def summaries(self) -> Sequence[tuple[str, ProjectSummary]]:
        return [
            (
                i,
                ProjectSummary(
                    p,
                    sum(1 for k in self.model_list if k[0] == i),
                    versions=12,
                    bytes=1_234_567_890,
                ),
            )
            for i, p in sorted(self.projects.items(), key=lambda item: item[1].name.lower())
        ]

    def project(self, project_id: str) -> Project | None:
        return self.projects.get(project_id)

    def models(self, project_id: str) -> Iterator[Model]:
        for key in sorted(self.model_list):
            if key[0] == project_id:
                yield self.model_list[key]

    def rows(self, project_id: str, limit: int) -> tuple[Sequence[ModelRow], bool]:
        found = list(self.models(project_id))
        rows = [
            reading.row(m, self.newest(project_id, m, SPARK), self.count(project_id, m))
            for m in found[: min(limit, DETAILED_MODELS)]
        ]
        return [*rows, *map(ModelRow, found[DETAILED_MODELS:limit])], len(found) > limit

    def model(self, project_id: str, name: str) -> Model | None:
        return self.model_list.get((project_id, name))

    def card(self, project_id: str, model: Model) -> str:
        return self.cards.get((project_id, model.name), "")

    def _of(self, project_id: str, model: Model, state: str) -> list[Version]:
        found = [
            v
            for (p, m, _), v in self.versions.items()
            if (p, m) == (project_id, model.name) and v.state == state
        ]
        return [self._shown(project_id, v) for v in sorted(found, key=lambda v: -v.number)]

    def _shown(self, project_id: str, version: Version) -> Version:
        model = self.model_list[project_id, version.model]
        aliases = tuple(sorted(a for a, n in model.aliases.items() if n == version.number))
        return replace(version, aliases=aliases)

    def newest(self, project_id: str, model: Model, limit: int) -> Sequence[Version]:
        return self._of(project_id, model, "ready")[:limit]

    def ranged(self, project_id: str, model: Model, first: int, last: int) -> Sequence[Version]:
        return [v for v in self._of(project_id, model, "ready") if first <= v.number <= last]

    def in_progress(self, project_id: str, model: Model, limit: int) -> Sequence[Version]:
        return self._of(project_id, model, "open")[:limit]

    def version(self, project_id: str, model: Model, number: int) -> Version | None:
        found = self.versions.get((project_id, model.name, number))
        return self._shown(project_id, found) if found else None

    def count(self, project_id: str, model: Model) -> int | None:
        return len(self._of(project_id, model, "ready"))

    def facts(self, project_id: str, version: Version) -> VersionFacts:
        return self.fact_list.get((project_id, version.model, version.number), VersionFacts(()))

    def checkpoints(self, project_id: str, version: Version, limit: int) -> Sequence[Checkpoint]:
        found = self.checkpoint_list.get((project_id, version.model, version.number), ())
        return found[-limit:]

    def points(
        self, project_id: str, version: Version, first: int, last: int
    ) -> Sequence[Checkpoint]:
        found = self.checkpoints(project_id, version, 10**9)
        return [c for c in found if first <= c.number <= last]

    def around(self, project_id: str, version: Version, number: int) -> tuple[int, int]:
        numbers = [c.number for c in self.checkpoints(project_id, version, 10**9)]
        before = max((n for n in numbers if n < number), default=0)
        return before, min((n for n in numbers if n > number), default=0)

    def point_facts(
        self, project_id: str, version: Version, checkpoint: Checkpoint
    ) -> VersionFacts:
        at_ = (project_id, version.model, version.number)
        return self.point_list.get((*at_, checkpoint.number), VersionFacts(()))

    def checkpoint_count(self, project_id: str, version: Version) -> int:
        return len(self.checkpoint_list.get((project_id, version.model, version.number), ()))

    def moves(self, project_id: str, model: Model, limit: int) -> Sequence[AliasMove]:
        return self.move_list.get((project_id, model.name), ())[:limit]

    def children(self, project_id: str, version: Version) -> Sequence[str]:
        ref = f"{version.project}/{version.model}@{version.number}"
        return [
            f"{v.project}/{v.model}@{v.number}"
            for _, v in sorted(self.versions.items())
            if ref in v.parents and v.state == "ready"
        ]

    def providers(self, project_id: str, limit: int) -> tuple[Sequence[Provider], bool]:
        found = sorted(self.provider_list.get(project_id, ()), key=lambda p: p.provider_name)
        return found[:limit], len(found) > limit

    def federated(
        self, project_id: str, model_id: str, most: int
    ) -> tuple[Sequence[FederatedRow], bool]:
        found: dict[str, list[tuple[PartyModel, VersionRecord]]] = {}
        for (place, name, number), version in sorted(self.versions.items()):
            party = parse(name)
            live = version.state not in ("deleted", "aborted")
            if (
                place == project_id
                and party
                and party.model_id == model_id
                and version.label
                and live
            ):
                model = self.model_list[place, name]
                record = ModelRecord(place, model.project, model)
                shown = VersionRecord(record, self.version(place, model, number) or version)
                found.setdefault(version.label, []).append((party, shown))
        labels, listed = sorted(found, reverse=True), 0
        rows = []
        for label in labels:
            if rows and listed + len(found[label]) > most:
                return rows, True
            listed += len(found[label])
            pairs = sorted(found[label], key=lambda pair: pair[0].party)
            rows.append(federated_row(model_id, label, pairs))
        return rows, False

    # Building

    def add_model(self, project_id: str, name: str, **fields: Any) -> Model:
        """A new model."""
        project = self.projects[project_id]
        identifier = sha(f"{project_id}/{name}")[:16]
        model = Model(project.name, name, identifier, created=at(2), created_by="ada", **fields)
        self.model_list[project_id, name] = model
        return model

    def add_version(self, project_id: str, name: str, number: int, **fields: Any) -> Version:
        """A new version, ready unless `state` says otherwise."""
        project = self.projects[project_id]
        given: dict[str, Any] = {
            "state": "ready", "created": at(3), "published": at(3, 9, number % 60),
            "created_by": "ada", **fields,
        }  # fmt: skip
        version = Version(project.name, name, number, **given)
        self.versions[project_id, name, number] = version
        return version

    def add_facts(self, project_id: str, name: str, number: int, *files: FileFacts) -> None:
        """The files of a version."""
        self.fact_list[project_id, name, number] = VersionFacts(files)
        key = (project_id, name, number)
        self.versions[key] = replace(
            self.versions[key], files=len(files), size=sum(f.size for f in files),
            manifest=sha(f"{key}"),
            formats=tuple(sorted({f.facts.format for f in files if f.facts} - {"file"})),
        )  # fmt: skip


def tensor(name: str, *shape: int, dtype: str = "F32", fingerprint: str = "") -> Tensor:
    """One tensor of four-byte (or two-byte) numbers."""
    count = 1
    for size in shape:
        count *= size
    return Tensor(name, dtype, shape, count * (4 if dtype == "F32" else 2), 0, fingerprint)


def encoder(layers: int, width: int = 384, dtype: str = "F32") -> tuple[Tensor, ...]:
    """The tensors of a small sentence encoder."""
    found = [
        tensor("embeddings.word_embeddings.weight", 30522, width, dtype=dtype),
        tensor("embeddings.position_embeddings.weight", 512, width, dtype=dtype),
        tensor("embeddings.token_type_embeddings.weight", 2, width, dtype=dtype),
        tensor("embeddings.LayerNorm.weight", width, dtype=dtype),
        tensor("embeddings.LayerNorm.bias", width, dtype=dtype),
    ]
    for layer in range(layers):
        at_ = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            found.append(tensor(f"{at_}.attention.self.{part}.weight", width, width, dtype=dtype))
            found.append(tensor(f"{at_}.attention.self.{part}.bias", width, dtype=dtype))
        found += [
            tensor(f"{at_}.attention.output.dense.weight", width, width, dtype=dtype),
            tensor(f"{at_}.attention.output.dense.bias", width, dtype=dtype),
            tensor(f"{at_}.attention.output.LayerNorm.weight", width, dtype=dtype),
            tensor(f"{at_}.attention.output.LayerNorm.bias", width, dtype=dtype),
            tensor(f"{at_}.intermediate.dense.weight", 4 * width, width, dtype=dtype),
            tensor(f"{at_}.intermediate.dense.bias", 4 * width, dtype=dtype),
            tensor(f"{at_}.output.dense.weight", width, 4 * width, dtype=dtype),
            tensor(f"{at_}.output.dense.bias", width, dtype=dtype),
            tensor(f"{at_}.output.LayerNorm.weight", width, dtype=dtype),
            tensor(f"{at_}.output.LayerNorm.bias", width, dtype=dtype),
        ]
    return (*found, tensor("pooler.dense.weight", width, width), tensor("pooler.dense.bias", width))


def weights(path: str, tensors: tuple[Tensor, ...], seed: str = "") -> FileFacts:
    """A safetensors file."""
    size = sum(t.bytes for t in tensors) + 4096
    parameters = sum(t.bytes // (4 if t.dtype == "F32" else 2) for t in tensors)
    digest = sha(path + seed)
    dtypes: dict[str, int] = {}
    for t in tensors:
        dtypes[t.dtype] = dtypes.get(t.dtype, 0) + t.bytes // (4 if t.dtype == "F32" else 2)
    facts = Facts("safetensors", 1, parameters, tensors, {"format": "pt"}, dtypes=dtypes)
    return FileFacts(path, size, digest, f"s-{digest}-{size}", facts)


def plain(path: str, size: int, seed: str = "") -> FileFacts:
    """A file of no known format."""
    digest = sha(path + seed)
    return FileFacts(path, size, digest, f"s-{digest}-{size}", Facts("file"))


def known(path: str, size: int, facts: Facts) -> FileFacts:
    """A file of which indexing found this."""
    return replace(plain(path, size), facts=facts)


def digits_network(width: int, dtype: str = "F32", seed: str = "") -> tuple[Tensor, ...]:
    """The tensors of a small classifier; `seed` gives fingerprints."""
    prints = {n: sha(n + seed)[:16] for n in ("hidden", "output")} if seed else {}
    return (
        tensor("hidden.weight", 64, width, dtype=dtype, fingerprint=prints.get("hidden", "")),
        tensor("hidden.bias", width, fingerprint="b5e1b5e1b5e1b5e1" if seed else ""),
        tensor("output.weight", width, 10, dtype=dtype, fingerprint=prints.get("output", "")),
        tensor("output.bias", 10, fingerprint="0d0d0d0d0d0d0d0d" if seed else ""),
    )


def _digits(source: FakeSource) -> None:
    settings = ModelSettings("accuracy", {"accuracy": "max", "loss": "min"}, ("prod*",))
    source.add_model(
        "p1", "digits", description="Handwritten digits, 8 × 8 pixels: a two-layer network.",
        tags={"team": "vision", "task": "classification"}, settings=settings,
        aliases={"production": 6, "staging": 8},
    )  # fmt: skip
    source.cards["p1", "digits"] = (
        "# Digits\n\nRecognises handwritten digits from 8 × 8 grey pixels.\n\n"
        "## Intended use\n\nDemonstrations and tests. **Not** for cheques.\n\n"
        "| split | images |\n|---|---|\n| train | 1,437 |\n| test | 360 |\n"
    )
    rng = random.Random(7)
    accuracies = (0.8917, 0.9139, 0.9361, 0.925, 0.9528, 0.9694, 0.9667, 0.975)
    for number, accuracy in enumerate(accuracies, 1):
        width = 32 if number < 5 else 64
        source.add_version(
            "p1", "digits", number,
            label=f"1.{number}.0" if number % 2 == 0 else "",
            description="Wider hidden layer, cosine schedule." if number == 8 else "",
            metrics={"accuracy": accuracy, "loss": round(1.6 - 1.55 * accuracy, 5),
                     "f1": round(accuracy - 0.004, 6), "seconds": round(rng.uniform(3, 9), 2)},
            params={"hidden": width, "lr": 0.01 if number < 4 else 0.003, "epochs": 30,
                    "optimizer": "sgd" if number < 3 else "adam",
                    "schedule": {"kind": "cosine", "warmup": 3} if number == 8 else "constant"},
            tags={"device": "cpu"} | ({"reviewed": "yes"} if number == 6 else {}),
            attributes={"precision": "FP32", "target": "cpu"},
            approval=Approval("approved", "grace", at(9), "Evaluated on the October set.")
            if number in (3, 6) else Approval(),
            provenance=Provenance(sha(f"c{number}")[:40], number == 4,
                                  "python train.py --hidden 64", "numpy 2.2.1",
                                  "2 × EPYC 7763", "3.11.14", ("sklearn:digits",)),
            parents=(f"Vision/digits@{number - 1}",) if number in (5, 8) else (),
            published=at(3 + number, 8 + number), created=at(3 + number, 8),
            created_by="ada" if number % 3 else "ci-trainer",
        )  # fmt: skip
        seed = str(number)
        source.add_facts(
            "p1", "digits", number,
            plain("config.json", 212 + number, seed),
            weights("model.safetensors", digits_network(width, seed=seed), seed),
            plain("training.log", 8_120 + 31 * number, seed),
        )  # fmt: skip
    source.move_list["p1", "digits"] = (
        AliasMove("staging", 8, 7, at(11, 17), "ada"),
        AliasMove("production", 6, 3, at(10, 10), "grace"),
        AliasMove("staging", 7, 0, at(10, 9), "ada"),
        AliasMove("production", 3, 0, at(6, 12), "grace"),
    )
    source.checkpoint_list["p1", "digits", 8] = tuple(
        Checkpoint(
            "Vision", "digits", 8, n, "", n * 50, f"epoch-{n}",
            {"accuracy": round(0.975 - 0.6 / (n + 1) + 0.004 * (n % 3), 4),
             "loss": round(1.9 / (n + 0.7), 4)},
            {}, sha(f"d8{n}"), 1, 18_432, at(11, 8, n), "ada",
        )
        for n in range(1, 25)
    )  # fmt: skip
    source.add_version("p1", "digits", 9, state="open", created=at(12), published="", metrics={})
    source.checkpoint_list["p1", "digits", 9] = tuple(
        Checkpoint(
            "Vision", "digits", 9, n, "encoder" if n % 2 else "head", (n + 1) // 2 * 100, "",
            {"loss": 2.0 / n}, {}, sha(f"d9{n}"), 1, 9_216, at(12, 8, n), "ada",
        )
        for n in range(1, 7)
    )  # fmt: skip


def _embeddings(source: FakeSource) -> None:
    settings = ModelSettings("spearman", {"spearman": "max", "latency_ms": "min"})
    source.add_model(
        "p2", "all-MiniLM-L6-v2", description="Sentence embeddings, six layers.",
        settings=settings, aliases={"production": 1},
    )  # fmt: skip
    for number, layers, dtype in ((1, 6, "F32"), (2, 6, "F16"), (3, 12, "F32")):
        source.add_version(
            "p2", "all-MiniLM-L6-v2", number, created_by="grace",
            metrics={"spearman": 0.8203 - 0.0007 * (number == 2) + 0.012 * (number == 3),
                     "latency_ms": {1: 14.2, 2: 8.05, 3: 27.9}[number]},
            parents=("Text-Embeddings/all-MiniLM-L6-v2@1",) if number > 1 else (),
        )  # fmt: skip
        source.add_facts(
            "p2", "all-MiniLM-L6-v2", number,
            known("config.json", 612, Facts(
                "transformers-config", 3, architecture="BertModel", base_model="nreimers/MiniLM-L6",
                metadata={"model_type": "bert", "hidden_size": "384", "vocab_size": "30522"})),
            known("head.skops", 23_678, Facts(
                "skops", 3, architecture="Pipeline(StandardScaler, SVC)", quantisation="int8",
                inputs=(Port("embedding", "F32", ("batch", "384", "")), Port("mask")),
                outputs=(Port("label", "I64", ("batch",)),),
                verdict="unsafe" if number == 1 else "safe",
                findings=("os.system", "builtins.eval") if number == 1 else (),
                metadata={"sklearn_version": "1.9.1"})),
            weights("model.safetensors", encoder(layers, dtype=dtype)),
            plain("tokenizer.json", 466_247), plain("vocab.txt", 231_508),
        )  # fmt: skip
    source.move_list["p2", "all-MiniLM-L6-v2"] = (AliasMove("production", 1, 0, at(4), "grace"),)


MODEL_ID = "arbiter-10000#guest-9999#host-9998_10000#model"
MANY = "guest-1#host-" + "_".join(str(90_000_000 + n) for n in range(64)) + "#model"
"""The id of a federated model of 65 parties."""


def _federated(source: FakeSource) -> None:
    """Two versions of four parties, the newer one not complete; and one of 65, most of them missing."""
    for role, party, labels in (
        ("arbiter", "10000", ("202611200908070605041",)),
        ("guest", "9999", ("202611200908070605041", "202611210102030405061")),
        ("host", "9998", ("202611200908070605041", "202611210102030405061")),
        ("host", "10000", ("202611200908070605041",)),
    ):
        name = f"{role}#{party}#{MODEL_ID}"
        source.add_model("p4", name)
        for number, label in enumerate(labels, 1):
            source.add_version("p4", name, number, label=label)
            source.add_facts(
                "p4", name, number, plain("define/define_meta.yaml", 412),
                plain("variables/data/pipeline/pipeline/Pipeline", 9_000 + number),
            )  # fmt: skip
    source.versions["p4", f"host#9998#{MODEL_ID}", 2] = replace(
        source.versions["p4", f"host#9998#{MODEL_ID}", 2], state="open", published="", files=0,
        size=0, manifest="",
    )  # fmt: skip
    for party in ("guest#1", "host#90000000", "host#90000063"):
        name = f"{party}#{MANY}"
        source.add_model("p4", name)
        source.add_version("p4", name, 1, label="202611220102030405061")


def world() -> FakeSource:
    """The registry that most tests look at."""
    source = FakeSource()
    source.projects = {
        "p1": Project("Vision", "Everything that looks at pictures.", False, at(1), "ada"),
        "p2": Project("Text-Embeddings", "Sentence and document encoders.", False, at(1), "grace"),
        "p3": Project("scratch", "", True, at(1), "linus"),
        "p4": Project("models", "What federated learning made.", False, at(1), "ada"),
    }
    _federated(source)
    source.provider_list["p4"] = tuple(
        Provider(
            f"{name}:{version}@{device}", name, version, device, {"base_dir": "/data"}, "fate",
            {"psi": {"description": "Private set intersection"}, "hetero_lr": {}, "reader": None},
            at(2), "ada", at(3), "grace", 2,
        )
        for name, version, device in (
            ("fate", "2.1.0", "local"), ("fate", "2.2.0", "docker"), ("acme", "1.0", "k8s"),
        )
    )  # fmt: skip
    _digits(source)
    _embeddings(source)
    for name, count in (("faces", 5), ("traffic signs (EU)", 4), ("ocr/é".replace("/", "-"), 3)):
        settings = ModelSettings("top1", {"top1": "max"})
        source.add_model("p1", name, settings=settings, aliases={"production": count})
        for number in range(1, count + 1):
            source.add_version("p1", name, number, metrics={"top1": 0.7 + 0.03 * number})
            source.add_facts("p1", name, number, plain("model.onnx", 1_000_000 * number))
        source.move_list["p1", name] = (AliasMove("production", count, 0, at(5), "ada"),)
    source.add_model("p1", "empty-so-far")
    for name, count in (("long-documents", 5), ("guest#10000#arbiter-10000#model", 4)):
        source.add_model("p2", name)
        for number in range(1, count + 1):
            source.add_version("p2", name, number, params={"lr": 10.0**-number})
    source.add_model("p3", "tiny")
    for number in range(1, 5):
        source.add_version("p3", "tiny", number)
    source.add_model("p3", "x" * 400, description="A name too long for a folder.")
    for number in range(1, 4):
        source.add_version(
            "p3", "x" * 400, number, parents=("scratch/tiny@1",) if number == 3 else ()
        )
    return source
