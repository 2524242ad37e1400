// plain_prefix_index.hpp - what an index of prefixes must answer, as simply as it can be said,
// and random texts that ask all of them.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/serving/prefix_index.hpp>
#include <kvlab/tensor/random.hpp>

namespace kvlab::test {

inline const KvShape kPrefixShape{1, 1, 1, 4};
inline constexpr Index kPrefixSlots = 2;  // tokens of a page: these pools only count

using TokenList = std::vector<Token>;
using PageList = std::vector<PageId>;
using MakeIndex = std::function<std::unique_ptr<PrefixIndex>(PagePool&)>;

inline std::uint64_t same_for_all(const PrefixKey&) {
    return 7;
}

// With pages of small numbers, many of these are equal.
inline std::uint64_t of_few_bits(const PrefixKey& key) {
    return prefix_hash(key) % 3;
}

inline std::vector<MakeIndex> all_indexes() {
    return {[](PagePool& pool) { return make_chain_index(pool); },
            [](PagePool& pool) { return make_chain_index(pool, same_for_all); },
            [](PagePool& pool) { return make_chain_index(pool, of_few_bits); },
            [](PagePool& pool) { return make_radix_index(pool); }};
}

// Says the same as simply as it can be said: every beginning that is held, with its page.
class PlainIndex {
public:
    explicit PlainIndex(PagePool& pool) : pool_(pool) {}

    std::vector<PageId> find(const std::string& scope, std::span<const Token> tokens) {
        ++now_;
        std::vector<PageId> pages;
        for (Held* held : known(scope, tokens)) {
            held->used = now_;
            pages.push_back(held->page);
        }
        return pages;
    }

    void insert(const std::string& scope,
                std::span<const Token> tokens,
                std::span<const PageId> pages) {
        ++now_;
        for (Index i = 0; i < std::ssize(pages); ++i) {
            const auto key = key_of(scope, tokens, i + 1);
            const auto [place, is_new] = held_.try_emplace(key, Held{at(pages, i), now_});
            place->second.used = now_;
            if (is_new) pool_.share(at(pages, i));
        }
    }

    std::vector<PageId> evict(Index count) {
        std::vector<PageId> gone;
        while (std::ssize(gone) < count) {
            auto oldest = held_.end();
            for (auto it = held_.begin(); it != held_.end(); ++it)
                if (pool_.users(it->second.page) == 1 && is_end(it->first) &&
                    (oldest == held_.end() || it->second.used < oldest->second.used))
                    oldest = it;
            if (oldest == held_.end()) break;
            gone.push_back(oldest->second.page);
            pool_.release(oldest->second.page);
            held_.erase(oldest);
        }
        return gone;
    }

    Index held() const { return std::ssize(held_); }

    // Those that nobody else uses, nor one of a longer text that begins with them.
    Index evictable() const {
        return std::count_if(held_.begin(), held_.end(), [&](const auto& one) {
            return std::none_of(held_.begin(), held_.end(), [&](const auto& other) {
                return pool_.users(other.second.page) > 1 && begins(other.first, one.first);
            });
        });
    }

private:
    using Key = std::pair<std::string, std::vector<Token>>;

    struct Held {
        PageId page;
        Index used;
    };

    static Key key_of(const std::string& scope, std::span<const Token> tokens, Index pages) {
        return {scope, {tokens.begin(), tokens.begin() + pages * kPrefixSlots}};
    }

    std::vector<Held*> known(const std::string& scope, std::span<const Token> tokens) {
        std::vector<Held*> all;
        for (Index i = 1; i * kPrefixSlots <= std::ssize(tokens); ++i) {
            const auto found = held_.find(key_of(scope, tokens, i));
            if (found == held_.end()) break;
            all.push_back(&found->second);
        }
        return all;
    }

    bool is_end(const Key& key) const {
        return std::none_of(held_.begin(), held_.end(), [&](const auto& other) {
            return other.first != key && begins(other.first, key);
        });
    }

    // Whether `text` begins with `key`, or is it.
    static bool begins(const Key& text, const Key& key) {
        return text.first == key.first && text.second.size() >= key.second.size() &&
               std::equal(key.second.begin(), key.second.end(), text.second.begin());
    }

