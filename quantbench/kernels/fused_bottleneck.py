"""Quantizers and gradient strategies of the fused step in Triton, for one trial and one tile of frames.

Latents, and the gradients by what the decoder receives, lie column by column, (LATENT, batch): the search reads columns.
``grid`` has a row for each of ``GRID_ROWS``, (LATENT,) each. What is computed is said by the class of the same name.
"""

import triton
import triton.language as tl

GRID_ROWS = ("per", "shift", "scale", "offset", "divisor", "lowest", "step", "top")
"""A grid quantizer prepares ``p = scale tanh(y / per + shift) - offset``, rounds to ``lowest + step i`` with i from 0 to
``top``, and restores by ``/ divisor``; where it does not bound, p is y."""

SMALLEST_VARIANCE = tl.constexpr(1e-24)
SMALLEST_SQUARE = tl.constexpr(1e-12)
SMALLEST_LENGTH = tl.constexpr(1e-6)
OPPOSITE = tl.constexpr(1e-4)
ROUND = tl.constexpr(12582912.0)
"""1.5 * 2**23: added and taken off, it rounds a float32 of up to 2**22, to the even one of two whole numbers as near."""


@triton.jit
def of_grid(grid, which: tl.constexpr, S: tl.constexpr):
    """A row of the table, (1, LATENT)."""
    return tl.load(grid + which * S.LATENT + tl.arange(0, S.LATENT))[None, :]


@triton.jit
def columns(place, frame, S: tl.constexpr):
    """Latents of a tile, (TILE, LATENT); 0 for frames that are filling."""
    at = place + tl.arange(0, S.LATENT)[None, :] * S.batch + frame[:, None]
    return tl.load(at, mask=(frame < S.batch)[:, None] & (tl.arange(0, S.LATENT) >= 0)[None, :], other=0.0)


@triton.jit
def keep_columns(place, values, frame, S: tl.constexpr):
    """Write what ``columns`` reads."""
    at = place + tl.arange(0, S.LATENT)[None, :] * S.batch + frame[:, None]
    tl.store(at, values, mask=(frame < S.batch)[:, None] & (tl.arange(0, S.LATENT) >= 0)[None, :])


@triton.jit
def tanh(x):
    """Within about one unit of the last place of 1."""
    small = tl.exp(-2.0 * tl.abs(x))
    size = (1.0 - small) / (1.0 + small)
    return tl.where(x < 0, -size, size)


@triton.jit
def prepare(y, grid, S: tl.constexpr):
    """The latents that are quantized, from the encoder's output."""
    if S.bounded:
        shifted = y / of_grid(grid, 0, S) + of_grid(grid, 1, S)
        y = tanh(shifted) * of_grid(grid, 2, S) - of_grid(grid, 3, S)
    return y


@triton.jit
def prepare_back(gradient, p, grid, S: tl.constexpr):
    """The gradient by the encoder's output, from that by the latents."""
    if S.bounded:
        scale = of_grid(grid, 2, S)
        bounded = (p + of_grid(grid, 3, S)) / scale
        gradient = gradient * (scale / of_grid(grid, 0, S)) * (1.0 - bounded * bounded)
    return gradient


@triton.jit
def nearest(latents, frame, book, S: tl.constexpr):
    """Index of the nearest codeword of each latent, (TILE,), the first of equals, 0 where nothing compares.

    Differences are squared in float32 whatever the precision of products is, so nothing cancels.
    """
    best = tl.full((S.TILE,), float("inf"), tl.float32)
    index = tl.full((S.TILE,), 0, tl.int32)
    for first in range(0, S.codes, S.CODES):
        code = first + tl.arange(0, S.CODES)
        found = tl.full((S.TILE, S.CODES), 0, tl.float32)
        for d in range(S.latent):
            y = tl.load(latents + d * S.batch + frame, mask=frame < S.batch, other=0.0)
            c = tl.load(book + code * S.latent + d, mask=code < S.codes, other=0.0)
            difference = y[:, None] - c[None, :]
            found += difference * difference
        found = tl.where((code < S.codes)[None, :], found, float("inf"))
        least, place = tl.min(found, 1), tl.argmin(found, 1)
        index = tl.where(least < best, first + place, index)
        best = tl.where(least < best, least, best)
    return index


@triton.jit
def codewords(index, book, S: tl.constexpr):
    """Codewords at an index (TILE,): (TILE, LATENT)."""
    column = tl.arange(0, S.LATENT)[None, :]
    return tl.load(book + index[:, None] * S.latent + column, mask=(column < S.latent) & (index >= 0)[:, None], other=0.0)


