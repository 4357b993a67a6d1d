"""Hostile files, built in memory: none of them lies in the repository in a form that loads."""

import bz2
import gzip
import lzma
import struct
import zipfile
import zlib

from tests.indexing import pickle_parts as p

SHELL = p.text("id")
SCRIPT = b"class M(Module):\n  def __setstate__(self, s: int):\n    torch.from_file('x', True, 9)\n"
# Ways to run code, read or write files, or get hold of what does: each is called with one argument.
GADGETS = """
os.system posix.system nt.system os.popen os.execv os.remove subprocess.Popen subprocess.check_output
commands.getoutput builtins.eval builtins.exec builtins.__import__ builtins.getattr builtins.compile
builtins.open __builtin__.eval __builtin__.execfile importlib.import_module functools.partial
functools.reduce operator.attrgetter operator.methodcaller pip.main pip._internal.main
pydoc.pipepager pydoc.locate pydoc.tempfilepager timeit.timeit timeit.main runpy.run_path
runpy._run_code asyncio.unix_events._UnixSubprocessTransport._start torch.hub.load torch.load
torch.serialization.load torch.jit.load torch.jit._script.script torch.jit.unsupported_tensor_ops.execWrapper
torch.utils._config_module.ConfigModule.load_config torch.utils.bottleneck.__main__.run_cprofile
torch.utils.collect_env.run torch._dynamo.guards.GuardBuilder.get torch._inductor.codecache.compile_file
torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression torch.ops.load_library
torch.distributed.elastic.agent.server.api.run torch.storage.os.system torch.package.PackageImporter
numpy.load numpy.fromfile numpy.memmap numpy.f2py.crackfortran.getlincoef numpy.f2py.crackfortran.myeval
numpy.testing._private.utils.runstring numpy.distutils.exec_command.exec_command
idlelib.pyshell.ModifiedInterpreter.runcode idlelib.autocomplete.AutoComplete.get_entity
idlelib.calltip.get_entity idlelib.debugobj.ObjectTreeItem.SetText lib2to3.pgen2.grammar.Grammar.loads
lib2to3.pgen2.pgen.ParserGenerator.make_label logging.config.dictConfig logging.config._resolve
distutils.file_util.write_file ensurepip._run_pip uuid._get_command_stdout uuid._popen
code.InteractiveInterpreter.runcode cProfile.runctx profile.Profile.run doctest.debug_script pdb.run
trace.Trace.run _pyrepl.pager.pipe_pager webbrowser.open ctypes.CDLL shutil.rmtree io.open codecs.open
ssl.get_server_certificate linecache.getline multiprocessing.util.spawnv_passfds zipimport.zipimporter
venv.create types.FunctionType types.CodeType marshal.loads pickle.loads _pickle.loads cloudpickle.loads
dill.loads joblib.load pandas.read_pickle pandas.eval copyreg.add_extension copyreg._extension_registry
sys.modules.get test.support.script_helper.assert_python_ok _osx_support._read_output
_aix_support._read_cmd_output imaplib.Imap4_stream smtplib.SMTP http.client.HTTPConnection
xmlrpc.client.ServerProxy aiohttp.ClientSession requests.get sqlite3.connect tempfile.mktemp
collections.abc.sys.modules sklearn.externals._packaging.os.system transformers.utils.import_utils.os.system
somewhere.anything my_package.model.Net
"""


def gadgets():
    """Every known route as a plain call, by turns in the notation of protocol 0, 2 and 4."""
    for turn, full in enumerate(GADGETS.split()):
        depth = 2 if full.startswith(("idlelib.py", "collections", "sys.m")) else 1
        module, attribute = full.rsplit(".", depth)[0], ".".join(full.rsplit(".", depth)[1:])
        body = (
            p.call(module, attribute, SHELL) if turn % 3 == 0
            else p.stack_name(module, attribute) + SHELL + b"\x85R" if turn % 3 == 1
            else p.name(module, attribute) + SHELL + b"\x85\x81"
        )  # fmt: skip
        data = (body + p.STOP) if turn % 3 == 0 else p.whole(body, 4 if turn % 3 == 1 else 2)
        yield f"call {full}", "", data


