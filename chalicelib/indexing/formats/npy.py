"""NumPy's .npy and .npz: dtype and shape of each array (numpy.org, numpy.lib.format; versions 1 to 3).

The header is a Python literal; only the one that NumPy writes is read, nothing is evaluated. An array
of objects is a pickle: loading it needs `allow_pickle=True` and can run anything.
"""

import re
from math import prod

from chalicelib.indexing.formats import zips
from chalicelib.indexing.formats.dtypes import BITS, counted
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from weighbridge.contract.types import Facts, Tensor

MAGIC = b"\x93NUMPY"
MAX_HEADER = 1024 * 1024
"""Structured dtypes have long headers; NumPy itself warns beyond 10,000 bytes."""
MAX_WORDS = 50_000
MAX_DEPTH = 16
MAX_MEMBERS = 1000
"""Arrays of one .npz: each costs a request."""
MAX_DIMENSIONS = 64

_PICKLED = "object array: pickled"
_KINDS = {
    "b1": "BOOL", "i1": "I8", "u1": "U8", "i2": "I16", "u2": "U16", "i4": "I32", "u4": "U32",
    "i8": "I64", "u8": "U64", "f2": "F16", "f4": "F32", "f8": "F64", "f16": "F128", "c8": "C64",
    "c16": "C128", "c32": "C256",
}  # fmt: skip
_LETTERS = {
    "S": "BYTES",
    "a": "BYTES",
    "U": "TEXT",
    "V": "VOID",
    "M": "DATETIME64",
    "m": "TIMEDELTA64",
}
_SIMPLE = re.compile(r"([<>|=])([biufcSaUVMmO])(\d{0,9})(\[[^\]]{1,40}\])?")
_WORD = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\d{1,20}L?|True|False|[][(){},:])""")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class BadArray(Exception):
    """No .npy, or a damaged one."""


def sniff(first: bytes, size: int) -> bool:
    """The magic string."""
    return first[:6] == MAGIC


def holds(members: tuple[zips.Member, ...]) -> bool:
    """A zip whose first member is named as NumPy names them."""
    first = min(members, key=lambda m: m.offset, default=None)
    return first is not None and first.name.endswith(".npy")


def read(ranged: Ranged) -> Facts:
    """The facts of an array."""
    try:
        first = ranged.read(0, 12)
        length = _header_end(first)
        tensor, objects, fortran = _array("", ranged.read(0, length), ranged.size)
    except BadArray as error:
        return Facts("npy", problem=str(error))
    return Facts(
        "npy", parameters=0 if objects else prod(tensor.shape), tensors=(tensor,),
        metadata={"fortran_order": "true"} if fortran else {}, dtypes=counted((tensor,)),
        verdict="unknown" if objects else "", findings=(_PICKLED,) if objects else (),
    )  # fmt: skip


def read_zip(ranged: Ranged, found: tuple[zips.Member, ...]) -> Facts:
    """The facts of an archive of arrays. What the pickles of object arrays do is not looked at here."""
    tensors: list[Tensor] = []
    findings: list[str] = []
    problem = ""
    try:
        members = [m for m in found if not m.name.endswith("/")]
        if len(members) > MAX_MEMBERS:
            raise BadArray(f"it has {len(members)} members; {MAX_MEMBERS} at most")
        for member in members:
            if not member.name.endswith(".npy"):
                findings.append(f"no array: {member.name}")
                continue
            tensor, objects = _member(ranged, member)
            tensors.append(tensor)
            if objects:
                findings.append(f"{_PICKLED}: {tensor.name}")
    except (zips.BadZip, BadArray, OverBudget) as error:
        problem = str(error)
    dtypes = counted(tensors)
    return Facts(
        "npz", parameters=sum(n for dtype, n in dtypes.items() if dtype != "OBJECT"),
        tensors=tuple(tensors), problem=problem, dtypes=dtypes,
        verdict="unknown" if problem else "", findings=tuple(findings),
    )  # fmt: skip


def _member(ranged: Ranged, member: zips.Member) -> tuple[Tensor, bool]:
    head = zips.open_member(ranged, member, 1024)
    length = _header_end(head)
    if length > len(head):
        head = zips.open_member(ranged, member, length)
    name = member.name.removesuffix(".npy")
    try:
        tensor, objects, _ = _array(name, head[:length], member.size)
    except BadArray as error:
        raise BadArray(f"{name[:200]!r}: {error}") from None
    return tensor, objects


def _header_end(first: bytes) -> int:
    """Where the data begin."""
    if len(first) < 10 or first[:6] != MAGIC:
        raise BadArray("it does not begin as an array of NumPy")
    if first[6] not in (1, 2, 3):
        raise BadArray(f"version {first[6]}.{first[7]} is not known")
    width = 2 if first[6] == 1 else 4
    length = int.from_bytes(first[8 : 8 + width], "little")
    if length > MAX_HEADER:
        raise BadArray(f"its header claims {length} bytes; {MAX_HEADER} at most")
    return 8 + width + length


def _array(name: str, head: bytes, size: int) -> tuple[Tensor, bool, bool]:
    """The array that a whole header describes, whether it holds objects, and its order."""
    end = _header_end(head)
    if len(head) < end or end > size:
        raise BadArray("its header is cut short")
    text = head[12 if head[6] > 1 else 10 : end].decode(
        "utf-8" if head[6] == 3 else "latin-1", "replace"
    )
    header = _literal(text)
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise BadArray("its header has not the three keys it should have")
    shape = header["shape"]
    if (
        not isinstance(shape, tuple)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(n) is int and 0 <= n < 2**62 for n in shape)
    ):
        raise BadArray("its shape is impossible")
    dtype, width, objects = _dtype(header["descr"])
    length = prod(shape) * width
    if not objects and end + length != size:
        raise BadArray(
            f"truncated or damaged: {length} bytes of data are described, {size - end} are there"
        )
    tensor = Tensor(name, dtype, shape, size - end if objects else length, end)
    return tensor, objects, header["fortran_order"] is True


def _literal(text: str) -> object:
    """The value of a literal of texts, whole numbers, truths, tuples, lists and mappings."""
    words: list[str] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _WORD.match(text, at, end)
        if not found or len(words) >= MAX_WORDS:
            raise BadArray("its header is no literal that NumPy writes")
        words.append(found[1])
        at = found.end()
    words.reverse()
    value = _value(words, 0)
    if words:
        raise BadArray("its header has something behind its end")
    return value


def _value(words: list[str], depth: int) -> object:
    """The value that the last words begin, which are taken away."""
    word = words.pop() if words else ""
    if depth > MAX_DEPTH:
        raise BadArray("its header is nested too deeply")
    if word[:1] in ("'", '"'):
        return word[1:-1]
    if word[:1].isdecimal():
        return int(word.removesuffix("L"))
    if word in ("True", "False"):
        return word == "True"
    if word not in _CLOSING:
        raise BadArray("its header is cut short, or no literal")
    values: list[object] = []
    keys: list[object] = []
    comma = False
    while words and words[-1] != _CLOSING[word]:
        if word == "{":
            keys.append(_value(words, MAX_DEPTH))
            if not words or words.pop() != ":":
                raise BadArray("its header is cut short, or no literal")
        values.append(_value(words, depth + 1))
        comma = bool(words) and words[-1] == ","
        if comma:
            words.pop()
        elif words and words[-1] != _CLOSING[word]:
            raise BadArray("its header is cut short, or no literal")
    if not words:
        raise BadArray("its header is cut short, or no literal")
    words.pop()
    if word == "{":
        if not all(isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
            raise BadArray("its header names a key twice, or not by a text")
        return dict(zip(keys, values, strict=True))
    if word == "[":
        return values
    return values[0] if len(values) == 1 and not comma else tuple(values)


def _dtype(descr: object) -> tuple[str, int, bool]:
    """Name, bytes of one element, and whether there are objects in it."""
    if isinstance(descr, str):
        found = _SIMPLE.fullmatch(descr)
        if not found:
            raise BadArray(f"the dtype {descr[:100]!r} is not known")
        letter, digits = found[2], found[3]
        if letter == "O":
            return "OBJECT", 8, True
        if letter in _LETTERS:
            width = int(digits or 0) * (4 if letter == "U" else 1)
            return _LETTERS[letter], width, False
        name = _KINDS.get(letter + digits)
        if name is None:
            raise BadArray(f"the dtype {descr[:100]!r} is not known")
        return name, BITS[name] // 8, False
    if isinstance(descr, tuple) and len(descr) == 2:
        return _repeated(descr[0], descr[1])
    if isinstance(descr, list):
        width, objects = 0, False
        for field in descr:
            if not isinstance(field, tuple) or len(field) not in (2, 3):
                raise BadArray("its dtype is not known")
            one = _repeated(field[1], field[2] if len(field) == 3 else ())
            width, objects = width + one[1], objects or one[2]
        return ("OBJECT" if objects else "STRUCT"), width, objects
    raise BadArray("its dtype is not known")


def _repeated(descr: object, shape: object) -> tuple[str, int, bool]:
    name, width, objects = _dtype(descr)
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise BadArray("its dtype has an impossible shape")
    return name, width * prod(shape[:MAX_DIMENSIONS]), objects