@triton.jit
def level(p, grid, S: tl.constexpr):
    """The nearest level of each latent, (TILE, LATENT)."""
    lowest, step, top = of_grid(grid, 5, S), of_grid(grid, 6, S), of_grid(grid, 7, S)
    number = tl.minimum(tl.maximum((p - lowest) / step, -1.0), top + 1.0)
    number = tl.minimum(tl.maximum((number + ROUND) - ROUND, 0.0), top)
    return lowest + step * tl.where(p == p, number, 0.0)


@triton.jit
def coded(p, frame, codes, book, grid, S: tl.constexpr):
    """The code's values of a tile whose codes are known, (TILE, LATENT)."""
    if S.vector:
        return codewords(tl.load(codes + frame, mask=frame < S.batch, other=0), book, S)
    else:
        return level(p, grid, S)


@triton.jit
def measured(p, q, S: tl.constexpr):
    """What MSTE takes the standard deviation of."""
    if S.of_error:
        p = q - p
    return p


@triton.jit
def spread(latents, gradients, codes, book, grid, S: tl.constexpr):
    """For MSTE: the mean of what is measured, and by what its distance from there adds to the gradient, (LATENT,) each."""
    total = tl.full((S.LATENT,), 0, tl.float32)
    for start in range(0, S.batch, S.TILE):
        frame = start + tl.arange(0, S.TILE)
        p = columns(latents, frame, S)
        m = measured(p, coded(p, frame, codes, book, grid, S), S)
        total += tl.sum(tl.where((frame < S.batch)[:, None], m, 0.0), 0)
    mean = total / S.batch
    square, pulled = tl.full((S.LATENT,), 0, tl.float32), tl.full((S.LATENT,), 0, tl.float32)
    for start in range(0, S.batch, S.TILE):
        frame = start + tl.arange(0, S.TILE)
        p = columns(latents, frame, S)
        q = coded(p, frame, codes, book, grid, S)
        centred = tl.where((frame < S.batch)[:, None], measured(p, q, S) - mean[None, :], 0.0)
        square += tl.sum(centred * centred, 0)
        pulled += tl.sum(columns(gradients, frame, S) * (q - p), 0)
    if S.each_dimension:
        count = S.batch
    else:
        count = S.batch * S.latent
        square, pulled = tl.sum(square) + 0.0 * square, tl.sum(pulled) + 0.0 * pulled
    factor = tl.where(square / count > SMALLEST_VARIANCE, pulled / tl.maximum(square, SMALLEST_VARIANCE), 0.0)
    if S.of_error:
        factor = -factor
    return mean, factor


@triton.jit
def dot(a, b):
    return tl.sum(a * b, 1)[:, None]


@triton.jit
def length(a):
    return tl.sqrt_rn(tl.maximum(dot(a, a), SMALLEST_SQUARE))


@triton.jit
def rotate_back(g, y, q, S: tl.constexpr):
    """The transpose of the rotation that takes y to the codeword, on a gradient."""
    column = tl.arange(0, S.LATENT)[None, :]
    size = length(y)
    y_unit, q_unit = y / size, q / length(q)
    total = y_unit + q_unit
    smallest = tl.argmin(tl.where(column < S.latent, tl.abs(y_unit), float("inf")), 1)
    axis = tl.where(column == smallest[:, None], 1.0, 0.0)
    across = axis - dot(axis, y_unit) * y_unit
    middle = tl.where(length(total) > OPPOSITE, total / length(total), across / length(across))
    turned = g - 2.0 * dot(g, middle) * middle + 2.0 * dot(g, q_unit) * y_unit
    return tl.where(size > SMALLEST_LENGTH, length(q) / size * turned, g)


@triton.jit
def pass_back(g, p, q, mean, factor, grid, S: tl.constexpr):
    """The gradient by the latents that a strategy makes of that by what the decoder received, (TILE, LATENT)."""
    if S.strategy == "clipped_ste":
        lowest = of_grid(grid, 5, S)
        highest = lowest + of_grid(grid, 6, S) * of_grid(grid, 7, S)
        g = tl.where((p >= lowest) & (p <= highest), g, 0.0)
    if S.strategy == "mste":
        g += factor[None, :] * (measured(p, q, S) - mean[None, :])
    if S.strategy == "rotation":
        g = rotate_back(g, p, q, S)
    return g
