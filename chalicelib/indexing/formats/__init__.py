"""Formats: each indexer sniffs the first bytes of an object and reads its facts by ranges.

One format, one module with `sniff(first, size)` and `read(ranged)`; a new one is added to `INDEXERS`,
the more particular before the more general; one that is a zip is added to `archives.KINDS`. Nothing is
unpickled and no framework is imported (docs/formats.md).
"""

from collections.abc import Callable
from dataclasses import replace

from chalicelib.indexing.formats import (
    archives,
    catboost,
    gguf,
    huggingface,
    keras,
    lightgbm,
    npy,
    onnx,
    openvino,
    packed,
    pickles,
    safetensors,
    savedmodel,
    shards,
    tars,
    tfbundle,
    tflite,
    tokenizer,
    xgboost,
)
from chalicelib.indexing.formats.bounds import bounded
from chalicelib.indexing.formats.ranged import FIRST, OverBudget, Ranged
from weighbridge.contract.types import Facts

INDEXER = 4
"""Bumped when facts improve, so that old objects can be indexed again."""

Indexer = tuple[Callable[[bytes, int], bool], Callable[[Ranged], Facts]]
INDEXERS: tuple[Indexer, ...] = (
    (gguf.sniff, gguf.read),
    (tflite.sniff, tflite.read),
    (keras.sniff_hdf5, keras.read_hdf5),
    (npy.sniff, npy.read),
    (catboost.sniff, catboost.read),
    (archives.sniff, archives.read),
    (safetensors.sniff, safetensors.read),
    (xgboost.sniff, xgboost.read),
    (lightgbm.sniff, lightgbm.read),
    (shards.sniff, shards.read),
    (tokenizer.sniff, tokenizer.read),
    (huggingface.sniff, huggingface.read),
    (openvino.sniff, openvino.read),
    (tars.sniff, tars.read),
    (packed.sniff, packed.read),
    (tfbundle.sniff, tfbundle.read),
    # Protobuf has no magic number, and pickles have none: what only looks plausible comes last.
    (savedmodel.sniff, savedmodel.read),
    (onnx.sniff, onnx.read),
    (pickles.sniff, pickles.read),
)


def describe(ranged: Ranged) -> Facts:
    """The facts of an object; format `file` where no indexer knows it."""
    first = ranged.read(0, min(FIRST, ranged.size))
    found = Facts("file")
    for sniff, read in INDEXERS:
        if sniff(first, ranged.size):
            try:
                found = read(ranged)
            except OverBudget as error:
                found = Facts("file", problem=str(error), verdict="unknown")
            break
    found = bounded(pickles.checked(ranged, first, found))
    return replace(found, indexer=INDEXER, read_bytes=ranged.read_bytes, requests=ranged.requests)