def opcodes():
    """Calls and imports by other opcodes, and names that are put together."""
    system = p.name("os", "system")
    ordered = p.name("collections", "OrderedDict") + b")R"
    yield "INST", "", b"(S'id'\nios\nsystem\n."
    yield "INST at the end, no newline", "", b"(S'id'\nios\nsystem_"
    yield "OBJ", "", b"(" + system + b"S'id'\no."
    yield "NEWOBJ_EX", "", p.whole(system + SHELL + b"\x85}\x92")
    yield (
        "named arguments",
        "",
        p.whole(p.name("subprocess", "Popen") + b")}" + p.text("args") + SHELL + b"s\x92"),
    )
    yield "only imported", "", p.whole(system)
    yield "import of a module that runs", "", p.whole(p.name("antigravity", "fly"))
    yield "import of an unknown module", "", p.whole(p.name("planted", "x"))
    yield (
        "name kept in the memo",
        "",
        p.whole(p.text("system") + b"\x940" + p.text("os") + b"h\x00\x93" + SHELL + b"\x85R"),
    )
    yield (
        "memo overwritten",
        "",
        p.whole(
            p.name("collections", "OrderedDict")
            + b"q\x050"
            + system
            + b"q\x050h\x05"
            + SHELL
            + b"\x85R"
        ),
    )
    yield "memo index in hexadecimal", "", system + b"p0x5\n0g0x5\n" + SHELL + b"\x85R."
    yield "number in hexadecimal before a call", "", b"I0x10\n0" + p.evil()
    yield (
        "computed name",
        "",
        p.whole(
            p.text("os") + p.call("builtins", "str", p.text("system")) + b"\x93" + SHELL + b"\x85R"
        ),
    )
    yield (
        "name from bytes",
        "",
        p.whole(
            p.text("os")
            + p.call("_codecs", "encode", p.text("system"), p.text("latin1"))
            + b"\x93"
            + SHELL
            + b"\x85R"
        ),
    )
    yield (
        "codec that is a module",
        "",
        p.whole(p.call("_codecs", "encode", p.text("x"), p.text("planted"))),
    )
    yield "name with escapes", "", b"V\\u006fs\nV\\u0073ystem\n\x93(S'id'\ntR."
    yield (
        "dotted name through torch",
        "",
        p.whole(p.stack_name("torch", "_utils.os.system") + SHELL + b"\x85R"),
    )
    yield (
        "dotted name through collections",
        "",
        p.whole(p.stack_name("collections", "_sys.modules.get") + SHELL + b"\x85R"),
    )
    yield (
        "dotted name of a class",
        "",
        p.whole(p.stack_name("collections", "OrderedDict.__class__") + SHELL + b"\x85R"),
    )
    yield (
        "state that adds __setstate__",
        "",
        p.whole(
            ordered
            + b"}"
            + p.text("__setstate__")
            + p.name("builtins", "list")
            + b"sb"
            + SHELL
            + b"b"
        ),
    )
    yield (
        "state that adds append",
        "",
        p.whole(ordered + b"}" + p.text("append") + system + b"sb" + SHELL + b"a"),
    )
    yield (
        "attributes of a class changed",
        "",
        p.whole(
            p.name("collections", "OrderedDict")
            + b"N}"
            + p.text("clear")
            + p.name("builtins", "dict")
            + b"s\x86b"
        ),
    )
    yield "factory of a defaultdict", "", p.whole(p.call("collections", "defaultdict", system))
    yield (
        "reconstructor of a class",
        "",
        p.whole(
            p.call(
                "copyreg",
                "_reconstructor",
                p.name("subprocess", "Popen"),
                p.name("builtins", "object"),
                b"N",
            )
        ),
    )
    yield (
        "reconstructor with a base",
        "",
        p.whole(
            p.call(
                "copyreg",
                "_reconstructor",
                p.name("builtins", "int"),
                p.name("planted", "Base"),
                b"N",
            )
        ),
    )
    yield "extension registry", "", p.whole(b"\x82\x07" + SHELL + b"\x85R")
    yield "extension of 4 bytes", "", p.whole(b"\x84\x07\x00\x00\x00" + SHELL + b"\x85R")
    yield "persistent id", "", p.whole(SHELL + b"Q")
    yield "persistent id called", "", b"Pid\n(tR."
    yield "result called", "", p.whole(p.call("builtins", "object") + b")R")
    yield "out-of-band buffer", "", p.whole(b"\x97", 5)
    yield (
        "rebuild by another function",
        "",
        p.whole(
            p.call(
                "torch._tensor",
                "_rebuild_from_type_v2",
                system,
                p.name("torch", "Tensor"),
                b"(" + SHELL + b"t",
                b"}",
            )
        ),
    )
    yield (
        "array of another class",
        "",
        p.whole(
            p.call(
                "numpy.core.multiarray",
                "_reconstruct",
                p.name("numpy", "memmap"),
                b"K\x00\x85",
                p.text("b"),
            )
        ),
    )
    yield (
        "scalar of objects",
        "",
        p.whole(
            p.call(
                "numpy.core.multiarray",
                "scalar",
                p.call("numpy", "dtype", p.text("O8")),
                p.raw(bytes(8)),
            )
        ),
    )
    yield (
        "attributes of a parameter",
        "",
        p.whole(
            p.call(
                "torch._utils",
                "_rebuild_parameter_with_state",
                b"N",
                b"\x89",
                b"N",
                b"}" + p.text("__class__") + p.name("torch", "Tensor") + b"s",
            )
        ),
    )
    yield "pickle in bytes", "", p.whole(p.raw(p.evil()))
    yield (
        "pickle in a text",
        "",
        p.whole(p.call("_codecs", "encode", p.text(p.evil().decode("latin1")), p.text("latin1"))),
    )
    yield (
        "pickle in torch's bytes",
        "",
        p.whole(p.call("torch.storage", "_load_from_bytes", p.raw(p.legacy(p.evil())))),
    )
    yield (
        "zip in torch's bytes",
        "",
        p.whole(p.call("torch.storage", "_load_from_bytes", p.raw(p.torch_zip(p.evil())))),
    )


