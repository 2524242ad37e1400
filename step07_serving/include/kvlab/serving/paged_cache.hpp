// paged_cache.hpp - chapter 7: the cache of one text, whose slots lie in pages of a pool.
//
//   the text's slots     0 ... 63 | 64 ... 127 | 128 ... 191
//   its table            page 7   | page 2     | page 9          all layers alike
//
// Slot = position, as in chapter 3, and a tile is still 64 slots in order. So attention adds
// the same numbers in the same order, and the bits are those of the contiguous cache.
//
// A page with other users is never written. Only the last page can be part full, so only it
// is ever in the way: it is copied when the text grows into it (copy on write).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <kvlab/attention/row_attention.hpp>
#include <kvlab/attention/stepped_store.hpp>
#include <kvlab/serving/page_pool.hpp>

namespace kvlab {

class PagedRows;

class PagedCache final : public SteppedStore {
public:
    // Room for `capacity` tokens, as far as the pool has pages for them; it takes none yet. The
    // pool must outlive it. `rope` as in KvCache.
    PagedCache(PagePool& pool,
               Index capacity,
               const RopeTable* rope = nullptr,
               SimdLevel level = default_simd_level());
    ~PagedCache() override;

    KeyForm key_form() const override { return attention_.key_form(); }

    // How many pages begin(T) would take from the pool, the copy of a shared one included.
    // begin() throws Error, and nothing has happened, if the pool has fewer.
    Index pages_needed(Index T) const;

    // Begins with the pages of another text, all of them full: their tokens count as seen.
    // They get a user more. Throws Error unless this cache is empty and the tokens fit.
    void adopt(std::span<const PageId> pages);

    // The pages in order; all but the last one are full.
    std::span<const PageId> table() const { return table_; }

    // A step of T tokens whose rows nobody computes: pages are taken and tokens counted as if
    // it had been run. For simulations; what is read afterwards is not defined.
    void pretend(Index T);

    PagePool& pool() const { return pool_; }

    // Logical: the slots held. Allocated: whole pages, shared ones too.
    KvBytes bytes() const override;

    // One number as it is kept. Throws Error unless it is there.
    float key(Index layer, Index kv_head, Index position, Index i) const;
    float value(Index layer, Index kv_head, Index position, Index i) const;

private:
    void opened(Index T) override;
    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    void dropped(Index to) noexcept override;
    std::unique_ptr<SteppedStore> copied() const override;

    PagedCache(const PagedCache& other);  // with the same pages

    bool shares_tail() const;
    void own_tail();

    PagePool& pool_;
    std::vector<PageId> table_;
    std::unique_ptr<PagedRows> rows_;  // one layer of these pages, as attention reads them
    RowAttention attention_;
};

}  // namespace kvlab
