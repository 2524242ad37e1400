#include "paged_rows.hpp"

#include <algorithm>

namespace kvlab {

void PagedRows::show(std::span<const PageId> table, Index layer) {
    kind_ = &pool_.kind(layer);
    pages_.clear();
    for (const PageId page : table) pages_.push_back(&pool_.rows(page, layer));
}

// ANCHOR: write
void PagedRows::write_slots(Index first,
                            Index position,
                            const View<const float>& k,
                            const View<const float>& v) {
    // SOLUTION-BEGIN 7.1
    const Index T = k.dim(0), page_slots = pool_.page_slots();
    for (Index t = 0; t < T;) {
        const Index page = (first + t) / page_slots, place = (first + t) % page_slots;
        const Index end = std::min(T, t + page_slots - place);  // where the page is full
        at(pages_, page)->write(place, position + t, k.slice(0, t, end), v.slice(0, t, end));
        t = end;
    }
    // SOLUTION-END 7.1
}

// ANCHOR_END: write

Index PagedRows::held_bytes(Index count) const {
    Index bytes = 0, left = count;
    for (const LayerRows* page : pages_) {
        const Index slots = std::min(left, pool_.page_slots());
        bytes += page->held_bytes(slots);
        left -= slots;
    }
    return bytes;
}

Index PagedRows::allocated_bytes() const {
    Index bytes = 0;
    for (const LayerRows* page : pages_) bytes += page->allocated_bytes();
    return bytes;
}

void PagedRows::visit_memory(const VisitMemory& visit) {
    for (LayerRows* page : pages_) page->visit_memory(visit);
}

float PagedRows::key(Index kv_head, Index slot, Index i) const {
    return page_of(slot / kTile).key(kv_head, slot % pool_.page_slots(), i);
}

float PagedRows::value(Index kv_head, Index slot, Index i) const {
    return page_of(slot / kTile).value(kv_head, slot % pool_.page_slots(), i);
}

std::unique_ptr<LayerRows> PagedRows::make(Index) const {
    throw Error("paged rows: they lie in the pages of one text, and there are no others");
}

void PagedRows::check_movable() const {
    throw Error(
        "paged rows: a page may belong to several texts, so a policy may not move its slots");
}

void PagedRows::copy_slots(const LayerRows&, Index) {
    throw Error("paged rows: pages are shared or copied whole, by their pool");
}

void PagedRows::move_slot(Index, Index, Index) {
    check_movable();
}

}  // namespace kvlab