def streams():
    """Streams that end early, go on behind their end, or do not agree with themselves."""
    yield "second pickle", "", p.whole(b"N") + p.evil()
    yield "second pickle behind rubbish", "", p.whole(b"N") + b"\xff" * 16 + p.evil()
    yield "thousand harmless ones first", "", p.whole(b"N") * 1001 + p.evil()
    yield "stops inside of a frame", "", b"\x80\x04\x95\x40\0\0\0\0\0\0\0N." + p.evil()
    yield "frame longer than the file", "", b"\x80\x04\x95\xff\xff\0\0\0\0\0\0" + p.evil()
    yield "frame in a frame", "", b"\x80\x04\x95\x20\0\0\0\0\0\0\0\x95\x08\0\0\0\0\0\0\0" + p.evil()
    yield "cut off behind the call", "", p.evil()[:-1]
    yield "rubbish behind the call", "", p.evil()[:-1] + b"\xff\xfe"
    yield "unknown opcode first", "model.pkl", b"\x80\x04\xff" + p.evil()
    yield "protocol 9", "model.pkl", b"\x80\x09" + p.evil()
    yield "header twice", "", b"\x80\x02\x80\x05" + p.evil()
    yield (
        "long text before",
        "",
        p.whole(b"X" + struct.pack("<I", 200_000) + b"a" * 200_000 + b"0" + p.evil()[:-1]),
    )
    yield "long line before", "", b"V" + b"a" * 200_000 + b"\n0" + p.evil()
    yield "text that claims 4 GiB", "x.pkl", b"\x80\x04X\xff\xff\xff\xff" + p.evil()
    yield "number of 2 GiB", "x.pkl", b"\x80\x02\x8b\xff\xff\xff\x7f" + p.evil()
    yield "millions of opcodes before", "", b"\x80\x02" + b"N0" * 1_000_000 + p.evil()
    yield "millions of marks", "x.pkl", b"\x80\x02" + b"(" * 2_000_000
    yield "lists in lists", "x.pkl", b"\x80\x02" + b"]" * 400_000 + b"a" * 399_999 + b"K\x01Q."
    yield "doubling tuples", "", b"\x80\x02N" + b"2\x86" * 200_000 + b"0" + p.evil()
    yield "pickles in pickles", "", nested(6)
    yield "memo that is not there", "x.pkl", b"\x80\x04h\x07."
    yield "empty stack", "x.pkl", b"\x80\x04\x93."


def nested(depth):
    """A pickle in bytes in a pickle, and so on."""
    data = p.evil()
    for _ in range(depth):
        data = p.whole(p.raw(data) + b"\x85" + p.name("pickle", "loads") + b"0")
    return data


