#include <kvlab/attention/attention.hpp>

#include <algorithm>
#include <atomic>
#include <limits>
#include <vector>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

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

Index AttentionRows::weigh(const float* keys,
                           const float* values,
                           const Index* visible,
                           Index first_row,
                           float* maxima,
                           float* totals,
                           float* sums,
                           Index stride) const {
    const Index rows = rows_ - first_row;
    alignas(64) float weights[kMaxKernelRows * kTile];
    for (Index i = 0; i < head_dim_; i += kSumBlock)
        tensor_.block(rows, std::min(kSumBlock, head_dim_ - i), query(first_row) + i,
                      kMaxHeadDim, keys + i * kTile, kTile, kTile, weights, kTile,
                      i == 0 ? BlockMode::first : BlockMode::add);
    for (Index r = 0; r < rows; ++r)
        maxima[r] = attention_.softmax_tile(weights + r * kTile, visible[first_row + r]);

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

Index AttentionRows::tile(const float* keys,
                          const float* values,
                          const Index* visible,
                          Index first_row) {
    float maxima[kMaxKernelRows], totals[kMaxKernelRows];
    alignas(64) float sums[kMaxKernelRows * kMaxHeadDim];
    const Index pairs =
        weigh(keys, values, visible, first_row, maxima, totals, sums, kMaxHeadDim);
    for (Index r = 0; r < rows_ - first_row; ++r)
        add(first_row + r, maxima[r], totals[r], sums + r * kMaxHeadDim);
    return pairs;
}

void AttentionRows::finish(Index row, float* out) const {
    for (Index i = 0; i < head_dim_; ++i) out[i] = sums_[row * kMaxHeadDim + i] / total_[row];
}

namespace {

// The tiles of one KV head, one at a time, and where they are written if they do not lie in
// memory as floats: room that each thread keeps, so that tokens allocate nothing.
class HeadTiles {
public:
    HeadTiles(const TileReader& tiles, Index kv_head) : tiles_(tiles), kv_head_(kv_head) {
        if (!tiles.needs_room()) return;
        thread_local std::vector<float> room;
        const Index floats = kTile * tiles.padded_dim();
        room.resize(std::max(room.size(), static_cast<std::size_t>(2 * floats)));
        keys_ = room.data();
        values_ = keys_ + floats;
    }

    const float* keys(Index tile) const { return tiles_.read_keys(kv_head_, tile, keys_); }

    const float* values(Index tile) const {
        return tiles_.read_values(kv_head_, tile, values_);
    }

private:
    const TileReader& tiles_;
    Index kv_head_;
    float *keys_ = nullptr, *values_ = nullptr;
};

// Decoding: the rows are the heads of one group, and all see the same slots.
class OneToken {
public:
    OneToken(SimdLevel level, const View<const float>& q, const TileReader& tiles, Index slots)
        : level_(level),
          q_(q),
          tiles_(tiles),
          slots_(slots),
          count_((slots + kTile - 1) / kTile),
          group_(q.dim(1) / tiles.kv_heads()),
          row_floats_(tiles.padded_dim() + kBeside) {}

    static bool fits(const View<const float>& q, const TileReader& tiles) {
        return q.dim(0) == 1 && q.dim(1) / tiles.kv_heads() <= kMaxKernelRows;
    }

    // Tiles side by side, then their results in slot order: the same additions as one by one.
    // Returns the pairs.
    Index attend_shared(ThreadPool& pool, const View<float>& out) {
        // As large as the cache will ever need it, so that the next tokens allocate nothing.
        thread_local std::vector<float> results;
        results.resize(std::max(
            results.size(), static_cast<std::size_t>(tiles_.kv_heads() * tiles_.slots() /
                                                     kTile * kMaxKernelRows * row_floats_)));
        float* const all = results.data();
        const Index parts = (count_ + kTilesPerTask - 1) / kTilesPerTask;
        std::atomic<Index> pairs{0};
        pool.run(tiles_.kv_heads() * parts, [&](Index i) {
            const Index head = i / parts, first = i % parts * kTilesPerTask;
            pairs += weigh(head, first, std::min(first + kTilesPerTask, count_), all);
        });
        for (Index head = 0; head < tiles_.kv_heads(); ++head) add_up(head, all, out);
        return pairs;
    }

private:
    static constexpr Index kTilesPerTask = 4;
    static constexpr Index kBeside = 16;  // a cache line beside the sums: maximum and total

    float* result(float* all, Index head, Index tile, Index row) const {
        return all + ((head * count_ + tile) * group_ + row) * row_floats_;
    }

    AttentionRows start(Index head) const {
        AttentionRows rows(level_, tiles_.head_dim(), tiles_.padded_dim());
        rows.start(group_);
        for (Index r = 0; r < group_; ++r)
            std::copy_n(&q_(0, head * group_ + r, 0), tiles_.head_dim(), rows.query(r));
        return rows;
    }

    Index weigh(Index head, Index first, Index last, float* all) const {
        const AttentionRows rows = start(head);
        const HeadTiles tiles(tiles_, head);
        Index pairs = 0;
        for (Index tile = first; tile < last; ++tile) {
            Index visible[kMaxKernelRows];
            std::fill_n(visible, group_, std::min(kTile, slots_ - tile * kTile));
            float maxima[kMaxKernelRows], totals[kMaxKernelRows];
            pairs += rows.weigh(tiles.keys(tile), tiles.values(tile), visible, 0, maxima,
                                totals, result(all, head, tile, 0) + kBeside, row_floats_);
            for (Index r = 0; r < group_; ++r) {
                result(all, head, tile, r)[0] = maxima[r];
                result(all, head, tile, r)[1] = totals[r];
            }
        }
        return pairs;
    }

    void add_up(Index head, float* all, const View<float>& out) const {
        AttentionRows rows = start(head);
        for (Index tile = 0; tile < count_; ++tile)
            for (Index r = 0; r < group_; ++r) {
                float* from = result(all, head, tile, r);
                rows.add(r, from[0], from[1], from + kBeside);
            }
        for (Index r = 0; r < group_; ++r) rows.finish(r, &out(0, head * group_ + r, 0));
    }

    SimdLevel level_;
    View<const float> q_;
    const TileReader& tiles_;
    Index slots_, count_, group_, row_floats_;
};

}  // namespace

AttentionWork attend_tiles(SimdLevel level,
                           ThreadPool& pool,
                           const View<const float>& q,
                           const TileReader& tiles,
                           Index past,
                           const View<float>& out) {
    const Index T = q.dim(0), Hq = q.dim(1), D = tiles.head_dim(), Hkv = tiles.kv_heads();
    check_shape(q, {T, Hq, D}, "attend: q");
    check_shape(out, {T, Hq, D}, "attend: out");
    check(q.stride(2) == 1 && out.stride(2) == 1, "attend: heads must be contiguous");
    check(Hq % Hkv == 0, "attend: ", Hq, " query heads do not share ", Hkv, " KV heads evenly");
    check(past >= 0 && past + T <= tiles.slots(), "attend: slots [0, ", past + T,
          ") are outside of ", tiles.slots());
    const Index read = Hkv * (past + T) * tiles.slot_bytes();
    const Index written = Hkv * T * tiles.slot_bytes();
    constexpr Index kLong = 8;  // tiles: fewer are not worth sharing out
    if (pool.threads() > 1 && past >= kLong * kTile && OneToken::fits(q, tiles))
        return {OneToken(level, q, tiles, past + 1).attend_shared(pool, out), read, written};
    std::atomic<Index> pairs{0};
    const Index group = Hq / Hkv, rows = T * group;  // row = (token, head of the group)
    const Index pieces = (rows + kMaxKernelRows - 1) / kMaxKernelRows;
    const auto task = [&](Index i) {
        const Index kv_head = pieces == 1 ? i : i / pieces;
        const Index first = (i - kv_head * pieces) * kMaxKernelRows;
        const Index count = std::min(kMaxKernelRows, rows - first);
        AttentionRows state(level, D, tiles.padded_dim());
        state.start(count);
        Index token[kMaxKernelRows], head[kMaxKernelRows], sees[kMaxKernelRows] = {};
        for (Index r = 0, t = first / group, h = first - t * group; r < count; ++r, ++h) {
            if (h == group) h = 0, ++t;  // counted, for a division costs as much as this loop
            token[r] = t;
            head[r] = kv_head * group + h;
            sees[r] = past + t + 1;
            std::copy_n(&q(t, head[r], 0), D, state.query(r));
        }
        const HeadTiles head_tiles(tiles, kv_head);
        Index weighed = 0;
        for (Index tile = 0; tile * kTile < sees[count - 1]; ++tile) {
            Index visible[kMaxKernelRows], first_row = 0;
            for (Index r = 0; r < count; ++r)
                visible[r] = std::min(kTile, sees[r] - tile * kTile);
            while (visible[first_row] <= 0)
                ++first_row;  // tokens before this tile's first slot
            weighed +=
                state.tile(head_tiles.keys(tile), head_tiles.values(tile), visible, first_row);
        }
        for (Index r = 0; r < count; ++r) state.finish(r, &out(token[r], head[r], 0));
        pairs += weighed;
    };
    pool.run(Hkv * pieces, task);
    return {pairs, read, written};
}

}  // namespace kvlab
