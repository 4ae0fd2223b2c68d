// Search among codewords, and their soft mixtures, without a table of all distances: a few frames at a time.
//
// Distances are taken about the codebook's mean (far from the origin the squares would swallow the differences) and less
// the latents' own squared length: |c|^2 - 2 y c.
#include <algorithm>
#include <cmath>
#include <limits>

#include "products.h"

namespace {

constexpr long BLOCK = 16;  // frames
constexpr long TILE = 512, BATCH = 2048;  // codes and frames that a search takes at a time: what it needs stays in the cache

typedef int lanes __attribute__((vector_size(LANES * 4), may_alias));

// A trial's codewords as the products need them, about their mean.
struct Codebook {
    long codes, dim, wide, thin, pitch;
    float *mean, *columns, *rows, *squares;  // columns (dim, pitch): factor times codewords; rows (codes, thin), if at all
    Codebook(Scratch& scratch, long codes, long dim, bool with_rows = true)
        : codes(codes), dim(dim), wide(filled(codes)), thin(filled(dim)), pitch(spread(wide)), mean(scratch.take(thin)),
          columns(scratch.take(dim * pitch)), rows(with_rows ? scratch.take(codes * thin) : nullptr),
          squares(scratch.take(wide)) {}

    // Columns at a distance of 4 KiB would all lie in one set of the cache: a line more keeps them apart.
    static long spread(long wide) { return wide + (wide % 256 ? 0 : 16); }
    static long numbers(long codes, long dim) { return dim * spread(filled(codes)) + filled(codes) + (codes + 1) * filled(dim); }

    // `factor` goes to products with latents; `of_squares` to the squared lengths, `rest` to codes that only fill up.
    void set(const float* codewords, float factor, float of_squares, float rest) {
        average(codewords, codes);
        arrange(codewords, factor, of_squares, rest);
    }

    // The mean of `number` codewords, of which a tile may be but a part.
    void average(const float* codewords, long number) {
        std::fill_n(mean, dim, 0.f);
        for (long k = 0; k < number; ++k)
            for (long d = 0; d < dim; ++d) mean[d] += codewords[k * dim + d];
        for (long d = 0; d < dim; ++d) mean[d] /= number;
    }

    // Holds so many codes from now on, at most as many as were taken memory for.
    void resize(long number) { codes = number, wide = filled(number); }

    // All but the mean.
    void arrange(const float* codewords, float factor, float of_squares, float rest) {
        for (long k = 0; k < codes; ++k) {
            float square = 0;
            for (long d = 0; d < dim; ++d) {
                const float centred = codewords[k * dim + d] - mean[d];
                columns[d * pitch + k] = factor * centred;
                square += centred * centred;
            }
            squares[k] = of_squares * square;
        }
        for (long k = 0; rows && k < codes; ++k)
            for (long d = 0; d < thin; ++d) rows[k * thin + d] = d < dim ? codewords[k * dim + d] - mean[d] : 0;
        for (long k = codes; k < wide; ++k) {
            squares[k] = rest;
            for (long d = 0; d < dim; ++d) columns[d * pitch + k] = 0;
        }
    }

    // Latents about the mean.
    void centre(const float* latents, long count, float* to) const {
        for (long i = 0; i < count; ++i)
            for (long d = 0; d < dim; ++d) to[i * dim + d] = latents[i * dim + d] - mean[d];
    }

