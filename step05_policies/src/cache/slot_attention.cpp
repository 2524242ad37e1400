// How a SlotCache attends, and the shares that its policy observes.
#include <algorithm>

#include <kvlab/policies/slot_cache.hpp>

namespace kvlab {

// Turns the shares of single query heads into what a policy observes.
class SlotCache::JoinedShares final : public ShareReader {
public:
    JoinedShares(SlotCache& cache, Part& part, Index first)
        : cache_(cache),
          part_(part),
          first_(first),
          group_(cache.shape().heads / cache.shape().kv_heads),
          per_layer_(cache.policy_->per_layer()) {
        const Index rows = part.heads() * (per_layer_ ? cache.pending() - first : 1);
        cache.shares_.resize(std::max(cache.shares_.size(), usize(rows * part.slots())));
    }

    Index first_token() const override { return first_; }

    void read(Index token, Index query_head, std::span<const float> shares) override {
        const Index head = query_head / group_, member = query_head % group_;
        float* const row = row_of(head, token);
        join(shares.data(), std::ssize(shares), member == 0, row);
        if (member == group_ - 1 && !per_layer_)
            observe(head, token, row, std::ssize(shares), group_);
    }

    // The heads of a layer in order, when all have been read.
    void finish() {
        if (!per_layer_) return;
        for (Index token = first_; token < cache_.pending(); ++token) {
            const Index n = part_.held + token + 1;
            float* const all = row_of(0, token);
            for (Index h = 1; h < part_.heads(); ++h) join(row_of(h, token), n, false, all);
            scale(all, n, cache_.shape().heads);
            for (Index h = 0; h < part_.heads(); ++h) observe(h, token, all, n, 1);
        }
    }

private:
    float* row_of(Index head, Index token) const {
        const Index row =
            per_layer_ ? head * (cache_.pending() - first_) + token - first_ : head;
        return cache_.shares_.data() + row * part_.slots();
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

    void observe(Index head, Index token, float* row, Index n, Index heads) const {
        scale(row, n, heads);
        cache_.policy_->observe(
            cache_.head_slots(part_, head, part_.held + cache_.pending(), part_.next),
            cache_.length() + token, span_of<const float>(row, n));
    }

    SlotCache& cache_;
    Part& part_;
    Index first_, group_;
    bool per_layer_;
};

// Angles are those of the tokens' own positions, or of their ranks in the cache.
SlotPlaces SlotCache::places(const Part& part) const {
    SlotPlaces places{.past = part.held, .position = length(), .angle = length()};
    if (options_.scheme == PositionScheme::relative) {
        places.angle = part.held;
        places.ranks = part.ranks;
    } else if (attention_.rotates()) {
        places.ranks = part.positions;
    }
    return places;
}

// The queries of the heads that share a KV head, for each token of the step.
void SlotCache::ask(Part& part, const View<const float>& q) {
    const Index group = shape().heads / shape().kv_heads;
    for (Index h = 0; h < part.heads(); ++h) {
        const HeadSlots head = head_slots(part, h, part.held + pending(), part.next);
        for (Index t = 0; t < pending(); ++t)
            policy_->ask(head, part.held + t, q[t].slice(0, h * group, (h + 1) * group));
    }
}

AttentionWork SlotCache::attend_part(Part& part,
                                     const View<const float>& q,
                                     const View<float>& out,
                                     ThreadPool& pool,
                                     Index first_observed) {
    if (first_observed >= pending())
        return attention_.attend(pool, q, *part.rows, places(part), out, nullptr);
    JoinedShares reader(*this, part, first_observed);
    const AttentionWork work =
        attention_.attend(pool, q, *part.rows, places(part), out, &reader);
    reader.finish();
    return work;
}

AttentionWork SlotCache::attend_rows(Index layer,
                                     const View<const float>& q,
                                     const View<float>& out,
                                     ThreadPool& pool) {
    // The window of queries that are observed ends with the step, or with the prompt.
    const Index end = waits() && options_.prompt > 0 ? options_.prompt : length() + pending();
    const Index wanted = std::min(policy_->observed(), end);
    Index first = std::max<Index>(0, end - wanted - length());
    const bool asleep = waits() && done_;
    if (asleep || wanted == 0 || layer < observed_) first = pending();
    if (first < pending()) observed_ = layer + 1;
    const bool asks = policy_->asks_queries() && !asleep;
    const std::span<Part> parts = parts_of(layer);
    if (parts.size() == 1) {
        if (asks) ask(parts[0], q);
        return attend_part(parts[0], q, out, pool, first);
    }
    // No sum runs over heads, so it makes no difference to a head which part it is in.
    const Index group = shape().heads / shape().kv_heads;
    AttentionWork work;
    for (Part& part : parts) {
        const Index begin = part.first_head * group, heads = part.heads() * group;
        const View<const float> queries = q.slice(1, begin, begin + heads);
        if (asks) ask(part, queries);
        const AttentionWork one =
            attend_part(part, queries, out.slice(1, begin, begin + heads), pool, first);
        work.pairs += one.pairs;
        work.bytes_read += one.bytes_read;
        work.bytes_written += one.bytes_written;
    }
    return work;
}

}  // namespace kvlab
