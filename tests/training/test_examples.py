"""Each framework, for real: trained to its end; killed by SIGTERM in the middle of a step, resumed from
the registry on another machine; and run again when all is done."""

import signal
import uuid

import numpy
import pytest
from safetensors.numpy import load_file

from weighbridge.contract.errors import RegistryError

pytestmark = pytest.mark.real

EXAMPLES = {
    # example: (snapshot at which it is killed, its step, last step, metric that falls or rises)
    "loop": (5, 5, 20, "loss"),
    "torch": (4, 20, 60, "loss"),
    "transformers": (2, 10, 30, "loss"),
    "lightning": (4, 32, 96, "loss"),
    "keras": (4, 4, 12, "loss"),
    "sklearn": (4, 8, 24, "accuracy"),
    "xgboost": (3, 15, 40, "train-logloss"),
    "lightgbm": (3, 15, 40, "train-binary_logloss"),
}


def series(registry, model, label, metric):
    """The metric of every checkpoint, by step."""
    found = list(registry.checkpoints(f"{model}@={label}", order="oldest"))
    assert len({c.step for c in found}) == len(found)
    assert [c.step for c in found] == sorted(c.step for c in found)
    return {c.step: c.metrics[metric] for c in found if metric in c.metrics}


def weights(registry, model, label, to):
    """The tensors of the published version, where it has a safetensors file."""
    pulled = registry.pull(f"{model}@={label}", to=to)
    tensors = {}
    for entry in pulled.files:
        if entry.path.endswith(".safetensors"):
            tensors |= load_file(pulled.folder / entry.path)
    return {entry.path for entry in pulled.files}, tensors


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_killed_run_goes_on_as_if_it_had_not_been(trainer, registry, tmp_path, name):
    """The run that was killed and resumed has the losses, and ends with the model, of the one that
    was not; a third run of the same label changes nothing."""
    at, step, last, metric = EXAMPLES[name]
    model = f"demo/{name if name != 'loop' else 'plain'}"
    whole, broken = f"whole-{uuid.uuid4().hex[:6]}", f"broken-{uuid.uuid4().hex[:6]}"

    undisturbed = trainer.example(name, whole)
    assert undisturbed.number("resumed at") == 0

    killed = trainer.killed(name, broken, at)
    assert killed.code == -signal.SIGTERM, killed.err
    assert killed.number("stopped at") == step
    at_kill = series(registry, model, broken, metric)
    assert registry.checkpoint(f"{model}@={broken}:last").step == step, killed.err
    assert registry.show(f"{model}@={broken}").state == "open"

    resumed = trainer.example(name, broken)
    assert resumed.number("resumed at") == step, resumed.err
    one, other = series(registry, model, whole, metric), series(registry, model, broken, metric)
    assert set(at_kill) <= set(other)
    assert max(other) == max(one) == last, (one, other)
    later = {s for s in one if s > step} & set(other)
    assert later
    assert {s: other[s] for s in later} == pytest.approx({s: one[s] for s in later}, rel=1e-4)
    if metric != "accuracy":
        assert other[last] < max(at_kill.values())

    ends = [registry.show(f"{model}@={label}") for label in (whole, broken)]
    assert [end.state for end in ends] == ["ready", "ready"]
    files, tensors = weights(registry, model, whole, tmp_path / "whole")
    again, same = weights(registry, model, broken, tmp_path / "broken")
    assert files == again
    assert tensors.keys() == same.keys()
    for tensor in tensors:
        numpy.testing.assert_allclose(same[tensor], tensors[tensor], rtol=1e-5, atol=1e-6)

    trainer.example(name, broken)
    assert series(registry, model, broken, metric) == other
    assert registry.show(f"{model}@={broken}") == ends[1]


def test_what_is_compared_could_differ(registry):
    """A label that no run had has nothing to compare."""
    with pytest.raises(RegistryError):
        series(registry, "demo/torch", "never", "loss")
