// paged_rows.hpp - chapter 7: one layer of a text's pages, as if its slots lay one
// after the other.
//
//   tile of the text     0      1      2      3         with pages of 128 slots
//                     page 7 ------  page 2 ------
//   tile of the page     0      1      0      1
//
// Attention asks for one tile after the other and does not learn where it lies.
#pragma once

#include <span>
#include <vector>

#include <kvlab/serving/page_pool.hpp>

namespace kvlab {

class PagedRows final : public LayerRows {
public:
    // Of a pool, which must outlive it; without pages yet.
    PagedRows(PagePool& pool, Index slots)
        : LayerRows(slots, pool.shape().kv_heads, pool.shape().head_dim),
          pool_(pool),
          tiles_per_page_(pool.page_slots() / kTile),
          kind_(&pool.kind(0)) {}

    // From now on it is this layer of these pages. Their memory is made where there is none; if
    // all have some, threads may do this for different texts at the same time.
    void show(std::span<const PageId> table, Index layer);

    Index slot_bytes() const override { return kind_->slot_bytes(); }

    bool needs_scratch() const override { return kind_->needs_scratch(); }

    KeyForm key_form() const override { return kind_->key_form(); }

    bool turns() const override { return kind_->turns(); }

    void turn(std::span<float> row) const override { kind_->turn(row); }

    const float* read_keys(Index kv_head, Index tile, float* scratch) const override {
        return page_of(tile).read_keys(kv_head, tile % tiles_per_page_, scratch);
    }

    const float* read_values(Index kv_head, Index tile, float* scratch) const override {
        return page_of(tile).read_values(kv_head, tile % tiles_per_page_, scratch);
    }

    Index held_bytes(Index count) const override;
    Index allocated_bytes() const override;
    void visit_memory(const VisitMemory& visit) override;
    float key(Index kv_head, Index slot, Index i) const override;
    float value(Index kv_head, Index slot, Index i) const override;

    // Refused, as everything that would move what a page holds.
    std::unique_ptr<LayerRows> make(Index slots) const override;
    void check_movable() const override;

private:
    void write_slots(Index first,
                     Index position,
                     const View<const float>& k,
                     const View<const float>& v) override;
    void copy_slots(const LayerRows& other, Index count) override;
    void move_slot(Index kv_head, Index from, Index to) override;

    // ANCHOR: page_of
    const LayerRows& page_of(Index tile) const { return *at(pages_, tile / tiles_per_page_); }

    // ANCHOR_END: page_of

    // Fixed at construction.
    PagePool& pool_;
    Index tiles_per_page_;
    // Of the layer that is shown.
    const LayerRows* kind_;
    std::vector<LayerRows*> pages_;
};

}  // namespace kvlab
