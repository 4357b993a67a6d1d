"""A run that is killed at any moment, while a push is under way: SIGTERM loses nothing that was
taken, SIGKILL at most what was not pushed yet; either way the losses go on exactly."""

import signal
import uuid
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.e2e.served import until

pytestmark = pytest.mark.real

SCRIPT = Path(__file__).parent / "long_run.py"
STEPS, PAUSE = 90, 50


def losses(text):
    """The loss of each step, as printed."""
    rows = [line.split() for line in text.splitlines() if line.startswith("loss")]
    return {int(step): float(loss) for _, step, loss in rows}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_killed_at_any_moment_goes_on_exactly(trainer, registry, tmp_path, number):
    """Killed as soon as a checkpoint is there, then left to finish on another machine."""
    label = uuid.uuid4().hex[:8]
    model = f"demo/long@={label}"
    whole = trainer.start(SCRIPT, f"whole-{label}", STEPS).end()
    assert whole.code == 0, whole.err
    expected = losses(whole.out)
    assert sorted(expected) == list(range(1, STEPS + 1))

    running = trainer.start(SCRIPT, label, STEPS, PAUSE)
    running.said(f"loss {PAUSE} ")
    assert running.out().startswith("resumed at 0\n")
    until(lambda: any(v.label == label for v in registry.versions("demo/long", state="open")))
    until(lambda: list(registry.checkpoints(model)))
    running.kill(number)
    killed = running.end()
    assert killed.code == -number, killed.err
    seen = losses(killed.out)
    assert {s: expected[s] for s in seen} == pytest.approx(seen, rel=1e-5)
    last = max(seen)
    assert last == PAUSE
    reached = registry.checkpoint(f"{model}:last").step
    # After SIGTERM the newest snapshot is there; that of the step under way may be.
    least = last - last % 3 if number == signal.SIGTERM else 3
    assert least <= reached <= last + 1

    done = trainer.start(SCRIPT, label, STEPS).end()
    assert done.code == 0, done.err
    assert done.number("resumed at") == reached
    later = losses(done.out)
    assert min(later) == reached + 1
    assert {s: expected[s] for s in later} == pytest.approx(later, rel=1e-5)
    ends = []
    for which in (f"whole-{label}", label):
        pulled = registry.pull(f"demo/long@={which}", to=tmp_path / which)
        ends.append(load_file(pulled.folder / "model.safetensors"))
    one, other = ends
    # The tied layer is stored once.
    assert sorted(one) == ["0.bias", "0.weight", "2.bias", "2.weight", "5.bias", "5.weight"]
    assert all((one[name] == other[name]).all() for name in one)
