"""Steps of training a whole trial in one program, in Triton: one program a trial, several steps a call.

A step goes tile by tile of frames. First pass: encoder, search, decoder, and the decoder's gradients, summed up in registers.
Second pass: the encoder once more, and its gradients. Then the codebook's gradients, the norm, Adam, moving averages.

Latents, codes and gradients go from one pass to the next through a trial's own part of ``scratch``, and weights are read anew
for every tile: Triton has no shared memory that a program could name. That is meant to stay in the caches of level one and
two, which no measurement confirms (``docs/performance.md``). ``tl.debug_barrier`` stands wherever threads read what
others of their program wrote.

No program sees another trial's numbers, and no argument that a program is compiled for depends on the number of trials.
"""

import triton
import triton.language as tl

from quantbench.kernels import fused_bottleneck as bottleneck
from quantbench.kernels import fused_network as network

SETTINGS = ("weight", "commitment", "codebook_weight", "new", "clip", "largest")
"""Columns of a trial's settings: of the loss, the quantizer, ``1 - decay``, of Adam, and the distortion that is too large."""
LIVE = tl.constexpr(-1)
"""State of a trial that trains. That of one that diverged is the place, within this call's batches, where it did."""
ADAM_BLOCK = tl.constexpr(1024)
BETA1 = tl.constexpr(0.9)
BETA2 = tl.constexpr(0.999)
EPSILON = tl.constexpr(1e-8)
SMALLEST_COUNT = tl.constexpr(1e-5)


@triton.jit
def first_pass(
    x_place, target_place, weights, book, latents, gradients, codes, to_weights, grid, weight, zero, S: tl.constexpr
):  # fmt: skip
    """Writes latents, codes, and the gradient by what the decoder received; gives the sums of the squares of the output's and
    of the quantizer's error, and of the decoder's gradients."""
    decoder = weights + S.decoder
    w0, b0 = tl.full((S.LATENT, S.HIDDEN), 0, tl.float32), tl.full((S.HIDDEN,), 0, tl.float32)
    w1, b1 = tl.full((S.HIDDEN, S.HIDDEN), 0, tl.float32), tl.full((S.HIDDEN,), 0, tl.float32)
    w2, b2 = tl.full((S.HIDDEN, S.TARGETS), 0, tl.float32), tl.full((S.TARGETS,), 0, tl.float32)
    s0, s1 = tl.full((S.HIDDEN,), 0, tl.float32), tl.full((S.HIDDEN,), 0, tl.float32)
    squares, gap = tl.full((S.TARGETS,), 0, tl.float32), tl.full((S.LATENT,), 0, tl.float32)
    for start in range(0, S.batch, S.TILE):
        frame = start + tl.arange(0, S.TILE)
        inside = (frame < S.batch)[:, None]
        skip = start * zero
        x = network.tile(x_place + start * S.features, S.batch - start, S.features, S.TILE, S.FEATURES)
        z0, z1 = network.hidden(x, weights, skip, S.features, S.FEATURES, S)
        y = network.output(z0, z1, weights, skip, S.features, S.latent, S.LATENT, S)
        p = bottleneck.prepare(y, grid, S)
        bottleneck.keep_columns(latents, p, frame, S)
        if S.vector:
            tl.debug_barrier()
            index = bottleneck.nearest(latents, frame, book, S)
            tl.store(codes + frame, index, mask=frame < S.batch)
            q = bottleneck.codewords(index, book, S)
            received = q
        else:
            q = bottleneck.level(p, grid, S)
            received = q / bottleneck.of_grid(grid, 4, S)
        gap += tl.sum(tl.where(inside, (p - q) * (p - q), 0.0), 0)
        z0, z1 = network.hidden(received, decoder, skip, S.latent, S.LATENT, S)
        out = network.output(z0, z1, decoder, skip, S.latent, S.targets, S.TARGETS, S)
        target = network.tile(target_place + start * S.targets, S.batch - start, S.targets, S.TILE, S.TARGETS)
        error = tl.where(inside, out - target, 0.0)
        squares += tl.sum(error * error, 0)
        dy = error * (2.0 / (S.batch * S.targets) * weight)
        w0, b0, s0, w1, b1, s1, w2, b2, dz0 = network.backward(
            dy, received, z0, z1, decoder, skip, S.latent, S.targets, w0, b0, s0, w1, b1, s1, w2, b2, S.LATENT, S.TARGETS, S
        )
        g = tl.dot(dz0, network.turned(decoder, skip, S.latent, S.hidden, S.LATENT, S.HIDDEN), input_precision=S.products)
        if not S.vector:
            g = g / bottleneck.of_grid(grid, 4, S)
        bottleneck.keep_columns(gradients, g, frame, S)
    found = network.keep(
        to_weights + S.decoder, w0, b0, s0, w1, b1, s1, w2, b2, S.latent, S.targets, S.LATENT, S.TARGETS, S
    )  # fmt: skip
    return tl.sum(squares), tl.sum(gap), found


