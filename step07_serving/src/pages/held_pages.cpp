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
        check(!at(held_, fresh[i]) &&
                  std::find(fresh.begin(), fresh.begin() + static_cast<Index>(i), fresh[i]) ==
                      fresh.begin() + static_cast<Index>(i),
              "prefix index: page ", fresh[i], " is held for other tokens already");
    }
}

}  // namespace kvlab
