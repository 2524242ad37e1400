#include "held_pages.hpp"

#include <algorithm>

namespace kvlab {

void HeldPages::check_new(std::span<const Token> tokens,
                          std::span<const PageId> pages,
                          Index known) const {
    check(std::ssize(pages) <= pages_in(tokens), "prefix index: ", tokens.size(),
          " tokens do not fill ", pages.size(), " pages of ", page_slots());
    const std::span<const PageId> fresh = pages.subspan(usize(known));
    for (std::size_t i = 0; i < fresh.size(); ++i) {
        check(pool_.users(fresh[i]) > 0, "prefix index: page ", fresh[i], " is free");
        check(!at(held_, fresh[i]).held &&
                  std::find(fresh.begin(), fresh.begin() + static_cast<Index>(i), fresh[i]) ==
                      fresh.begin() + static_cast<Index>(i),
              "prefix index: page ", fresh[i], " is held for other tokens already");
    }
}

void HeldPages::hold(PageId page, PageId before) {
    pool_.share(page);
    at(held_, page) = {.held = true, .before = before};
    ++count_;
    if (in_use(page)) pin(page);
}

void HeldPages::drop(PageId page) {
    at(held_, page) = {};
    --count_;
    pool_.release(page);
}

void HeldPages::on_shared(PageId page, bool shared) noexcept {
    if (!at(held_, page).held) return;
    if (shared)
        pin(page);
    else
        unpin(page);
}

void HeldPages::pin(PageId page) {
    for (; page != kNoPage && at(held_, page).pins++ == 0; page = at(held_, page).before)
        ++pinned_;
}

void HeldPages::unpin(PageId page) {
    for (; page != kNoPage && --at(held_, page).pins == 0; page = at(held_, page).before)
        --pinned_;
}

}  // namespace kvlab