@triton.jit
def second_pass(x_place, weights, book, latents, gradients, codes, to_weights, grid, commitment, zero, S: tl.constexpr):
    """Writes the encoder's gradients; gives the sum of their squares."""
    w0, b0 = tl.full((S.FEATURES, S.HIDDEN), 0, tl.float32), tl.full((S.HIDDEN,), 0, tl.float32)
    w1, b1 = tl.full((S.HIDDEN, S.HIDDEN), 0, tl.float32), tl.full((S.HIDDEN,), 0, tl.float32)
    w2, b2 = tl.full((S.HIDDEN, S.LATENT), 0, tl.float32), tl.full((S.LATENT,), 0, tl.float32)
    s0, s1 = tl.full((S.HIDDEN,), 0, tl.float32), tl.full((S.HIDDEN,), 0, tl.float32)
    mean, factor = tl.full((S.LATENT,), 0, tl.float32), tl.full((S.LATENT,), 0, tl.float32)
    if S.strategy == "mste":
        mean, factor = bottleneck.spread(latents, gradients, codes, book, grid, S)
    for start in range(0, S.batch, S.TILE):
        frame = start + tl.arange(0, S.TILE)
        inside = (frame < S.batch)[:, None]
        p = bottleneck.columns(latents, frame, S)
        q = bottleneck.coded(p, frame, codes, book, grid, S)
        g = bottleneck.pass_back(bottleneck.columns(gradients, frame, S), p, q, mean, factor, grid, S)
        g += (p - q) * (2.0 / (S.batch * S.latent) * commitment)
        dy = tl.where(inside, bottleneck.prepare_back(g, p, grid, S), 0.0)
        x = network.tile(x_place + start * S.features, S.batch - start, S.features, S.TILE, S.FEATURES)
        skip = start * zero
        z0, z1 = network.hidden(x, weights, skip, S.features, S.FEATURES, S)
        w0, b0, s0, w1, b1, s1, w2, b2, _ = network.backward(
            dy, x, z0, z1, weights, skip, S.features, S.latent, w0, b0, s0, w1, b1, s1, w2, b2, S.FEATURES, S.LATENT, S
        )
    return network.keep(
        to_weights, w0, b0, s0, w1, b1, s1, w2, b2, S.features, S.latent, S.FEATURES, S.LATENT, S
    )  # fmt: skip


@triton.jit
def summed_by_code(code, latents, codes, book, pulls: tl.constexpr, S: tl.constexpr):
    """Of some codes (CODES,): the sum of their latents, or of codeword less latent, (CODES, LATENT), and how many there are."""
    sums = tl.full((S.CODES, S.LATENT), 0, tl.float32)
    counts = tl.full((S.CODES,), 0, tl.float32)
    for start in range(0, S.batch, S.TILE):
        frame = start + tl.arange(0, S.TILE)
        index = tl.load(codes + frame, mask=frame < S.batch, other=-1)
        values = bottleneck.columns(latents, frame, S)
        if pulls:
            values = bottleneck.codewords(index, book, S) - values
        chosen = tl.where(code[:, None] == index[None, :], 1.0, 0.0)
        sums = tl.dot(chosen, values, sums, input_precision=S.products)
        counts += tl.sum(chosen, 1)
    return sums, counts


@triton.jit
def codebook_pass(latents, codes, book, to_book, weight, S: tl.constexpr):
    """Writes the gradients of the codebook loss; gives the sum of their squares."""
    found = 0.0
    for first in range(0, S.codes, S.CODES):
        code = first + tl.arange(0, S.CODES)
        sums, _ = summed_by_code(code, latents, codes, book, True, S)
        sums *= 2.0 / (S.batch * S.latent) * weight
        found += network.keep_matrix(to_book + first * S.latent, sums, S.codes - first, S.latent, S.CODES, S.LATENT)
    return found


@triton.jit
def adam(weights, mean, square, to_weights, factor, rate, correction, S: tl.constexpr):
    """Adam's step: ``rate`` is ``lr / (beta1**steps - 1)``, ``correction`` the root of ``1 - beta2**steps``."""
    for first in range(0, S.numbers, ADAM_BLOCK):
        at = first + tl.arange(0, ADAM_BLOCK)
        inside = at < S.numbers
        gradient = tl.load(to_weights + at, mask=inside, other=0.0) * factor
        m = tl.load(mean + at, mask=inside, other=0.0)
        v = tl.load(square + at, mask=inside, other=0.0)
        m += (gradient - m) * (1.0 - BETA1)
        v = v * BETA2 + gradient * gradient * (1.0 - BETA2)
        tl.store(mean + at, m, mask=inside)
        tl.store(square + at, v, mask=inside)
        weight = tl.load(weights + at, mask=inside, other=0.0)
        tl.store(weights + at, weight + m / (tl.sqrt_rn(v) / correction + EPSILON) * rate, mask=inside)


