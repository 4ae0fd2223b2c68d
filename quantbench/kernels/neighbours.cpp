// Distances to the nearest of many samples, without a table of all distances.
//
// Squared distances are sums of squared differences, in the order of the dimensions: equal vectors are at 0, and what a point
// gets does not depend on the other points.
#include <algorithm>
#include <cmath>
#include <limits>

#include "products.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr long POINTS = 64;    // that go through the samples together
constexpr long SAMPLES = 512;  // of which a block stays in the first cache meanwhile
constexpr int GROUP = 4;       // vectors of samples at a time
constexpr long FEW = 48;       // so few smallest distances are kept in order
constexpr float INFINITE = std::numeric_limits<float>::infinity();

// A bit for every lane in which a is less than b.
INLINE unsigned less(vec a, vec b) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ);
#elif defined(__AVX2__)
    return _mm256_movemask_ps((__m256)(a < b));
#else
    unsigned bits = 0;
    for (int l = 0; l < LANES; ++l) bits |= unsigned(a[l] < b[l]) << l;
    return bits;
#endif
}

// The smallest distances that a point has met so far: all that are `below`, or the `rank` smallest of these.
struct Smallest {
    float* found;  // room for 2 rank; of few, the smallest first
    long count;
    float below;

    INLINE void add(float distance, long rank) {
        if (rank <= FEW) return insert(distance, rank);
        found[count++] = distance;
        if (count >= 2 * rank) cut(rank);
    }

    INLINE void insert(float distance, long rank) {
        if (!(distance < below)) return;  // it fell since the distances next to this one were compared
        long i = count < rank ? count++ : rank - 1;
        for (; i > 0 && found[i - 1] > distance; --i) found[i] = found[i - 1];
        found[i] = distance;
        if (count == rank) below = found[rank - 1];
    }

    // Only the `rank` smallest stay, the largest of them last.
    void cut(long rank) {
        if (count < rank) return;
        std::nth_element(found, found + rank - 1, found + count);
        below = found[rank - 1], count = rank;
    }
};

// A trial's samples in blocks (blocks, dim, SAMPLES), each of every so many of them: whatever their order, the first blocks are
// like the others.
struct Blocks {
    long number, dim, blocks;
    float* columns;

    void set(const float* samples) {
        for (long b = 0; b < blocks; ++b)
            for (long i = 0; i < SAMPLES; ++i) {
                const long which = i * blocks + b;
                for (long d = 0; d < dim; ++d)
                    columns[(b * dim + d) * SAMPLES + i] = which < number ? samples[which * dim + d] : INFINITE;
            }
    }

    // Take in the samples of some blocks.
    void search(const float* point, long first, long last, long rank, Smallest& to) const {
        Smallest own = to;
        for (long j = first * SAMPLES; j < last * SAMPLES; j += GROUP * LANES) {
            const float* at = columns + j / SAMPLES * dim * SAMPLES + j % SAMPLES;
            vec square[GROUP]{};
            for (long d = 0; d < dim; ++d) {
                const vec here = all(point[d]);
#pragma GCC unroll 4
                for (int g = 0; g < GROUP; ++g) {
                    const vec difference = load(at + d * SAMPLES + g * LANES) - here;
                    square[g] += difference * difference;
                }
            }
            for (int g = 0; g < GROUP; ++g)
                for (unsigned bits = less(square[g], all(own.below)); bits; bits &= bits - 1)
                    own.add(square[g][__builtin_ctz(bits)], rank);
        }
        to = own;
    }
};

}  // namespace

extern "C" {

// Distances (trials, points, 2) from points (trials, points, dim) to those of each trial's samples (trials, number, dim) that
// are of rank `near` and of rank `far` (1 for the nearest, near <= far <= number); NaN where distances are none.
void ranked_distances(long trials, long points, long number, long dim, long near, long far, const float* at,
                      const float* samples, float* ranked) {
    const long blocks = (number + SAMPLES - 1) / SAMPLES;
    Scratch scratch(dim * blocks * SAMPLES + POINTS * 2 * far, 2);
    const Blocks every{number, dim, blocks, scratch.take(dim * blocks * SAMPLES)};
    float* found = scratch.take(POINTS * 2 * far);
    // Some blocks tell below which distance there will be enough, most likely. Where there are too few, all is looked at again.
    const long some = (blocks + 7) / 8;
    const double expected = double(far) * some / blocks;
    const long guess = long(expected + 3 * std::sqrt(expected)) + 1;
    const bool guesses = far > FEW && guess < far && guess * blocks < 2 * far * some;
    Smallest smallest[POINTS];
    for (long t = 0; t < trials; ++t) {
        Blocks(every).set(samples + t * number * dim);
        for (long start = 0; start < points; start += POINTS) {
            const long count = std::min(POINTS, points - start);
            const float* point = at + (t * points + start) * dim;
            for (long i = 0; i < count; ++i) smallest[i] = {found + i * 2 * far, 0, INFINITE};
            for (long b = 0; b < blocks; ++b)
                for (long i = 0; i < count; ++i) {
                    if (guesses && b == some) smallest[i].cut(guess);
                    every.search(point + i * dim, b, b + 1, guesses && b < some ? guess : far, smallest[i]);
                }
            for (long i = 0; i < count; ++i) {
                Smallest& own = smallest[i];
                if (own.count < far) own.count = 0, own.below = INFINITE, every.search(point + i * dim, 0, blocks, far, own);
                float* to = ranked + (t * points + start + i) * 2;
                to[0] = to[1] = std::numeric_limits<float>::quiet_NaN();
                if (own.count < far) continue;
                if (far > FEW) {
                    own.cut(far);
                    std::nth_element(own.found, own.found + near - 1, own.found + far);
                }
                to[0] = std::sqrt(own.found[near - 1]), to[1] = std::sqrt(own.below);
            }
        }
    }
}
}
