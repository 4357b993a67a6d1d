"""What the large demo registry holds: names, metrics and params that read like those of real projects.

Pure data and functions of a random generator; nothing here knows the registry.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weighbridge.contract.types import Provenance

WIDE = "defect-classes"
"""The model with 40 metrics and 24 params."""
CLASSES = (
    "scratch", "dent", "crack", "stain", "burr", "pit", "chip", "warp", "fold", "hole", "rust",
    "blister", "void", "streak", "smudge", "notch", "wrinkle",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """What the models of one project have in common. `metrics`: name to where it begins, where it tends
    to, and which way is better."""

    about: str
    main: str
    metrics: Mapping[str, tuple[float, float, str]]
    models: Mapping[str, str] = field(default_factory=dict)


SUBJECTS: Mapping[str, Subject] = {
    "vision": Subject(
        "Inspection cameras of the assembly lines, and what runs on them.", "accuracy",
        {"accuracy": (0.71, 0.978, "max"), "loss": (0.92, 0.071, "min"), "f1": (0.66, 0.969, "max"),
         "top5": (0.9, 0.999, "max"), "latency_ms": (31.0, 11.5, "min")},
        {"defect-detector": "Finds surface defects on castings, 1,280 px, 30 frames a second.",
         WIDE: "Tells seventeen kinds of defect apart.",
         "nightly-regression": "Trained every hour on the newest frames, to notice drift early.",
         "barcode-reader": "Reads worn and tilted barcodes.", "bin-picking": "Grasps from a depth image.",
         "conveyor-count": "Counts parts on a moving belt.", "glare-filter": "Removes reflections.",
         "hand-guard": "Stops the press while a hand is near it.", "label-check": "Compares labels with orders.",
         "pallet-pose": "Pose of a pallet from one camera.", "sorting-eye": "Sorts by material.",
         "thermal-anomaly": "Hot spots in motors.", "tool-wear": "How worn a cutting edge is.",
         "weld-seam": "Grades weld seams."},
    ),
    "language": Subject(
        "Texts of customers: sorting, answering, summing up.", "f1",
        {"f1": (0.58, 0.931, "max"), "loss": (2.4, 0.41, "min"), "exact_match": (0.44, 0.873, "max"),
         "perplexity": (38.0, 7.2, "min")},
        {"ticket-router": "Sends a ticket to the team that can solve it.",
         "sentence-encoder": "Sentences to 384 numbers, for search.",
         "answer-draft": "Drafts an answer from the handbook.", "contract-terms": "Finds terms in contracts.",
         "duplicate-finder": "Tickets that say the same.", "intent": "What a caller wants.",
         "keyword-tags": "Tags for articles.", "language-id": "Which of 96 languages a text is in.",
         "long-summary": "Sums up long threads.", "part-numbers": "Part numbers in free text.",
         "redactor": "Blackens names and addresses.", "sentiment": "How content a customer is.",
         "spelling": "Mends typing errors before search."},
    ),
    "speech": Subject(
        "Voices on the line and in the hall.", "wer",
        {"wer": (0.31, 0.062, "min"), "cer": (0.17, 0.021, "min"), "loss": (3.1, 0.38, "min"),
         "rtf": (0.52, 0.11, "min")},
        {"wakeword": "Listens for two words on a microcontroller.",
         "call-transcripts": "Transcripts of service calls.", "alarm-sounds": "Which machine calls for help.",
         "bearing-noise": "Wear of bearings by their sound.", "captions": "Live captions in meetings.",
         "commands-de": "Two hundred spoken commands, German.",
         "commands-en": "Two hundred spoken commands, English.", "denoiser": "Takes the hall out of a voice.",
         "dialogue-acts": "Question, answer, order.", "speaker-turns": "Who spoke when.",
         "tempo": "How hurried somebody speaks.", "voice-activity": "Whether anybody speaks.",
         "whisper-notes": "Notes dictated quietly."},
    ),
}  # fmt: skip
NIGHTLY = ("vision", "nightly-regression")
"""The model of very many versions."""
SERIES = ("speech", "wakeword")
"""The model whose newest version has very many checkpoints."""
PEOPLE = ("ada", "grace", "katherine", "ci-nightly")
BASE = 1_780_300_800.0
"""1 June 2026: when it all began."""
SPAN = 170 * 86_400.0


def toward(rng: random.Random, first: float, last: float, done: float) -> float:
    """A metric on its way, `done` of it (0 to 1) behind: quick at first, never quite steady."""
    reached = 1 - (1 - done) ** 3
    value = (
        first + (last - first) * reached + (last - first) * 0.05 * rng.gauss(0, 1) * (1.2 - done)
    )
    return round(max(value, 0.0001), 4 if abs(value) < 10 else 2)


def metrics_of(rng: random.Random, subject: Subject, name: str, done: float) -> dict[str, float]:
    """The metrics of a version that is `done` of the way."""
    found = {
        metric: toward(rng, first, last, done)
        for metric, (first, last, _) in subject.metrics.items()
    }
    for metric in ("accuracy", "f1", "top5", "exact_match"):
        if metric in found:
            found[metric] = min(found[metric], 0.9995)
    if name == WIDE:
        for index, word in enumerate(CLASSES):
            found[f"recall/{word}"] = min(toward(rng, 0.4, 0.97 - index * 0.012, done), 1.0)
            found[f"precision/{word}"] = min(toward(rng, 0.5, 0.98 - index * 0.01, done), 1.0)
        found["map50"] = toward(rng, 0.41, 0.88, done)
    return found


def directions(subject: Subject, name: str) -> dict[str, str]:
    """Which way each metric is better."""
    known = {metric: direction for metric, (_, _, direction) in subject.metrics.items()}
    if name == WIDE:
        known |= {f"{kind}/{word}": "max" for word in CLASSES for kind in ("recall", "precision")}
        known["map50"] = "max"
    return known


def params_of(rng: random.Random, name: str, number: int) -> dict[str, Any]:
    """The params of a version."""
    found: dict[str, Any] = {
        "learning_rate": rng.choice((0.0003, 0.0005, 0.001, 0.002)), "batch_size": rng.choice((64, 128, 256)),
        "epochs": rng.choice((20, 30, 40)), "optimizer": rng.choice(("adamw", "lion", "sgd")),
        "weight_decay": rng.choice((0.0, 0.01, 0.05)), "seed": 1000 + number, "dtype": "bfloat16",
    }  # fmt: skip
    if name == WIDE:
        found |= {f"augment.{word}": rng.choice((0, 0.25, 0.5, 1)) for word in CLASSES}
    return found


def provenance_of(rng: random.Random, name: str, number: int) -> Provenance:
    """Where a version says it comes from."""
    return Provenance(
        git_commit=f"{rng.getrandbits(160):040x}", command=f"python train.py --model {name} --run {number}",
        framework="torch 2.9.1", hardware=rng.choice(("1 x L4", "4 x L4", "8 x H100")), python="3.12.11",
        datasets=(f"s3://datasets/{name}/{2026}-{1 + number % 12:02}",),
    )  # fmt: skip


def parents_of(number: int) -> tuple[int, ...]:
    """Which versions a version was made from: mostly the one before, sometimes an older one or two."""
    if number == 1 or number % 11 == 0:
        return ()
    if number % 7 == 0:
        return (number - 1, number - 4)
    return (number - 3 if number % 5 == 0 else number - 1,)


def card_of(name: str, subject: Subject) -> str:
    """A model card in Markdown."""
    about = subject.models[name]
    rows = "\n".join(
        f"| {metric} | {'larger' if direction == 'max' else 'smaller'} is better |"
        for metric, (_, _, direction) in subject.metrics.items()
    )
    return f"""# {name}

{about} It belongs to: {subject.about}

## What it is for

Use the version behind the alias `production`. Versions without an approval are for trying out only.

| metric | |
|---|---|
{rows}

## How it was trained

On data of the twelve months before its release, split by site, so that no site is in two splits.
Every version names the commit, the command and the data that it comes from.

## What it cannot do

- It has seen no night shifts before March.
- Below a confidence of 0.6 somebody should look.
"""
