// saved_pages.hpp - chapter 7: copies of a text's pages outside of their pool, so that others
// may have the pages meanwhile: swapping out, and in again.
//
// The bytes are copied as they are, in any format. So a text goes on with the bits that it
// would have had without a break.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <kvlab/serving/paged_cache.hpp>

namespace kvlab {

// Everything that the pages of a text keep, page by page and always in the same order; between
// its steps. Throws Error for a page that nobody wrote to: there is nothing to see.
void visit_pages(const PagedCache& cache, const VisitMemory& visit);

// The other way: a text of so many tokens, from bytes that visit_pages() showed of a pool with
// pages of the same kind. Throws Error, and nothing has happened, unless the cache is empty and
// has room, the pool has pages, and the bytes are as many as these pages have.
void fill_pages(PagedCache& empty, Index tokens, std::span<const std::byte> bytes);

class SavedPages {
public:
    // Between steps. Throws Error if this machine has no room for the copy.
    static SavedPages of(const PagedCache& cache);

    Index tokens() const { return tokens_; }

    // Of the pages, as they would be moved: of pages that are only counted, too.
    Index bytes() const { return bytes_; }

    // All of its pages are new ones, also those that it shared before. Throws Error, and
    // nothing has happened, unless the cache is of the same pool, is empty and has room, and
    // the pool has pages.
    void into(PagedCache& empty) const;

private:
    explicit SavedPages(const PagedCache& cache);

    const PagePool* pool_;  // compared, not used
    Index tokens_, bytes_;
    std::vector<std::byte> data_;  // empty: nobody wrote to the pages
};

}  // namespace kvlab
