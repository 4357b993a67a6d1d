"""PyTorch's zip archives: checkpoints, TorchScript, packages. The tensor table comes from `data.pkl`.

A storage (`data/0`) is loaded as raw numbers where a persistent id of the pickle names it; every other
member is looked into (docs/safety.md).
"""

import re
from dataclasses import replace

from chalicelib.indexing.formats import torch_tensors, zips
from chalicelib.indexing.formats.pickled import members, streams
from chalicelib.indexing.formats.pickled.machine import Mode, Notes
from chalicelib.indexing.formats.pickled.source import Limits, Memory
from chalicelib.indexing.formats.pickled.values import Value
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.indexing.formats.zips import BadZip, Member
from weighbridge.contract.types import Facts

FORMATS = ("pytorch", "torchscript")
SMALL = ("version", "byteorder", ".format_version")
MAX_CODE = 200
REACHES_OUT = re.compile(
    rb"\b(torch\.(save|load|from_file|_load|hub)|ops\.(?!prim\b|aten\b)\w+\.\w+)\s*\("
)
"""What TorchScript calls to open files, or operators that some other library brings."""


def sniff(first: bytes, size: int) -> bool:
    """A zip that names a `data.pkl` early, as torch writes it."""
    return first[:4] == zips.MAGIC and b"data.pkl" in first


def holds(found: tuple[Member, ...]) -> bool:
    """Whether torch would take a zip with these members for its own."""
    return any(_last(m) == "data.pkl" or "/.data/" in f"/{m.name}" for m in found)


def archive(ranged: Ranged, found: tuple[Member, ...]) -> Facts:
    """The facts of an archive of torch's with these members."""
    script = any(_last(m) == "constants.pkl" or "/code/" in f"/{m.name}" for m in found)
    notes, limits = Notes(), Limits()
    mode = Mode(persistent=True, torchscript=script)
    root, problem, metadata, taken = None, "", {"container": "zip"}, set[str]()
    try:
        for member in found:
            if _last(member) == "data.pkl":
                data = zips.open_member(ranged, member, members.LARGEST)
                root = _pickle(data, member, notes, limits, mode)
                names, problem = _storages(member, found, notes)
                taken |= names | {member.name}
            elif _last(member) in SMALL and member.size <= 100 and member.name.count("/") <= 1:
                data = zips.open_member(ranged, member, 100)
                metadata[_last(member).lstrip(".")] = data.decode("ascii", "replace").strip()
        if script:
            _script(ranged, found, notes)
    except (BadZip, OverBudget) as error:
        problem = str(error)
        notes.add("unknown", problem)
    if any("/.data/extern_modules" in f"/{m.name}" or _last(m) == "python_version" for m in found):
        notes.add("unsafe", "a package of torch.package: its importer executes the Python in it")
    members.look(ranged, found, notes, taken, mode, limits)
    facts = torch_tensors.facts("torchscript" if script else "pytorch", root, notes, metadata)
    return replace(facts, problem=facts.problem or problem)


def _last(member: Member) -> str:
    """A member's name without its folder."""
    return member.name.rpartition("/")[2]


def _pickle(data: bytes, member: Member, notes: Notes, limits: Limits, mode: Mode) -> Value:
    """The object of a `data.pkl`."""
    walks = streams.in_a_row(Memory(data, member.size), limits, notes, mode)
    return walks[0].root


def _storages(member: Member, found: tuple[Member, ...], notes: Notes) -> tuple[set[str], str]:
    """The members that are raw numbers, and what is wrong with them."""
    folder = member.name[: -len("data.pkl")]
    sizes = {m.name: m.size for m in found}
    names: set[str] = set()
    problem = ""
    for stored in notes.stored:
        key, numbers, each = streams.storage(stored)
        name = next((n for n in (f"{folder}data/{key}", f"{folder}{key}") if n in sizes), "")
        if not name or sizes[name] < numbers * each:
            problem = problem or f"the storage {key[:100]!r} is missing or too short"
        elif each and numbers * each == sizes[name]:
            names.add(name)
    return names, problem


def _script(ranged: Ranged, found: tuple[Member, ...], notes: Notes) -> None:
    """TorchScript: looks for calls that leave its interpreter."""
    notes.add(
        "unknown", "TorchScript: loading runs its code, in an interpreter that can open files"
    )
    code = [m for m in found if "/code/" in f"/{m.name}" and m.name.endswith(".py")]
    if len(code) > MAX_CODE:
        notes.add("unknown", f"more than {MAX_CODE} files of code")
    for member in code[:MAX_CODE]:
        text = zips.open_member(ranged, member, 1024 * 1024)
        for call in sorted({m[1].decode() for m in REACHES_OUT.finditer(text)})[:10]:
            notes.add("unsafe", f"{member.name}: calls {call}")
