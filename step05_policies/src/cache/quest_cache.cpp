#include <kvlab/policies/quest_cache.hpp>

#include <algorithm>
#include <atomic>
#include <numeric>

#include <kvlab/attention/attention.hpp>

#include "chosen_slots.hpp"

namespace kvlab {

namespace {

constexpr Index kLeastPages = 3;  // as in the authors' evaluation

}  // namespace

// ANCHOR: page_bound
float page_bound(std::span<const float> q, const float* smallest, const float* largest) {
    // SOLUTION-BEGIN 5.6
    float bound = 0.0f;
    for (std::size_t i = 0; i < q.size(); ++i)
        bound += std::max(q[i] * smallest[i], q[i] * largest[i]);
    return bound;
    // SOLUTION-END 5.6
}

// ANCHOR_END: page_bound

QuestCache::QuestCache(const KvShape& shape,
                       Index capacity,
                       const PolicyOptions& options,
                       SimdLevel level)
    : PolicyStore("quest", shape, capacity), options_(options), level_(level) {
    check(options.page >= 1 && kTile % options.page == 0, "quest: pages of ", options.page,
          " tokens do not fill a tile of ", kTile);
    tokens_to_keep(options, 1);
    const Index pages = blocks_for(capacity, options.page);
    for (Index layer = 0; layer < shape.layers; ++layer) {
        layers_.push_back({KvTiles(capacity, shape.kv_heads, shape.head_dim), {}, {}});
        if (is_whole(layer)) continue;
        layers_.back().smallest = Tensor({shape.kv_heads, pages, shape.head_dim});
        layers_.back().largest = Tensor({shape.kv_heads, pages, shape.head_dim});
    }
}

void QuestCache::write_rows(Index layer,
                            const View<const float>& k,
                            const View<const float>& v) {
    Layer& l = at(layers_, layer);
    l.tiles.write(length(), k, v);
    if (is_whole(layer)) return;
    // From the first page that changes: always from its keys, so that what an unfinished step
    // or a longer text left behind is gone.
    const Index end = length() + pending();
    for (Index h = 0; h < shape().kv_heads; ++h)
        for (Index page = length() / options_.page; page * options_.page < end; ++page)
            summarise_page(l, h, page, end);
}

// ANCHOR: summarise_page
// `end`: the slot after the last one that is filled, which may lie inside of this page.
void QuestCache::summarise_page(Layer& layer, Index kv_head, Index page, Index end) const {
    const Index first = page * options_.page;
    // SOLUTION-BEGIN 5.6
    for (Index i = 0; i < shape().head_dim; ++i) {
        float low = layer.tiles.key(kv_head, first, i), high = low;
        for (Index s = first + 1; s < std::min(end, first + options_.page); ++s) {
            low = std::min(low, layer.tiles.key(kv_head, s, i));
            high = std::max(high, layer.tiles.key(kv_head, s, i));
        }
        layer.smallest(kv_head, page, i) = low;
        layer.largest(kv_head, page, i) = high;
    }
    // SOLUTION-END 5.6
}

// ANCHOR_END: summarise_page

Index QuestCache::wanted_pages(Index slots) const {
    const Index tokens = tokens_to_keep(options_, slots);
    return std::max(kLeastPages, (tokens + options_.page - 1) / options_.page);
}

// ANCHOR: choose
void QuestCache::choose(const Layer& layer,
                        Index kv_head,
                        std::span<const float> q,
                        Index slots,
                        std::vector<Index>& pages) const {
    const Index count = (slots + options_.page - 1) / options_.page;
    thread_local std::vector<float> bounds;
    bounds.clear();
    pages.clear();
    // As many as there will ever be, so that the next tokens allocate nothing.
    const auto most = usize(layer.smallest.dim(1));
    bounds.reserve(most);
    pages.reserve(most);
    for (Index page = 0; page < count; ++page) {
        const float bound =
            page_bound(q, &layer.smallest(kv_head, page, 0), &layer.largest(kv_head, page, 0));
        bounds.push_back(options_.newest_page && page == count - 1 ? kProtected : bound);
        pages.push_back(page);
    }
    const Index wanted = wanted_pages(slots);
    if (wanted >= count) return;
    std::nth_element(pages.begin(), pages.begin() + wanted, pages.end(), [&](Index a, Index b) {
        const float x = at(bounds, a), y = at(bounds, b);
        return x != y ? x > y : a < b;
    });
    pages.resize(usize(wanted));
    std::sort(pages.begin(), pages.end());
}

// ANCHOR_END: choose

std::vector<Index> QuestCache::pages(Index layer,
                                     Index head,
                                     std::span<const float> q,
                                     Index slots) const {
    check(layer >= 0 && layer < shape().layers && head >= 0 && head < shape().heads,
          "quest: layer ", layer, ", head ", head, " is outside of ", shape().layers,
          " layers of ", shape().heads, " heads");
    check(std::ssize(q) == shape().head_dim, "quest: a query of ", q.size(),
          " numbers for a head_dim of ", shape().head_dim);
    check(slots >= 1 && slots <= length() + pending(), "quest: pages of ", slots, " slots, of ",
          length() + pending(), " that are held");
    std::vector<Index> chosen;
    if (is_whole(layer)) {
        chosen.resize(usize(blocks_for(slots, options_.page)));
        std::iota(chosen.begin(), chosen.end(), Index{0});
        return chosen;
    }
    choose(at(layers_, layer), head * shape().kv_heads / shape().heads, q, slots, chosen);
    return chosen;
}

// One token's query head over its own pages. Returns how many slots these hold.
Index QuestCache::attend_head(const Layer& layer,
                              Index head,
                              const View<const float>& q,
                              const View<float>& out) const {
    thread_local std::vector<Index> pages;
    const Index kv_head = head * shape().kv_heads / shape().heads, slots = length() + pending();
    const std::span<const float> query(&q(0, head, 0), usize(shape().head_dim));
    choose(layer, kv_head, query, slots, pages);
    // Only the last page of all may be incomplete, and if it is chosen it is the last one here.
    const Index missing = std::max<Index>(0, (pages.back() + 1) * options_.page - slots);
    const Index seen = std::ssize(pages) * options_.page - missing;
    attend_chosen(level_, layer.tiles, kv_head, options_.page, pages, seen, query,
                  &out(0, head, 0));
    return seen;
}

AttentionWork QuestCache::attend_rows(Index layer,
                                      const View<const float>& q,
                                      const View<float>& out,
                                      ThreadPool& pool) {
    const Layer& l = at(layers_, layer);
    const Index slots = length() + pending();
    if (pending() > 1 || is_whole(layer) || wanted_pages(slots) * options_.page >= slots)
        return attend_tiles(level_, pool, q, l.tiles, length(), out);
    std::atomic<Index> pairs{0};
    pool.run(shape().heads, [&](Index head) { pairs += attend_head(l, head, q, out); });
    // What each head reads for itself, and the summaries of all pages.
    const Index summaries = shape().kv_heads * ((slots + options_.page - 1) / options_.page) *
                            2 * shape().head_dim * Index{sizeof(float)};
    return {pairs, pairs * l.tiles.slot_bytes() + summaries,
            shape().kv_heads * l.tiles.slot_bytes()};
}

std::unique_ptr<SteppedStore> QuestCache::copied() const {
    auto copy = std::make_unique<QuestCache>(shape(), capacity(), options_, level_);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        copy->layers_[i].tiles.copy_from(layers_[i].tiles, length());
        if (is_whole(static_cast<Index>(i))) continue;
        copy->layers_[i].smallest = layers_[i].smallest.clone();
        copy->layers_[i].largest = layers_[i].largest.clone();
    }
    return copy;
}

KvBytes QuestCache::bytes() const {
    const Index pages = (length() + options_.page - 1) / options_.page;
    const Index summary = 2 * shape().head_dim * Index{sizeof(float)};
    KvBytes bytes;
    for (const Layer& layer : layers_) {
        const Index summaries = layer.smallest.size() > 0 ? pages * summary : 0;
        bytes.logical += shape().kv_heads * (length() * layer.tiles.slot_bytes() + summaries);
        bytes.allocated +=
            layer.tiles.allocated_bytes() +
            (layer.smallest.size() + layer.largest.size()) * Index{sizeof(float)};
    }
    return bytes;
}

std::vector<Index> QuestCache::kept(Index layer, Index kv_head) const {
    return all_positions(layer, kv_head);
}

}  // namespace kvlab