    PagePool& pool_;
    std::map<Key, Held> held_;
    Index now_ = 0;
};

// PageList that nobody uses but the index.
std::vector<PageId> put_text(PagePool& pool,
                             PrefixIndex& index,
                             const std::string& scope,
                             std::span<const Token> tokens) {
    std::vector<PageId> pages;
    for (Index i = 0; i < std::ssize(tokens) / kPrefixSlots; ++i) pages.push_back(pool.take());
    index.insert(scope, tokens, pages);
    for (const PageId page : pages) pool.release(page);
    return pages;
}

// An index and the plain list, each with a pool of its own, whose pages have equal numbers.
struct PrefixRace {
    static constexpr Index kPages = 24;

    PrefixRace(const MakeIndex& make, std::uint64_t seed) : index(make(pool)), rng(seed) {}

    void step() {
        const char* const scopes[] = {"", "a", "b"};
        const std::string scope = scopes[rng.below(3)];
        TokenList text(usize(rng.below(9)));
        for (Token& token : text) token = static_cast<Token>(rng.below(2));
        const Index looked = index->look(scope, text);
        const PageList known = index->find(scope, text);
        CHECK(looked == std::ssize(known));
        CHECK(known == plain.find(scope, text));
        found += looked;
        const Index more = std::ssize(text) / kPrefixSlots - looked;
        if (more > pool.free())
            evict(more - pool.free());  // some of what was found, too
        else
            insert(scope, text, known, more);
        while (!used.empty() && rng.below(3) > 0) {
            const auto one = used.begin() + rng.below(std::ssize(used));
            release(*one);
            used.erase(one);
        }
        check_users();
    }

    void evict(Index wanted) {
        std::vector<Index> users;
        for (PageId page = 0; page < kPages; ++page) users.push_back(pool.users(page));
        const Index could = index->evictable(), count = index->evict(wanted);
        CHECK(count == std::min(could, wanted));
        PageList gone, plain_gone = plain.evict(wanted);
        for (PageId page = 0; page < kPages; ++page)
            if (pool.users(page) == 0 && at(users, page) > 0) gone.push_back(page);
        std::sort(plain_gone.begin(), plain_gone.end());
        CHECK(gone == plain_gone);
        evicted += count;
        // The next pages that are taken have to have equal numbers again.
        while (pool.free() > 0) used.push_back(pool.take());
        while (plain_pool.free() > 0) plain_pool.take();
        std::sort(used.begin(), used.end());
    }

    void insert(const std::string& scope, const TokenList& text, PageList pages, Index more) {
        for (const PageId page : pages) {
            pool.share(page);
            plain_pool.share(page);
        }
        for (Index i = 0; i < more; ++i) {
            pages.push_back(pool.take());
            REQUIRE(plain_pool.take() == pages.back());
        }
        index->insert(scope, text, pages);
        plain.insert(scope, text, pages);
        used.insert(used.end(), pages.begin(), pages.end());
    }

    void release(PageId page) {
        pool.release(page);
        plain_pool.release(page);
    }

    // Nobody else uses pages: no user was lost, none was counted twice.
    void check_users() {
        Index users = 0;
        for (PageId page = 0; page < kPages; ++page) {
            CHECK(pool.users(page) == plain_pool.users(page));
            users += pool.users(page);
        }
        CHECK(index->held() == plain.held());
        CHECK(index->evictable() == plain.evictable());  // kept here, counted there
        pinned += index->evictable() < index->held() ? 1 : 0;
        CHECK(users == index->held() + std::ssize(used));
    }

    void finish() {
        for (const PageId page : used) release(page);
        CHECK(index->evictable() == index->held());
        CHECK(index->evict(kPages) == std::ssize(plain.evict(kPages)));
        CHECK(pool.free() == kPages);
    }

    PagePool pool{kPrefixShape, {.pages = kPages, .page_slots = kPrefixSlots}},
        plain_pool{kPrefixShape, {.pages = kPages, .page_slots = kPrefixSlots}};
    std::unique_ptr<PrefixIndex> index;
    PlainIndex plain{plain_pool};
    Rng rng;
    PageList used;  // by texts
    Index found = 0, evicted = 0, pinned = 0;
};

}  // namespace kvlab::test
