"""For PyTorch loops: model, optimizer, scheduler and random states, saved and restored together.

A snapshot copies the tensors to the CPU; writing and pushing them happens in another thread. The
weights become `model.safetensors`, everything else `training.pt`, which is only ever read as plain
data (`weights_only=True`).
"""

import json
import random
import sys
from collections import OrderedDict
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from weighbridge.contract.errors import InvalidManifest
from weighbridge.training.extras import library
from weighbridge.training.tracker import Checkpointer

WEIGHTS = "model.safetensors"
STATE = "training.pt"
_TIED = "tied"


class TorchLoop:
    """Saves every `every` steps what a loop needs to go on; `more` are further objects with
    `state_dict` and `load_state_dict` (a gradient scaler, an averaged model) by name."""

    def __init__(
        self,
        saver: Checkpointer,
        model: Any,
        optimizer: Any = None,
        scheduler: Any = None,
        *,
        every: int = 1,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self._torch = library("torch", "torch")
        library("safetensors.torch", "torch")
        self.saver = saver
        self._model = model
        self._every = max(1, every)
        given = {"optimizer": optimizer, "scheduler": scheduler, **(more or {})}
        self._parts = {name: part for name, part in given.items() if part is not None}

    def resume(self) -> int:
        """Restores the last checkpoint of the run; its step, or 0 where there is none."""
        found = self.saver.resume()
        if found is None:
            return 0
        load_weights(self._model, found.path / WEIGHTS)
        state = self._torch.load(found.path / STATE, map_location="cpu", weights_only=True)
        if missing := self._parts.keys() - state["parts"].keys():
            raise InvalidManifest(
                f"{found.reference} has no state of {', '.join(sorted(missing))}; it was saved by "
                "another program"
            )
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        self._restore_random(state["random"])
        return found.step

    def step(self, step: int, metrics: Mapping[str, Any] | None = None) -> bool:
        """Call it after each step: saves when it is time. True if a snapshot was taken."""
        return step % self._every == 0 and self.save(step, metrics)

    def save(
        self,
        step: int,
        metrics: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> bool:
        """Takes a snapshot now."""
        if not self.saver.admits():
            return False
        copies = _Copies(self._torch)
        weights = copies.of(dict(self._model.state_dict()))
        parts = copies.of({name: part.state_dict() for name, part in self._parts.items()})
        state = {"parts": parts, "random": self._random()}

        def write(folder: Path) -> None:
            _write_weights(self._torch, weights, folder / WEIGHTS)
            self._torch.save(state, folder / STATE)

        return self.saver.defer(step, write, copies.size, metrics=metrics, tags=tags)

    def finish(self) -> str:
        """Publishes the version with the model's weights as they are now."""
        return self.saver.finish(lambda folder: save_weights(self._model, folder / WEIGHTS))

    def _random(self) -> dict[str, Any]:
        torch = self._torch
        state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state_all()
        if (numpy := sys.modules.get("numpy")) is not None:
            kind, keys, *rest = numpy.random.get_state()
            state["numpy"] = (kind, keys.tolist(), *rest)
        return state

    def _restore_random(self, state: dict[str, Any]) -> None:
        torch = self._torch
        torch.set_rng_state(state["torch"])
        random.setstate(state["python"])
        if "cuda" in state and torch.cuda.device_count() == len(state["cuda"]):
            torch.cuda.set_rng_state_all(state["cuda"])
        if "numpy" in state:
            library("numpy", "torch").random.set_state(state["numpy"])


def save_weights(model: Any, file: Path) -> None:
    """Writes a model's weights as safetensors. Tensors that share memory are stored once."""
    torch = library("torch", "torch")
    library("safetensors.torch", "torch")
    _write_weights(torch, _Copies(torch).of(dict(model.state_dict())), file)


def load_weights(model: Any, file: Path) -> None:
    """Reads what `save_weights` wrote into a model."""
    safetensors = library("safetensors", "torch")
    with safetensors.safe_open(file, framework="pt", device="cpu") as stored:
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        tied = json.loads((stored.metadata() or {}).get(_TIED, "{}"))
    for name, first in tied.items():
        if first not in state:
            raise InvalidManifest(f"{file.name} ties {name!r} to {first!r}, which it does not hold")
        state[name] = state[first]
    model.load_state_dict(state)


class _Copies:
    """Copies of nested states on the CPU; what shared memory before shares it again."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._made: dict[tuple[Any, ...], Any] = {}
        self.size = 0

    def of(self, value: Any) -> Any:
        if isinstance(value, self._torch.Tensor):
            return self._tensor(value)
        if type(value) in (dict, OrderedDict):
            return type(value)((name, self.of(item)) for name, item in value.items())
        if type(value) in (list, tuple):
            return type(value)(self.of(item) for item in value)
        return deepcopy(value)

    def _tensor(self, tensor: Any) -> Any:
        tensor = tensor.detach()
        place = (
            str(tensor.device),
            tensor.data_ptr(),
            tuple(tensor.shape),
            tuple(tensor.stride()),
            tensor.dtype,
        )
        if tensor.numel() and place in self._made:
            return self._made[place]
        copy = tensor.to("cpu", copy=True).contiguous()
        self._made[place] = copy
        self.size += copy.numel() * copy.element_size()
        return copy


def _write_weights(torch: Any, state: Mapping[str, Any], file: Path) -> None:
    """Writes copies; a tensor that stands under several names is written under the first."""
    tensors: dict[str, Any] = {}
    tied: dict[str, str] = {}
    first: dict[int, str] = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise InvalidManifest(
                f"the model's state {name!r} is a {type(value).__name__}, which safetensors cannot "
                "hold; pass it in `more`"
            )
        if value.numel() and id(value) in first:
            tied[name] = first[id(value)]
            continue
        first[id(value)] = name
        tensors[name] = value
    metadata = {"format": "pt"} | ({_TIED: json.dumps(tied)} if tied else {})
    library("safetensors.torch", "torch").save_file(tensors, str(file), metadata=metadata)
