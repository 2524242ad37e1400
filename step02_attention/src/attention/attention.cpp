#include <kvlab/attention/attention.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

static_assert(kTile == kSumBlock, "the weights of a tile are summed in one chain (rule 3)");
static_assert(kTile == kPanel, "a tile of f16 is expanded as a panel of weights is");

// ANCHOR: attention_plain
void attention_plain(const View<const float>& q,
                     const View<const float>& k,
                     const View<const float>& v,
                     const View<float>& out) {
    check(q.rank() == 1 && k.rank() == 2, "attention: expected q [D] and k [S, D], found ",
          q.shape(), " and ", k.shape());
    const Index D = q.dim(0), S = k.dim(0);
    check_shape(k, {S, D}, "attention: k");
    check_shape(v, {S, D}, "attention: v");
    check_shape(out, {D}, "attention: out");
    check(S > 0, "attention: a query must see at least one slot");
    // SOLUTION-BEGIN 2.1
    std::vector<float> scores(usize(S)), weights(scores.size());
    for (Index s = 0; s < S; ++s)
        at(scores, s) = dot(&q(0), q.stride(0), &k(s, 0), k.stride(1), D);
    const float total = softmax_weights(scores, weights);
    for (Index i = 0; i < D; ++i)
        out(i) = dot(weights.data(), 1, &v(0, i), v.stride(0), S) / total;
    // SOLUTION-END 2.1
}

// ANCHOR_END: attention_plain

// ANCHOR: visible_rows
View<const float> visible_rows(
    const View<const float>& rows, Index head_dim, Index group, Index head, Index t) {
    check(rows.rank() == 2 && head >= 0 && head < rows.dim(1) / head_dim * group && t >= 0 &&
              t < rows.dim(0),
          "attention: there is no query head ", head, " of token ", t, " in ", rows.shape());
    // SOLUTION-BEGIN 2.2
    const Index kv = head / group * head_dim;  // first column of the KV head that `head` reads
    return rows.slice(1, kv, kv + head_dim).slice(0, 0, t + 1);
    // SOLUTION-END 2.2
}

// ANCHOR_END: visible_rows

AttentionRows::AttentionRows(SimdLevel level, Index head_dim, Index padded_dim)
    : tensor_(tensor_kernels(level)),
      attention_(attention_kernels(level)),
      head_dim_(head_dim),
      padded_dim_(padded_dim) {
    check(head_dim > 0 && padded_dim >= head_dim && padded_dim <= kMaxHeadDim,
          "attention: head_dim must be 1 to ", kMaxHeadDim, ", found ", head_dim);
}

void AttentionRows::start(Index rows) {
    check(rows >= 1 && rows <= kMaxKernelRows, "attention: 1 to ", kMaxKernelRows,
          " rows, found ", rows);
    rows_ = rows;
    std::fill_n(maximum_, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(started_, rows, false);
}

void AttentionRows::score(const float* keys,
                          const Index* visible,
                          Index first_row,
                          TileWeights& to) const {
    const Index rows = rows_ - first_row;
    for (Index i = 0; i < head_dim_; i += kSumBlock)
        tensor_.block(rows, std::min(kSumBlock, head_dim_ - i), query(first_row) + i,
                      kMaxHeadDim, keys + i * kTile, kTile, kTile, to.weights, kTile,
                      i == 0 ? BlockMode::first : BlockMode::add);
    for (Index r = 0; r < rows; ++r)
        to.maxima[r] = attention_.softmax_tile(to.weights + r * kTile, visible[first_row + r]);
    to.first_row = first_row;
}

Index AttentionRows::weigh(const float* values,
                           const Index* visible,
                           const TileWeights& tile,
                           float* totals,
                           float* sums,
                           Index stride) const {
    const Index first_row = tile.first_row, rows = rows_ - first_row;
    const float* const weights = tile.weights;
    // The slots that all rows see, together; then what the later tokens see beyond, row by row,
    // each going on with its own chain: a masked slot is not visited.
    const Index common = visible[first_row];
    attention_.weigh(rows, common, weights, values, padded_dim_, sums, stride, totals, false);
    Index pairs = rows * common;
    for (Index r = 0; r < rows; ++r)
        if (const Index more = visible[first_row + r] - common; more > 0) {
            attention_.weigh(1, more, weights + r * kTile + common,
                             values + common * padded_dim_, padded_dim_, sums + r * stride,
                             stride, &totals[r], true);
            pairs += more;
        }
    return pairs;
}

// ANCHOR: online
void AttentionRows::add(Index row, float maximum, float total, float* sums) {
    float* const all = sums_ + row * kMaxHeadDim;
    if (!started_[row]) {  // the first tile IS the total so far
        started_[row] = true;
        maximum_[row] = maximum;
        total_[row] = total;
        std::copy_n(sums, padded_dim_, all);
        return;
    }
    if (maximum > maximum_[row]) {
        const float factor = pow2(maximum_[row] - maximum);
        maximum_[row] = maximum;
        total_[row] *= factor;
        attention_.scale(factor, padded_dim_, all);
    } else if (maximum < maximum_[row]) {
        const float factor = pow2(maximum - maximum_[row]);
        total *= factor;
        attention_.scale(factor, padded_dim_, sums);
    }
    total_[row] += total;
    tensor_.add(sums, padded_dim_, all);
}

// ANCHOR_END: online

Index AttentionRows::add_tile(const float* values,
                              const Index* visible,
                              const TileWeights& tile) {
    float totals[kMaxKernelRows];
    alignas(64) float sums[kMaxKernelRows * kMaxHeadDim];
    const Index pairs = weigh(values, visible, tile, totals, sums, kMaxHeadDim);
    for (Index r = 0; r < rows_ - tile.first_row; ++r)
        add(tile.first_row + r, tile.maxima[r], totals[r], sums + r * kMaxHeadDim);
    return pairs;
}

void AttentionRows::finish(Index row, float* out) const {
    for (Index i = 0; i < head_dim_; ++i) out[i] = sums_[row * kMaxHeadDim + i] / total_[row];
}

// ANCHOR: share
void AttentionRows::share(const TileWeights& tile, Index row, float* out) const {
    const Index r = row - tile.first_row;
    const float factor = pow2(tile.maxima[r] - maximum_[row]) / total_[row];
    std::copy_n(tile.weights + r * kTile, kTile, out);
    attention_.scale(factor, kTile, out);
}

// ANCHOR_END: share

}  // namespace kvlab
