"""Random numbers that are a function of a key and a position: Philox4x32-10, and what is made of its bits.

Formula: ten rounds of ``c0, c1, c2, c3 = hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)``, with Weyl sequences
for the keys ``k0, k1``.
Source: Salmon et al. (2011), Parallel Random Numbers: As Easy as 1, 2, 3; the authors' code (Random123), read.
Compared with: the known answers that Random123 comes with.

A key's stream is cut into groups of 16 blocks of four 32-bit words: the first words of all 16, then the second ones, and so on.
Number ``i`` of a draw is made of the same words however many are drawn. The bits are the same on every device, with a
kernel (in C++ on a CPU, in Triton on a GPU) and without, and so are all numbers made of them: nothing but single additions,
products and square roots, which IEEE 754 rounds everywhere alike, makes the normal ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from quantbench import kernels
from quantbench.errors import brief
from quantbench.terminal import say

SIDE = 16
"""Blocks of a group."""
UNIFORM, INTEGERS = 4 * SIDE, 2 * SIDE
"""Numbers of a group: uniform or normal ones of a word each, integers of two."""
COMPARED = 5000
"""Numbers of three seeds that a GPU's kernel is judged by, before it is used."""
LARGEST = 2**31
"""The largest bound of integers."""

Position = int | Tensor
"""A group; a tensor where it must be read when a CUDA graph is replayed."""

ROUNDS, LOW = 10, 0xFFFFFFFF
FACTORS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)

ON_CPU, ELSEWHERE = 2**13, 2**24
"""Blocks that are computed at a time: for the cache, and for the memory of a GPU."""

# ln(1 + f) = f - f^2/2 + f^3 P(f) for 1/sqrt 2 <= 1 + f <= sqrt 2; sine and cosine of t pi/2 for |t| <= 1/2, in t^2. The best
# polynomials of their degrees: relative errors 6e-9, 3e-9 and 7e-11 before the rounding of single precision.
LOGARITHM = (
    *(-0.07859599590301514, 0.1288164258003235, -0.1312875747680664, 0.14181192219257355),
    *(-0.16624553501605988, 0.2000228613615036, -0.25000810623168945, 0.33333316445350647),
)
SINE = (-0.004602177068591118, 0.07968022674322128, -0.6459634900093079, 1.5707963705062866)
COSINE = (0.0009040216682478786, -0.02086028829216957, 0.25366923213005066, -1.2337005138397217, 1.0)
LN2 = (0.693359375, -2.12194440e-4)
"""ln 2 in two parts; products of the first with whole numbers below 33 are exact."""
ROOT_HALF = 0x3F3504F3
"""The bits of sqrt(1/2)."""


