"""The three-layer network of the toy codec in Triton: forward and backward, for one trial and one tile of frames.

``z0 = x W0 + b0``, ``h1 = prelu(z0)``, ``z1 = h1 W1 + b1``, ``h2 = h1 + prelu(z1)``, ``y = h2 W2 + b2``. Every size is filled
up with zeros to a power of two of at least 16, which Triton's products ask for; zeros stay zeros on the way back.

A network's numbers lie in one row, in the order W0 b0 s0 W1 b1 s1 W2 b2; ``place`` points to the first. ``S`` is a
``FusedShape``, whose names in capitals are filled sizes. ``skip`` is 0, which the compiler does not know: it seems to change
with each tile, so that no place of a weight is computed before the loop, where those of all weights would fill the registers.
"""

import triton
import triton.language as tl


@triton.jit
def tile(place, rows, columns: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The first of some rows that lie one after the other, filled up."""
    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    return tl.load(place + row * columns + column, mask=(row < rows) & (column < columns), other=0.0)


@triton.jit
def matrix(place, skip, rows: tl.constexpr, columns: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """A matrix (rows, columns) that lies row by row, filled up."""
    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    at = place + (row * columns + column + skip)
    if rows == ROWS and columns == COLUMNS:
        return tl.load(at)
    else:
        return tl.load(at, mask=(row < rows) & (column < columns), other=0.0)


@triton.jit
def turned(place, skip, rows: tl.constexpr, columns: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The transpose (columns, rows) of such a matrix, filled up."""
    row, column = tl.arange(0, ROWS)[None, :], tl.arange(0, COLUMNS)[:, None]
    at = place + (row * columns + column + skip)
    if rows == ROWS and columns == COLUMNS:
        return tl.load(at)
    else:
        return tl.load(at, mask=(row < rows) & (column < columns), other=0.0)


@triton.jit
def row(place, skip, columns: tl.constexpr, COLUMNS: tl.constexpr):
    """Numbers in a row, filled up."""
    column = tl.arange(0, COLUMNS)
    return tl.load(place + (column + skip), mask=column < columns, other=0.0)


@triton.jit
def keep_matrix(place, values, rows, columns: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Write what is no filling; gives its sum of squares."""
    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    inside = (row < rows) & (column < columns)
    tl.store(place + row * columns + column, values, mask=inside)
    return tl.sum(tl.where(inside, values * values, 0.0))


@triton.jit
def keep_row(place, values, columns: tl.constexpr, COLUMNS: tl.constexpr):
    """Write what is no filling; gives its sum of squares."""
    column = tl.arange(0, COLUMNS)
    inside = column < columns
    tl.store(place + column, values, mask=inside)
    return tl.sum(tl.where(inside, values * values, 0.0))


@triton.jit
def prelu(x, slope):
    return tl.where(x > 0, x, x * slope)


@triton.jit
def slope0(place, skip, inputs, S: tl.constexpr):
    """The first slope."""
    return tl.load(place + ((inputs + 1) * S.hidden + skip))


@triton.jit
def second(place, inputs, S: tl.constexpr):
    """Where the second layer begins."""
    return place + (inputs + 1) * S.hidden + 1


@triton.jit
def slope1(place, skip, inputs, S: tl.constexpr):
    """The second slope."""
    return tl.load(second(place, inputs, S) + ((S.hidden + 1) * S.hidden + skip))


@triton.jit
def last(place, inputs, S: tl.constexpr):
    """Where the last layer begins."""
    return second(place, inputs, S) + (S.hidden + 1) * S.hidden + 1


@triton.jit
def hidden(x, place, skip, inputs: tl.constexpr, INPUTS: tl.constexpr, S: tl.constexpr):
    """What goes into both activations, (TILE, HIDDEN) each, for frames (TILE, INPUTS)."""
    first = matrix(place, skip, inputs, S.hidden, INPUTS, S.HIDDEN)
    z0 = tl.dot(x, first, input_precision=S.products) + row(place + inputs * S.hidden, skip, S.hidden, S.HIDDEN)[None, :]
    middle = second(place, inputs, S)
    h1 = prelu(z0, slope0(place, skip, inputs, S))
    weights = matrix(middle, skip, S.hidden, S.hidden, S.HIDDEN, S.HIDDEN)
    z1 = tl.dot(h1, weights, input_precision=S.products) + row(middle + S.hidden * S.hidden, skip, S.hidden, S.HIDDEN)[None, :]
    return z0, z1


@triton.jit
def output(z0, z1, place, skip, inputs: tl.constexpr, outputs: tl.constexpr, OUTPUTS: tl.constexpr, S: tl.constexpr):
    """The network's output, (TILE, OUTPUTS)."""
    h2 = prelu(z0, slope0(place, skip, inputs, S)) + prelu(z1, slope1(place, skip, inputs, S))
    end = last(place, inputs, S)
    weights = matrix(end, skip, S.hidden, outputs, S.HIDDEN, OUTPUTS)
    return tl.dot(h2, weights, input_precision=S.products) + row(end + S.hidden * outputs, skip, outputs, OUTPUTS)[None, :]


@triton.jit
def backward(
    dy, x, z0, z1, place, skip, inputs: tl.constexpr, outputs: tl.constexpr, w0, b0, s0, w1, b1, s1, w2, b2,
    INPUTS: tl.constexpr, OUTPUTS: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Adds a tile's gradients by the weights to those given (``s0`` and ``s1`` by column); gives them, and that by z0.

    ``dy`` must be 0 for frames that are filling.
    """
    first, other = slope0(place, skip, inputs, S), slope1(place, skip, inputs, S)
    h1 = prelu(z0, first)
    w2 = tl.dot(tl.trans(h1 + prelu(z1, other)), dy, w2, input_precision=S.products)
    b2 += tl.sum(dy, 0)
    dh = tl.dot(dy, turned(last(place, inputs, S), skip, S.hidden, outputs, S.HIDDEN, OUTPUTS), input_precision=S.products)
    s1 += tl.sum(tl.where(z1 > 0, 0.0, dh * z1), 0)
    dz1 = prelu_back(dh, z1, other)
    w1 = tl.dot(tl.trans(h1), dz1, w1, input_precision=S.products)
    b1 += tl.sum(dz1, 0)
    weights = turned(second(place, inputs, S), skip, S.hidden, S.hidden, S.HIDDEN, S.HIDDEN)
    dh = tl.dot(dz1, weights, dh, input_precision=S.products)
    s0 += tl.sum(tl.where(z0 > 0, 0.0, dh * z0), 0)
    dz0 = prelu_back(dh, z0, first)
    w0 = tl.dot(tl.trans(x), dz0, w0, input_precision=S.products)
    b0 += tl.sum(dz0, 0)
    return w0, b0, s0, w1, b1, s1, w2, b2, dz0


@triton.jit
def prelu_back(gradient, z, slope):
    return tl.where(z > 0, gradient, gradient * slope)


@triton.jit
def keep(
    place, w0, b0, s0, w1, b1, s1, w2, b2, inputs: tl.constexpr, outputs: tl.constexpr,
    INPUTS: tl.constexpr, OUTPUTS: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Write a network's gradients in the order of its numbers; gives their sum of squares."""
    middle, end = second(place, inputs, S), last(place, inputs, S)
    first, other = tl.sum(s0), tl.sum(s1)
    tl.store(middle - 1, first)
    tl.store(end - 1, other)
    found = first * first + other * other
    found += keep_matrix(place, w0, inputs, S.hidden, INPUTS, S.HIDDEN)
    found += keep_row(place + inputs * S.hidden, b0, S.hidden, S.HIDDEN)
    found += keep_matrix(middle, w1, S.hidden, S.hidden, S.HIDDEN, S.HIDDEN)
    found += keep_row(middle + S.hidden * S.hidden, b1, S.hidden, S.HIDDEN)
    found += keep_matrix(end, w2, S.hidden, outputs, S.HIDDEN, OUTPUTS)
    found += keep_row(end + S.hidden * outputs, b2, outputs, OUTPUTS)
    return found
