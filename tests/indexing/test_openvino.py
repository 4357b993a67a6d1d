"""OpenVINO's IR against OpenVINO."""

import openvino
import pytest

from chalicelib.indexing.formats import openvino as indexer
from tests.indexing.table import Row, described, packaged, ranged

NAMES = {name: theirs for theirs, name in indexer.DTYPES.items()}


def _converted(source, half):
    def make(folder):
        model = openvino.Core().read_model(source())
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=half)
        return folder / "model.xml"

    return make


def check(path, facts):
    """Inputs, outputs, constants and layers, as OpenVINO reads the file."""
    model = openvino.Core().read_model(path)
    for ports, theirs in ((facts.inputs, model.inputs), (facts.outputs, model.outputs)):
        assert len(ports) == len(theirs)
        for port, their in zip(ports, theirs, strict=True):
            assert port.name in their.get_names()
            assert NAMES[port.dtype] == their.get_element_type().get_type_name()
            shape = [str(d.get_length()) if d.is_static else "" for d in their.get_partial_shape()]
            assert list(port.shape) == [
                s if s else p for s, p in zip(shape, port.shape, strict=True)
            ]
    constants = [op for op in model.get_ops() if op.get_type_name() == "Constant"]
    assert sorted((t.name, NAMES[t.dtype], t.shape) for t in facts.tensors) == sorted(
        (
            op.get_friendly_name(),
            op.get_element_type().get_type_name(),
            tuple(op.get_output_shape(0)),
        )
        for op in constants
    )
    assert facts.metadata["layers"] == str(len(model.get_ops()))
    weights = path.with_suffix(".bin").stat().st_size
    assert all(t.offset + t.bytes <= weights for t in facts.tensors)


def _nmp():
    return packaged("basic_pitch", "saved_models", "icassp_2022", "nmp.onnx")


def _silero():
    return packaged("silero_vad", "data", "silero_vad_openvino_16k.onnx")


ROWS = [
    Row("openvino ir", "nmp.xml", "openvino, from basic-pitch", "ports, constants, layers",
        _converted(_nmp, True), check),
    Row("openvino ir", "silero.xml", "openvino, from silero-vad", "ports, constants, layers",
        _converted(_silero, False), check),
]  # fmt: skip

HEAD = b'<?xml version="1.0"?>\n<net name="m" version="11"><layers>'
LAYER = b'<layer id="1" name="c" type="Const"><data element_type="f32" shape="%s" offset="0" size="8"/></layer>'
TAIL = b"</layers></net>"


def test_half_precision_is_told():
    """The precision of most constants stands in the metadata."""
    data = HEAD + LAYER.replace(b"f32", b"f16") % b"2,2" + TAIL
    assert described(data).metadata["precision"] == "F16"


@pytest.mark.parametrize(("data", "why"), [
    (b'<?xml version="1.0"?><net name="m" version="1"><!DOCTYPE x><layers/></net>', "no XML"),
    (HEAD + b"<layer" * 3, "no XML"),
    (HEAD + b"<a>" * 70, "too deeply"),
    (HEAD + LAYER % b"-2,2" + TAIL, "impossible shape"),
    (HEAD + LAYER % b"99999999999999999999" + TAIL, "impossible shape"),
    (HEAD + LAYER % b"x" + TAIL, "impossible shape"),
    (HEAD + b"<layer/>" * 400_000 + TAIL, "more than 400000 elements"),
    (HEAD + LAYER % b"4611686018427387903,4611686018427387903" + TAIL, "impossible shape"),
])  # fmt: skip
def test_what_no_model_has_is_a_problem(data, why):
    """Broken XML, depth, numbers and counts."""
    facts = described(data)
    assert facts.format == "openvino ir"
    assert why in facts.problem


def test_entities_are_not_expanded():
    """A document type is refused before it can declare anything."""
    bomb = b'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaa">]><net name="&a;" version="1"></net>'
    assert described(bomb).format == "file"
    assert "document type" in indexer.read(ranged(bomb)).problem
