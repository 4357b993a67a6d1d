"""What the installed skops trusts, and the module of ours that repeats it."""

import textwrap
from collections import defaultdict

import numpy as np
from scipy.sparse import sparray, spmatrix
from skops.io import _trusted_types as trusted
from skops.io._sklearn import ALLOWED_LOSSES
from skops.io._utils import get_module, get_type_name

HEAD = '''"""The types that skops {version} loads without being asked, as its `get_untrusted_types` knows them.

Names alone: nothing of it is imported. Kept equal to the library by a test, which also writes this file.
"""

'''
TAIL = """

def _names(groups: dict[str, str]) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for module, names in groups.items() for name in names.split())


ESTIMATORS = _names(_ESTIMATORS)
FUNCTIONS = _names(_FUNCTIONS)
TYPES = _names(_TYPES)
DTYPES = _names(_DTYPES)
LOSSES = _names(_LOSSES)
BIT_GENERATORS = _names(_BIT_GENERATORS)
SPARSE = _names(_SPARSE)
"""


def lists():
    """The library's lists, by the name each has in our module."""
    return {
        "ESTIMATORS": {*trusted.SKLEARN_ESTIMATOR_TYPE_NAMES, *trusted.SKLEARN_INTERNAL_TYPE_NAMES},
        "FUNCTIONS": {*trusted.SCIPY_UFUNC_TYPE_NAMES, *trusted.NUMPY_UFUNC_TYPE_NAMES},
        "TYPES": {*trusted.PRIMITIVE_TYPE_NAMES, *trusted.CONTAINER_TYPE_NAMES},
        "DTYPES": set(trusted.NUMPY_DTYPE_TYPE_NAMES),
        "LOSSES": {f"{get_module(kind)}.{kind.__name__}" for kind in ALLOWED_LOSSES},
        "BIT_GENERATORS": set(trusted.NUMPY_RANDOM_BIT_GENERATOR_TYPE_NAMES),
        "SPARSE": {get_type_name(spmatrix), get_type_name(sparray)},
    }


def single():
    """The types that one loader each trusts, by its name."""
    return {
        "NdArrayNode": get_type_name(np.ndarray),
        "MaskedArrayNode": get_type_name(np.ma.MaskedArray),
        "RandomStateNode": get_type_name(np.random.RandomState),
        "RandomGeneratorNode": get_type_name(np.random.Generator),
    }


def module(version):
    """The text of our module."""
    parts = [HEAD.format(version=version)]
    for title, names in lists().items():
        groups = defaultdict(list)
        for name in sorted(names):
            package, _, last = name.rpartition(".")
            groups[package].append(last)
        parts.append(f"_{title} = {{\n")
        for package, found in sorted(groups.items()):
            lines = textwrap.wrap(" ".join(found), 92)
            if len(lines) == 1 and len(package) + len(lines[0]) < 88:
                parts.append(f'    "{package}": "{lines[0]}",\n')
            else:
                parts.append(f'    "{package}": (\n')
                parts += [f'        "{line} "\n' for line in lines[:-1]]
                parts += [f'        "{lines[-1]}"\n', "    ),\n"]
        parts.append("}\n")
    return "".join(parts) + TAIL
