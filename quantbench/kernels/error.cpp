// Mean square differences and their gradients, each in one pass.
#include "products.h"

extern "C" {

// The mean of (a - b)^2 over each trial's numbers.
void mean_square(long trials, long numbers, const float* a, long a_stride, const float* b, long b_stride, float* means) {
    for (long t = 0; t < trials; ++t) {
        const float *x = a + t * a_stride, *y = b + t * b_stride;
        vec sums[4]{};
        long i = 0;
        for (; i + 4 * LANES <= numbers; i += 4 * LANES)
            for (int j = 0; j < 4; ++j) {
                const vec difference = load(x + i + j * LANES) - load(y + i + j * LANES);
                sums[j] += difference * difference;
            }
        float rest = 0;
        for (; i < numbers; ++i) rest += (x[i] - y[i]) * (x[i] - y[i]);
        means[t] = (total((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest) / numbers;
    }
}

// 2 gradient (a - b) / numbers, the gradient by a; contiguous.
void mean_square_backward(long trials, long numbers, const float* a, long a_stride, const float* b, long b_stride,
                          const float* gradients, float* to_a) {
    for (long t = 0; t < trials; ++t) {
        const float *x = a + t * a_stride, *y = b + t * b_stride, factor = 2 * gradients[t] / numbers;
        float* __restrict to = to_a + t * numbers;
        for (long i = 0; i < numbers; ++i) to[i] = factor * (x[i] - y[i]);
    }
}
}
