"""Damaged copies of real files: what a careless disk and a hostile author make of them."""

import random

NUMBERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)


def damaged(data, rng: random.Random):
    """A copy with one to eight changes, mostly where the headers are."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not found:
            break
        at = _place(len(found), rng)
        kind = rng.randrange(8)
        if kind == 0:
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[at] = rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))
        elif kind == 2:
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice((*NUMBERS, len(found), at)) % (1 << 8 * width)
            found[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
        elif kind == 3:
            del found[at : at + rng.choice((1, 4, 8, 100, 5000))]
        elif kind == 4:
            other = _place(len(found), rng)
            found[at:at] = found[other : other + rng.choice((1, 8, 64, 4096))]
        elif kind == 5:
            other, length = _place(len(found), rng), rng.choice((4, 8, 64, 512))
            found[at : at + length] = found[other : other + length]
        elif kind == 6:
            del found[at:]
        else:
            length = rng.choice((1, 8, 100))
            found[at : at + length] = rng.randbytes(length)
    return bytes(found)


def _place(size, rng):
    where = rng.random()
    if where < 0.5:
        return rng.randrange(min(size, 2000))
    if where < 0.7:
        return size - 1 - rng.randrange(min(size, 2000))
    return rng.randrange(size)
