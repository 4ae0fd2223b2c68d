// Matrix products of small matrices, one trial at a time, in vectors that the compiler maps to the machine's own.
//
// What an element of a result is does not depend on how many rows or trials there are: its sum runs over k in order.
#pragma once
#include <cstring>
#include <vector>

#if defined(__AVX512F__)
constexpr int LANES = 16, WIDEST = 4;  // 32 registers
#elif defined(__AVX2__)
constexpr int LANES = 8, WIDEST = 2;  // 16 registers
#else
constexpr int LANES = 4, WIDEST = 4;  // NEON, or SSE with some spilling
#endif

typedef float vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int mask __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

#define INLINE inline __attribute__((always_inline))

INLINE vec load(const float* p) { return *reinterpret_cast<const vec*>(p); }
INLINE void store(float* p, vec v) { *reinterpret_cast<vec*>(p) = v; }
INLINE vec all(float x) { return x - vec{}; }
INLINE float total(vec v) {
    float sum = 0;
    for (int i = 0; i < LANES; ++i) sum += v[i];
    return sum;
}

// A size filled up to whole vectors.
constexpr long filled(long size) { return (size + LANES - 1) / LANES * LANES; }

// ROWS x (WIDTH vectors) of c = (c or bias) + a b. Element (row, k) of a lies at a[row * by_row + k * by_k].
enum Start { ZERO, BIAS, ADD };

template <int ROWS, int WIDTH, Start START>
INLINE void tile(long inner, const float* a, long by_row, long by_k, const float* b, long b_row, float* c, long c_row,
                 const float* bias) {
    vec sum[ROWS][WIDTH];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 16
        for (int j = 0; j < WIDTH; ++j)
            sum[i][j] = START == ADD ? load(c + i * c_row + j * LANES) : START == BIAS ? load(bias + j * LANES) : vec{};
    for (long k = 0; k < inner; ++k) {
        vec right[WIDTH];
#pragma GCC unroll 16
        for (int j = 0; j < WIDTH; ++j) right[j] = load(b + k * b_row + j * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; ++i) {
            const vec left = all(a[i * by_row + k * by_k]);
#pragma GCC unroll 16
            for (int j = 0; j < WIDTH; ++j) sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 16
        for (int j = 0; j < WIDTH; ++j) store(c + i * c_row + j * LANES, sum[i][j]);
}

template <int WIDTH, Start START>
INLINE void strip(long rows, long inner, const float* a, long by_row, long by_k, const float* b, long b_row, float* c,
                  long c_row, const float* bias) {
    constexpr int ROWS = WIDTH == 1 ? 8 : 6;
    long i = 0;
    for (; i + ROWS <= rows; i += ROWS)
        tile<ROWS, WIDTH, START>(inner, a + i * by_row, by_row, by_k, b, b_row, c + i * c_row, c_row, bias);
    for (; i + 4 <= rows; i += 4)
        tile<4, WIDTH, START>(inner, a + i * by_row, by_row, by_k, b, b_row, c + i * c_row, c_row, bias);
    for (; i < rows; ++i) tile<1, WIDTH, START>(inner, a + i * by_row, by_row, by_k, b, b_row, c + i * c_row, c_row, bias);
}

// c (rows, columns) = a b, plus bias or c itself. Columns of b, c and bias are filled up to whole vectors.
template <Start START>
void product(long rows, long columns, long inner, const float* a, long by_row, long by_k, const float* b, long b_row,
             float* c, long c_row, const float* bias = nullptr) {
    long left = filled(columns) / LANES;
    for (; left >= WIDEST; left -= WIDEST, b += WIDEST * LANES, c += WIDEST * LANES, bias += START == BIAS ? WIDEST * LANES : 0)
        strip<WIDEST, START>(rows, inner, a, by_row, by_k, b, b_row, c, c_row, bias);
    if (left == 3) strip<3, START>(rows, inner, a, by_row, by_k, b, b_row, c, c_row, bias);
    if (left == 2) strip<2, START>(rows, inner, a, by_row, by_k, b, b_row, c, c_row, bias);
    if (left == 1) strip<1, START>(rows, inner, a, by_row, by_k, b, b_row, c, c_row, bias);
}

// (rows, columns) copied with rows filled up with zeros to `to_row` numbers.
inline void fill(const float* from, long rows, long columns, long from_row, float* to, long to_row) {
    for (long i = 0; i < rows; ++i) {
        std::memcpy(to + i * to_row, from + i * from_row, columns * sizeof(float));
        std::memset(to + i * to_row + columns, 0, (to_row - columns) * sizeof(float));
    }
}

// The transpose of (rows, columns), its rows filled up with zeros to `to_row` numbers.
inline void transpose(const float* from, long rows, long columns, long from_row, float* to, long to_row) {
    for (long j = 0; j < columns; ++j) {
        for (long i = 0; i < rows; ++i) to[j * to_row + i] = from[i * from_row + j];
        for (long i = rows; i < to_row; ++i) to[j * to_row + i] = 0;
    }
}

// Memory of a call, handed out in whole cache lines.
struct Scratch {
    std::vector<float> memory;
    float* next;
    // `parts` is how many pieces will be taken.
    Scratch(long numbers, int parts) : memory(numbers + 16 * (parts + 1)), next(memory.data()) {
        next += 16 - (reinterpret_cast<unsigned long>(next) / 4) % 16;  // whole cache lines
    }
    float* take(long numbers) {
        float* taken = next;
        next += (numbers + 15) / 16 * 16;
        return taken;
    }
};
