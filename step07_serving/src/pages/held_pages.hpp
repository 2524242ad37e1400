// held_pages.hpp - chapter 7: what both indexes of prefixes have in common: the pages that they
// use, and which of them was unused for longest.
#pragma once

#include <map>
#include <span>
#include <vector>

#include <kvlab/serving/page_pool.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab {

// Of the first page of a text: there is none before it.
inline constexpr PageId kNoPage = -1;

// The pages that an index holds, each of them once. They are released with it.
//
// A page is pinned if a text uses it, or if one after it is pinned. What is not pinned can go.
// The scheduler asks for that number in every step in which somebody waits for pages, so it is
// kept, and not counted: a page that becomes pinned pins those before it, as far as they are
// not pinned already.
class HeldPages final : private PageWatcher {
public:
    explicit HeldPages(PagePool& pool) : pool_(pool), held_(usize(pool.pages())) {
        pool_.watch(*this);
    }

    ~HeldPages() override {
        pool_.unwatch(*this);
        for (Index page = 0; page < pool_.pages(); ++page)
            if (at(held_, page).held) pool_.release(static_cast<PageId>(page));
    }

    HeldPages(const HeldPages&) = delete;
    HeldPages& operator=(const HeldPages&) = delete;

    Index page_slots() const { return pool_.page_slots(); }

    Index count() const { return count_; }

    // Those that are not pinned.
    Index evictable() const { return count_ - pinned_; }

    // Whether a text uses it, too.
    bool in_use(PageId page) const { return pool_.users(page) > 1; }

    // Whole pages of tokens, and the tokens of one.
    Index pages_in(std::span<const Token> tokens) const {
        return std::ssize(tokens) / page_slots();
    }

    std::span<const Token> page_of(std::span<const Token> tokens, Index page) const {
        return tokens.subspan(usize(page * page_slots()), usize(page_slots()));
    }

    // Throws Error unless these may be held from now on, of which the first `known` will
    // not be.
    void check_new(std::span<const Token> tokens,
                   std::span<const PageId> pages,
                   Index known) const;

    // From now on, as the one after `before`, which is held, or after kNoPage.
    void hold(PageId page, PageId before);

    // No longer. It is not in use, and none that is held comes after it.
    void drop(PageId page);

private:
    struct Held {
        bool held = false;
        PageId before = kNoPage;
        Index pins = 0;  // 1 if it is in use, and the pinned pages that come next after it
    };

    void on_shared(PageId page, bool shared) noexcept override;
    void pin(PageId page);
    void unpin(PageId page);

    PagePool& pool_;
    std::vector<Held> held_;  // [pages of the pool]
    Index count_ = 0, pinned_ = 0;
};

// The ends of all texts in an index, by when they were used. What a call uses is a beginning of
// one text, which has one end. So two ends never have the same time.
template <class Node>
class LeastUsed {
public:
    // Of a node that nothing goes on from; node.used must not change while it is here.
    void add(Node& node) { ends_.emplace(node.used, &node); }

    void remove(const Node& node) { ends_.erase(node.used); }

    // Calls drop(node) up to `count` times, the longest unused first: it frees the last page of
    // node, or returns false if that is in use. Returns how often it was free. A node before an
    // end was used at the same time or later, so whoever becomes an end comes further on.
    template <class Drop>
    Index evict(Index count, const Drop& drop) {
        Index evicted = 0;
        for (auto end = ends_.begin(); end != ends_.end() && evicted < count;) {
            const Index used = end->first;
            if (drop(*end->second)) {
                ++evicted;
                end = ends_.lower_bound(used);
            } else {
                ++end;
            }
        }
        return evicted;
    }

private:
    std::map<Index, Node*> ends_;
};

}  // namespace kvlab
