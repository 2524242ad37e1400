#include <kvlab/serving/page_pool.hpp>

#include <algorithm>
#include <limits>

namespace kvlab {

namespace {

// Of such bytes every float is NaN, in 32, 16 and 8 bits, and so is every scale of a code.
constexpr std::byte kPoison{0xff};

constexpr Index kMostPages = std::numeric_limits<PageId>::max();

void check_pool_options(const PoolOptions& options) {
    check(options.pages >= 1 && options.pages <= kMostPages, "page pool: expected 1 to ",
          kMostPages, " pages, found ", options.pages);
    check(options.page_slots >= 1, "page pool: a page of ", options.page_slots, " slots");
    check(options.rows != nullptr, "page pool: no rows");
}

}  // namespace

PagePool::PagePool(const KvShape& shape, PoolOptions options)
    : shape_((check_kv_shape("page pool", shape), shape)), options_(std::move(options)) {
    check_pool_options(options_);
    for (Index layer = 0; layer < shape_.layers; ++layer) {
        const std::unique_ptr<LayerRows> rows =
            options_.rows({layer, options_.page_slots, shape_.kv_heads, shape_.head_dim});
        check(!rows->tokens_differ(),
              "page pool: rows whose tokens differ (KIVI) cannot be kept in pages: what one "
              "text reads would depend on how far another one has come");
        page_bytes_ += rows->allocated_bytes() * options_.page_slots / rows->slots();
        kinds_.push_back(rows->make(1));
    }
    layers_.resize(usize(pages()));
    users_.resize(usize(pages()));
    for (Index page = pages() - 1; page >= 0; --page)
        free_.push_back(static_cast<PageId>(page));
}

// ANCHOR: take
PageId PagePool::take() {
    check(!free_.empty(), "page pool: all ", pages(), " pages are in use");
    const PageId page = free_.back();
    fill(page, std::byte{0});
    free_.pop_back();
    at(users_, page) = 1;
    ++counts_.taken;
    counts_.most_used = std::max(counts_.most_used, pages() - free());
    return page;
}

void PagePool::share(PageId page) {
    check_used(page);
    if (++at(users_, page) == 2) tell(page, true);
    ++counts_.shared;
}

void PagePool::release(PageId page) {
    check_used(page);
    if (--at(users_, page) == 1) tell(page, false);
    if (at(users_, page) > 0) return;
    if (options_.poison) fill(page, kPoison);
    free_.push_back(page);  // it once held all pages, so it has room
}

// ANCHOR_END: take

void PagePool::tell(PageId page, bool shared) const noexcept {
    for (PageWatcher* watcher : watchers_) watcher->on_shared(page, shared);
}

Index PagePool::users(PageId page) const {
    check(page >= 0 && page < pages(), "page pool: there is no page ", page, " of ", pages());
    return at(users_, page);
}

void PagePool::check_used(PageId page) const {
    check(users(page) > 0, "page pool: page ", page, " is free");
}

PagePool::Layers& PagePool::memory(PageId page) {
    check_used(page);
    check(page_slots() % kTile == 0, "page pool: pages of ", page_slots(),
          " slots are only counted: attention reads tiles of ", kTile);
    Layers& layers = at(layers_, page);
    if (!layers.empty()) return layers;
    Layers made;
    for (const auto& kind : kinds_) made.push_back(kind->make(page_slots()));
    layers = std::move(made);
    return layers;
}

LayerRows& PagePool::rows(PageId page, Index layer) {
    return *at(memory(page), layer);
}

const LayerRows* PagePool::written(PageId page, Index layer) const {
    check_used(page);
    const Layers& layers = at(layers_, page);
    return layers.empty() ? nullptr : at(layers, layer).get();
}

const LayerRows& PagePool::kind(Index layer) const {
    return *at(kinds_, layer);
}

void PagePool::visit_memory(PageId page, const VisitMemory& visit) {
    for (const auto& rows : memory(page)) rows->visit_memory(visit);
}

// Only where there is memory already: a page that is just counted costs nothing.
void PagePool::fill(PageId page, std::byte with) {
    for (const auto& rows : at(layers_, page))
        rows->visit_memory(
            [&](std::span<std::byte> piece) { std::fill(piece.begin(), piece.end(), with); });
}

void PagePool::copy(PageId from, PageId to, Index slots) {
    check_used(from);
    check(users(to) == 1 && from != to, "page pool: page ", to, " with ", users(to),
          " users cannot take a copy of page ", from);
    check(slots >= 0 && slots <= page_slots(), "page pool: ", slots, " slots of a page of ",
          page_slots());
    if (!at(layers_, from).empty()) {  // or else nobody ever wrote there
        Layers& copies = memory(to);
        for (Index layer = 0; layer < shape_.layers; ++layer)
            at(copies, layer)->copy_from(*at(at(layers_, from), layer), slots);
    }
    ++counts_.copied;
}

Index PagePool::allocated_bytes() const {
    return page_bytes_ * std::count_if(layers_.begin(), layers_.end(),
                                       [](const Layers& layers) { return !layers.empty(); });
}

}  // namespace kvlab
