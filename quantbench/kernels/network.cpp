// The three-layer network of the toy codec, forward and backward, trial by trial and block of frames by block of frames, so
// that what one layer gives is still in the cache when the next one takes it.
//
//   z0 = x W0 + b0, h1 = prelu(z0), z1 = h1 W1 + b1, h2 = h1 + prelu(z1), y = h2 W2 + b2
#include <algorithm>

#include "products.h"

namespace {

constexpr long BLOCK = 64;  // frames

INLINE vec prelu(vec x, vec slope) { return x > 0 ? x : x * slope; }

// Columns of (rows, columns) added to sums.
void add_rows(const float* values, long rows, long columns, float* sums) {
    for (long j = 0; j < columns; j += LANES) {
        vec sum = load(sums + j);
        for (long i = 0; i < rows; ++i) sum += load(values + i * columns + j);
        store(sums + j, sum);
    }
}

// gradient *= prelu'(z), and gives the sum of gradient * z where z is not above 0.
INLINE float through_prelu(float* gradient, const float* z, long numbers, float slope) {
    vec to_slope{};
    for (long i = 0; i < numbers; i += LANES) {
        const vec g = load(gradient + i), at = load(z + i);
        to_slope += at > 0 ? vec{} : g * at;
        store(gradient + i, at > 0 ? g : g * slope);
    }
    return total(to_slope);
}

}  // namespace

// Where a trial's weights lie: pointers to those of the first trial, in the order W0 b0 s0 W1 b1 s1 W2 b2, and the numbers
// from one trial to the next.
struct Weights {
    const float* first[8];
    long stride[8];
    const float* of(int which, long trial) const { return first[which] + trial * stride[which]; }
};