def packed():
    """Streams that are packed, or that loaders unpack."""
    yield "zlib", "m.joblib", zlib.compress(p.evil())
    yield "gzip", "m.joblib", gzip.compress(p.evil(), mtime=0)
    yield "bzip2", "m.pkl", bz2.compress(p.evil())
    yield "xz", "m", lzma.compress(p.evil())
    yield "lzma", "m", lzma.compress(p.evil(), lzma.FORMAT_ALONE)
    yield "gzip twice", "", gzip.compress(gzip.compress(p.evil(), mtime=0), mtime=0)
    yield (
        "gzip and more",
        "m.pkl.gz",
        gzip.compress(p.whole(b"N"), mtime=0) + gzip.compress(p.evil(), mtime=0),
    )
    yield "zlib bomb", "m.pkl", p.bomb(300_000_000)
    yield "lzma that wants 4 GiB", "m.pkl", b"\x5d\x00\x00\x00\xff" + b"\xff" * 8 + bytes(64)
    yield "lz4", "m.joblib", b"\x04\x22\x4d\x18" + bytes(64)
    yield "gzip cut off", "m.joblib", gzip.compress(p.evil() * 50, mtime=0)[:40]
    evil_array = p.wrapper((9,), (p.evil()[:-1] + b"0N.").ljust(72, b"N"))
    yield "joblib: opcodes in an array", "", b"\x80\x04" + evil_array + p.STOP
    yield (
        "joblib: call behind an array",
        "",
        b"\x80\x04" + p.wrapper((2,), bytes(16)) + b"0" + p.evil(),
    )
    yield "joblib: pickle of objects", "", b"\x80\x04" + p.wrapper((1,), p.evil(), "O8") + p.STOP
    yield "joblib: impossible length", "", b"\x80\x04" + p.wrapper((255,) * 9, b"") + p.STOP
    body = p.wrapper((2,), b"")
    yield (
        "joblib: array inside of a frame",
        "",
        (
            b"\x80\x04\x95"
            + struct.pack("<Q", len(body) + 2 + len(p.evil()))
            + body
            + b"0"
            + p.evil()
            + bytes(16)
            + b"N."
        ),
    )
    yield "npy of objects, spelt out", "a.npy", p.npy("object", (1,), p.evil())
    escaped = p.npy("|OOOOO", (1,), p.evil()).replace(b"|OOOOO", b"|\\x4f ")
    yield "npy of objects, with an escape", "a.npy", escaped
    yield "npy of objects", "a.npy", p.npy("|O", (1,), p.evil())


