"""Trains a small classifier on scikit-learn's bundled digits in NumPy, pushing while it trains."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

from weighbridge import Registry

Array = NDArray[np.float32]
Weights = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Settings:
    """How one version is trained."""

    hidden: int
    rate: float
    epochs: int
    decay: float = 0.0
    seed: int = 7


def data() -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    """1,797 images of 8 x 8 pixels: 1,437 to train on, 360 to test."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = (found.data[order] / 16.0).astype(np.float32)
    labels = found.target[order].astype(np.int64)
    return images[:1437], labels[:1437], images[1437:], labels[1437:]


def start(settings: Settings) -> Weights:
    """Random weights of a perceptron with one hidden layer."""
    rng = np.random.default_rng(settings.seed)
    h = settings.hidden
    return {
        "hidden.weight": (rng.standard_normal((64, h)) * np.sqrt(2 / 64)).astype(np.float32),
        "hidden.bias": np.zeros(h, np.float32),
        "output.weight": (rng.standard_normal((h, 10)) * np.sqrt(2 / h)).astype(np.float32),
        "output.bias": np.zeros(10, np.float32),
    }


def forward(weights: Weights, images: Array) -> tuple[Array, Array]:
    """The hidden activations and the class probabilities."""
    hidden = np.maximum(images @ weights["hidden.weight"] + weights["hidden.bias"], 0)
    scores = hidden @ weights["output.weight"] + weights["output.bias"]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, powers / powers.sum(axis=1, keepdims=True)


def score(weights: Weights, images: Array, labels: NDArray[np.int64]) -> dict[str, float]:
    """Loss and accuracy."""
    _, probabilities = forward(weights, images)
    chosen = probabilities[np.arange(len(labels)), labels]
    return {
        "loss": round(float(-np.log(np.maximum(chosen, 1e-9)).mean()), 6),
        "accuracy": round(float((probabilities.argmax(axis=1) == labels).mean()), 6),
    }


def step(weights: Weights, images: Array, labels: NDArray[np.int64], settings: Settings) -> None:
    """One step of gradient descent on a batch."""
    hidden, probabilities = forward(weights, images)
    error = probabilities.copy()
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    back = (error @ weights["output.weight"].T) * (hidden > 0)
    gradients = {
        "hidden.weight": images.T @ back, "hidden.bias": back.sum(axis=0),
        "output.weight": hidden.T @ error, "output.bias": error.sum(axis=0),
    }  # fmt: skip
    for name, gradient in gradients.items():
        weights[name] -= settings.rate * (gradient + settings.decay * weights[name])


def epochs(settings: Settings) -> Iterator[tuple[int, Weights, dict[str, float]]]:
    """Trains; after each epoch its number, the weights and their score on the test images."""
    images, labels, test_images, test_labels = data()
    weights = start(settings)
    rng = np.random.default_rng(settings.seed)
    for epoch in range(settings.epochs):
        order = rng.permutation(len(images))
        for batch in np.array_split(order, len(order) // 32):
            step(weights, images[batch], labels[batch], settings)
        yield epoch, weights, score(weights, test_images, test_labels)


def train(
    registry: Registry, model: str, settings: Settings, folder: Path, say: Callable[[str], None]
) -> int:
    """Trains and pushes one version with a checkpoint every five epochs; answers its number."""
    folder.mkdir(parents=True, exist_ok=True)
    with registry.version(model) as version:
        version.log_params(
            {"hidden": settings.hidden, "rate": settings.rate, "epochs": settings.epochs,
             "decay": settings.decay, "seed": settings.seed}
        )  # fmt: skip
        weights: Weights = {}
        metrics: dict[str, float] = {}
        for epoch, weights, metrics in epochs(settings):
            if epoch % 5 == 0 or epoch == settings.epochs - 1:
                path = folder / f"epoch-{epoch:03}.safetensors"
                save_file(weights, path, {"format": "np", "epoch": str(epoch)})
                version.checkpoint(step=epoch, files=[path], name="epoch", metrics=metrics)
        final = folder / "model.safetensors"
        save_file(weights, final, {"format": "np"})
        version.log_metrics(metrics)
        version.add(final)
    say(f"pushed {model}@{version.number}: accuracy {metrics['accuracy']:.3f}")
    return version.number
