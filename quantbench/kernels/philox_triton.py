"""Random numbers of counters on a GPU, in Triton: one launch a draw. ``quantbench.philox`` says what they are.

The bits are those of PyTorch's operations there: it is launched without fused multiply-adds, its root is rounded as IEEE 754
has it, and all else is additions and products. The position lies on the device, so that a captured graph goes on.
"""

import triton
import triton.language as tl

UNIFORM, NORMAL, INTEGERS = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
TOGETHER = 256
"""Blocks of four words that a program makes."""
SIDE, ROUNDS = tl.constexpr(16), tl.constexpr(10)
M0, M1 = tl.constexpr(0xD2511F53), tl.constexpr(0xCD9E8D57)
W0, W1 = tl.constexpr(0x9E3779B9), tl.constexpr(0xBB67AE85)
ROOT_HALF = tl.constexpr(0x3F3504F3)
LN2_HIGH, LN2_LOW = tl.constexpr(0.693359375), tl.constexpr(-2.12194440e-4)


@triton.jit
def words(block, key):
    """The four words of blocks; all of 64 bits, of which the upper half is 0."""
    low: tl.constexpr = 0xFFFFFFFF
    c0, c1, k0, k1 = block & low, block >> 32, key & low, key >> 32
    c2, c3 = block - block, block - block
    for _ in tl.static_range(ROUNDS):
        p, q = c0 * M0, c2 * M1
        c0, c1, c2, c3 = (q >> 32) ^ c1 ^ k0, q & low, (p >> 32) ^ c3 ^ k1, p & low
        k0, k1 = (k0 + W0) & low, (k1 + W1) & low
    return c0, c1, c2, c3


@triton.jit
def fraction(word):
    """Uniform in [0, 1)."""
    return (word >> 8).to(tl.int32).to(tl.float32) * 5.9604644775390625e-08  # 2^-24


@triton.jit
def logarithm(word):
    """ln u for u = (word + 1/2) / 2^32."""
    upper = (word >> 31).to(tl.int32)
    below = word.to(tl.int32).to(tl.float32)  # less 2^32 where the first bit is set
    value = below + upper.to(tl.float32) * 4294967296.0 + 0.5
    bits = value.to(tl.int32, bitcast=True)
    power = (bits - ROOT_HALF) >> 23
    near = (below + 0.5) * 2.3283064365386963e-10  # 2^-32
    f = tl.where(power == 32, near, (bits - (power << 23)).to(tl.float32, bitcast=True) - 1.0)
    exponent, square = (power - 32).to(tl.float32), f * f
    p = f * -0.07859599590301514 + 0.1288164258003235
    p = p * f + -0.1312875747680664
    p = p * f + 0.14181192219257355
    p = p * f + -0.16624553501605988
    p = p * f + 0.2000228613615036
    p = p * f + -0.25000810623168945
    p = p * f + 0.33333316445350647
    found = f * square * p + exponent * LN2_LOW
    return f + (found - square * 0.5) + exponent * LN2_HIGH


@triton.jit
def pair(a, b):
    """Two normal numbers of two words."""
    radius = tl.sqrt_rn(logarithm(a) * -2.0)
    t = (((b & 0x3FFFFFFF).to(tl.int32) - 536870912).to(tl.float32) + 0.5) * 9.313225746154785e-10  # 2^-30
    square = t * t
    sine = square * -0.004602177068591118 + 0.07968022674322128
    sine = sine * square + -0.6459634900093079
    sine = (sine * square + 1.5707963705062866) * t
    cosine = square * 0.0009040216182478786 + -0.02086028829216957
    cosine = cosine * square + 0.25366923213005066
    cosine = cosine * square + -1.2337005138397217
    cosine = cosine * square + 1.0
    cosine = cosine * (1 - 2 * (b >> 31).to(tl.int32)).to(tl.float32)
    swapped = ((b >> 30) & 1) != 0
    return radius * tl.where(swapped, sine, cosine), radius * tl.where(swapped, cosine, sine)


@triton.jit
def whole(first, second, high):
    """An integer in [0, high) of two words."""
    return ((first * high + (second * high >> 32)) >> 32).to(tl.int64)


@triton.jit(do_not_specialize=["numbers", "programs", "high"])
def draw(keys, position, found, numbers, programs, high: tl.int64, KIND: tl.constexpr, TOGETHER: tl.constexpr):
    """Numbers (seeds, numbers) of a kind, from the group that ``position`` points at; ``programs`` of them are one seed's."""
    program = tl.program_id(0).to(tl.int64)
    seed = program // programs
    each = (program % programs) * TOGETHER + tl.arange(0, TOGETHER)
    block = (tl.load(position) * SIDE + each).to(tl.uint64)
    a, b, c, d = words(block, tl.load(keys + seed).to(tl.uint64))
    group, lane = each // SIDE, each % SIDE
    row = found + seed * numbers
    if KIND == INTEGERS:
        bound = high.to(tl.uint64)
        at = group * (2 * SIDE) + lane
        tl.store(row + at, whole(a, b, bound), mask=at < numbers)
        tl.store(row + at + SIDE, whole(c, d, bound), mask=at + SIDE < numbers)
    else:
        if KIND == UNIFORM:
            w, x, y, z = fraction(a), fraction(b), fraction(c), fraction(d)
        else:
            w, x = pair(a, b)
            y, z = pair(c, d)
        at = group * (4 * SIDE) + lane
        tl.store(row + at, w, mask=at < numbers)
        tl.store(row + at + SIDE, x, mask=at + SIDE < numbers)
        tl.store(row + at + 2 * SIDE, y, mask=at + 2 * SIDE < numbers)
        tl.store(row + at + 3 * SIDE, z, mask=at + 3 * SIDE < numbers)