    // Scores (count, wide) of centred latents.
    void score(const float* centred, long count, float* scores) const {
        product<BIAS>(count, codes, dim, centred, dim, 1, columns, pitch, scores, wide, squares);
    }
};

// The smallest score that a frame has found, and which code's it is.
struct Best {
    float score = std::numeric_limits<float>::infinity();
    long index = 0;
};

// Takes in the scores, `number` whole vectors, of the codes from `from` on; the first of equals stays, and so it does where
// nothing compares.
void take_smallest(const float* scores, long number, long from, Best& found) {
    lanes count{}, at{};
    for (int i = 0; i < LANES; ++i) count[i] = i;
    vec best = all(std::numeric_limits<float>::infinity());
    for (long j = 0; j < number; j += LANES) {
        const vec score = load(scores + j);
        const lanes less = score < best;
        best = less ? score : best;
        at = less ? count : at;
        count += LANES;
    }
    float least = best[0];
    long index = at[0];
    for (int i = 1; i < LANES; ++i)
        if (best[i] < least || (best[i] == least && at[i] < index)) least = best[i], index = at[i];
    if (least < found.score) found = {least, from + index};
}

// e^x for x <= 0, about 1e-7 relative; 0 below -87. Cody and Waite's reduction, Taylor's series to the sixth power.
INLINE vec exponential(vec x) {
    const vec low = all(-87.f);
    const vec clipped = x > low ? x : low;
    const vec shifted = clipped * 1.44269504f - 0.5f;
    const lanes power = __builtin_convertvector(shifted, lanes);  // towards zero: rounds, for shifted is below zero
    const vec whole = __builtin_convertvector(power, vec);
    const vec rest = (clipped - whole * 0.693359375f) + whole * 2.12194440e-4f;
    vec series = all(1.f / 720);
    series = series * rest + 1.f / 120;
    series = series * rest + 1.f / 24;
    series = series * rest + 1.f / 6;
    series = series * rest + 0.5f;
    series = series * rest + 1.f;
    series = series * rest + 1.f;
    const lanes scale = (power + 127) << 23;
    const vec found = series * (vec)scale;
    return x != x ? x : x > low ? found : vec{};
}

// Scores become softmax weights, row by row.
void softmax(float* scores, long count, long wide) {
    for (long i = 0; i < count; ++i) {
        float* row = scores + i * wide;
        vec most = load(row);
        for (long j = LANES; j < wide; j += LANES) most = load(row + j) > most ? load(row + j) : most;
        float highest = most[0];
        for (int l = 1; l < LANES; ++l) highest = std::max(highest, most[l]);
        vec sum{};
        for (long j = 0; j < wide; j += LANES) {
            const vec weight = exponential(load(row + j) - highest);
            sum += weight;
            store(row + j, weight);
        }
        const vec share = all(1 / total(sum));
        for (long j = 0; j < wide; j += LANES) store(row + j, load(row + j) * share);
    }
}

}  // namespace

