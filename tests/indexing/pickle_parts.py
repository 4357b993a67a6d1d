"""Pickles and archives put together by hand, opcode by opcode: nothing here is ever loaded."""

import io
import struct
import warnings
import zipfile
import zlib

STOP = b"."


def text(value):
    """A text, as protocol 4 writes it."""
    data = value.encode()
    return (
        b"\x8c" + bytes([len(data)]) + data
        if len(data) < 256
        else b"X" + struct.pack("<I", len(data)) + data
    )


def raw(data):
    """Bytes."""
    return b"B" + struct.pack("<I", len(data)) + data


def name(module, attribute):
    """An import of protocol 0."""
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module, attribute):
    """An import of protocol 4."""
    return text(module) + text(attribute) + b"\x93"


def call(module, attribute, *arguments):
    """A call of a module's attribute with arguments that are opcodes themselves."""
    return name(module, attribute) + b"(" + b"".join(arguments) + b"tR"


def evil(command="id"):
    """A whole pickle that would run a command."""
    return call("os", "system", text(command)) + STOP


def whole(body, protocol=4):
    """A pickle with a header."""
    return b"\x80" + bytes([protocol]) + body + STOP


def framed(body):
    """A pickle of protocol 4 in one frame."""
    body += STOP
    return b"\x80\x04\x95" + struct.pack("<Q", len(body)) + body


def zipped(members, method=zipfile.ZIP_STORED):
    """A zip of (name, bytes) pairs; a name may stand twice."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for path, data in members:
            info = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            with warnings.catch_warnings(action="ignore"):  # of a name that stands twice
                archive.writestr(info, data)
    return out.getvalue()


def tar(members):
    """A plain tar."""
    out = b""
    for path, data in members:
        head = path.encode("latin-1").ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2
        head += f"{len(data):011o}\0".encode() + b"00000000000\0" + b" " * 8 + b"0"
        head = head.ljust(257, b"\0") + b"ustar\x0000"
        head = head.ljust(512, b"\0")
        head = head[:148] + f"{sum(head):06o}\0 ".encode() + head[156:]
        out += head + data + bytes(-len(data) % 512)
    return out + bytes(1024)


def tensor(key, shape, kind="FloatStorage", offset=0, numbers=None):
    """torch's rebuild call for a tensor of a storage, as `torch.save` writes it."""
    count = 1
    for n in shape:
        count *= n
    sizes = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in shape) + b"t"
    strides = []
    step = 1
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    steps = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in strides) + b"t"
    storage = (
        b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu")
        + b"J" + struct.pack("<i", numbers or count) + b"tQ"
    )  # fmt: skip
    hooks = name("collections", "OrderedDict") + b")R"
    return (
        name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage
        + b"J" + struct.pack("<i", offset) + sizes + steps + b"\x89" + hooks + b"tR"
    )  # fmt: skip


def state_dict(**tensors):
    """An ordered dictionary of tensors by name."""
    pairs = b"".join(text(key.replace("__", ".")) + value for key, value in tensors.items())
    return name("collections", "OrderedDict") + b")R(" + pairs + b"u"


def torch_zip(pickle, storages=(), more=(), folder="archive"):
    """A torch checkpoint around a `data.pkl`."""
    members = [(f"{folder}/data.pkl", pickle), (f"{folder}/byteorder", b"little")]
    members += [(f"{folder}/data/{key}", data) for key, data in storages]
    return zipped([*members, *more, (f"{folder}/version", b"3\n")])


LEGACY = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    b"\x80\x02M\xe9\x03.",
    b"\x80\x02}" + text("little_endian") + b"\x88s.",
)


def legacy(pickle, keys=(), storages=b""):
    """torch's format before zip archives."""
    listed = b"\x80\x02](" + b"".join(text(key) for key in keys) + b"e."
    return b"".join(LEGACY) + pickle + listed + storages


def npy(descr, shape, data):
    """A `.npy` file."""
    head = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def wrapper(shape, body, dtype="f8"):
    """What joblib writes for an array, with the raw bytes behind it."""
    kind = call("numpy", "dtype", text(dtype), b"\x89", b"\x88") + (
        b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    sizes = b"(" + b"".join(b"K" + bytes([n]) for n in shape) + b"t"
    state = (
        text("subclass") + name("numpy", "ndarray") + text("shape") + sizes + text("order")
        + text("C") + text("dtype") + kind + text("allow_mmap") + b"\x88"
    )  # fmt: skip
    return name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81}(" + state + b"ub" + body


def flagged(data, bit=1):
    """The same zip with a flag set in every header."""
    out = bytearray(data)
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = out.find(magic)
        while at >= 0:
            out[at + place] |= bit
            at = out.find(magic, at + 4)
    return bytes(out)


def bomb(size):
    """A zlib stream of that many zeros behind the beginning of a pickle."""
    packer = zlib.compressobj(9)
    out = packer.compress(b"\x80\x04B" + struct.pack("<I", size))
    for _ in range(size // 1_000_000):
        out += packer.compress(bytes(1_000_000))
    return out + packer.flush()
