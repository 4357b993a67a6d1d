"""Keras and HDF5 against Keras and h5py."""

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.indexing.table import HERE, Row, described

NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I8": "int8", "BOOL": "bool",
         "U16": "uint16", "I32": "int32"}  # fmt: skip


@cache
def _folder():
    """The folder that Keras wrote its files into; it lasts as long as the tests."""
    folder = tempfile.TemporaryDirectory(prefix="weighbridge-keras-")
    program = HERE / "keras_files.py"
    subprocess.run(
        [sys.executable, program, folder.name], check=True, capture_output=True, timeout=300
    )
    return folder


def _file(name):
    return lambda _: Path(_folder().name) / name


def _datasets(file):
    """Name, dtype, shape, bytes and offset of all datasets that h5py visits."""
    found = {}

    def visit(name, thing):
        if isinstance(thing, h5py.Dataset):
            offset = thing.id.get_offset() or 0
            found[name] = (thing.dtype, thing.shape, offset)

    with h5py.File(file) as opened:
        opened.visititems(visit)
    return found


def check_hdf5(path, facts):
    """Names, dtypes, shapes and places of the datasets."""
    found = {t.name: (NAMES.get(t.dtype, t.dtype), t.shape, t.offset) for t in facts.tensors}
    for name, (dtype, shape, offset) in _datasets(path).items():
        kind = "TEXT" if dtype.kind == "O" else dtype.newbyteorder("=")
        assert found.pop(name) == (kind, shape, offset)
    assert found == {}


def _said(path):
    return json.loads((Path(_folder().name) / "facts.json").read_text())[path.name.split(".")[0]]


def _check_model(path, facts):
    said = _said(path)
    weights = [t for t in facts.tensors if not t.name.startswith("optimizer")]
    assert sorted(list(t.shape) for t in weights) == said["shapes"]
    assert facts.parameters == said["parameters"]
    assert facts.architecture == said["class"]
    assert [
        [p.name, [None if n == "" else int(n) for n in p.shape], NAMES[p.dtype]]
        for p in facts.inputs
    ] == (said["inputs"])
    assert facts.metadata["keras_version"] == said["version"]
    evil = path.name.startswith("lambda")
    assert facts.verdict == ("unsafe" if evil else "safe")
    assert ("Lambda layer: double" in facts.findings) == evil


def check_keras(path, facts):
    """Class, inputs, weights and verdict, and the weights' names in the file inside."""
    _check_model(path, facts)
    with zipfile.ZipFile(path) as archive:
        inside = archive.read("model.weights.h5")
    expected = _datasets(io.BytesIO(inside))
    found = {t.name: (NAMES[t.dtype], t.shape, t.offset) for t in facts.tensors}
    assert found == expected


def check_h5(path, facts):
    """Class, inputs, weights and verdict, and the datasets."""
    _check_model(path, facts)
    check_hdf5(path, facts)


def written(folder, name, **options):
    """An HDF5 file with what h5py can write."""
    path = folder / name
    with h5py.File(path, "w", **options) as file:
        file.attrs["note"] = "of variable length"
        file.attrs["fixed"] = np.bytes_("of fixed length")
        file.attrs["number"] = 7
        file["a/b/c"] = np.ones((3, 4), np.float16)
        file["flag"] = np.ones(3, bool)
        file["words"] = "text"
        file["scalar"] = np.float64(1)
        file.create_dataset("chunked", (100, 100), "f4", chunks=(10, 10), compression="gzip")
        for number in range(5):
            file[f"few/{number}"] = np.ones(number + 1, ">i4")
        file["links/twice"] = file["a/b"]
        file["links/soft"] = h5py.SoftLink("/a")
        file["links/elsewhere"] = h5py.ExternalLink("other.h5", "/x")
    return path


def check_written(path, facts):
    """Datasets, attributes, and the link to another file."""
    check_hdf5(path, facts)
    assert facts.findings == ("external link: other.h5",)
    assert (facts.metadata["note"], facts.metadata["fixed"]) == (
        "of variable length",
        "of fixed length",
    )
    assert facts.verdict == ""


def _wide(folder):
    path = folder / "wide.h5"
    with h5py.File(path, "w") as file:
        for number in range(3000):
            file[f"group {number % 30}/{number}"] = np.ones(2, np.uint16)
    return path