extern "C" {

// Index of the nearest of a trial's codewords for each of its latents (trials, frames, dim).
void nearest(long trials, long frames, long codes, long dim, const float* codewords, long codewords_stride,
             const float* latents, long latents_stride, long* index) {
    const long tile = std::min(codes, TILE), batch = std::min(frames, BATCH);
    Scratch scratch(Codebook::numbers(tile, dim) + batch * dim + BLOCK * filled(tile), 5);
    Codebook book(scratch, tile, dim, false);
    float *centred = scratch.take(batch * dim), *scores = scratch.take(BLOCK * book.wide);
    std::vector<Best> found(batch);
    for (long t = 0; t < trials; ++t) {
        const float* words = codewords + t * codewords_stride;
        book.average(words, codes);
        for (long start = 0; start < frames; start += batch) {
            const long count = std::min(batch, frames - start);
            book.centre(latents + t * latents_stride + start * dim, count, centred);
            std::fill_n(found.begin(), count, Best{});
            for (long first = 0; first < codes; first += tile) {
                book.resize(std::min(tile, codes - first));
                if (start == 0 || tile < codes) book.arrange(words + first * dim, -2, 1, std::numeric_limits<float>::infinity());
                for (long i = 0; i < count; i += BLOCK) {
                    const long part = std::min(BLOCK, count - i);
                    book.score(centred + i * dim, part, scores);
                    for (long j = 0; j < part; ++j) take_smallest(scores + j * book.wide, book.wide, first, found[i + j]);
                }
            }
            for (long i = 0; i < count; ++i) index[t * frames + start + i] = found[i].index;
        }
    }
}

// Codewords mixed with weights softmax(-|y - c|^2 / temperature), a temperature a trial.
void soft_code(long trials, long frames, long codes, long dim, const float* codewords, long codewords_stride,
               const float* latents, long latents_stride, const float* temperature, float* mixed) {
    Scratch scratch(Codebook::numbers(codes, dim) + BLOCK * (dim + filled(codes) + filled(dim)), 7);
    Codebook book(scratch, codes, dim);
    float *centred = scratch.take(BLOCK * dim), *weights = scratch.take(BLOCK * book.wide);
    float* sums = scratch.take(BLOCK * book.thin);
    for (long t = 0; t < trials; ++t) {
        const float sharpness = 1 / temperature[t];
        book.set(codewords + t * codewords_stride, 2 * sharpness, -sharpness, -std::numeric_limits<float>::infinity());
        for (long start = 0; start < frames; start += BLOCK) {
            const long count = std::min(BLOCK, frames - start);
            book.centre(latents + t * latents_stride + start * dim, count, centred);
            book.score(centred, count, weights);
            softmax(weights, count, book.wide);
            product<ZERO>(count, dim, codes, weights, book.wide, 1, book.rows, book.thin, sums, book.thin);
            for (long i = 0; i < count; ++i)
                for (long d = 0; d < dim; ++d)
                    mixed[(t * frames + start + i) * dim + d] = sums[i * book.thin + d] + book.mean[d];
        }
    }
}

// Gradients of soft_code by codewords and latents, for `gradient` by the mixture (trials, frames, dim). With weights w and
// s the gradient by their logits, w (g c - w g c): by the latent 2/T sum s c, by a codeword w g + 2/T s (y - c).
void soft_code_backward(long trials, long frames, long codes, long dim, const float* codewords, long codewords_stride,
                        const float* latents, long latents_stride, const float* temperature, const float* gradient,
                        float* to_codewords, float* to_latents) {
    Scratch scratch(Codebook::numbers(codes, dim) + dim * filled(codes) + codes * filled(dim) + filled(codes) +
                        BLOCK * (2 * dim + 2 * filled(codes) + 3 * filled(dim)), 14);
    Codebook book(scratch, codes, dim);
    const long wide = book.wide, thin = book.thin;
    float *plain = scratch.take(dim * wide), *sums = scratch.take(codes * thin), *masses = scratch.take(wide);
    float *centred = scratch.take(BLOCK * dim), *weights = scratch.take(BLOCK * wide), *slopes = scratch.take(BLOCK * wide);
    float *g = scratch.take(BLOCK * thin), *y = scratch.take(BLOCK * thin), *back = scratch.take(BLOCK * thin);
    for (long t = 0; t < trials; ++t) {
        const float sharpness = 1 / temperature[t];
        book.set(codewords + t * codewords_stride, 2 * sharpness, -sharpness, -std::numeric_limits<float>::infinity());
        transpose(book.rows, codes, dim, thin, plain, wide);
        std::fill_n(sums, codes * thin, 0.f), std::fill_n(masses, wide, 0.f);
        for (long start = 0; start < frames; start += BLOCK) {
            const long count = std::min(BLOCK, frames - start), at = t * frames + start;
            book.centre(latents + t * latents_stride + start * dim, count, centred);
            book.score(centred, count, weights);
            softmax(weights, count, wide);
            fill(gradient + at * dim, count, dim, dim, g, thin);
            product<ZERO>(count, codes, dim, g, thin, 1, plain, wide, slopes, wide);
            for (long i = 0; i < count; ++i) {
                float *w = weights + i * wide, *s = slopes + i * wide;
                vec mean{};
                for (long j = 0; j < wide; j += LANES) mean += load(w + j) * load(s + j);
                const vec middle = all(total(mean));
                for (long j = 0; j < wide; j += LANES) {
                    const vec slope = load(w + j) * (load(s + j) - middle) * (2 * sharpness);
                    store(s + j, slope), store(masses + j, load(masses + j) + slope);
                }
            }
            product<ZERO>(count, dim, codes, slopes, wide, 1, book.rows, thin, back, thin);
            for (long i = 0; i < count; ++i) std::copy_n(back + i * thin, dim, to_latents + (at + i) * dim);
            fill(centred, count, dim, dim, y, thin);
            product<ADD>(codes, dim, count, weights, 1, wide, g, thin, sums, thin);
            product<ADD>(codes, dim, count, slopes, 1, wide, y, thin, sums, thin);
        }
        for (long k = 0; k < codes; ++k)
            for (long d = 0; d < dim; ++d)
                to_codewords[(t * codes + k) * dim + d] = sums[k * thin + d] - masses[k] * book.rows[k * thin + d];
    }
}

// Rows (trials, frames, dim) at the indices (trials, frames) of each trial's `number` vectors; 0, and nothing more is
// copied, when an index is none of theirs.
int take(long trials, long frames, long number, long dim, const long* index, const float* vectors, long stride,
         float* rows) {
    for (long t = 0; t < trials; ++t)
        for (long i = 0; i < frames; ++i) {
            const long which = index[t * frames + i];
            if (which < 0 || which >= number) return 0;
            std::copy_n(vectors + t * stride + which * dim, dim, rows + (t * frames + i) * dim);
        }
    return 1;
}

// Sums (trials, codes, dim) of the rows (trials, frames, dim) that share an index (trials, frames); 0 for an index that is none.
int sum_by_index(long trials, long frames, long codes, long dim, const long* index, const float* rows, float* sums) {
    std::fill_n(sums, trials * codes * dim, 0.f);
    for (long t = 0; t < trials; ++t)
        for (long i = 0; i < frames; ++i) {
            const long which = index[t * frames + i];
            if (which < 0 || which >= codes) return 0;
            const float* from = rows + (t * frames + i) * dim;
            float* to = sums + (t * codes + which) * dim;
            for (long d = 0; d < dim; ++d) to[d] += from[d];
        }
    return 1;
}
}