extern "C" {

// z1 (trials, frames, filled hidden) is kept for the backward pass unless it is null. z0 is not: to compute it again takes
// less time than to bring it back from memory.
void network_forward(long trials, long frames, long inputs, long hidden, long outputs, const float* x, long x_stride,
                     const Weights* weights, float* z1, float* y) {
    const long wide = filled(hidden), out = filled(outputs);
    Scratch scratch((inputs + hidden) * wide + hidden * out + 2 * wide + out + BLOCK * (2 * wide + out), 9);
    float *w0 = scratch.take(inputs * wide), *w1 = scratch.take(hidden * wide), *w2 = scratch.take(hidden * out);
    float *b0 = scratch.take(wide), *b1 = scratch.take(wide), *b2 = scratch.take(out);
    float *first = scratch.take(BLOCK * wide), *second = scratch.take(BLOCK * wide), *last = scratch.take(BLOCK * out);
    for (long t = 0; t < trials; ++t) {
        fill(weights->of(0, t), inputs, hidden, hidden, w0, wide);
        fill(weights->of(1, t), 1, hidden, hidden, b0, wide);
        fill(weights->of(3, t), hidden, hidden, hidden, w1, wide);
        fill(weights->of(4, t), 1, hidden, hidden, b1, wide);
        fill(weights->of(6, t), hidden, outputs, outputs, w2, out);
        fill(weights->of(7, t), 1, outputs, outputs, b2, out);
        const vec slope0 = all(*weights->of(2, t)), slope1 = all(*weights->of(5, t));
        for (long start = 0; start < frames; start += BLOCK) {
            const long rows = std::min(BLOCK, frames - start), at = t * frames + start;
            float* next = z1 ? z1 + at * wide : second;
            product<BIAS>(rows, hidden, inputs, x + t * x_stride + start * inputs, inputs, 1, w0, wide, first, wide, b0);
            for (long i = 0; i < rows * wide; i += LANES) store(first + i, prelu(load(first + i), slope0));
            product<BIAS>(rows, hidden, hidden, first, wide, 1, w1, wide, next, wide, b1);
            for (long i = 0; i < rows * wide; i += LANES) store(first + i, load(first + i) + prelu(load(next + i), slope1));
            product<BIAS>(rows, outputs, hidden, first, wide, 1, w2, out, last, out, b2);
            for (long i = 0; i < rows; ++i) std::memcpy(y + (at + i) * outputs, last + i * out, outputs * sizeof(float));
        }
    }
}

// Gradients by all weights (in their order; each contiguous, trial after trial) and, unless null, by x.
void network_backward(long trials, long frames, long inputs, long hidden, long outputs, const float* x, long x_stride,
                      const Weights* weights, const float* z1, const float* dy, float* dx,
                      float* const* gradients) {
    const long wide = filled(hidden), out = filled(outputs), in = filled(inputs);
    Scratch scratch((2 * inputs + 2 * hidden) * wide + hidden * (in + out) + outputs * wide + 3 * wide + out +
                    BLOCK * (5 * wide + out + in), 18);
    float *w2 = scratch.take(outputs * wide), *w1 = scratch.take(hidden * wide), *w0 = scratch.take(hidden * in);
    float *d2 = scratch.take(hidden * out), *d1 = scratch.take(hidden * wide), *d0 = scratch.take(inputs * wide);
    float *c2 = scratch.take(out), *c1 = scratch.take(wide), *c0 = scratch.take(wide);
    float *h1 = scratch.take(BLOCK * wide), *h2 = scratch.take(BLOCK * wide);
    float *wider = scratch.take(BLOCK * wide), *inner = scratch.take(BLOCK * wide);
    float *v0 = scratch.take(inputs * wide), *b0 = scratch.take(wide), *z0 = scratch.take(BLOCK * wide);
    float *last = scratch.take(BLOCK * out), *first = scratch.take(BLOCK * in);
    for (long t = 0; t < trials; ++t) {
        transpose(weights->of(6, t), hidden, outputs, outputs, w2, wide);
        transpose(weights->of(3, t), hidden, hidden, hidden, w1, wide);
        fill(weights->of(0, t), inputs, hidden, hidden, v0, wide);
        fill(weights->of(1, t), 1, hidden, hidden, b0, wide);
        if (dx) transpose(weights->of(0, t), inputs, hidden, hidden, w0, in);
        std::fill_n(d2, hidden * out, 0.f), std::fill_n(d1, hidden * wide, 0.f), std::fill_n(d0, inputs * wide, 0.f);
        std::fill_n(c2, out, 0.f), std::fill_n(c1, wide, 0.f), std::fill_n(c0, wide, 0.f);
        const float slope0 = *weights->of(2, t), slope1 = *weights->of(5, t);
        float s0 = 0, s1 = 0;
        for (long start = 0; start < frames; start += BLOCK) {
            const long rows = std::min(BLOCK, frames - start), at = t * frames + start, numbers = rows * wide;
            const float* frame = x + t * x_stride + start * inputs;
            product<BIAS>(rows, hidden, inputs, frame, inputs, 1, v0, wide, z0, wide, b0);
            for (long i = 0; i < numbers; i += LANES) {
                const vec h = prelu(load(z0 + i), all(slope0));
                store(h1 + i, h), store(h2 + i, h + prelu(load(z1 + at * wide + i), all(slope1)));
            }
            fill(dy + at * outputs, rows, outputs, outputs, last, out);
            product<ADD>(hidden, outputs, rows, h2, 1, wide, last, out, d2, out);
            add_rows(last, rows, out, c2);
            product<ZERO>(rows, hidden, outputs, last, out, 1, w2, wide, wider, wide);
            std::memcpy(inner, wider, numbers * sizeof(float));
            s1 += through_prelu(inner, z1 + at * wide, numbers, slope1);
            product<ADD>(hidden, hidden, rows, h1, 1, wide, inner, wide, d1, wide);
            add_rows(inner, rows, wide, c1);
            product<ADD>(rows, hidden, hidden, inner, wide, 1, w1, wide, wider, wide);
            s0 += through_prelu(wider, z0, numbers, slope0);
            product<ADD>(inputs, hidden, rows, frame, 1, inputs, wider, wide, d0, wide);
            add_rows(wider, rows, wide, c0);
            if (!dx) continue;
            product<ZERO>(rows, inputs, hidden, wider, wide, 1, w0, in, first, in);
            for (long i = 0; i < rows; ++i) std::memcpy(dx + (at + i) * inputs, first + i * in, inputs * sizeof(float));
        }
        for (long i = 0; i < inputs; ++i)
            std::memcpy(gradients[0] + (t * inputs + i) * hidden, d0 + i * wide, hidden * sizeof(float));
        std::memcpy(gradients[1] + t * hidden, c0, hidden * sizeof(float));
        gradients[2][t] = s0;
        for (long i = 0; i < hidden; ++i)
            std::memcpy(gradients[3] + (t * hidden + i) * hidden, d1 + i * wide, hidden * sizeof(float));
        std::memcpy(gradients[4] + t * hidden, c1, hidden * sizeof(float));
        gradients[5][t] = s1;
        for (long i = 0; i < hidden; ++i)
            std::memcpy(gradients[6] + (t * hidden + i) * outputs, d2 + i * out, outputs * sizeof(float));
        std::memcpy(gradients[7] + t * outputs, c2, outputs * sizeof(float));
    }
}
}
