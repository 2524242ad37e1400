#include <kvlab/serving/paged_cache.hpp>

#include <algorithm>

#include "paged_rows.hpp"

namespace kvlab {

namespace {

// Rows say by themselves whether they want keys before RoPE.
const RopeTable* rope_of_pages(const PagePool& pool, const RopeTable* rope, Index capacity) {
    if (pool.kind(0).key_form() == KeyForm::rotated) return nullptr;
    check(rope != nullptr && rope->positions() >= capacity,
          "paged cache: keys before RoPE need a model with RoPE of ", capacity, " positions");
    return rope;
}

// A page that is free would be another text's soon, and one that is there twice would hold two
// parts of a text.
void check_adoptable(const PagePool& pool, std::span<const PageId> pages) {
    std::vector<PageId> sorted(pages.begin(), pages.end());
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    check(twice == sorted.end(), "paged cache: page ", twice == sorted.end() ? 0 : *twice,
          " twice in one text");
    for (const PageId page : pages)
        check(pool.users(page) > 0, "paged cache: page ", page, " is free");
}

const LayerRows& kept_rows(const PagePool& pool, PageId page, Index layer) {
    const LayerRows* const rows = pool.written(page, layer);
    check(rows != nullptr, "paged cache: nobody wrote to page ", page);
    return *rows;
}

}  // namespace

PagedCache::PagedCache(PagePool& pool, Index capacity, const RopeTable* rope, SimdLevel level)
    : SteppedStore("paged cache", pool.shape(), capacity),
      pool_(pool),
      rows_(std::make_unique<PagedRows>(pool, capacity)),
      attention_("paged cache", level, rope_of_pages(pool, rope, capacity)) {
    attention_.check_form(*rows_);
}

PagedCache::~PagedCache() {
    for (const PageId page : table_) pool_.release(page);
}

// ANCHOR: pages_needed
bool PagedCache::shares_tail() const {
    return length() % pool_.page_slots() != 0 && pool_.users(table_.back()) > 1;
}

Index PagedCache::pages_needed(Index T) const {
    check(T >= 0 && T <= room(), name(), ": a step of ", T, " tokens; there is room for ",
          room());
    const Index more = pool_.pages_for(length() + T) - std::ssize(table_);
    return T > 0 && shares_tail() ? more + 1 : more;
}

// ANCHOR_END: pages_needed

// ANCHOR: opened
void PagedCache::opened(Index T) {
    const Index needed = pages_needed(T);
    check(needed <= pool_.free(), name(), ": a step of ", T, " tokens needs ", needed,
          " pages, and of ", pool_.pages(), " there are ", pool_.free(), " free");
    attention_.reach(length() + T);
    table_.reserve(table_.size() + usize(needed));
    if (shares_tail()) own_tail();
    while (std::ssize(table_) < pool_.pages_for(length() + T)) table_.push_back(pool_.take());
}

// ANCHOR_END: opened

// ANCHOR: own_tail
// Copy on write: the last page has other users, who must not see what comes next.
void PagedCache::own_tail() {
    // SOLUTION-BEGIN 7.2
    const PageId copy = pool_.take();
    try {
        pool_.copy(table_.back(), copy, length() % pool_.page_slots());
    } catch (...) {
        pool_.release(copy);
        throw;
    }
    pool_.release(table_.back());
    table_.back() = copy;
    // SOLUTION-END 7.2
}

// ANCHOR_END: own_tail

void PagedCache::adopt(std::span<const PageId> pages) {
    check(length() == 0 && table_.empty(), name(), ": pages are adopted before the first token",
          ", not after ", length());
    if (pages.empty()) return;
    check(std::ssize(pages) <= capacity() / pool_.page_slots(), name(), ": ", pages.size(),
          " pages of ", pool_.page_slots(), " tokens; there is room for ", room());
    check_adoptable(pool_, pages);
    table_.assign(pages.begin(), pages.end());
    for (const PageId page : pages) pool_.share(page);
    try {
        pretend(std::ssize(pages) * pool_.page_slots());  // a step that has its pages already
    } catch (...) {
        dropped(0);
        throw;
    }
}

void PagedCache::pretend(Index T) {
    begin(T);
    take_all_rows();
    commit();
}

void PagedCache::write_rows(Index layer,
                            const View<const float>& k,
                            const View<const float>& v) {
    rows_->show(table_, layer);
    rows_->write(length(), k, v);
}

AttentionWork PagedCache::attend_rows(Index layer,
                                      const View<const float>& q,
                                      const View<float>& out,
                                      ThreadPool& pool) {
    rows_->show(table_, layer);
    const Index past = length();  // slots before the step, and its first token's position
    const SlotPlaces places{.past = past, .position = past, .angle = past};
    return attention_.attend(pool, q, *rows_, places, out);
}

void PagedCache::dropped(Index to) noexcept {
    while (std::ssize(table_) > pool_.pages_for(to)) {
        pool_.release(table_.back());
        table_.pop_back();
    }
}

// ANCHOR: fork
std::unique_ptr<SteppedStore> PagedCache::copied() const {
    return std::unique_ptr<PagedCache>(new PagedCache(*this));
}

PagedCache::PagedCache(const PagedCache& other)
    : SteppedStore(other.name(), other.shape(), other.capacity()),
      pool_(other.pool_),
      table_(other.table_),
      rows_(std::make_unique<PagedRows>(pool_, capacity())),
      attention_(other.attention_) {
    for (const PageId page : table_) pool_.share(page);
}

// ANCHOR_END: fork

KvBytes PagedCache::bytes() const {
    KvBytes bytes{.logical = 0, .allocated = std::ssize(table_) * pool_.page_bytes()};
    Index left = length();
    for (const PageId page : table_) {
        const Index slots = std::min(left, pool_.page_slots());
        for (Index layer = 0; layer < shape().layers; ++layer) {
            const LayerRows* const rows = pool_.written(page, layer);
            bytes.logical += (rows == nullptr ? pool_.kind(layer) : *rows).held_bytes(slots);
        }
        left -= slots;
    }
    return bytes;
}

float PagedCache::key(Index layer, Index kv_head, Index position, Index i) const {
    check_element(layer, kv_head, position, i);
    return kept_rows(pool_, at(table_, position / pool_.page_slots()), layer)
        .key(kv_head, position % pool_.page_slots(), i);
}

float PagedCache::value(Index layer, Index kv_head, Index position, Index i) const {
    check_element(layer, kv_head, position, i);
    return kept_rows(pool_, at(table_, position / pool_.page_slots()), layer)
        .value(kv_head, position % pool_.page_slots(), i);
}

}  // namespace kvlab