def groups(numbers: int, each: int) -> int:
    """Groups that a draw of so many numbers uses up."""
    return -(-numbers // each)


def uniform(keys: Tensor, position: Position, numbers: int) -> Tensor:
    """Uniform numbers in [0, 1), multiples of 2^-24: (seeds, numbers).

    Args:
        keys: 64 bits a seed, (seeds,), as int64.
        position: the first group.
    """
    if _usable(keys):
        return kernels.philox_uniform(keys, int(position), numbers)
    if _on_gpu(keys):
        return kernels.philox_on_gpu("uniform", keys, position, numbers)
    return _in_parts(keys, position, numbers, UNIFORM, lambda words: [(word >> 8).float() * 2.0**-24 for word in words])


def normal(keys: Tensor, position: Position, numbers: int) -> Tensor:
    """Standard normal numbers, (seeds, numbers), two of two words (Box and Muller).

    None is 0, infinite or NaN; the largest are +-6.76, for a word has 32 bits.
    """
    if _usable(keys):
        return kernels.philox_normal(keys, int(position), numbers)
    if _on_gpu(keys):
        return kernels.philox_on_gpu("normal", keys, position, numbers)
    return _in_parts(keys, position, numbers, UNIFORM, lambda words: [*_pair(*words[:2]), *_pair(*words[2:])])


def integers(keys: Tensor, position: Position, numbers: int, high: int) -> Tensor:
    """Integers in [0, high), (seeds, numbers): 64 bits times ``high``, over 2^64. Raises ValueError for a ``high`` above 2^31.

    No integer is more likely than another by a share of more than 2^-33.
    """
    if not 1 <= high <= LARGEST:
        raise ValueError(f"high={high}: must lie between 1 and {LARGEST}")
    if _usable(keys):
        return kernels.philox_integers(keys, int(position), numbers, high)
    if _on_gpu(keys):
        return kernels.philox_on_gpu("integers", keys, position, numbers, high)

    def make(words: Tensor) -> list[Tensor]:
        return [(words[i] * high + (words[i + 1] * high >> 32)) >> 32 for i in (0, 2)]

    return _in_parts(keys, position, numbers, INTEGERS, make)


def philox(counter: Tensor, key: Tensor) -> Tensor:
    """The four words of blocks, (4, ...), from those of their counters, (4, ...), and the two of their keys, (2, ...).

    All are 32 bits in an int64. Both halves of a round are computed as one.
    """
    every = torch.arange(ROUNDS, device=key.device).view(-1, *[1] * key.dim())
    round_keys = (key + every * _column(WEYL, key)) & LOW
    factors = _column(FACTORS, counter)
    even, odd = counter[0::2], counter[1::2]
    for round_key in round_keys.unbind():
        product = (even * factors).flip(0)
        # Of odd words the lower half counts: the upper one goes when all is done.
        even, odd = ((product >> 32) ^ odd ^ round_key) & LOW, product
    return torch.stack([even, odd & LOW], dim=1).flatten(0, 1)


def _column(pair: tuple[int, int], like: Tensor) -> Tensor:
    """Two numbers to multiply the two rows of a tensor with."""
    first = torch.arange(2, device=like.device).view(2, *[1] * (like.dim() - 1))
    return first * (pair[1] - pair[0]) + pair[0]


def _usable(keys: Tensor) -> bool:
    return keys.device.type == "cpu" and kernels.usable()


def _on_gpu(keys: Tensor) -> bool:
    return keys.device.type == "cuda" and kernels.on() and _fits(keys.device)


@cache
def _fits(device: torch.device) -> bool:
    """Whether the kernel of a GPU draws all kinds of numbers there, bit by bit as PyTorch's operations do; says why not.

    Of all kinds at the first draw of any: a second kind may be drawn first while a graph is captured, which is no time to
    compile or to wait. Without Triton nothing is said: the numbers are the same.
    """
    if kernels.philox_lacks():
        return False
    keys, first, high = torch.tensor([0, -1, 2**62 + 12345], device=device), 2**28 - 1, 1000003
    differing = []
    try:
        for name, make, more in (("uniform", uniform, ()), ("normal", normal, ()), ("integers", integers, (high,))):
            found = kernels.philox_on_gpu(name, keys, first, COMPARED, *more)
            with kernels.without():
                expected = make(keys, first, COMPARED, *more)
            differing += [] if torch.equal(found, expected) else [name]
    except Exception as error:  # it needs a compiler, a driver that fits, and memory
        reason = brief(error)
    else:
        if not differing:
            return True
        reason = f"its {', '.join(differing)} numbers are others"
    say(f"random numbers are drawn by PyTorch's operations on {device}, not by the kernel: {reason}", error=True)
    return False


def _in_parts(keys: Tensor, position: Position, numbers: int, each: int, make: Callable[[Tensor], list[Tensor]]) -> Tensor:
    """Numbers (seeds, numbers) of which a group gives ``each``, made of the words (seeds, groups, 16); some at a time."""
    count = groups(numbers, each)
    together = max(1, (ON_CPU if keys.device.type == "cpu" else ELSEWHERE) // (SIDE * max(1, len(keys))))
    key = (torch.stack([keys, keys >> 32]) & LOW)[:, :, None, None]
    lane = torch.arange(SIDE, device=keys.device)
    parts = []
    for start in range(0, max(1, count), together):
        group = position + torch.arange(start, min(count, start + together), device=keys.device)
        block = group[:, None] * SIDE + lane
        zero = torch.zeros_like(block)
        counter = (torch.stack([block, block >> 32, zero, zero]) & LOW).unsqueeze(1)
        found = make(philox(counter, key))
        parts.append(torch.stack(found, dim=2).flatten(1))
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))[:, :numbers].contiguous()


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two normal numbers of two words: the radius of one, the angle of the other."""
    # In double precision: in single precision, torch's root on a CPU is not rounded as IEEE 754 has it.
    radius = (_logarithm(a) * -2.0).double().sqrt().float()
    # An eighth of a turn to either side; the first two bits say in which quarter.
    t = (((b & 0x3FFFFFFF) - 2**29).float() + 0.5) * 2.0**-30
    square = t * t
    sine, cosine = _polynomial(SINE, square) * t, _polynomial(COSINE, square)
    cosine = cosine * (1 - 2 * (b >> 31)).float()
    swapped = (b & 2**30) != 0
    return radius * torch.where(swapped, sine, cosine), radius * torch.where(swapped, cosine, sine)


def _logarithm(word: Tensor) -> Tensor:
    """ln u for u = (word + 1/2) / 2^32 = 2^power (1 + f); near 1, f is what lacks, which is known exactly."""
    upper = word >> 31
    below = (word - (upper << 32)).float()
    value = below + upper.float() * 2.0**32 + 0.5
    bits = value.view(torch.int32)
    power = (bits - ROOT_HALF) >> 23
    f = torch.where(power == 32, (below + 0.5) * 2.0**-32, (bits - (power << 23)).view(torch.float32) - 1.0)
    exponent, square = (power - 32).float(), f * f
    found = f * square * _polynomial(LOGARITHM, f) + exponent * LN2[1]
    return f + (found - square * 0.5) + exponent * LN2[0]


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Horner's rule, the highest power first."""
    found = x * coefficients[0] + coefficients[1]
    for one in coefficients[2:]:
        found = found * x + one
    return found
