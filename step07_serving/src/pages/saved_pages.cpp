#include <kvlab/serving/saved_pages.hpp>

#include <algorithm>

namespace kvlab {

namespace {

std::span<const PageId> pages_with_tokens(const PagedCache& cache) {
    return cache.table().first(usize(cache.pool().pages_for(cache.next_position())));
}

void check_empty(const PagedCache& cache) {
    check(cache.next_position() == 0, "saved pages: they begin a text, and this one has ",
          cache.next_position(), " tokens");
}

}  // namespace

void visit_pages(const PagedCache& cache, const VisitMemory& visit) {
    for (const PageId page : pages_with_tokens(cache)) {
        check(cache.pool().written(page, 0) != nullptr, "saved pages: nobody wrote to page ",
              page);
        cache.pool().visit_memory(page, visit);
    }
}

// ANCHOR: fill
void fill_pages(PagedCache& empty, Index tokens, std::span<const std::byte> bytes) {
    check_empty(empty);
    const Index expected = empty.pool().pages_for(tokens) * empty.pool().page_bytes();
    check(std::ssize(bytes) == expected, "saved pages: expected ", expected, " bytes for ",
          tokens, " tokens, found ", bytes.size());
    empty.pretend(tokens);  // takes the pages
    try {
        for (const PageId page : empty.table())
            empty.pool().visit_memory(page, [&](std::span<std::byte> piece) {
                std::copy_n(bytes.begin(), piece.size(), piece.begin());
                bytes = bytes.subspan(piece.size());
            });
    } catch (...) {
        empty.reset();
        throw;
    }
}

// ANCHOR_END: fill

SavedPages::SavedPages(const PagedCache& cache)
    : pool_(&cache.pool()),
      tokens_(cache.next_position()),
      bytes_(cache.pool().pages_for(tokens_) * cache.pool().page_bytes()) {
    const std::span<const PageId> pages = pages_with_tokens(cache);
    if (std::none_of(pages.begin(), pages.end(),
                     [&](PageId page) { return pool_->written(page, 0) != nullptr; }))
        return;
    resize_list(data_, bytes_, "saved pages");
    auto to = data_.begin();
    visit_pages(cache, [&](std::span<std::byte> piece) {
        to = std::copy(piece.begin(), piece.end(), to);
    });
}

SavedPages SavedPages::of(const PagedCache& cache) {
    return SavedPages(cache);
}

void SavedPages::into(PagedCache& empty) const {
    check(&empty.pool() == pool_, "saved pages: they are of another pool");
    check_empty(empty);
    if (tokens_ == 0) return;
    if (data_.empty())
        empty.pretend(tokens_);
    else
        fill_pages(empty, tokens_, data_);
}

}  // namespace kvlab
