// How a SlotCache attends, and the shares that its policy observes.
#include <algorithm>

#include <kvlab/policies/slot_cache.hpp>

namespace kvlab {

// Turns the shares of single query heads into what a policy observes.
class SlotCache::JoinedShares final : public ShareReader {
public:
    JoinedShares(SlotCache& cache, Layer& layer, Index index, Index first)
        : cache_(cache),
          layer_(layer),
          index_(index),
          first_(first),
          group_(cache.shape().heads / cache.shape().kv_heads),
          per_layer_(cache.policy_->per_layer()) {
        const Index rows = cache.shape().kv_heads * (per_layer_ ? cache.pending() - first : 1);
        cache.shares_.resize(std::max(cache.shares_.size(), usize(rows * layer.slots())));
    }

    Index first_token() const override { return first_; }

    void read(Index token, Index head, std::span<const float> shares) override {
        const Index kv_head = head / group_, member = head % group_;
        float* const row = row_of(kv_head, token);
        join(shares.data(), std::ssize(shares), member == 0, row);
        if (member == group_ - 1 && !per_layer_)
            observe(kv_head, token, row, std::ssize(shares), group_);
    }

    // The heads of a layer in order, when all have been read.
    void finish() {
        if (!per_layer_) return;
        for (Index token = first_; token < cache_.pending(); ++token) {
            const Index n = layer_.held + token + 1;
            float* const all = row_of(0, token);
            for (Index h = 1; h < cache_.shape().kv_heads; ++h)
                join(row_of(h, token), n, false, all);
            scale(all, n, cache_.shape().heads);
            for (Index h = 0; h < cache_.shape().kv_heads; ++h) observe(h, token, all, n, 1);
        }
    }

private:
    float* row_of(Index kv_head, Index token) const {
        const Index row =
            per_layer_ ? kv_head * (cache_.pending() - first_) + token - first_ : kv_head;
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
        cache_.policy_->observe(cache_.head_slots(layer_, index_, kv_head,
                                                  layer_.held + cache_.pending(), layer_.next),
                                cache_.length() + token, span_of<const float>(row, n));
    }

    SlotCache& cache_;
    Layer& layer_;
    Index index_, first_, group_;
    bool per_layer_;
};

// Angles are those of the tokens' own positions, or of their ranks in the cache.
SlotPlaces SlotCache::places(const Layer& layer) const {
    SlotPlaces places{.past = layer.held, .position = length(), .angle = length()};
    if (options_.scheme == PositionScheme::relative) {
        places.angle = layer.held;
        places.ranks = layer.ranks;
    } else if (attention_.rotates()) {
        places.ranks = layer.positions;
    }
    return places;
}

AttentionWork SlotCache::attend_rows(Index layer,
                                     const View<const float>& q,
                                     const View<float>& out,
                                     ThreadPool& pool) {
    Layer& l = at(layers_, layer);
    const auto run = [&](ShareReader* reader) {
        return attention_.attend(pool, q, *l.rows, places(l), out, reader);
    };
    // The window of queries that are observed ends with the step, or with the prompt.
    const Index end =
        policy_->once() && options_.prompt > 0 ? options_.prompt : length() + pending();
    const Index wanted = std::min(policy_->observed(), end);
    const Index first = std::max<Index>(0, end - wanted - length());
    const bool asleep = policy_->once() && done_;
    if (asleep || wanted == 0 || first >= pending() || layer < observed_) return run(nullptr);
    observed_ = layer + 1;
    JoinedShares reader(*this, l, layer, first);
    const AttentionWork work = run(&reader);
    reader.finish();
    return work;
}

}  // namespace kvlab
