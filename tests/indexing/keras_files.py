"""Writes Keras files, and what Keras says of them, into a folder; run by itself, because Keras reads
its settings at import, and the tests' own process shall not hold it. No TensorFlow is needed: the
backend is OpenVINO's."""

import json
import os
import sys
from pathlib import Path


def main(folder):
    """The models of the tests, each as `.keras`, `.h5` and `.weights.h5`, and facts.json."""
    os.environ |= {"KERAS_BACKEND": "openvino", "KERAS_HOME": str(folder / "home")}
    import keras

    # The file holds the function's code and with it the path of its source: the same everywhere.
    doubled = lambda x: x * 2  # noqa: E731
    doubled.__code__ = doubled.__code__.replace(co_filename="model.py")
    image = keras.Input((8, 8, 3), name="image")
    hidden = keras.layers.Conv2D(4, 3, activation="relu")(image)
    hidden = keras.layers.BatchNormalization()(hidden)
    pooled = keras.layers.GlobalAveragePooling2D()(hidden)
    classifier = keras.Model(image, keras.layers.Dense(2, name="classes")(pooled))
    classifier.compile("adam", "mse")
    sequence = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    script = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(doubled, name="double")])
    said = {}
    for name, model in {"classifier": classifier, "sequence": sequence, "lambda": script}.items():
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
        model.save_weights(folder / f"{name}.weights.h5")
        inputs = [
            layer["config"]["name"] for layer in model.get_config()["layers"]
            if layer["class_name"] == "InputLayer"
        ]  # fmt: skip
        said[name] = {
            "class": type(model).__name__,
            "parameters": model.count_params(),
            "shapes": sorted(list(w.shape) for w in model.weights),
            "inputs": [
                [n, list(t.shape), str(t.dtype)] for n, t in zip(inputs, model.inputs, strict=True)
            ],
            "version": keras.__version__,
        }
    (folder / "facts.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
