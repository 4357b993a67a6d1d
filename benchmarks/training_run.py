"""One training run of `benchmarks.training`: blocks of steps, with pushing and without, in turns.

python -m benchmarks.training_run torch|lightgbm PAIRS
"""

import json
import sys
import time
from typing import Any

from weighbridge.training import Checkpointer


class Blocks:
    """The clock of a run: which block a step belongs to, and how long each took."""

    def __init__(self, saver: Checkpointer, pairs: int, steps: int) -> None:
        self.saver = saver
        self.steps = steps
        # without, with, with, without, …: what drifts during the run meets both alike
        self.plan = [(pair + half) % 2 == 1 for pair in range(pairs) for half in range(2)]
        self.times: dict[bool, list[float]] = {True: [], False: []}
        self.snapshots: list[float] = []
        self._done = 0
        self._began = 0.0

    @property
    def total(self) -> int:
        """Steps in all."""
        return len(self.plan) * self.steps

    def begin(self) -> bool:
        """Before a step: whether this one begins a block with pushing."""
        first = self._done % self.steps == 0
        if first:
            self._began = time.perf_counter()
        return first and self.plan[self._done // self.steps]

    def took(self, seconds: float) -> None:
        """What the loop paid for a snapshot; part of its block's time."""
        self.snapshots.append(seconds)

    def end(self) -> None:
        """After a step. Between blocks what is still under way is waited for, unmeasured."""
        self._done += 1
        if self._done % self.steps == 0:
            pushing = self.plan[(self._done - 1) // self.steps]
            self.times[pushing].append(time.perf_counter() - self._began)
            self.saver.flush()

    def report(self, what: str, size: int) -> dict[str, Any]:
        """The figures as JSON."""
        assert self.saver.pushed == self.plan.count(True), "a checkpoint is missing"
        return {
            "what": what,
            "steps": self.steps,
            "bytes": size,
            "snapshot_seconds": round(sum(self.snapshots) / len(self.snapshots), 4),
            "with": [round(t, 4) for t in self.times[True]],
            "without": [round(t, 4) for t in self.times[False]],
        }


def last_size(saver: Checkpointer, label: str) -> int:
    """Bytes of the last checkpoint."""
    return saver.registry.checkpoint(f"{saver.model}@={label}:last").size


def run_torch(pairs: int) -> dict[str, Any]:
    """A small transformer encoder with AdamW."""
    import torch

    from weighbridge.training.torch import TorchLoop

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(384, 6, 1536, batch_first=True, dropout=0.0)
    model = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    saver = Checkpointer(None, "bench/torch", label="run")
    loop = TorchLoop(saver, model, optimizer)
    x = torch.randn(8, 48, 384)

    def step() -> None:
        loss = (model(x) - x.roll(1, 1)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(5):
        step()
    loop.save(0)
    saver.flush()
    saver.pushed = 0
    blocks = Blocks(saver, pairs, 100)
    for number in range(1, blocks.total + 1):
        if blocks.begin():
            began = time.perf_counter()
            loop.save(number)
            blocks.took(time.perf_counter() - began)
        step()
        blocks.end()
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    what = f"PyTorch, transformer of {parameters:.1f} million parameters with AdamW"
    return blocks.report(what, last_size(saver, "run"))


def run_lightgbm(pairs: int) -> dict[str, Any]:
    """Boosted trees of 63 leaves."""
    import lightgbm
    import numpy

    from weighbridge.training.lightgbm import WeighbridgeCallback

    numbers = numpy.random.default_rng(0)
    x = numbers.normal(size=(60_000, 60))
    y = (x[:, :6].prod(1) + x[:, 6:12].sum(1) > 0).astype(float)
    saver = Checkpointer(None, "bench/lightgbm", label="run")
    callback = WeighbridgeCallback(saver, every=1)
    blocks = Blocks(saver, pairs, 200)

    def before(env: Any) -> None:
        if blocks.begin():
            began = time.perf_counter()
            callback(env)
            blocks.took(time.perf_counter() - began)

    before.before_iteration = True  # type: ignore[attr-defined]

    def after(env: Any) -> None:
        blocks.end()

    lightgbm.train(
        {"objective": "binary", "num_leaves": 63, "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(x, y), blocks.total, callbacks=[before, after],
    )  # fmt: skip
    return blocks.report("LightGBM, trees of 63 leaves", last_size(saver, "run"))


if __name__ == "__main__":
    with_name = {"torch": run_torch, "lightgbm": run_lightgbm}
    print(json.dumps(with_name[sys.argv[1]](int(sys.argv[2]))))
