"""Damaged copies of small files, and what readers may do with them."""

import random
import tracemalloc

from nas.errors import MixnasError

SIZES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def mutants(raw, count, seed=0):
    """Copies of a file with bits flipped, bytes lost or repeated, and numbers of extreme size."""
    rng = random.Random(seed)
    for _ in range(count):
        content = bytearray(raw)
        for _ in range(rng.choice((1, 1, 2, 5))):
            _damage(content, rng)
        yield bytes(content)


def _damage(content, rng):
    place = rng.randrange(len(content) or 1)
    kind = rng.randrange(6)
    if not content:
        content += b"\0"
    elif kind == 0:
        content[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
        content[place] = rng.randrange(256)
    elif kind == 2:
        del content[place:]
    elif kind == 3:
        del content[place : place + rng.randrange(1, 16)]
    elif kind == 4:
        content[place:place] = content[place : place + rng.randrange(1, 64)] * rng.randrange(1, 4)
    else:
        width = rng.choice((1, 2, 4, 8))
        number = rng.choice(SIZES) % (1 << (8 * width))
        content[place : place + width] = number.to_bytes(width, rng.choice(("little", "big")))


def _refusal(read, given):
    try:
        read(given)
    except MixnasError as error:
        return str(error)
    return None


def outcomes(read, inputs, megabytes=100):
    """Read inputs; each is read or refused in one line, and none takes more memory than that.

    Returns:
        How many were read, and how many were refused.
    """
    counts = {"read": 0, "refused": 0}
    tracemalloc.start()
    try:
        for number, given in enumerate(inputs):
            tracemalloc.reset_peak()
            reason = _refusal(read, given)
            assert reason is None or reason.strip(), number
            counts["read" if reason is None else "refused"] += 1
            peak = tracemalloc.get_traced_memory()[1] / 1e6
            assert peak < megabytes, f"input {number} took {peak:.0f} MB"
    finally:
        tracemalloc.stop()
    return counts["read"], counts["refused"]
