"""What an import in a pickle is worth. Everything that is not listed here is not harmless.

An entry is on the list of harmless callables only if nothing that it can be given makes it run code
of the caller's choice, read or write a file, or look up a name. `checks` holds those that need a look
at their arguments. Why each is there: docs/safety.md.
"""

import _compat_pickle  # the renames of Python 2's modules that loaders apply; data only
from enum import Enum


class Kind(Enum):
    """How far an import is trusted."""

    HARMLESS = "harmless"
    """May be called with anything that is harmless itself."""
    NAMED = "named"
    """May be named (a dtype, a class that others are given), not called."""
    LIBRARY = "library"
    """A class of a known library: what it does when it is restored is that library's code."""
    DANGEROUS = "dangerous"
    """Known for running code, reading or writing files, or getting at what does."""
    OTHER = "other"
    """Nothing is known of it."""


def _words(text: str) -> frozenset[str]:
    """A list that reads well."""
    return frozenset(text.split())


NUMPY_CORE = ("numpy.core.multiarray", "numpy._core.multiarray")
NUMPY_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")

_HARMLESS: dict[str, str] = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice tuple",
    "collections": "Counter OrderedDict defaultdict deque",
    "copyreg": "_reconstructor",
    "_codecs": "encode",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID",
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "pathlib": "PosixPath PurePosixPath PureWindowsPath WindowsPath",
    "pathlib._local": "PosixPath PurePosixPath PureWindowsPath WindowsPath",
    "numpy": "dtype",
    **dict.fromkeys(NUMPY_CORE, "_reconstruct scalar"),
    **dict.fromkeys(NUMPY_NUMERIC, "_frombuffer"),
    "torch": "Size device",
    "torch._utils": "_rebuild_meta_tensor_no_storage _rebuild_parameter _rebuild_parameter_with_state "
    "_rebuild_qtensor _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3",
    "torch._tensor": "_rebuild_from_type_v2",
    "torch.serialization": "_get_layout",
    "torch.storage": "_load_from_bytes",
}
_TORCH_DTYPES = (
    "bfloat16 bool complex32 complex64 complex128 float16 float32 float64 float8_e4m3fn "
    "float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int8 int16 int32 int64 qint32 qint8 "
    "quint4x2 quint8 uint8 uint16 uint32 uint64 per_tensor_affine per_channel_affine strided "
    "sparse_coo sparse_csr "
)
STORAGES = (
    "BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage ComplexFloatStorage "
    "DoubleStorage FloatStorage HalfStorage IntStorage LongStorage QInt32Storage QInt8Storage "
    "QUInt8Storage ShortStorage"
)
_NAMED: dict[str, str] = {
    "numpy": "ndarray bool bool_ float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 "
    "uint64 complex64 complex128 str_ bytes_",
    "torch": _TORCH_DTYPES + STORAGES + " Tensor",
    "torch.cuda": STORAGES,
    "torch.storage": "TypedStorage UntypedStorage _TypedStorage _UntypedStorage",
    "torch.nn.parameter": "Buffer Parameter",
}
TORCHSCRIPT = _words(
    "build_intlist build_doublelist build_boollist build_tensorlist build_tensor_from_id "
    "restore_type_tag"
)
"""What TorchScript's own pickles name in `torch.jit._pickle`, besides classes in `__torch__`."""

