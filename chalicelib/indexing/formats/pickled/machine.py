"""The machine: one pickle, opcode by opcode, with stand-ins for the objects (values.py).

It does to stack, memo and marks what a loader does, so that it sees the same calls; where loaders
differ from each other, or where something cannot be known, the verdict is at least `unknown`. What a
loader executes before a stream breaks counts too.
"""

import re
from dataclasses import dataclass, field, replace

from chalicelib.indexing.formats.pickled import checks, rules
from chalicelib.indexing.formats.pickled.rules import Kind
from chalicelib.indexing.formats.pickled.source import Cursor, Limits, Memory, Part, Source
from chalicelib.indexing.formats.pickled.values import (
    Call,
    Data,
    Import,
    Opaque,
    Stored,
    Value,
)
from weighbridge.contract.types.facts import Verdict

STOP = 0x2E
SHORT = 64 * 1024
"""Text and bytes up to this are kept as they are."""
MAX_NESTED = 3
MAX_FINDINGS = 50
PLAUSIBLE = re.compile(r"[\w.<>-]{1,1000}")
Level = Verdict
ORDER: tuple[Level, ...] = ("", "safe", "unknown", "unsafe")


class Broken(Exception):
    """No loader gets beyond this point, or it cannot be told what it would do there."""


@dataclass(frozen=True, slots=True)
class Mode:
    """Who would load it: that decides what persistent ids, some names and raw arrays mean."""

    persistent: bool = False
    torchscript: bool = False
    joblib: bool = False
    depth: int = 0


@dataclass(slots=True)
class Notes:
    """What was found, in order, each once: text → whether it is `unsafe`, `unknown` or `safe`."""

    found: dict[str, Level] = field(default_factory=dict)
    calls: int = 0
    imports: int = 0
    arrays: int = 0
    stored: list[Stored] = field(default_factory=list)

    def add(self, level: Level, text: str) -> None:
        """One finding; the graver level stays, and the gravest where there are too many."""
        text = text.encode("ascii", "backslashreplace").decode()[:200]
        text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
        self.found[text] = worse(level, self.found.get(text, "safe"))
        if len(self.found) > MAX_FINDINGS:
            del self.found[min(self.found, key=lambda t: ORDER.index(self.found[t]))]

    def sorted(self) -> tuple[str, ...]:
        """The findings, the gravest first."""
        return tuple(sorted(self.found, key=lambda text: -ORDER.index(self.found[text])))

    @property
    def verdict(self) -> Level:
        """The gravest level. No finding makes way for a lighter one, so none of it is lost."""
        gravest: Level = "safe"
        for level in self.found.values():
            gravest = worse(gravest, level)
        return gravest


def worse(one: Level, other: Level) -> Level:
    """The graver of two levels."""
    return max(one, other, key=ORDER.index)


@dataclass(slots=True)
class Walk:
    """How a walk ended: behind `end`, with `root` as the object, or `broken`. It is `unclear` what
    follows where a loader might have gone on."""

    end: int
    root: Value = None
    broken: str = ""
    unclear: bool = False


