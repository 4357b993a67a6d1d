"""Every opcode of protocols 0 to 5: what it does to stack, memo and marks."""

from collections.abc import Callable

from chalicelib.indexing.formats.pickled import arrays, checks, literals
from chalicelib.indexing.formats.pickled.machine import STOP, Broken, Machine, Walk
from chalicelib.indexing.formats.pickled.source import OverLimit, Truncated
from chalicelib.indexing.formats.pickled.values import Bag, Call, Dict, Opaque, Stored, Value

Opcode = Callable[[Machine], None]
TABLE: dict[int, Opcode] = {}


def run(machine: Machine) -> Walk:
    """Executes nothing, opcode by opcode, until the pickle stops or breaks."""
    cursor, limits = machine.cursor, machine.cursor.limits
    at = cursor.at
    try:
        while True:
            at = cursor.at
            _frame(machine, at)
            limits.opcodes -= 1
            if limits.opcodes < 0:
                raise OverLimit("more opcodes than are looked at")
            code = cursor.byte()
            if code == STOP:
                _frame(machine, cursor.at)
                if machine.frame_end is not None:
                    machine.unknown(f"stops inside of a frame at byte {at}")
                return Walk(cursor.at, machine.pop())
            opcode = TABLE.get(code)
            if opcode is None:
                raise Broken(f"unknown opcode {code:#04x}")
            opcode(machine)
    except Truncated as error:
        return Walk(at, broken=str(error))
    except OverLimit as error:
        machine.unknown(f"not looked at as a whole: {error}")
        return Walk(at, broken=f"{error}, at byte {at}", unclear=True)
    except (Broken, ValueError, OverflowError) as error:
        return Walk(at, broken=f"{error}, at byte {at}")


def _frame(machine: Machine, at: int) -> None:
    """Leaves a frame at its end. One loader checks frames, another does not."""
    if machine.frame_end is not None and at >= machine.frame_end:
        if at > machine.frame_end:
            machine.unknown(f"an opcode reaches over the end of its frame before byte {at}")
        machine.frame_end = None


def opcode(code: bytes) -> Callable[[Opcode], Opcode]:
    """Puts a function into the table."""

    def put(function: Opcode) -> Opcode:
        TABLE[code[0]] = function
        return function

    return put


def _push(code: bytes, make: Callable[[Machine], Value]) -> None:
    """An opcode that pushes one value."""

    def push(machine: Machine) -> None:
        value = make(machine)  # first: a mark changes which list is the stack
        machine.stack.append(value)

    TABLE[code[0]] = push


def _persistent(machine: Machine, id: Value) -> Value:
    if not machine.mode.persistent:
        machine.unknown("refers to objects outside of it (persistent ids)")
    elif isinstance(id, tuple) and len(id) >= 2 and id[0] == "module":
        return id[1]  # a class with its source beside it, which torch compares and gives back
    elif not (
        isinstance(id, tuple) and len(id) >= 5 and id[0] == "storage" and checks.trusted(id[1])
    ):
        machine.unknown("a persistent id that is no storage")
    stored = Stored(id)
    machine.notes.stored.append(stored)
    return stored


def _extension(length: int) -> Callable[[Machine], Value]:
    def make(machine: Machine) -> Value:
        code = machine.cursor.number(length)
        machine.unknown(f"uses the registered extension {code}")
        return machine.imported(None, None)

    return make


def _stack_global(machine: Machine) -> Value:
    name, module = machine.pop(), machine.pop()
    return machine.imported(module, name)


def _global(machine: Machine) -> Value:
    module = machine.cursor.line().decode("utf-8")
    return machine.imported(module, machine.cursor.line().decode("utf-8"))


def _inst(machine: Machine) -> Value:
    function = _global(machine)
    return machine.call(function, tuple(machine.pop_mark()))


def _obj(machine: Machine) -> Value:
    items = machine.pop_mark()
    if not items:
        raise Broken("a class is missing on the stack")
    return machine.call(items[0], tuple(items[1:]))


def _reduce(machine: Machine) -> Value:
    arguments, function = machine.pop(), machine.pop()
    return machine.call(function, arguments)


def _newobj_ex(machine: Machine) -> Value:
    keywords, arguments, function = machine.pop(), machine.pop(), machine.pop()
    result = machine.call(function, arguments)
    if not isinstance(keywords, Dict) or keywords.pairs:
        machine.unknown("makes an object with named arguments")
    return result


def _get(machine: Machine, index: int) -> Value:
    if index not in machine.memo:
        raise Broken(f"memo {index} is empty")
    return machine.memo[index]


def _put(code: bytes, index: Callable[[Machine], int]) -> None:
    def put(machine: Machine) -> None:
        machine.memo[index(machine)] = machine.top()

    TABLE[code[0]] = put


def _pairs(items: list[Value]) -> list[tuple[Value, Value]]:
    if len(items) % 2:
        raise Broken("a key without a value")
    return list(zip(items[::2], items[1::2], strict=True))


def _buffer(machine: Machine) -> Value:
    machine.unknown("refers to buffers outside of it")
    return Opaque("a buffer")


def _tuple(count: int) -> Callable[[Machine], Value]:
    def make(machine: Machine) -> Value:
        items = [machine.pop() for _ in range(count)]
        return tuple(reversed(items))

    return make