_DANGEROUS = _words(
    """
    __builtin__ __main__ _aix_support _bootsubprocess _imp _io _osx_support _pickle _posixsubprocess
    _pyrepl _testcapi _thread ast asyncio atexit bdb builtins cProfile cgitb cloudpickle code codecs
    codeop commands compileall concurrent copy copyreg ctypes dbm dill distutils doctest ensurepip
    fileinput ftplib functools gc glob http idlelib imaplib imp importlib inspect io jsonpickle
    keyword lib2to3 linecache logging mailcap marshal mmap modulefinder multiprocessing nt nturl2path
    operator optparse os pdb pickle pickletools pip pkg_resources pkgutil platform plistlib poplib
    posix posixpath profile pstats pty py_compile pydoc quopri readline requests rlcompleter runpy
    sched setuptools shelve shutil signal site smtplib socket socketserver sqlite3 ssl subprocess sys
    sysconfig tarfile telnetlib tempfile test threading timeit tkinter trace traceback tracemalloc
    turtle types unittest urllib uu venv warnings weakref webbrowser wsgiref xml xmlrpc zipapp
    zipfile zipimport antigravity aiohttp boto3 botocore dask eval exec httpx ibis IPython ipykernel
    paramiko ptyprocess pexpect fabric plumbum sh urllib3 nose pytest _pytest py
    """
)
"""Top modules of which any attribute that is not listed above counts as dangerous."""
_DANGEROUS_WITHIN = _words(
    """
    torch.hub torch.load torch.serialization torch.jit torch.package torch.utils torch._dynamo
    torch._inductor torch.distributed torch.multiprocessing torch.testing torch.ops torch.classes
    torch.fx torch._jit_internal torch.storage torch.cuda torch.backends torch.onnx torch.export
    numpy.load numpy.f2py numpy.testing numpy.distutils numpy.lib numpy.fromfile numpy.memmap
    numpy.save numpy.savez numpy.ctypeslib numpy.genfromtxt numpy.loadtxt numpy.compat
    joblib.load joblib.memory joblib.parallel joblib.externals scipy.io scipy.weave scipy._lib
    sklearn.datasets sklearn.externals sklearn.utils._testing pandas.read_pickle pandas.io
    pandas.eval pandas.core.computation sympy.sympify tensorflow.io keras.utils transformers.pipelines
    transformers.utils transformers.dynamic_module_utils
    """
)
_GADGETS = _words(
    """
    __call__ __class__ __builtins__ __dict__ __getattribute__ __globals__ __import__ __loader__
    __reduce__ __setattr__ __spec__ __subclasses__ apply breakpoint compile delattr eval exec execfile
    getattr globals import_module input load load_module loads locals memoryview open popen run
    run_module run_path setattr spawn system type vars
    """
)
"""Attributes that are dangerous under any module."""
_LIBRARIES = _words(
    """
    catboost imblearn joblib lightgbm lightning numpy omegaconf pandas pytorch_lightning
    sentence_transformers sklearn scipy skops statsmodels timm torch torchaudio torchvision
    transformers ultralytics xgboost
    """
)
_RESTORERS = (
    "__bit_generator_ctor", "__generator_ctor", "__pyx_unpickle_", "__randomstate_ctor",
    "_new_Index", "_unpickle_block", "newObj",
)  # fmt: skip


def _table(lists: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Pairs of a module and a name."""
    return frozenset((module, name) for module, names in lists.items() for name in names.split())


HARMLESS = _table(_HARMLESS)
NAMED = _table(_NAMED)


def current(module: str, name: str) -> tuple[str, str]:
    """The names that a loader makes of Python 2's."""
    renamed = _compat_pickle.NAME_MAPPING.get((module, name))
    if renamed is not None:
        return renamed
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def kind(module: str, name: str) -> Kind:
    """How far that import is trusted, under its old name or its new one."""
    new = current(module, name)
    if new in HARMLESS:
        return Kind.HARMLESS
    if new in NAMED:
        return Kind.NAMED
    if _dangerous(module, name) or _dangerous(*new):
        return Kind.DANGEROUS
    return Kind.LIBRARY if _library(module, name) else Kind.OTHER


def _dangerous(module: str, name: str) -> bool:
    """Whether the import is of a known kind of gadget, also through the attributes of another module."""
    full = f"{module}.{name}"
    if module.partition(".")[0] in _DANGEROUS or any(
        full == d or full.startswith(d + ".") for d in _DANGEROUS_WITHIN
    ):
        return True
    steps = name.split(".")
    if len(steps) > 1 and any(step in _DANGEROUS or step.startswith("__") for step in steps):
        return True
    return any(step in _GADGETS for step in steps) or name in (
        "os",
        "sys",
        "subprocess",
        "builtins",
    )


def _library(module: str, name: str) -> bool:
    """Whether the import is a class of a known library, or a function that only restores one."""
    if module.partition(".")[0] not in _LIBRARIES:
        return False
    plain = name.lstrip("_")
    return ("." not in name and plain[:1].isupper()) or name.startswith(_RESTORERS)
