// Causal attention over tiles: how the work of a step is cut into pieces for the threads.
#include <algorithm>
#include <atomic>
#include <vector>

#include <kvlab/attention/attention.hpp>

namespace kvlab {

namespace {

// The tiles of one KV head, one at a time. Those that do not lie in memory as floats are
// written into a scratch that each thread keeps. Keys and values take the same one, one after
// the other: both together, with the codes that they are made of, would not fit into a
// first-level cache of 32 KiB. It begins with a cache line, or every register would be written
// to two of them.
class HeadTiles {
public:
    HeadTiles(const TileReader& tiles, Index kv_head) : tiles_(tiles), kv_head_(kv_head) {
        if (!tiles.needs_scratch()) return;
        alignas(64) thread_local float scratch[kTile * AttentionRows::kMaxHeadDim];
        scratch_ = scratch;
    }

    // Valid until the next call of either.
    const float* keys(Index tile) const { return tiles_.read_keys(kv_head_, tile, scratch_); }

    const float* values(Index tile) const {
        return tiles_.read_values(kv_head_, tile, scratch_);
    }

private:
    const TileReader& tiles_;
    Index kv_head_;
    float* scratch_ = nullptr;
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
        results.resize(std::max(results.size(), usize(tiles_.kv_heads() * tiles_.slots() /
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
            float totals[kMaxKernelRows];
            TileWeights weights;
            rows.score(tiles.keys(tile), visible, 0, weights);
            pairs += rows.weigh(tiles.values(tile), visible, weights, totals,
                                result(all, head, tile, 0) + kBeside, row_floats_);
            for (Index r = 0; r < group_; ++r) {
                result(all, head, tile, r)[0] = weights.maxima[r];
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

// Several tokens, or one with more heads in a group than a kernel takes: a row is a (token,
// head of the group), and a piece is as many rows as a kernel takes.
class Pieces {
public:
    Pieces(SimdLevel level,
           const View<const float>& q,
           const TileReader& tiles,
           Index past,
           const View<float>& out)
        : level_(level),
          q_(q),
          tiles_(tiles),
          past_(past),
          out_(out),
          group_(q.dim(1) / tiles.kv_heads()),
          rows_(q.dim(0) * group_) {}

    Index count() const { return (rows_ + kMaxKernelRows - 1) / kMaxKernelRows; }

    // Returns the pairs.
    Index attend(Index kv_head, Index piece, ShareReader* reader) const {
        const Index first = piece * kMaxKernelRows;
        const Index count = std::min(kMaxKernelRows, rows_ - first);
        AttentionRows state(level_, tiles_.head_dim(), tiles_.padded_dim());
        state.start(count);
        Index token[kMaxKernelRows], head[kMaxKernelRows], sees[kMaxKernelRows] = {};
        for (Index r = 0, t = first / group_, h = first - t * group_; r < count; ++r, ++h) {
            if (h == group_) h = 0, ++t;  // counted, for a division costs as much as this loop
            token[r] = t;
            head[r] = kv_head * group_ + h;
            sees[r] = past_ + t + 1;
            std::copy_n(&q_(t, head[r], 0), tiles_.head_dim(), state.query(r));
        }
        if (reader != nullptr && token[count - 1] < reader->first_token()) reader = nullptr;
        TileWeights* const kept = reader == nullptr ? nullptr : tile_weights();
        const HeadTiles head_tiles(tiles_, kv_head);
        TileWeights passing;
        Index pairs = 0;
        for (Index tile = 0; tile * kTile < sees[count - 1]; ++tile) {
            Index visible[kMaxKernelRows], first_row = 0;
            for (Index r = 0; r < count; ++r)
                visible[r] = std::min(kTile, sees[r] - tile * kTile);
            while (visible[first_row] <= 0)
                ++first_row;  // tokens before this tile's first slot
            TileWeights& weights = kept == nullptr ? passing : kept[tile];
            state.score(head_tiles.keys(tile), visible, first_row, weights);
            pairs += state.add_tile(head_tiles.values(tile), visible, weights);
        }
        for (Index r = 0; r < count; ++r) {
            state.finish(r, &out_(token[r], head[r], 0));
            if (reader != nullptr && token[r] >= reader->first_token())
                hand_out(state, kept, r, sees[r], token[r], head[r], *reader);
        }
        return pairs;
    }

private:
    // As large as these tiles will ever need it, so that the next tokens allocate nothing.
    TileWeights* tile_weights() const {
        thread_local std::vector<TileWeights> kept;
        kept.resize(std::max(kept.size(), usize(tiles_.slots() / kTile)));
        return kept.data();
    }

    void hand_out(const AttentionRows& state,
                  const TileWeights* kept,
                  Index row,
                  Index sees,
                  Index token,
                  Index head,
                  ShareReader& reader) const {
        thread_local std::vector<float> shares;
        shares.resize(std::max(shares.size(), usize(tiles_.slots())));
        for (Index tile = 0; tile * kTile < sees; ++tile)
            state.share(kept[tile], row, shares.data() + tile * kTile);
        reader.read(token, head, {shares.data(), usize(sees)});
    }

    SimdLevel level_;
    const View<const float>& q_;
    const TileReader& tiles_;
    Index past_;
    const View<float>& out_;
    Index group_, rows_;
};

}  // namespace

AttentionWork attend_tiles(SimdLevel level,
                           ThreadPool& pool,
                           const View<const float>& q,
                           const TileReader& tiles,
                           Index past,
                           const View<float>& out,
                           ShareReader* reader) {
    const Index T = q.dim(0), Hq = q.dim(1), D = tiles.head_dim(), Hkv = tiles.kv_heads();
    check_shape(q, {T, Hq, D}, "attend: q");
    check_shape(out, {T, Hq, D}, "attend: out");
    check(q.stride(2) == 1 && out.stride(2) == 1, "attend: heads must be contiguous");
    check(Hkv > 0 && Hq % Hkv == 0, "attend: ", Hq, " query heads do not share ", Hkv,
          " KV heads evenly");
    check(past >= 0 && past <= tiles.slots() - T, "attend: ", T, " slots behind ", past,
          " are outside of ", tiles.slots());
    const Index read = Hkv * (past + T) * tiles.slot_bytes();
    const Index written = Hkv * T * tiles.slot_bytes();
    constexpr Index kLong = 8;  // tiles: fewer are not worth sharing out
    if (pool.threads() > 1 && past >= kLong * kTile && OneToken::fits(q, tiles) &&
        reader == nullptr)
        return {OneToken(level, q, tiles, past + 1).attend_shared(pool, out), read, written};
    std::atomic<Index> pairs{0};
    const Pieces pieces(level, q, tiles, past, out);
    const Index count = pieces.count();
    if (reader == nullptr)
        pool.run(Hkv * count, [&](Index i) {
            pairs +=
                pieces.attend(count == 1 ? i : i / count, count == 1 ? 0 : i % count, nullptr);
        });
    else
        pool.run(Hkv, [&](Index kv_head) {
            for (Index i = 0; i < count; ++i) pairs += pieces.attend(kv_head, i, reader);
        });
    return {pairs, read, written};
}

}  // namespace kvlab