def archives():
    """Zips, tars and what torch makes of them."""
    good, storage = p.whole(p.state_dict(w=p.tensor("0", (2, 2))), 2), ("0", bytes(16))
    evil = b"\x80\x02" + p.evil()
    plain = p.torch_zip(evil)
    yield "torch", "model.pt", plain
    yield "torch under another name", "picture.png", plain
    yield (
        "torch, call in a tensor's place",
        "",
        p.torch_zip(p.whole(p.state_dict(w=p.evil()[:-1]), 2)),
    )
    yield (
        "torch, pickle in another member",
        "",
        p.torch_zip(good, [storage], [("archive/readme.txt", evil)]),
    )
    yield "torch, storage that nothing names", "", p.torch_zip(good, [storage, ("1", evil)])
    yield "torch, second data.pkl", "", p.torch_zip(good, [storage], [("archive/data.pkl", evil)])
    yield "torch, two folders", "", p.torch_zip(good, [storage], [("other/data.pkl", evil)])
    yield (
        "torch, data.pkl last and packed",
        "",
        p.zipped([("a/version", b"3"), ("a/data.pkl", evil)], zipfile.ZIP_DEFLATED),
    )
    yield (
        "torch, pickle in a folder entry",
        "",
        p.torch_zip(good, [storage], [("archive/x/", evil)]),
    )
    yield "encrypted flag", "model.pt", p.flagged(plain)
    yield (
        "unknown method",
        "model.pt",
        plain.replace(
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x5d"
        ),
    )
    yield (
        "checksum wrong",
        "model.pt",
        plain.replace(b"system", b"sysexe").replace(b"os\n", b"nt\n"),
    )
    yield "no directory", "model.pt", plain[: plain.index(b"PK\x01\x02")]
    yield "bytes behind the end", "model.pt", plain + bytes(100)
    yield "pickle, then zip", "model.pt", p.evil() + p.torch_zip(good, [storage])
    yield (
        "zip, other local name",
        "model.pt",
        plain.replace(b"archive/data.pkl", b"archive/xata.pkl", 1),
    )
    yield "zip behind other bytes", "m.keras", b"\0" * 100_000 + p.zipped([("a", evil)])
    members = [(name, p.whole(b"}")) for name in ("pickle", "storages", "tensors")]
    yield (
        "tar of torch's, opcodes in a name",
        "m.pth",
        p.tar([(p.evil("x").decode("latin-1"), b""), *members]),
    )
    yield "zip in a zip", "", p.zipped([("model.bin", plain)])
    yield "7z", "model.pt", b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(100)
    yield "rar", "model.bin", b"Rar!\x1a\x07\x01\x00" + bytes(100)
    yield "npz with objects", "a.npz", p.zipped([("a.npy", p.npy("|O", (1,), p.evil()))])
    yield (
        "npz with a pickle",
        "a.npz",
        p.zipped([("a.npy", p.npy("<f8", (1,), bytes(8))), ("b", evil)]),
    )
    yield "npz, member cut off", "a.npz", p.zipped([("a.npy", p.npy("|O", (1,), p.evil()[:-1]))])
    yield (
        "keras with a pickle",
        "m.keras",
        p.zipped([("config.json", b"{}"), ("model.weights.h5", evil)]),
    )
    yield (
        "zip of too many members",
        "m.pt",
        p.zipped([(f"a/{n}", b"x") for n in range(1500)] + [("a/z", evil)]),
    )
    yield (
        "shared library",
        "m.pt2",
        p.torch_zip(good, [storage], [("archive/data/aotinductor/model.so", b"\x7fELF")]),
    )
    yield (
        "torch package",
        "m.pt",
        p.zipped(
            [
                ("m/.data/extern_modules", b"os"),
                ("m/.data/version", b"6"),
                ("m/code.py", b"import os"),
            ]
        ),
    )
    yield "TorchScript that opens files", "m.pt", p.zipped(
        [("m/data.pkl", p.whole(p.name("__torch__", "M") + b")\x81}b", 2)), ("m/constants.pkl", p.whole(b")", 2)),
         ("m/code/__torch__.py", SCRIPT)]
    )  # fmt: skip
    yield (
        "TorchScript with a pickle of Python's",
        "m.pt",
        p.zipped(
            [
                ("m/data.pkl", evil),
                ("m/constants.pkl", p.whole(b")", 2)),
                ("m/code/__torch__.py", b""),
            ]
        ),
    )
    yield "legacy", "m.pth", p.legacy(evil)
    yield "legacy, call in the keys", "m.pth", b"".join(p.LEGACY) + good + evil
    yield "legacy, call in the storages", "m.pth", p.legacy(p.whole(b"}", 2), (), evil)
    yield "legacy, cut off", "m.pth", p.legacy(good)[:-60]
    yield "legacy, other magic", "m.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x18." + evil
    yield (
        "tar of torch's",
        "m.pth",
        p.tar([("sys_info", p.whole(b"}")), ("pickle", evil), ("storages", b""), ("tensors", b"")]),
    )
    yield (
        "tar of torch's, call in the storages",
        "m.pth",
        p.tar(
            [("pickle", p.whole(b"}")), ("storages", p.whole(b"K\x01") + evil), ("tensors", b"")]
        ),
    )
    yield "tar.gz", "m.nemo", gzip.compress(p.tar([("model.ckpt", evil)]), mtime=0)
    yield (
        "pickle and tar in one",
        "m.pth",
        p.tar([("\x80\x02N.", evil)]),
    )
    start = b"\x80\x02X\x40\0\0\0\0" + b'{"__metadata__":{}}'.ljust(63)
    yield "safetensors and pickle in one", "m.safetensors", start + evil
    yield "GGUF and pickle in one", "m.gguf", b"GGUF\x03\0\0\0\0" + b"0" + p.evil()


def hostile():
    """Every hostile file: what it is, the name it is given, its bytes."""
    for part in (gadgets, opcodes, streams, packed, archives):
        yield from part()


def harmless():
    """Files that must not be called unsafe or unknown, by hand: torch's own formats."""
    tensors = {"a__weight": p.tensor("0", (2, 3)), "a__bias": p.tensor("1", (3,), "HalfStorage"),
               "tied": p.tensor("0", (2, 3))}  # fmt: skip
    pickle = p.whole(p.state_dict(**tensors), 2)
    yield "torch", "m.pt", p.torch_zip(pickle, [("0", bytes(24)), ("1", bytes(6))])
    sizes = [("0", 6, 4), ("1", 3, 2)]
    data = b"".join(struct.pack("<q", count) + bytes(count * each) for _, count, each in sizes)
    yield "legacy", "m.pth", p.legacy(pickle, ("0", "1"), data)
