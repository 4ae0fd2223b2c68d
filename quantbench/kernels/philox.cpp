// Random numbers of Philox4x32-10, the bits of philox.py beside streams.py: also the floating-point ones, for which every
// operation is rounded by itself. So no product may be fused with a sum.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
#include <algorithm>
#include <cmath>
#include <cstdint>
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "products.h"

namespace {

constexpr long SIDE = 16;  // blocks of a group, whatever the machine
constexpr long GROUP = 4 * SIDE;  // its words: the first ones of all blocks, then the second ones, ...

typedef uint32_t words __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

// Upper and lower halves of products with a constant.
INLINE void multiply(words a, uint32_t by, words& high, words& low) {
#if defined(__AVX512F__)
    const __m512i factor = _mm512_set1_epi32(int(by));
    const __m512i even = _mm512_mul_epu32((__m512i)a, factor), odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), factor);
    high = (words)_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_CDAB);
    low = (words)_mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CDAB);
#elif defined(__AVX2__)
    const __m256i factor = _mm256_set1_epi32(int(by));
    const __m256i even = _mm256_mul_epu32((__m256i)a, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), factor);
    high = (words)_mm256_blend_epi32(_mm256_shuffle_epi32(even, 0xb1), odd, 0xaa);
    low = (words)_mm256_blend_epi32(even, _mm256_shuffle_epi32(odd, 0xb1), 0xaa);
#else
    for (int i = 0; i < LANES; ++i) {
        const uint64_t product = uint64_t(a[i]) * by;
        high[i] = uint32_t(product >> 32), low[i] = uint32_t(product);
    }
#endif
}

// The four words of LANES blocks, those from number `block` on.
INLINE void generate(uint64_t key, uint64_t block, words found[4]) {
    words c0 = words{} + uint32_t(block), c1 = words{} + uint32_t(block >> 32), c2{}, c3{};
    for (int i = 0; i < LANES; ++i) c0[i] += i;  // blocks begin at multiples of LANES: nothing is carried
    uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
        words high0, low0, high1, low1;
        multiply(c0, 0xd2511f53u, high0, low0), multiply(c2, 0xcd9e8d57u, high1, low1);
        c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
        k0 += 0x9e3779b9u, k1 += 0xbb67ae85u;
    }
    found[0] = c0, found[1] = c1, found[2] = c2, found[3] = c3;
}

INLINE vec as_float(mask whole) { return __builtin_convertvector(whole, vec); }

// Two normal numbers of two words (Box and Muller).
INLINE void normal_pair(words a, words b, float* first, float* second) {
    // ln u for u = (a + 1/2) / 2^32 = 2^power (1 + f). Near 1, f is what lacks, which the sign's reading of a tells exactly.
    const mask signed_a = (mask)a;
    const vec below = as_float(signed_a);
    const vec value = (signed_a < 0 ? below + 4294967296.f : below) + 0.5f;
    const mask bits = (mask)value;
    const mask power = (bits - 0x3f3504f3) >> 23;
    const vec f = power == 32 ? (below + 0.5f) * 0x1p-32f : (vec)(bits - (power << 23)) - 1.f;
    const vec exponent = as_float(power - 32), square = f * f;
    vec series = all(-0.07859599590301514f);
    series = series * f + 0.1288164258003235f;
    series = series * f + -0.1312875747680664f;
    series = series * f + 0.14181192219257355f;
    series = series * f + -0.16624553501605988f;
    series = series * f + 0.2000228613615036f;
    series = series * f + -0.25000810623168945f;
    series = series * f + 0.33333316445350647f;
    vec logarithm = f * square * series;
    logarithm = logarithm + exponent * -2.12194440e-4f;
    logarithm = logarithm - square * 0.5f;
    logarithm = f + logarithm;
    logarithm = logarithm + exponent * 0.693359375f;
    vec radius = logarithm * -2.f;
    for (int i = 0; i < LANES; ++i) radius[i] = std::sqrt(radius[i]);
    // Sine and cosine of an eighth of a turn to either side; the first two bits say in which quarter.
    const vec t = (as_float((mask)(b & 0x3fffffffu) - 0x20000000) + 0.5f) * 0x1p-30f, z = t * t;
    vec sine = all(-0.004602177068591118f);
    sine = sine * z + 0.07968022674322128f;
    sine = sine * z + -0.6459634900093079f;
    sine = sine * z + 1.5707963705062866f;
    sine = sine * t;
    vec cosine = all(0.0009040216682478786f);
    cosine = cosine * z + -0.02086028829216957f;
    cosine = cosine * z + 0.25366923213005066f;
    cosine = cosine * z + -1.2337005138397217f;
    cosine = cosine * z + 1.f;
    cosine = (vec)((words)cosine ^ (b & 0x80000000u));
    const mask swapped = (mask)(b & 0x40000000u) != 0;
    store(first, radius * (swapped ? sine : cosine));
    store(second, radius * (swapped ? cosine : sine));
}

INLINE void to_uniform(const words found[4], float* numbers) {
    for (int w = 0; w < 4; ++w) store(numbers + w * SIDE, as_float((mask)(found[w] >> 8)) * 0x1p-24f);
}

INLINE void to_normal(const words found[4], float* numbers) {
    for (int w = 0; w < 4; w += 2) normal_pair(found[w], found[w + 1], numbers + w * SIDE, numbers + (w + 1) * SIDE);
}

// Fills (seeds, numbers), of which a group gives EACH; `make` turns the words of LANES blocks into numbers of a group.
template <long EACH, class Number, class Make>
INLINE void fill_groups(long seeds, const int64_t* keys, long position, long numbers, Number* to, Make make) {
    for (long s = 0; s < seeds; ++s)
        for (long start = 0, group = position; start < numbers; start += EACH, ++group) {
            Number last[EACH], *whole = to + s * numbers + start;
            const long count = std::min(EACH, numbers - start);
            Number* place = count == EACH ? whole : last;
            for (long lane = 0; lane < SIDE; lane += LANES) {
                words found[4];
                generate(uint64_t(keys[s]), uint64_t(group) * SIDE + lane, found);
                make(found, place + lane);
            }
            if (count < EACH) std::copy_n(last, count, whole);
        }
}

}  // namespace

extern "C" {

// Numbers (seeds, numbers) from the group `position` of each key's stream on: uniform in [0, 1), with 24 bits.
void philox_uniform(long seeds, const int64_t* keys, long position, long numbers, float* to) {
    fill_groups<GROUP>(seeds, keys, position, numbers, to, [](const words* found, float* place) { to_uniform(found, place); });
}

// Standard normal.
void philox_normal(long seeds, const int64_t* keys, long position, long numbers, float* to) {
    fill_groups<GROUP>(seeds, keys, position, numbers, to, [](const words* found, float* place) { to_normal(found, place); });
}

// Integers in [0, high), high at most 2^31: two words a number, times high, over 2^64.
void philox_integers(long seeds, const int64_t* keys, long position, long numbers, long high, int64_t* to) {
    const uint32_t factor = uint32_t(high);
    fill_groups<GROUP / 2>(seeds, keys, position, numbers, to, [factor](const words* found, int64_t* place) {
        for (int w = 0; w < 2; ++w) {
            words whole, rest, carried, lost;
            multiply(found[2 * w], factor, whole, rest), multiply(found[2 * w + 1], factor, carried, lost);
            const words sum = rest + carried;
            whole += (words)(sum < rest) & 1u;
            for (int i = 0; i < LANES; ++i) place[w * SIDE + i] = whole[i];
        }
    });
}
}
