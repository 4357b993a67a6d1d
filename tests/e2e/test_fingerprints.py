"""Fingerprints and statistics over the real stack: exactly the changed tensor is told, NaN is warned of."""

import math
import uuid

import numpy as np
import pytest
import safetensors.numpy

from tests.e2e.served import until

pytestmark = pytest.mark.real


def layers(**changed):
    """A model of 24 MiB in a large tensor, and two small ones."""
    rng = np.random.default_rng(11)
    found = {
        "embed.weight": rng.standard_normal((3 * 1024, 2048), np.float32),
        "layer.0.weight": rng.standard_normal((64, 64)).astype(np.float16),
        "layer.1.weight": rng.standard_normal((64, 64)).astype(np.float16),
    }
    return {**found, **changed}


def test_diff_shows_exactly_the_changed_tensor(person):
    """Push, change one tensor, push, rename one with NaN in another: diff and show tell each."""
    name = f"f{uuid.uuid4().hex[:8]}/net"
    path = person.home / "model.safetensors"

    def push(tensors, *more):
        safetensors.numpy.save_file(tensors, path)
        return person.run("push", name, "model.safetensors", "--json", *more)

    first = push(layers())
    assert first.json["warnings"] == []
    tuned = layers()["layer.1.weight"] * np.float16(2)
    push(layers(**{"layer.1.weight": tuned}))
    broken = layers(**{"layer.1.weight": tuned})
    broken["head.weight"] = broken.pop("layer.0.weight")
    broken["layer.1.weight"] = tuned.copy()
    broken["layer.1.weight"][0, :16] = math.nan
    third = push(broken, "--stats")
    assert third.json["warnings"] == [
        "1 tensor has NaN values: model.safetensors: layer.1.weight (0.391 %)"
    ]
    assert "warning: 1 tensor has NaN values" in third.err
    for number in (1, 2, 3):
        until(lambda n=number: "F16" in person.ok("show", f"{name}@{n}").out)

    def changes(*numbers):
        refs = [f"{name}@{number}" for number in numbers]
        found = person.run("diff", *refs, "--only", "tensors", "--json").json
        (section,) = found["sections"]
        return {row["name"]: row["change"] for row in section["differences"]}

    assert changes(1, 2) == {"layer.1.weight": "changed"}
    assert changes(2, 3) == {"head.weight": "renamed", "layer.1.weight": "changed"}
    assert changes(1, 1) == {}
    shown = person.ok("show", f"{name}@3", "--tensors").out
    assert "0.391%" in shown
    assert "as their pusher claims" in shown
    facts = person.json("show", f"{name}@3")["facts"]["items"][0]["facts"]["tensors"]
    embed = next(t for t in facts if t["name"] == "embed.weight")
    exact = layers()["embed.weight"].astype(np.float64)
    assert embed["statistics"]["seen"] == exact.size
    assert embed["statistics"]["std"] == pytest.approx(exact.std())
    silent = push(layers(**{"layer.1.weight": tuned}), "--no-stats", "--no-fingerprints")
    assert silent.json["warnings"] == []
    until(lambda: "F16" in person.ok("show", f"{name}@4").out)
    assert changes(1, 4) == {}