class Machine:
    """The state of one walk. Its opcodes are in opcodes.py."""

    def __init__(self, cursor: Cursor, notes: Notes, mode: Mode) -> None:
        self.cursor = cursor
        self.notes = notes
        self.mode = mode
        self.stack: list[Value] = []
        self.marks: list[list[Value]] = []
        self.memo: dict[int, Value] = {}
        self.frame_end: int | None = None

    def pop(self) -> Value:
        """The topmost value."""
        if not self.stack:
            raise Broken("a value is missing on the stack")
        return self.stack.pop()

    def top(self) -> Value:
        """The topmost value, left there."""
        if not self.stack:
            raise Broken("a value is missing on the stack")
        return self.stack[-1]

    def pop_mark(self) -> list[Value]:
        """The values above the last mark."""
        if not self.marks:
            raise Broken("a mark is missing on the stack")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def unknown(self, text: str) -> None:
        """Notes something that cannot be known."""
        self.notes.add("unknown", text)

    def keep(self, length: int, text: bool) -> bytes | Data:
        """The next `length` bytes, or where they are if they are long."""
        limits = self.cursor.limits
        if length <= SHORT and length <= limits.kept:
            limits.kept -= length
            return self.cursor.take(length)
        data = Data(self.cursor.at, length, text)
        if length <= SHORT:
            self.cursor.take(length)
        else:
            self.cursor.skip(length)
        return data

    def imported(self, module: Value, name: Value) -> Import:
        """An import; the finding names it as the stream does."""
        if not isinstance(module, str) or not isinstance(name, str):
            self.notes.imports += 1
            self.unknown("imports something whose name is computed")
            return Import("?", "?")
        found = Import(module, name)
        # Text of words begins with an import, too, but of what no module is called.
        self.notes.imports += bool(PLAUSIBLE.fullmatch(module) and PLAUSIBLE.fullmatch(name))
        match self.kind(found):
            case Kind.HARMLESS | Kind.NAMED:
                self.notes.add("safe", f"imports {found}")
            case Kind.LIBRARY:
                self.unknown(f"imports {found}: that library's own code restores it")
            case Kind.DANGEROUS:
                self.notes.add("unsafe", f"imports {found}")
            case _:
                self.unknown(f"imports {found}, of which nothing is known")
        return found

    def kind(self, found: Import) -> Kind:
        """How far an import is trusted in this mode."""
        if self.mode.torchscript and (
            found.module == "__torch__" or found.module.startswith("__torch__.")
        ):
            return Kind.HARMLESS  # a class of the archive's own code, never one of Python's
        if found.module == "torch.jit._pickle" and found.name in rules.TORCHSCRIPT:
            return Kind.HARMLESS if self.mode.torchscript else Kind.NAMED
        if self.mode.joblib and str(found) == "joblib.numpy_pickle.NumpyArrayWrapper":
            return Kind.HARMLESS
        return rules.kind(found.module, found.name)

    def call(self, function: Value, arguments: Value) -> Value:
        """What a call would give. Every call of the stream comes through here."""
        self.notes.calls += 1
        result = Call(function, arguments)
        if not isinstance(function, Import):
            strange = isinstance(function, Call | Stored | Opaque)
            level: Level = "unsafe" if strange else "unknown"
            self.notes.add(level, "calls something that is no import")
            return result
        self._judge(function)
        names = checks.names(function)
        if names in rules.HARMLESS:
            wrong = checks.arguments(names, arguments)
            if wrong:
                self.unknown(f"calls {function} {wrong}")
            elif names == ("copyreg", "_reconstructor"):
                for made in arguments[:2]:
                    self._judge(made)
            elif names == ("_codecs", "encode"):
                return self._encode(arguments)
            elif names == ("torch.storage", "_load_from_bytes"):
                self._load(arguments)
        return result

    def _judge(self, function: Import) -> None:
        """Notes a call of that import."""
        match self.kind(function):
            case Kind.HARMLESS:
                pass
            case Kind.LIBRARY:
                self.unknown(f"calls {function}: that library's own code runs")
            case Kind.NAMED:
                self.unknown(f"calls {function}, which is expected to be named only")
            case _:
                self.notes.add("unsafe", f"calls {function}")

    def _encode(self, arguments: tuple[Value, ...]) -> Value:
        """The bytes that older protocols carry as text."""
        text, name = arguments
        if not isinstance(text, str):
            return Opaque("bytes as long text")
        try:
            data = text.encode(name)
        except UnicodeEncodeError as error:
            raise Broken("a text that its codec cannot hold") from error
        self.nested(data)
        return data

    def _load(self, arguments: tuple[Value, ...]) -> None:
        """`torch.storage._load_from_bytes`: a file of torch's inside the pickle, loaded at once."""
        inner = arguments[0] if len(arguments) == 1 else None
        source: Source
        if isinstance(inner, bytes):
            source = Memory(inner)
        elif isinstance(inner, Data) and not inner.text:
            source = Part(self.cursor.source, inner.at, inner.length)
        else:
            source = Memory(b"")
        depth = self.mode.depth + 1
        if depth > MAX_NESTED or not source.size:
            self.unknown("calls torch.storage._load_from_bytes with bytes that were not looked at")
            return
        from chalicelib.indexing.formats.pickled import streams  # which walks, too

        streams.legacy(source, self.cursor.limits, self.notes, depth)

    def build(self, target: Value, state: Value) -> None:
        """`target.__setstate__(state)`, or attributes set one by one."""
        if isinstance(target, Import):
            self.notes.add("unsafe", f"changes the attributes of {target}")
        elif not isinstance(target, Call):
            self.unknown("sets the state of something that has none")
        else:
            wrong = ""
            if checks.names(target.function) in rules.HARMLESS:
                wrong = checks.build(target, state)
            if wrong:
                self.unknown(f"an instance of {checks.made_of(target)} {wrong}")
            target.state = state

    def nested(self, data: bytes) -> None:
        """Looks into bytes that may be a pickle: none of the harmless calls loads them, but who put
        a dangerous pickle there meant something by it."""
        if len(data) < 4 or data[0] not in b"\x80(c]}i" or b"." not in data:
            return
        if self.mode.depth >= MAX_NESTED or self.cursor.limits.nested <= 0:
            return
        self.cursor.limits.nested -= 1
        inner = Notes()
        walk(
            Memory(data),
            0,
            self.cursor.limits,
            inner,
            replace(self.mode, depth=self.mode.depth + 1),
        )
        for text, level in inner.found.items():
            if level == "unsafe":
                self.notes.add(level, f"bytes that are a pickle: {text}")


def walk(source: Source, start: int, limits: Limits, notes: Notes, mode: Mode) -> Walk:
    """Walks one pickle of `source` from `start`. Notes what it would do; raises nothing of its own."""
    from chalicelib.indexing.formats.pickled import opcodes  # they import the machine

    return opcodes.run(Machine(Cursor(source, limits, start), notes, mode))