@triton.jit
def moving_averages(latents, codes, book, counts, sums, new, S: tl.constexpr):
    """Takes a step's latents into the moving averages, and puts the codewords where these say."""
    total = 0.0
    for first in range(0, S.codes, S.CODES):
        code = first + tl.arange(0, S.CODES)
        inside = code < S.codes
        added, used = summed_by_code(code, latents, codes, book, False, S)
        before = tl.load(counts + code, mask=inside, other=0.0)
        after = before + new * (used - before)
        tl.store(counts + code, after, mask=inside)
        total += tl.sum(after)
        place = sums + first * S.latent
        old = network.tile(place, S.codes - first, S.latent, S.CODES, S.LATENT)
        network.keep_matrix(place, old + new * (added - old), S.codes - first, S.latent, S.CODES, S.LATENT)
    tl.debug_barrier()
    for first in range(0, S.codes, S.CODES):
        code = first + tl.arange(0, S.CODES)
        count = tl.load(counts + code, mask=code < S.codes, other=1.0)
        average = network.tile(sums + first * S.latent, S.codes - first, S.latent, S.CODES, S.LATENT)
        if S.smoothing > 0:
            average /= ((count + S.smoothing) / (total + S.smoothing * S.codes) * total)[:, None]
        else:
            old = network.tile(book + first * S.latent, S.codes - first, S.latent, S.CODES, S.LATENT)
            means = average / tl.maximum(count, SMALLEST_COUNT)[:, None]
            average = tl.where((count > SMALLEST_COUNT)[:, None], means, old)
        network.keep_matrix(book + first * S.latent, average, S.codes - first, S.latent, S.CODES, S.LATENT)


@triton.jit(do_not_specialize=["first", "count", "zero"])
def train(
    matrix, mean, square, averages, counts, sums, frames, targets, settings, rates, corrections, grid, scratch, codes,
    reports, states, first, count, zero, S: tl.constexpr,
):  # fmt: skip
    """Takes ``count`` steps of one trial, from batch number ``first`` of those drawn.

    Args:
        matrix, mean, square: weights and Adam's moments, (trials, numbers), changed in place.
        averages, counts, sums: codewords and statistics of moving averages, changed in place; not read without these.
        frames, targets: (trials, ahead * batch, features).
        settings: (trials, 8), as ``SETTINGS``. rates: (trials, ahead), corrections: (ahead,): of Adam, by batch.
        grid: as ``GRID_ROWS``. scratch: (trials, numbers + 2 LATENT batch), zero at first. codes: (trials, batch), int32.
        reports: (3, trials, ahead): reconstruction loss, distortion and gradient norm of each step taken.
        states: (trials,), int32, ``LIVE`` or another number, for trials that stay as they are; changed in place.
        zero: 0, which the compiler does not know, for what must not be computed before a loop.
    """
    trial = tl.program_id(0).to(tl.int64)
    rows = tl.num_programs(0).to(tl.int64) * S.ahead
    codes += trial * S.batch
    settings += trial * 8
    weight, commitment, codebook_weight = tl.load(settings), tl.load(settings + 1), tl.load(settings + 2)
    clip, largest = tl.load(settings + 4), tl.load(settings + 5)
    state = tl.load(states + trial)
    for place in range(first, first + count):
        if state == LIVE:
            row = trial * S.numbers + place * zero
            weights = matrix + row
            to_weights = scratch + row + trial * (2 * S.LATENT * S.batch)
            latents = to_weights + S.numbers
            gradients = latents + S.LATENT * S.batch
            book = weights + S.book
            if S.ema:
                book = averages + (trial * (S.codes * S.latent) + place * zero)
            x = frames + (trial * S.ahead + place) * (S.batch * S.features)
            target = targets + (trial * S.ahead + place) * (S.batch * S.targets)
            squares, gap, found = first_pass(
                x, target, weights, book, latents, gradients, codes, to_weights, grid, weight, zero, S
            )  # fmt: skip
            tl.debug_barrier()
            found += second_pass(x, weights, book, latents, gradients, codes, to_weights, grid, commitment, zero, S)
            gap = gap / (S.batch * S.latent)
            own = commitment * gap
            if S.vector and not S.ema:
                found += codebook_pass(latents, codes, book, to_weights + S.book, codebook_weight, S)
                own += codebook_weight * gap
            distortion, norm = squares / (S.batch * S.targets), tl.sqrt_rn(found)
            loss = weight * distortion
            report = reports + trial * S.ahead + place
            tl.store(report, loss)
            tl.store(report + rows, distortion)
            tl.store(report + 2 * rows, norm)
            tl.debug_barrier()
            if (tl.abs(loss + own + norm) < float("inf")) & (distortion <= largest):
                factor = tl.where((clip > 0) & (norm > clip), clip / norm, 1.0)
                rate, correction = tl.load(rates + trial * S.ahead + place), tl.load(corrections + place)
                adam(weights, mean + row, square + row, to_weights, factor, rate, correction, S)
                if S.ema:
                    statistics, new = trial * S.codes, tl.load(settings + 3)
                    moving_averages(latents, codes, book, counts + statistics, sums + statistics * S.latent, new, S)
            else:
                state = place
            tl.debug_barrier()
    tl.store(states + trial, state)
