// attention_kernels.simd.cpp - chapter 2: softmax, sums and RoPE of one tile. Compiled once per
// SIMD level.
#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

static float softmax_tile(float* scores, Index visible) {
    constexpr int kVecs = static_cast<int>(kTile / kLanes);
    // The largest n of the visible scores; the order of comparisons does not matter, since
    // these are integers.
    Vec n[kVecs], largest = fill(-__builtin_inff());
    for (int v = 0; v < kVecs; ++v) {
        n[v] = round_even(load(scores + v * kLanes));
        largest = larger(first_lanes(n[v], visible - v * kLanes, -__builtin_inff()), largest);
    }
    const float M = largest_lane(largest);
    for (int v = 0; v < kVecs; ++v) {
        const Vec p = exp2_polynomial(sub(load(scores + v * kLanes), n[v]));
        const Vec e = smaller(larger(sub(n[v], fill(M)), fill(-127.0f)), fill(0.0f));
        store(scores + v * kLanes, mul(p, pow2_in_range(e)));
    }
    return M;
}

// Some rows and registers of columns; the totals go along once, with the first columns, each in
// all lanes of a register of its own: a weight is broadcast anyway. Each chain waits 4 cycles
// for its last addition, so they have to run side by side.
template <int Rows, int Columns, bool WithTotals>
KVLAB_INLINE void weigh_tile(Index slots,
                             const float* weights,
                             const float* values,
                             Index width,
                             float* sums,
                             Index stride,
                             float* totals,
                             bool resume) {
    Vec acc[Rows][Columns];
    Vec total[Rows];
    for (int r = 0; r < Rows; ++r) {
        total[r] = fill(WithTotals && resume ? totals[r] : 0.0f);
        for (int c = 0; c < Columns; ++c)
            acc[r][c] = resume ? load(sums + r * stride + c * kLanes) : fill(0.0f);
    }
    for (Index j = 0; j < slots; ++j)
        for (int r = 0; r < Rows; ++r) {
            const Vec weight = fill(weights[r * kTile + j]);
            if (WithTotals) total[r] = add(total[r], weight);
            for (int c = 0; c < Columns; ++c)
                acc[r][c] = fma(weight, load(values + j * width + c * kLanes), acc[r][c]);
        }
    for (int r = 0; r < Rows; ++r) {
        if (WithTotals) totals[r] = first_lane(total[r]);
        for (int c = 0; c < Columns; ++c) store(sums + r * stride + c * kLanes, acc[r][c]);
    }
}

template <int Rows>
static void weigh_rows(Index slots,
                       const float* weights,
                       const float* values,
                       Index width,
                       float* sums,
                       Index stride,
                       float* totals,
                       bool resume) {
    constexpr int columns = Rows > 3 ? 1 : kLanes == 16 ? 4 : 2;  // what the registers hold
    Index c = 0;
    if (width >= columns * kLanes) {
        weigh_tile<Rows, columns, true>(slots, weights, values, width, sums, stride, totals,
                                        resume);
        c = columns * kLanes;
    } else {
        weigh_tile<Rows, 1, true>(slots, weights, values, width, sums, stride, totals, resume);
        c = kLanes;
    }
    for (; c + columns * kLanes <= width; c += columns * kLanes)
        weigh_tile<Rows, columns, false>(slots, weights, values + c, width, sums + c, stride,
                                         totals, resume);
    for (; c < width; c += kLanes)
        weigh_tile<Rows, 1, false>(slots, weights, values + c, width, sums + c, stride, totals,
                                   resume);
}

static constexpr decltype(&weigh_rows<1>) kWeighRows[] = {
    nullptr,       weigh_rows<1>, weigh_rows<2>, weigh_rows<3>,
    weigh_rows<4>, weigh_rows<5>, weigh_rows<6>};

// Narrow values need more rows at a time than wide ones, so that enough chains run.
static void weigh(Index rows,
                  Index slots,
                  const float* weights,
                  const float* values,
                  Index width,
                  float* sums,
                  Index stride,
                  float* totals,
                  bool resume) {
    for (const Index most = width <= kLanes ? 6 : 3; rows > 0;) {
        const Index n = rows < most ? rows : most;
        kWeighRows[n](slots, weights, values, width, sums, stride, totals, resume);
        rows -= n, weights += n * kTile, sums += n * stride, totals += n;
    }
}

static void scale(float factor, Index n, float* y) {
    for (Index i = 0; i < n; i += kLanes) store(y + i, mul(load(y + i), fill(factor)));
}

static void rotate(float* head,
                   const float* cos,
                   const float* sin,
                   Index rope_dim,
                   Index head_dim,
                   float factor) {
    for (Index i = 0; i < rope_dim / 2; ++i) {
        const float x0 = head[2 * i], x1 = head[2 * i + 1];
        head[2 * i] = fma1(x0, cos[i], -(x1 * sin[i])) * factor;
        head[2 * i + 1] = fma1(x1, cos[i], x0 * sin[i]) * factor;
    }
    for (Index i = rope_dim; i < head_dim; ++i) head[i] = head[i] * factor;
}

// One row of angles of a tile: the table's own if there is one run; else pieced together in
// `scratch`, 2 * 64 floats. Each run is written as if it went on for 64 slots, and the next one
// overwrites what is too much: no length has to be asked for.
static const float* angles(const float* row,
                           const AngleRun* runs,
                           Index count,
                           float* scratch) {
    if (count == 1) return row + runs[0].position;
    for (Index r = 0; r < count; ++r)
        for (Index s = 0; s < kTile; s += kLanes)
            store(scratch + runs[r].slot + s, load(row + runs[r].position + s));
    return scratch;
}

static void rotate_tile(const float* keys,
                        const float* cos,
                        const float* sin,
                        Index stride,
                        const AngleRun* runs,
                        Index count,
                        Index rope_dim,
                        Index head_dim,
                        float* out) {
    const Vec minus_zero = fill(-0.0f);  // -0 - x is -x for every x, 0 - x is not
    float cos_row[2 * kTile], sin_row[2 * kTile];
    for (Index i = 0; i < rope_dim / 2; ++i) {
        const float* const c_row = angles(cos + i * stride, runs, count, cos_row);
        const float* const s_row = angles(sin + i * stride, runs, count, sin_row);
        for (Index s = 0; s < kTile; s += kLanes) {
            const Vec x0 = load(keys + 2 * i * kTile + s);
            const Vec x1 = load(keys + (2 * i + 1) * kTile + s);
            const Vec c = load(c_row + s), d = load(s_row + s);
            store(out + 2 * i * kTile + s, fma(x0, c, sub(minus_zero, mul(x1, d))));
            store(out + (2 * i + 1) * kTile + s, fma(x1, c, mul(x0, d)));
        }
    }
    for (Index s = rope_dim * kTile; s < head_dim * kTile; s += kLanes)
        store(out + s, load(keys + s));
}

extern const AttentionKernels kAttentionKernels;
const AttentionKernels kAttentionKernels = {softmax_tile, weigh, scale, rotate, rotate_tile};

}  // namespace kvlab::KVLAB_SIMD
