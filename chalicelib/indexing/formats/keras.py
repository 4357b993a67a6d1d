"""Keras: `.keras` archives and HDF5 files, with the weights' names and shapes, and what loading runs.

A `.keras` file is a zip of metadata.json, config.json and model.weights.h5; the older `.h5` has the
configuration in an attribute. HDF5 files of others are read the same way, and have no verdict.
"""

from dataclasses import replace

from chalicelib.indexing.formats import hdf5, hdf5_values, zips
from chalicelib.indexing.formats.documents import MAX_DOCUMENT, BadDocument, parsed, text
from chalicelib.indexing.formats.dtypes import counted
from chalicelib.indexing.formats.keras_config import Model, understood
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.indexing.formats.windows import CutShort, Window
from weighbridge.contract.types import Facts, Tensor, Verdict

MAX_INFLATED = 32 * 1024 * 1024
"""Weights that are deflated, which Keras itself does not do, are read up to this size."""
SMALL = 2 * 1024 * 1024
"""A file of weights of this size is read at once: its headers are everywhere in it."""
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MEMBERS = (_CONFIG.encode(), _METADATA.encode(), _WEIGHTS.encode())


def holds(members: tuple[zips.Member, ...]) -> bool:
    """A configuration at the top; `read_zip` tells whether it is that of Keras."""
    return any(m.name == _CONFIG for m in members)


def sniff_hdf5(first: bytes, size: int) -> bool:
    """The signature of HDF5."""
    return first[:8] == hdf5.MAGIC


def read_hdf5(ranged: Ranged) -> Facts:
    """The facts of an HDF5 file."""
    file, tensors = hdf5.File(Window(ranged, least=16 * 1024, small=SMALL)), list[Tensor]()
    metadata, attributes, problem = dict[str, str](), dict[str, str](), ""
    try:
        file.open()
        metadata["superblock"] = str(file.version)
        for found in file.objects():
            if not found.path:
                attributes = hdf5_values.texts(file, found, 50)
            tensor = hdf5_values.dataset(file, found)
            if tensor:
                tensors.append(tensor)
    except (hdf5.BadHdf5, CutShort, OverBudget) as error:
        problem = str(error)
    config = attributes.pop("model_config", "")
    metadata |= {key[:200]: value[:2000] for key, value in attributes.items()}
    if file.dense:
        metadata["groups not walked"] = str(file.dense)
    dtypes = counted(t for t in tensors if not t.name.startswith("optimizer"))
    facts = Facts(
        "hdf5", parameters=sum(dtypes.values()), tensors=tuple(tensors), metadata=metadata,
        problem=problem, dtypes=dtypes,
        findings=tuple(f"external link: {name}" for name in sorted(file.external)[:50]),
    )  # fmt: skip
    if config:
        facts = _judged(replace(facts, format="keras hdf5"), config.encode("utf-8", "replace"))
    elif problem and "keras_version" in attributes:
        facts = replace(facts, format="keras hdf5", verdict="unknown")
    return facts


def read_zip(ranged: Ranged, found: tuple[zips.Member, ...]) -> Facts | None:
    """The facts of a `.keras` archive; None if the configuration is another's."""
    members = {m.name: m for m in found}
    facts, ours = Facts("keras"), _METADATA in members or _WEIGHTS in members
    try:
        if members[_CONFIG].size > MAX_DOCUMENT:
            raise zips.BadZip(f"its config.json claims {members[_CONFIG].size} bytes")
        config = zips.open_member(ranged, members[_CONFIG], MAX_DOCUMENT)
        if not (ours or _is_config(config)):
            return None
        metadata = {}
        if _METADATA in members:
            document = parsed(zips.open_member(ranged, members[_METADATA], MAX_DOCUMENT))
            if isinstance(document, dict):
                metadata = {text(k): text(v) for k, v in list(document.items())[:20] if text(v)}
        facts = _judged(replace(facts, metadata=metadata), config)
        if _WEIGHTS in members:
            facts = _weighed(facts, ranged, members[_WEIGHTS])
    except (zips.BadZip, BadDocument, OverBudget) as error:
        verdict: Verdict = "unsafe" if facts.verdict == "unsafe" else "unknown"
        facts = replace(facts, problem=facts.problem or str(error), verdict=verdict)
    return facts


def _is_config(config: bytes) -> bool:
    """Whether Keras could build something from it."""
    try:
        document = parsed(config)
    except BadDocument:
        return False
    return isinstance(document, dict) and "class_name" in document


def _weighed(facts: Facts, ranged: Ranged, member: zips.Member) -> Facts:
    """With what the file of weights inside holds."""
    if member.method == zips.STORED and not member.encrypted:
        start = zips.data_start(ranged, member)

        def fetch(at: int, length: int) -> bytes:
            return ranged.read(start + at, length)
    else:
        if member.size > MAX_INFLATED:
            raise zips.BadZip(f"its weights are deflated, and have {member.size} bytes")
        data = zips.open_member(ranged, member, MAX_INFLATED)

        def fetch(at: int, length: int) -> bytes:
            return data[at : at + length]

    inside = read_hdf5(Ranged(fetch, member.size, budget=ranged.budget))
    return replace(
        facts, parameters=inside.parameters, tensors=inside.tensors, dtypes=inside.dtypes,
        problem=facts.problem or inside.problem, findings=(*facts.findings, *inside.findings),
        metadata=facts.metadata | {k: v for k, v in inside.metadata.items() if k != "superblock"},
    )  # fmt: skip


def _judged(facts: Facts, config: bytes) -> Facts:
    """With what the configuration says."""
    try:
        model = understood(parsed(config))
    except BadDocument as error:
        model = Model(verdict="unknown", findings=[f"config: {error}"])
    return replace(
        facts, architecture=model.architecture, inputs=tuple(model.inputs),
        outputs=tuple(model.outputs), verdict=model.verdict,
        findings=(*model.findings, *facts.findings),
        metadata=facts.metadata | {"layers": str(model.layers)},
    )  # fmt: skip
