// How a SlotCache attends: queries as its keys are kept, and the shares that its policy
// observes.
#include <algorithm>
#include <cmath>

#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/policies/slot_cache.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

// Turns the shares of single query heads into what a policy observes.
class SlotCache::Reader final : public ShareReader {
public:
    Reader(SlotCache& cache, Layer& layer, Index index, Index first)
        : cache_(cache),
          layer_(layer),
          index_(index),
          first_(first),
          group_(cache.shape_.heads / cache.shape_.kv_heads),
          per_layer_(cache.policy_->per_layer()) {
        const Index rows = cache.shape_.kv_heads * (per_layer_ ? cache.pending_ - first : 1);
        cache.shares_.resize(
            std::max(cache.shares_.size(), static_cast<std::size_t>(rows * layer.slots())));
    }

    Index first_token() const override { return first_; }

    void read(Index token, Index head, std::span<const float> shares) override {
        const Index kv_head = head / group_, member = head % group_;
        float* const row = row_of(kv_head, token);
        join(shares.data(), static_cast<Index>(shares.size()), member == 0, row);
        if (member == group_ - 1 && !per_layer_)
            observe(kv_head, token, row, static_cast<Index>(shares.size()), group_);
    }

    // The heads of a layer in order, when all have been read.
    void finish() {
        if (!per_layer_) return;
        for (Index token = first_; token < cache_.pending_; ++token) {
            const Index n = layer_.held + token + 1;
            float* const all = row_of(0, token);
            for (Index h = 1; h < cache_.shape_.kv_heads; ++h)
                join(row_of(h, token), n, false, all);
            scale(all, n, cache_.shape_.heads);
            for (Index h = 0; h < cache_.shape_.kv_heads; ++h) observe(h, token, all, n, 1);
        }
    }

private:
    float* row_of(Index kv_head, Index token) const {
        const Index row =
            per_layer_ ? kv_head * (cache_.pending_ - first_) + token - first_ : kv_head;
        return cache_.shares_.data() + row * layer_.slots();
    }

    void join(const float* shares, Index n, bool is_first, float* row) const {
        if (is_first)
            std::copy_n(shares, n, row);
        else if (cache_.options_.reduce == Reduce::max)
            for (Index s = 0; s < n; ++s) row[s] = shares[s] > row[s] ? shares[s] : row[s];
        else
            for (Index s = 0; s < n; ++s) row[s] += shares[s];
    }

    void scale(float* row, Index n, Index heads) const {
        if (cache_.options_.reduce != Reduce::mean || heads == 1) return;
        const float factor = 1.0f / static_cast<float>(heads);
        for (Index s = 0; s < n; ++s) row[s] *= factor;
    }

    void observe(Index kv_head, Index token, float* row, Index n, Index heads) const {
        scale(row, n, heads);
        cache_.policy_->observe(
            cache_.head_slots(layer_, index_, kv_head, layer_.held + cache_.pending_),
            cache_.seen_ + token, {row, static_cast<std::size_t>(n)});
    }

    SlotCache& cache_;
    Layer& layer_;
    Index index_, first_, group_;
    bool per_layer_;
};

AttentionWork SlotCache::attend(Index layer,
                                const View<const float>& q,
                                const View<float>& out,
                                ThreadPool& pool) {
    check_attend("slot cache", shape_, pending_, appended_, layer, q, out);
    Layer& l = layers_[static_cast<std::size_t>(layer)];
    const auto run = [&](ShareReader* reader) {
        AttentionWork work = options_.scheme == PositionScheme::relative
                                 ? attend_relative(l, q, out, pool, reader)
                             : l.tiles->turns()
                                 ? attend_turned(l, q, out, pool, reader)
                                 : attend_tiles(level_, pool, q, *l.tiles, l.held, out, reader);
        // As they are kept, and not all slots need to be kept alike.
        work.bytes_read = l.tiles->held_bytes(l.held + pending_);
        work.bytes_written = work.bytes_read - l.tiles->held_bytes(l.held);
        return work;
    };
    // The window of queries that are observed ends with the step, or with the prompt.
    const Index end =
        policy_->once() && options_.prompt > 0 ? options_.prompt : seen_ + pending_;
    const Index wanted = std::min(policy_->observed(), end);
    const Index first = std::max<Index>(0, end - wanted - seen_);
    const bool asleep = policy_->once() && done_;
    if (asleep || wanted == 0 || first >= pending_ || layer < observed_) return run(nullptr);
    observed_ = layer + 1;
    Reader reader(*this, l, layer, first);
    const AttentionWork work = run(&reader);
    reader.finish();
    return work;
}

// The step's queries [T, Hq, D], each head changed by change(head, token).
template <class Change>
View<const float> SlotCache::changed_queries(const View<const float>& q, Change change) {
    const Index T = q.dim(0), Hq = shape_.heads, D = shape_.head_dim;
    check_shape(q, {pending_, Hq, D}, "slot cache: q");
    rotated_queries_.resize(
        std::max(rotated_queries_.size(), static_cast<std::size_t>(q.shape().size())));
    for (Index t = 0; t < T; ++t)
        for (Index h = 0; h < Hq; ++h) {
            float* const head = rotated_queries_.data() + (t * Hq + h) * D;
            std::copy_n(&q(t, h, 0), D, head);
            change(head, t);
        }
    return {rotated_queries_.data(), {T, Hq, D}};
}

// Queries to where the keys are, outputs back from where the values are.
AttentionWork SlotCache::attend_turned(Layer& layer,
                                       const View<const float>& q,
                                       const View<float>& out,
                                       ThreadPool& pool,
                                       ShareReader* reader) {
    const auto D = static_cast<std::size_t>(shape_.head_dim);
    const auto turned = changed_queries(q, [&](float* head, Index) {
        layer.tiles->turn({head, D});
    });
    const AttentionWork work =
        attend_tiles(level_, pool, turned, *layer.tiles, layer.held, out, reader);
    for (Index t = 0; t < pending_; ++t)
        for (Index h = 0; h < shape_.heads; ++h) layer.tiles->turn({&out(t, h, 0), D});
    return work;
}

// Queries at the ranks behind the slots held.
AttentionWork SlotCache::attend_relative(Layer& layer,
                                         const View<const float>& q,
                                         const View<float>& out,
                                         ThreadPool& pool,
                                         ShareReader* reader) {
    const float scale = log2e_over(std::sqrt(static_cast<double>(shape_.head_dim)));
    const auto rotated = changed_queries(q, [&](float* head, Index t) {
        attention_kernels(level_).rotate(head, rope_->cos(layer.held + t),
                                         rope_->sin(layer.held + t), rope_->rope_dim(),
                                         shape_.head_dim, scale);
    });
    const RotatedTiles tiles(level_, *layer.tiles, *angles_, layer.ranks,
                             layer.held + pending_);
    return attend_tiles(level_, pool, rotated, tiles, layer.held, out, reader);
}

}  // namespace kvlab
