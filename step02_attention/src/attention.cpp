#include <kvlab/attention/attention.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

// ANCHOR: attention_plain
void attention_plain(View<const float> q,
                     View<const float> k,
                     View<const float> v,
                     View<float> out) {
    check(q.rank() == 1 && k.rank() == 2, "attention: expected q [D] and k [S, D], found ",
          q.shape(), " and ", k.shape());
    const Index D = q.dim(0), S = k.dim(0);
    check_shape(k, {S, D}, "attention: k");
    check_shape(v, {S, D}, "attention: v");
    check_shape(out, {D}, "attention: out");
    check(S > 0, "attention: a query must see at least one slot");
    std::vector<float> scores(static_cast<std::size_t>(S)), weights(scores.size());
    for (Index s = 0; s < S; ++s)
        scores[static_cast<std::size_t>(s)] = dot(&q(0), q.stride(0), &k(s, 0), k.stride(1), D);
    const float total = softmax_weights(scores, weights);
    for (Index i = 0; i < D; ++i)
        out(i) = dot(weights.data(), 1, &v(0, i), v.stride(0), S) / total;
}

// ANCHOR_END: attention_plain

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

void AttentionRows::tile(const float* keys,
                         const float* values,
                         const Index* visible,
                         Index first_row) {
    const Index rows = rows_ - first_row;
    alignas(64) float weights[kMaxKernelRows * kTile];
    for (Index i = 0; i < head_dim_; i += kSumBlock)
        tensor_.block(rows, std::min(kSumBlock, head_dim_ - i), query(first_row) + i,
                      kMaxHeadDim, keys + i * kTile, kTile, kTile, weights, kTile,
                      i == 0 ? BlockMode::first : BlockMode::add);

    float rescale[kMaxKernelRows];
    for (Index r = 0; r < rows; ++r)
        rescale[r] = attention_.softmax_tile(weights + r * kTile, visible[first_row + r],
                                             &maximum_[first_row + r]);

    // The slots that all rows see, together; then what the later tokens see beyond, row by row,
    // each going on with its own chain: a masked slot is not visited.
    const Index common = visible[first_row];
    alignas(64) float tile_sums[kMaxKernelRows * kMaxHeadDim];
    float tile_totals[kMaxKernelRows];
    attention_.weigh(rows, common, weights, values, padded_dim_, tile_sums, kMaxHeadDim,
                     tile_totals, false);
    for (Index r = 0; r < rows; ++r)
        if (const Index more = visible[first_row + r] - common; more > 0)
            attention_.weigh(1, more, weights + r * kTile + common,
                             values + common * padded_dim_, padded_dim_,
                             tile_sums + r * kMaxHeadDim, kMaxHeadDim, &tile_totals[r], true);

    // ANCHOR: online
    for (Index r = 0; r < rows; ++r) {
        const Index row = first_row + r;
        const float* tile_sum = tile_sums + r * kMaxHeadDim;
        float* sums = sums_ + row * kMaxHeadDim;
        if (!started_[row]) {
            started_[row] = true;
            total_[row] = tile_totals[r];
            std::copy_n(tile_sum, padded_dim_, sums);
            continue;
        }
        if (rescale[r] != 1.0f) {
            total_[row] *= rescale[r];
            attention_.scale(rescale[r], padded_dim_, sums);
        }
        total_[row] += tile_totals[r];
        tensor_.add(tile_sum, padded_dim_, sums);
    }
    // ANCHOR_END: online
}

void AttentionRows::finish(Index row, float* out) const {
    for (Index i = 0; i < head_dim_; ++i) out[i] = sums_[row * kMaxHeadDim + i] / total_[row];
}

void attend_tiles(SimdLevel level,
                  ThreadPool& pool,
                  View<const float> q,
                  const KvTiles& tiles,
                  Index past,
                  View<float> out) {
    const Index T = q.dim(0), Hq = q.dim(1), D = tiles.head_dim(), Hkv = tiles.kv_heads();
    check_shape(q, {T, Hq, D}, "attend: q");
    check_shape(out, {T, Hq, D}, "attend: out");
    check(q.stride(2) == 1 && out.stride(2) == 1, "attend: heads must be contiguous");
    check(Hq % Hkv == 0, "attend: ", Hq, " query heads do not share ", Hkv, " KV heads evenly");
    check(past >= 0 && past + T <= tiles.slots(), "attend: slots [0, ", past + T,
          ") are outside of ", tiles.slots());
    const Index group = Hq / Hkv, rows = T * group;  // row = (token, head of the group)
    const Index pieces = (rows + kMaxKernelRows - 1) / kMaxKernelRows;
    const auto task = [&](Index i) {
        const Index kv_head = i / pieces, first = i % pieces * kMaxKernelRows;
        const Index count = std::min(kMaxKernelRows, rows - first);
        AttentionRows state(level, D, tiles.padded_dim());
        state.start(count);
        Index sees[kMaxKernelRows] = {};
        for (Index r = 0; r < count; ++r) {
            const Index t = (first + r) / group, head = kv_head * group + (first + r) % group;
            std::copy_n(&q(t, head, 0), D, state.query(r));
            sees[r] = past + t + 1;
        }
        for (Index tile = 0; tile * kTile < sees[count - 1]; ++tile) {
            Index visible[kMaxKernelRows], first_row = 0;
            for (Index r = 0; r < count; ++r)
                visible[r] = std::min(kTile, sees[r] - tile * kTile);
            while (visible[first_row] <= 0)
                ++first_row;  // tokens before this tile's first slot
            state.tile(tiles.key_tile(kv_head, tile), tiles.value_tile(kv_head, tile), visible,
                       first_row);
        }
        for (Index r = 0; r < count; ++r)
            state.finish(r,
                         &out((first + r) / group, kv_head * group + (first + r) % group, 0));
    };
    pool.run(Hkv * pieces, task);
}

}  // namespace kvlab
