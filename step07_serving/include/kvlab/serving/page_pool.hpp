// page_pool.hpp - chapter 7: memory for many texts, cut into pages of equal size.
//
// A page holds the keys and values of some tokens, in all layers. It is taken when a text grows
// into it, may belong to several texts at once, and is free again when the last of them has
// let it go:
//
//   page      0     1     2     3     4     5
//   users     2     1     0     1     0     3
//             |     |    free   |    free   |
//   text A  [ 0  ,  1 ]         |           +-- the beginning of three texts
//   text B  [ 0  ,  3 ]  <------+
//
// The numbers of pages are one thing and their memory another: a page gets memory when it is
// first written. Who only counts pages, as a simulation does, needs none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <kvlab/attention/kv_tiles.hpp>

namespace kvlab {

using PageId = std::int32_t;

struct PoolOptions {
    Index pages = 0;               // how many there are
    Index page_slots = kTile;      // tokens that one holds; to be written, a multiple of 64
    MakeRows rows = float_rows();  // how they are kept
    bool poison = false;           // freed pages are filled with NaN, so that reading one shows
};

// What happened since the pool was made.
struct PoolCounts {
    Index taken = 0;      // pages that were taken
    Index shared = 0;     // pages that got one more user
    Index copied = 0;     // pages whose slots were copied, because they had other users
    Index most_used = 0;  // pages in use at once
};

// Wants to know of a pool's pages whether they have several users.
class PageWatcher {
public:
    virtual ~PageWatcher() = default;

    // It has a second user now (true), or only one is left.
    virtual void on_shared(PageId page, bool shared) noexcept = 0;
};

// One thread at a time.
class PagePool {
public:
    // Throws Error unless there is at least one page of at least one slot, and rows of this
    // kind can be kept in pages: those whose tokens differ (KIVI) cannot, since what a slot
    // reads then depends on who comes after it in one text.
    PagePool(const KvShape& shape, PoolOptions options);

    const KvShape& shape() const { return shape_; }

    Index pages() const { return options_.pages; }

    Index page_slots() const { return options_.page_slots; }

    // Pages that nobody uses.
    Index free() const { return std::ssize(free_); }

    // How many pages hold `tokens`.
    Index pages_for(Index tokens) const { return blocks_for(tokens, options_.page_slots); }

    // A free page, with one user: the one that was freed last, whose memory a cache of the
    // processor may still hold; at first, pages come in order. It holds zeros, and nothing of
    // the text that had it before. Throws Error if there is none.
    PageId take();

    // One user more, or one less; with the last one the page is free. Throws Error for a page
    // that is not in use.
    void share(PageId page);
    void release(PageId page);

    Index users(PageId page) const;

    // From watch() to unwatch() it is told of all pages.
    void watch(PageWatcher& watcher) { watchers_.push_back(&watcher); }

    void unwatch(PageWatcher& watcher) { std::erase(watchers_, &watcher); }

    // The rows of one layer of a page in use, whose memory is made when it is first asked for.
    // Throws Error unless page_slots is a multiple of 64: attention reads whole tiles.
    LayerRows& rows(PageId page, Index layer);

    // The same, or null if the page has no memory yet.
    const LayerRows* written(PageId page, Index layer) const;

    // Rows of this layer that nobody writes to: of the kind that all pages hold.
    const LayerRows& kind(Index layer) const;

    // Copies the first `slots` slots of all layers into a page of one's own. Throws Error
    // unless both are in use, the second one by a single user.
    void copy(PageId from, PageId to, Index slots);

    // Everything that a page in use keeps, piece by piece, always in the same order.
    // Its memory is made if it has none.
    void visit_memory(PageId page, const VisitMemory& visit);

    // Of one page, as asked of the allocator; of pages that are no whole tiles, their share.
    Index page_bytes() const { return page_bytes_; }

    // Of the pages that were ever written.
    Index allocated_bytes() const;

    const PoolCounts& counts() const { return counts_; }

private:
    using Layers = std::vector<std::unique_ptr<LayerRows>>;  // [L], empty until written

    void check_used(PageId page) const;
    void tell(PageId page, bool shared) const noexcept;
    void fill(PageId page, std::byte with);
    Layers& memory(PageId page);

    KvShape shape_;
    PoolOptions options_;
    Layers kinds_;  // [L]
    Index page_bytes_ = 0;
    std::vector<Layers> layers_;  // [pages]
    std::vector<Index> users_;    // [pages]
    std::vector<PageId> free_;    // the next one to be taken is the last
    std::vector<PageWatcher*> watchers_;
    PoolCounts counts_;
};

}  // namespace kvlab
