"""Harmless callables that are so only with certain arguments, and what may be done to their results."""

from collections.abc import Callable

from chalicelib.indexing.formats.pickled import rules
from chalicelib.indexing.formats.pickled.rules import Kind
from chalicelib.indexing.formats.pickled.values import Bag, Call, Data, Dict, Import, Opaque, Value

ENCODINGS = frozenset({"ascii", "latin-1", "latin1", "utf-8", "utf8"})
MAPPINGS = frozenset(
    {("collections", "OrderedDict"), ("collections", "defaultdict"), ("collections", "Counter"),
     ("builtins", "dict")}
)  # fmt: skip
LISTS = frozenset({("collections", "deque"), ("builtins", "list")})
STATELESS = frozenset({"append", "extend", "add", "update", "keys", "items"})
"""Attributes that a loader itself calls on what it made: a state must not replace them."""
PLAIN = frozenset("biufcSUVMm?")
_SETSTATE = frozenset(
    {("numpy", "dtype"), ("uuid", "UUID")}
    | {(module, name) for module in rules.NUMPY_CORE for name in ("_reconstruct", "scalar")}
)  # fmt: skip


def names(value: Value) -> tuple[str, str]:
    """An import's names as they are today; empty ones for anything else."""
    return rules.current(value.module, value.name) if isinstance(value, Import) else ("", "")


def trusted(value: Value) -> bool:
    """Whether a value is an import that is harmless to name."""
    return rules.kind(*names(value)) in (Kind.HARMLESS, Kind.NAMED)


def arguments(function: tuple[str, str], given: Value) -> str:
    """What is wrong with the arguments of a harmless callable; empty if nothing is."""
    if not isinstance(given, tuple):
        return "with arguments that cannot be known"
    check = _CHECKS.get(function)
    return check(given) if check is not None else ""


def _reconstructor(given: tuple[Value, ...]) -> str:
    """`copyreg._reconstructor(class, base, state)` makes an instance of any class."""
    if len(given) != 3 or any(not isinstance(x, Import) for x in given[:2]):
        return "with a class that cannot be known"
    return ""  # the machine treats the class as called


def _encode(given: tuple[Value, ...]) -> str:
    """`_codecs.encode(text, name)` looks a codec up by name, among which are modules."""
    if len(given) != 2 or not isinstance(given[1], str) or given[1].lower() not in ENCODINGS:
        return "with a codec that is not plain text's"
    return "" if isinstance(given[0], str | Data) else "with a text that cannot be known"


def _ndarray(given: tuple[Value, ...]) -> str:
    """`_reconstruct(class, shape, dtype)` makes an array of any class."""
    return "" if given and names(given[0]) == ("numpy", "ndarray") else "with another class"


def _scalar(given: tuple[Value, ...]) -> str:
    """`scalar(dtype, bytes)` takes bytes for the value: for objects, these would be an address."""
    return "" if given and plain_dtype(given[0]) else "with a dtype that is not plain"


def _factory(given: tuple[Value, ...]) -> str:
    """`defaultdict(factory)` calls it later."""
    fine = not given or given[0] is None or trusted(given[0])
    return "" if fine else "with a factory that is not on the list"


def _from_type(given: tuple[Value, ...]) -> str:
    """`_rebuild_from_type_v2(function, type, arguments, state)` calls the function."""
    if len(given) != 4 or not names(given[0])[1].startswith("_rebuild_"):
        return "with a function that is not on the list"
    function = names(given[0])
    if function not in rules.HARMLESS or not trusted(given[1]):
        return "with a function or class that is not on the list"
    return arguments(function, given[2]) or _state_of(given[3])


def _with_state(given: tuple[Value, ...]) -> str:
    """`_rebuild_parameter_with_state(data, grad, hooks, state)` sets attributes."""
    return _state_of(given[3]) if len(given) == 4 else "with arguments that cannot be known"


def _state_of(state: Value) -> str:
    """Why a state is more than plain attributes."""
    return "" if plain_state(state) else "with a state that is not plain"


_CHECKS: dict[tuple[str, str], Callable[[tuple[Value, ...]], str]] = {
    ("copyreg", "_reconstructor"): _reconstructor,
    ("_codecs", "encode"): _encode,
    ("collections", "defaultdict"): _factory,
    ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    ("torch._utils", "_rebuild_parameter_with_state"): _with_state,
    **{(module, "_reconstruct"): _ndarray for module in rules.NUMPY_CORE},
    **{(module, "scalar"): _scalar for module in rules.NUMPY_CORE},
}


def plain_dtype(value: Value) -> bool:
    """Whether a dtype holds numbers or text, no objects and no fields."""
    if not isinstance(value, Call) or names(value.function) != ("numpy", "dtype"):
        return False
    given = value.arguments
    text = given[0] if isinstance(given, tuple) and given else None
    if not isinstance(text, str) or not text.lstrip("<>=|")[:1] or "," in text:
        return False
    state = value.state
    fields = isinstance(state, tuple) and len(state) > 4 and any(x is not None for x in state[2:5])
    return text.lstrip("<>=|")[0] in PLAIN and not fields


def plain_state(state: Value) -> bool:
    """Whether a state sets ordinary attributes only: none that a loader or Python looks up and calls."""
    if state is None:
        return True
    if isinstance(state, tuple):
        return len(state) == 2 and all(plain_state(half) for half in state)
    return isinstance(state, Dict) and all(
        isinstance(key, str) and not key.startswith("__") and key not in STATELESS
        for key, _ in state.pairs
    )


def build(target: Call, state: Value) -> str:
    """What is wrong with giving `target`, a harmless call's result, that state."""
    function = names(target.function)
    if function in _SETSTATE or plain_state(state):
        return ""
    return "gets a state that replaces what loaders call"


def takes_pairs(target: Value) -> bool:
    """Whether setting an item of it is a dictionary's own work."""
    return isinstance(target, Call) and names(made_of(target)) in MAPPINGS


def takes_items(target: Value) -> bool:
    """Whether appending to it is a list's own work."""
    return isinstance(target, Call) and names(made_of(target)) in LISTS


def takes_members(target: Value) -> bool:
    """Whether adding to it is a set's own work."""
    return isinstance(target, Bag) or names(made_of(target)) == ("builtins", "set")


def made_of(value: Value) -> Value:
    """The class that a call makes an instance of."""
    if not isinstance(value, Call):
        return Opaque()
    if names(value.function) == ("copyreg", "_reconstructor") and isinstance(
        value.arguments, tuple
    ):
        return value.arguments[0] if value.arguments else Opaque()
    return value.function