_push(b"I", literals.int_)
_push(b"L", lambda m: literals.number(m.cursor.line().removesuffix(b"L")))
_push(b"F", lambda m: float(m.cursor.line()))
_push(b"J", lambda m: int.from_bytes(m.cursor.take(4), "little", signed=True))
_push(b"K", lambda m: m.cursor.byte())
_push(b"M", lambda m: m.cursor.number(2))
_push(b"\x8a", literals.long(1))
_push(b"\x8b", literals.long(4))
_push(b"G", literals.double)
_push(b"N", lambda m: None)
_push(b"\x88", lambda m: True)
_push(b"\x89", lambda m: False)
_push(b"S", literals.quoted)
_push(b"T", literals.old_string(4))
_push(b"U", literals.old_string(1))
_push(b"V", lambda m: m.cursor.line().decode("raw-unicode-escape"))
for _code, _length in ((b"X", 4), (b"\x8c", 1), (b"\x8d", 8)):
    _push(_code, literals.text(_length))
for _code, _length in ((b"B", 4), (b"C", 1), (b"\x8e", 8), (b"\x96", 8)):
    _push(_code, literals.bytes_(_length))
_push(b"P", lambda m: _persistent(m, m.cursor.line().decode("ascii")))
_push(b"Q", lambda m: _persistent(m, m.pop()))
for _code, _length in ((b"\x82", 1), (b"\x83", 2), (b"\x84", 4)):
    _push(_code, _extension(_length))
_push(b"c", _global)
_push(b"\x93", _stack_global)
_push(b"i", _inst)
_push(b"o", _obj)
_push(b"R", _reduce)
_push(b"\x81", _reduce)
_push(b"\x92", _newobj_ex)
_push(b"g", lambda m: _get(m, literals.index(m)))
_push(b"h", lambda m: _get(m, m.cursor.byte()))
_push(b"j", lambda m: _get(m, m.cursor.number(4)))
_put(b"p", literals.index)
_put(b"q", lambda m: m.cursor.byte())
_put(b"r", lambda m: m.cursor.number(4))
_put(b"\x94", lambda m: len(m.memo))
_push(b")", lambda m: ())
_push(b"t", lambda m: tuple(m.pop_mark()))
_push(b"\x85", _tuple(1))
_push(b"\x86", _tuple(2))
_push(b"\x87", _tuple(3))
_push(b"]", lambda m: [])
_push(b"l", lambda m: list(m.pop_mark()))
_push(b"}", lambda m: Dict())
_push(b"d", lambda m: Dict(_pairs(m.pop_mark())))
_push(b"\x8f", lambda m: Bag())
_push(b"\x91", lambda m: Bag(m.pop_mark()))
_push(b"2", lambda m: m.top())
_push(b"\x97", _buffer)


@opcode(b"\x98")
def _readonly(machine: Machine) -> None:
    machine.top()


@opcode(b"\x80")
def _proto(machine: Machine) -> None:
    version = machine.cursor.byte()
    if version > 5:
        raise Broken(f"protocol {version}")


@opcode(b"\x95")
def _new_frame(machine: Machine) -> None:
    length = machine.cursor.number(8)
    if machine.frame_end is not None:
        _frame(machine, machine.cursor.at - 9)
        if machine.frame_end is not None:
            machine.unknown(f"a frame begins inside of another at byte {machine.cursor.at - 9}")
    machine.frame_end = machine.cursor.at + length
    if machine.frame_end > machine.cursor.source.size:
        machine.unknown(
            f"a frame of {length} bytes at byte {machine.cursor.at} is longer than the rest"
        )


@opcode(b"(")
def _mark(machine: Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


@opcode(b"0")
def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


@opcode(b"1")
def _pop_mark(machine: Machine) -> None:
    machine.pop_mark()


def _append(machine: Machine, items: list[Value]) -> None:
    target = machine.top()
    if not items:
        return  # the loader in C does not look at what nothing is added to
    if isinstance(target, list):
        target.extend(items)
    elif isinstance(target, Call):
        if not checks.takes_items(target):
            machine.unknown("appends to something that is no list")
        target.items.extend(items)
    elif isinstance(target, Stored | Opaque):
        machine.unknown("appends to something of which nothing is known")
    else:
        raise Broken("appends to something that is no list")


@opcode(b"a")
def _append_one(machine: Machine) -> None:
    item = machine.pop()
    _append(machine, [item])


@opcode(b"e")
def _appends(machine: Machine) -> None:
    _append(machine, machine.pop_mark())


def _set(machine: Machine, items: list[Value]) -> None:
    target, pairs = machine.top(), _pairs(items)
    if not items:
        return
    if isinstance(target, Dict):
        target.pairs.extend(pairs)
    elif isinstance(target, Call):
        if not checks.takes_pairs(target):
            machine.unknown("sets items of something that is no dictionary")
        target.items.extend(pairs)
    elif isinstance(target, Stored | Opaque):
        machine.unknown("sets items of something of which nothing is known")
    elif isinstance(target, list):
        machine.unknown("sets items of a list")
    else:
        raise Broken("sets items of something that is no dictionary")


@opcode(b"s")
def _setitem(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _set(machine, [key, value])


@opcode(b"u")
def _setitems(machine: Machine) -> None:
    _set(machine, machine.pop_mark())


@opcode(b"\x90")
def _additems(machine: Machine) -> None:
    items, target = machine.pop_mark(), machine.top()
    if not items:
        return
    if not checks.takes_members(target):
        machine.unknown("adds to something that is no set")
    if isinstance(target, Bag):
        target.items.extend(items)


@opcode(b"b")
def _build(machine: Machine) -> None:
    state, target = machine.pop(), machine.top()
    machine.build(target, state)
    if machine.mode.joblib and arrays.is_wrapper(target):
        machine.stack[-1] = arrays.read(machine, target)
