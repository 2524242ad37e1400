// paper_pages.hpp - pages of four tokens of one head, which are only counted: the examples that
// chapter 7 works out on paper.
#pragma once

#include <string>
#include <vector>

#include <kvlab/serving/page_pool.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab::test {

constexpr KvShape kPaperHead{.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 2};
constexpr Index kPaperSlots = 4, kPaperRoom = 64;

using PaperCounts = std::vector<Index>;

inline PagePool paper_pool(Index pages, Index page_slots = kPaperSlots) {
    PoolOptions options;
    options.pages = pages;
    options.page_slots = page_slots;
    return PagePool(kPaperHead, options);
}

// A token for each letter.
inline std::vector<Token> paper_letters(const std::string& text) {
    return {text.begin(), text.end()};
}

}  // namespace kvlab::test
