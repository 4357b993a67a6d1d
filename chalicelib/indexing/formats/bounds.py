"""Facts as they may be stored: of bounded size, and text that every store takes."""

from dataclasses import replace

from chalicelib.indexing.formats.documents import text
from weighbridge.contract.types import Facts, Port, Tensor

MAX_TENSORS = 100_000
MAX_NAME = 500
MAX_METADATA = 100
MAX_VALUE = 2000
MAX_PORTS = 64
MAX_DIMENSIONS = 16
MAX_FINDINGS = 100
MAX_NUMBER = 2**62


def bounded(facts: Facts) -> Facts:
    """The same facts within the limits of this module; a finding says where tensors were left out."""
    tensors = tuple(_tensor(t) for t in facts.tensors[:MAX_TENSORS])
    findings = tuple(text(f, MAX_NAME) for f in facts.findings[:MAX_FINDINGS])
    problem = text(facts.problem, 1000)
    if len(facts.tensors) > MAX_TENSORS:
        findings = (
            *findings,
            f"the first {MAX_TENSORS} of {len(facts.tensors)} tensors are listed",
        )
    if facts.parameters > MAX_NUMBER or any(max(t.shape, default=0) > MAX_NUMBER for t in tensors):
        # Nothing of this size exists, and no store keeps such a number.
        return Facts(
            facts.format, problem=problem or "it claims impossible sizes", verdict=facts.verdict
        )
    metadata = list(facts.metadata.items())[:MAX_METADATA]
    return replace(
        facts,
        tensors=tensors,
        metadata={text(k): text(v, MAX_VALUE) for k, v in metadata},
        problem=problem,
        dtypes={text(k, 40): v for k, v in list(facts.dtypes.items())[:MAX_METADATA]},
        architecture=text(facts.architecture),
        inputs=tuple(_port(p) for p in facts.inputs[:MAX_PORTS]),
        outputs=tuple(_port(p) for p in facts.outputs[:MAX_PORTS]),
        quantisation=text(facts.quantisation),
        base_model=text(facts.base_model),
        findings=findings,
    )


def _tensor(tensor: Tensor) -> Tensor:
    name = text(tensor.name, MAX_NAME)
    if name == tensor.name and len(tensor.shape) <= 64:
        return tensor
    return replace(tensor, name=name, shape=tensor.shape[:64])


def _port(port: Port) -> Port:
    shape = tuple(text(d, 40) for d in port.shape[:MAX_DIMENSIONS])
    return Port(text(port.name), text(port.dtype, 40), shape)
