#include <kvlab/architectures/list_attention.hpp>

#include <algorithm>
#include <atomic>

#include <kvlab/attention/attention.hpp>

namespace kvlab {

namespace {

void check_list(std::span<const Index> list, Index first, Index end) {
    check(!list.empty(), "attention: a token must see at least one");
    check(list.front() >= first && list.back() < end, "attention: a list from token ",
          list.front(), " to ", list.back(), ", of which only [", first, ", ", end,
          ") are there");
}

// The list in tiles of 64. One that is a whole tile of the rows is read where it lies.
class ListTiles {
public:
    ListTiles(const KeptRows& rows, Index kv_head, std::span<const Index> list)
        : rows_(rows), kv_head_(kv_head), list_(list) {
        thread_local std::vector<float> scratch;
        scratch.resize(
            std::max(scratch.size(), usize(kTile * (rows.head_dim() + rows.padded_dim()))));
        keys_ = scratch.data();
        values_ = keys_ + kTile * rows.head_dim();
    }

    Index count() const { return (std::ssize(list_) + kTile - 1) / kTile; }

    // How many tokens the n-th tile has; keys() and values() are its own from now on.
    Index go_to(Index n) {
        const auto tokens = list_.subspan(
            usize(n * kTile), usize(std::min(kTile, std::ssize(list_) - n * kTile)));
        const Index count = std::ssize(tokens), block = tokens.front() / kTile;
        if (tokens.front() % kTile == 0 && tokens.back() == tokens.front() + count - 1) {
            tile_keys_ = rows_.keys(kv_head_, block);
            tile_values_ = rows_.values(kv_head_, block);
            return count;
        }
        gather(tokens);
        tile_keys_ = keys_;
        tile_values_ = values_;
        return count;
    }

    const float* keys() const { return tile_keys_; }

    const float* values() const { return tile_values_; }

private:
    // Neighbours of one block are copied together.
    void gather(std::span<const Index> tokens) {
        const Index D = rows_.head_dim(), width = rows_.padded_dim(),
                    count = std::ssize(tokens);
        for (Index to = 0; to < count;) {
            const Index token = at(tokens, to), block = token / kTile, place = token % kTile;
            Index run = 1;
            while (to + run < count && place + run < kTile &&
                   at(tokens, to + run) == token + run)
                ++run;
            const float* const key = rows_.keys(kv_head_, block) + place;
            const float* const value = rows_.values(kv_head_, block) + place * width;
            if (run == 1)
                for (Index i = 0; i < D; ++i) keys_[i * kTile + to] = key[i * kTile];
            else
                for (Index i = 0; i < D; ++i)
                    std::copy_n(key + i * kTile, run, keys_ + i * kTile + to);
            std::copy_n(value, run * width, values_ + to * width);
            to += run;
        }
        // What lies behind is computed with and thrown away: it only has to be numbers.
        if (count < kTile)
            for (Index i = 0; i < D; ++i)
                std::fill_n(keys_ + i * kTile + count, kTile - count, 0.0f);
    }

    const KeptRows& rows_;
    Index kv_head_;
    std::span<const Index> list_;
    float *keys_, *values_;
    const float *tile_keys_ = nullptr, *tile_values_ = nullptr;
};

}  // namespace

// ANCHOR: plain
void attend_list_plain(const View<const float>& q,
                       const View<const float>& k,
                       const View<const float>& v,
                       std::span<const Index> list,
                       const View<float>& out) {
    check_list(list, 0, k.dim(0));
    const Index S = std::ssize(list), D = k.dim(1);
    Tensor keys({S, D}), values({S, D});
    for (Index s = 0; s < S; ++s) {
        const Index token = at(list, s);
        check(s == 0 || token > at(list, s - 1), "attention: a list that is out of order");
        for (Index i = 0; i < D; ++i) {
            keys(s, i) = k(token, i);
            values(s, i) = v(token, i);
        }
    }
    attention_plain(q, keys.view(), values.view(), out);
}

// ANCHOR_END: plain

Index attend_list(SimdLevel level,
                  const KeptRows& rows,
                  Index kv_head,
                  std::span<const Index> list,
                  const View<const float>& q,
                  const View<float>& out) {
    check_list(list, rows.first(kv_head), rows.end());
    const Index G = q.dim(0), D = rows.head_dim();
    ListTiles tiles(rows, kv_head, list);
    Index pairs = 0;
    for (Index first = 0; first < G; first += kMaxKernelRows) {
        const Index count = std::min(kMaxKernelRows, G - first);
        AttentionRows state(level, D, rows.padded_dim());
        state.start(count);
        for (Index r = 0; r < count; ++r) std::copy_n(&q(first + r, 0), D, state.query(r));
        TileWeights weights;
        for (Index n = 0; n < tiles.count(); ++n) {
            Index visible[kMaxKernelRows];
            std::fill_n(visible, count, tiles.go_to(n));
            state.score(tiles.keys(), visible, 0, weights);
            pairs += state.add_tile(tiles.values(), visible, weights);
        }
        for (Index r = 0; r < count; ++r) state.finish(r, &out(first + r, 0));
    }
    return pairs;
}

AttentionWork attend_lists(SimdLevel level,
                           ThreadPool& pool,
                           const KeptRows& rows,
                           const ListTokens& list_tokens,
                           const View<const float>& q,
                           Index position,
                           const View<float>& out) {
    const Index T = q.dim(0), Hkv = rows.kv_heads(), group = q.dim(1) / Hkv;
    std::atomic<Index> pairs{0};
    pool.run(Hkv * T, [&](Index task) {
        const Index head = task / T, t = task % T;
        thread_local std::vector<Index> list;
        list.clear();
        list_tokens(head, position + t, list);
        pairs += attend_list(level, rows, head, list,
                             q[t].slice(0, head * group, (head + 1) * group),
                             out[t].slice(0, head * group, (head + 1) * group));
    });
    const Index row = 2 * rows.head_dim() * Index{sizeof(float)};
    return {pairs, rows.held_bytes(), Hkv * T * row};
}

}  // namespace kvlab
