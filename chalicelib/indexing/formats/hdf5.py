"""The structure of an HDF5 file: superblock, object headers, groups (HDF5 File Format Specification 3).

Addresses may point anywhere, also back: every object is visited once, every read counts against a
limit. Groups in dense storage, which the library uses beyond eight links when asked for the latest
format, are not walked; they are counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from chalicelib.indexing.formats.windows import Window

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_READS = 300_000
MAX_OBJECTS = 20_000
MAX_DEPTH = 32
MAX_MESSAGES = 5000
MAX_MESSAGE = 64 * 1024
"""A message has a length of two bytes."""

DATASPACE, LINK_INFO, DATATYPE, LINK, LAYOUT, ATTRIBUTE = 0x01, 0x02, 0x03, 0x06, 0x08, 0x0C
CONTINUATION, SYMBOL_TABLE = 0x10, 0x11
_SHARED = 0x02
_SOFT, _EXTERNAL = 1, 64


class BadHdf5(Exception):
    """No HDF5 file, a damaged one, or one beyond the limits of this module."""


@dataclass
class Object:
    """An object with the messages of its header, by kind; shared ones are left out."""

    path: str
    messages: list[tuple[int, bytes]]

    def first(self, kind: int) -> bytes | None:
        """The first message of a kind."""
        return next((data for what, data in self.messages if what == kind), None)


@dataclass
class File:
    """An HDF5 file in a window."""

    window: Window
    version: int = 0
    root: int = 0
    offsets: int = 8
    lengths: int = 8
    dense: int = 0
    external: set[str] = field(default_factory=set)
    _reads: int = 0
    _base: int = 0

    def open(self) -> None:
        """Reads the superblock. Raises `BadHdf5`."""
        head = self.window.some(0, 128)
        if head[:8] != MAGIC or len(head) < 24:
            raise BadHdf5("it does not begin as an HDF5 file")
        self.version = head[8]
        if self.version > 3:
            raise BadHdf5(f"the superblock's version {self.version} is not known")
        at = 13 if self.version < 2 else 9
        self.offsets, self.lengths = head[at], head[at + 1]
        if self.offsets not in (4, 8) or self.lengths not in (4, 8):
            raise BadHdf5("its addresses have an impossible width")
        at = {0: 24, 1: 28}.get(self.version, 12)
        self._base = self.number(at, self.offsets)
        # Version 0: base, free space, end, driver, then the root's name offset and header address.
        at += 5 * self.offsets if self.version < 2 else 3 * self.offsets
        self.root = self.number(at, self.offsets)

    def objects(self) -> Iterator[Object]:
        """Every object once, the root first. Raises `BadHdf5`."""
        stack, seen, pushed = [("", self.root, 0)], set[int](), 0
        while stack:
            path, address, depth = stack.pop()
            if address in seen:
                continue
            seen.add(address)
            found = Object(path, list(self._messages(address)))
            yield found
            links = sorted(self._links(found), reverse=True)
            if links and depth >= MAX_DEPTH:
                raise BadHdf5("its groups are nested too deeply")
            pushed += len(links)
            if pushed > MAX_OBJECTS:
                raise BadHdf5(f"it has more than {MAX_OBJECTS} objects")
            for name, target in links:
                stack.append((f"{path}/{name}" if path else name, target, depth + 1))

    def read(self, address: int, length: int) -> bytes:
        """Bytes at an address of the file."""
        self._reads += 1
        if self._reads > MAX_READS:
            raise BadHdf5("it has too many parts")
        return self.window.read(self._base + address, length)

    def number(self, address: int, width: int) -> int:
        """An integer at an address."""
        return int.from_bytes(self.read(address, width), "little")

    def undefined(self, address: int) -> bool:
        """Whether an address says that there is nothing."""
        return address == (1 << 8 * self.offsets) - 1

    def _messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        """Kind and data of each message of an object's header, blocks that continue it included."""
        start = self.read(address, 16)
        if start[:4] == b"OHDR":
            flags = start[5]
            at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            blocks = [(at + width, self.number(at, width))]
            head = 6 if flags & 4 else 4
        elif start[0] == 1:
            blocks, head = [(address + 16, int.from_bytes(start[8:12], "little"))], 8
        else:
            raise BadHdf5(f"there is no object at {address}")
        seen, count = set[int](), 0
        while blocks:
            at, length = blocks.pop(0)
            if at in seen:
                raise BadHdf5("an object's header continues itself")
            seen.add(at)
            end = at + length
            while at + head <= end:
                count += 1
                if count > MAX_MESSAGES:
                    raise BadHdf5(f"an object has more than {MAX_MESSAGES} messages")
                entry = self.read(at, head)
                if head == 8:
                    kind, flags = int.from_bytes(entry[:2], "little"), entry[4]
                    size = int.from_bytes(entry[2:4], "little")
                else:
                    kind, size, flags = entry[0], int.from_bytes(entry[1:3], "little"), entry[3]
                at += head
                if at + size > end:
                    break  # a gap at the end of the block
                data = self.read(at, size)
                at += size
                if kind == CONTINUATION:
                    blocks.append(self._continued(data, head))
                elif not flags & _SHARED:
                    yield kind, data

    def _continued(self, data: bytes, head: int) -> tuple[int, int]:
        address = int.from_bytes(data[: self.offsets], "little")
        length = int.from_bytes(data[self.offsets : self.offsets + self.lengths], "little")
        # Version 2 puts a signature before and a checksum behind.
        return (address, length) if head == 8 else (address + 4, length - 8)

    def _links(self, found: Object) -> Iterator[tuple[str, int]]:
        """Names and addresses of what a group holds."""
        for kind, data in found.messages:
            if kind == SYMBOL_TABLE:
                yield from self._symbols(data)
            elif kind == LINK:
                yield from self._link(data)
            elif kind == LINK_INFO and len(data) >= 2:
                at = 2 + (8 if data[1] & 1 else 0)
                heap = int.from_bytes(data[at : at + self.offsets], "little")
                self.dense += not self.undefined(heap)

    def _link(self, data: bytes) -> Iterator[tuple[str, int]]:
        if len(data) < 4 or data[0] != 1:
            raise BadHdf5("a link is damaged")
        flags, at, kind = data[1], 2, 0
        if flags & 8:
            kind, at = data[2], 3
        at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(data[at : at + width], "little")
        at += width
        name = data[at : at + length].decode("utf-8", "replace")
        rest = data[at + length :]
        if kind == 0 and len(rest) >= self.offsets:
            yield name, int.from_bytes(rest[: self.offsets], "little")
        elif kind == _EXTERNAL:
            self.external.add(rest[3:].split(b"\0")[0].decode("utf-8", "replace")[:500])

    def _symbols(self, data: bytes) -> Iterator[tuple[str, int]]:
        """A group of the old kind: a B-tree of tables, the names in a heap."""
        tree = int.from_bytes(data[: self.offsets], "little")
        heap = int.from_bytes(data[self.offsets : 2 * self.offsets], "little")
        if self.read(heap, 4) != b"HEAP":
            raise BadHdf5("a group has no names")
        size = self.number(heap + 8, self.lengths)
        names = self.number(heap + 8 + 2 * self.lengths, self.offsets)
        nodes, seen = [tree], set[int]()
        while nodes:
            at = nodes.pop()
            if at in seen or len(seen) > MAX_OBJECTS:
                raise BadHdf5("the tree of a group has a loop, or is too large")
            seen.add(at)
            head = self.read(at, 8)
            if head[:4] == b"TREE" and head[4] == 0:
                count = int.from_bytes(head[6:8], "little")
                at += 8 + 2 * self.offsets + self.lengths
                step = self.offsets + self.lengths
                nodes += [self.number(at + n * step, self.offsets) for n in range(count)]
            elif head[:4] == b"SNOD":
                yield from self._table(at + 8, int.from_bytes(head[6:8], "little"), names, size)
            else:
                raise BadHdf5("the tree of a group is damaged")

    def _table(self, at: int, count: int, names: int, size: int) -> Iterator[tuple[str, int]]:
        for _ in range(count):
            name = self.number(at, self.offsets)
            kind = self.number(at + 2 * self.offsets, 4)
            if name >= size:
                raise BadHdf5("a name of a group is outside its heap")
            if kind != 2:  # 2 is a soft link
                yield (
                    self._name(names + name, size - name),
                    self.number(at + self.offsets, self.offsets),
                )
            at += 2 * self.offsets + 24

    def _name(self, address: int, most: int) -> str:
        self._reads += 1
        text = self.window.some(self._base + address, min(most, 1024)).split(b"\0")[0]
        return text.decode("utf-8", "replace")