ROWS = [
    *(Row("keras", f"{name}.keras", "keras", "class, inputs, weights, verdict", _file(f"{name}.keras"), check_keras)
      for name in ("classifier", "sequence", "lambda")),
    *(Row("keras hdf5", f"{name}.h5", "keras", "class, inputs, weights, verdict", _file(f"{name}.h5"), check_h5)
      for name in ("classifier", "lambda")),
    Row("hdf5", "classifier.weights.h5", "keras", "datasets", _file("classifier.weights.h5"), check_hdf5),
    Row("hdf5", "earliest.h5", "h5py", "datasets, attributes, links",
        lambda folder: written(folder, "earliest.h5"), check_written),
    Row("hdf5", "latest.h5", "h5py, libver latest", "datasets, attributes, links",
        lambda folder: written(folder, "latest.h5", libver="latest"), check_written),
    Row("hdf5", "wide.h5", "h5py, 3,000 datasets", "datasets", _wide, check_hdf5),
]  # fmt: skip


def test_groups_in_dense_storage_are_counted(tmp_path):
    """More than eight links, in the latest format: their number is not known, and that is said."""
    with h5py.File(tmp_path / "dense.h5", "w", libver="latest") as file:
        file["seen"] = np.ones(3)
        for number in range(50):
            file[f"dense/{number}"] = np.ones(number + 1)
    facts = described(tmp_path / "dense.h5")
    assert facts.problem == ""
    assert [t.name for t in facts.tensors] == ["seen"]
    assert facts.metadata["groups not walked"] == "1"


def archive(config, weights=b"", **members):
    """A `.keras` file with this configuration."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
        file.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        if weights:
            file.writestr("model.weights.h5", weights)
        for name, content in members.items():
            file.writestr(name, content)
    return data.getvalue()


def _layer(**keys):
    return {"class_name": "Sequential", "module": "keras", "config": {"layers": [keys]}}


@pytest.mark.parametrize(("config", "verdict", "finding"), [
    (_layer(class_name="Dense", module="keras.layers", config={"name": "d"}), "safe", ""),
    (_layer(class_name="Lambda", module="keras.layers", config={"name": "l"}), "unsafe", "Lambda layer: l"),
    (_layer(class_name="Dense", module="keras.layers",
            config={"activation": {"class_name": "__lambda__", "config": {"value": "4wE="}}}),
     "unsafe", "__lambda__ layer: "),
    (_layer(class_name="function", module="os", config="system"), "unsafe", "function: os.system"),
    (_layer(class_name="function", module="builtins", config="exec"), "unsafe", "function: builtins.exec"),
    (_layer(class_name="function", module="builtins", config="relu"), "safe", ""),
    (_layer(class_name="function", module="keras.activations", config="relu"), "safe", ""),
    (_layer(class_name="function", module="keras.src.activations.activations", config="relu"), "safe", ""),
    (_layer(class_name="function", module="keras.utils", config="get_file"),
     "unsafe", "function: keras.utils.get_file"),
    (_layer(class_name="function", module="keras.src.utils.file_utils", config="get_file"),
     "unsafe", "function: keras.src.utils.file_utils.get_file"),
    (_layer(class_name="Popen", module="subprocess", config={}),
     "unsafe", "object of another module: subprocess.Popen"),
    (_layer(class_name="Popen", module="kerasx.layers", config={}),
     "unsafe", "object of another module: kerasx.layers.Popen"),
    (_layer(class_name="Mine", module=None, registered_name="Custom>Mine", config={}),
     "unknown", "custom object: Custom>Mine"),
    ([], "unknown", "the configuration is no JSON object"),
    ("{", "unknown", "config: it is no JSON"),
])  # fmt: skip
def test_what_a_configuration_names_decides_the_verdict(config, verdict, finding):
    """Lambdas, code in bytes, functions and classes of other modules, and what only its author has."""
    facts = described(archive(config))
    assert (facts.format, facts.verdict) == ("keras", verdict)
    assert (
        any(found.startswith(finding) for found in facts.findings)
        if finding
        else not facts.findings
    )


def test_an_archive_that_cannot_be_read_is_not_called_safe():
    """Damage leaves the verdict unknown, or unsafe where that was seen before."""
    good = archive(
        _layer(class_name="Dense", module="keras.layers"), weights=b"\x89HDF\r\n\x1a\n" + bytes(500)
    )
    assert described(good).problem
    assert described(good[:-30]).verdict == "unknown"
    evil = archive(_layer(class_name="Lambda", module="keras.layers"), weights=b"no weights")
    facts = described(evil)
    assert facts.problem
    assert facts.verdict == "unsafe"
