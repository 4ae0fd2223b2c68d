// A step of Adam in one pass over memory.
#include <cmath>

extern "C" {

// Gradients, moments and weights are (trials, numbers); `rates` and `factors` (of the gradient, for clipping) one a trial.
// `corrections` are 1 - beta**steps of the two moments; numbers whose `moving` is 0, where it is given, keep their weights.
void adam(long trials, long numbers, const float* gradients, float* means, float* squares, float* weights,
          const float* rates, const float* factors, const float* moving, const double* betas, const double* corrections,
          float epsilon) {
    const float new_mean = 1 - betas[0], new_square = 1 - betas[1], beta2 = betas[1], root = 1 / std::sqrt(corrections[1]);
    for (long t = 0; t < trials; ++t) {
        const float* __restrict gradient = gradients + t * numbers;
        float* __restrict mean = means + t * numbers;
        float* __restrict square = squares + t * numbers;
        float* __restrict weight = weights + t * numbers;
        const float factor = factors[t], rate = float(rates[t] / corrections[0]);
        auto change = [&](long i) __attribute__((always_inline)) {
            const float g = gradient[i] * factor;
            mean[i] += new_mean * (g - mean[i]);
            square[i] = beta2 * square[i] + new_square * g * g;
            return rate * mean[i] / (std::sqrt(square[i]) * root + epsilon);
        };
        if (moving)
            for (long i = 0; i < numbers; ++i) { const float by = change(i); weight[i] -= moving[i] != 0 ? by : 0.f; }
        else
            for (long i = 0; i < numbers; ++i) weight[i] -= change(i);
    }
}
}
