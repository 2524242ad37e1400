// Prefixes by a chain of hashes: every page is an entry of its own, found by the entry before
// it and its own tokens. An entry's number is never given again, so it stands for all tokens up
// to its end.
//
//   text A: [ the cat sat ] [ on the mat ]     1: (scope, 0, the cat sat)
//                                              2: (scope, 1, on the mat)
//   text B: [ the cat sat ] [ by the fire ]    3: (scope, 1, by the fire)
//   text C: [ on the mat ]                     4: (scope, 0, on the mat)     another than 2
#include <algorithm>
#include <unordered_map>

#include <kvlab/serving/prefix_index.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "held_pages.hpp"

namespace kvlab {

namespace {

struct ChainEntry {
    std::string scope;
    std::int64_t parent_number;
    std::vector<Token> tokens;
    std::int64_t number;  // 1, 2, 3 ...
    ChainEntry* parent;   // null: the text begins here
    PageId page;
    std::uint64_t hash;
    Index children = 0;
    Index used = 0;

    bool is(const PrefixKey& key) const {
        return parent_number == key.parent && scope == key.scope &&
               std::equal(tokens.begin(), tokens.end(), key.tokens.begin(), key.tokens.end());
    }
};

class ChainIndex final : public PrefixIndex {
public:
    ChainIndex(PagePool& pool, PrefixHash hash) : held_(pool), hash_(std::move(hash)) {
        check(hash_ != nullptr, "prefix index: no hash");
    }

    const char* name() const override { return "chain"; }

    std::vector<PageId> find(const std::string& scope, std::span<const Token> tokens) override;
    Index look(const std::string& scope, std::span<const Token> tokens) const override;
    void insert(const std::string& scope,
                std::span<const Token> tokens,
                std::span<const PageId> pages) override;
    Index evict(Index count) override;

    Index evictable() const override { return held_.evictable(); }

    Index held() const override { return held_.count(); }

private:
    PrefixKey key(const std::string& scope,
                  std::span<const Token> tokens,
                  Index page,
                  const ChainEntry* parent) const {
        return {scope, parent == nullptr ? 0 : parent->number, held_.page_of(tokens, page)};
    }

    ChainEntry* entry(const PrefixKey& key) const;
    std::vector<ChainEntry*> known(const std::string& scope,
                                   std::span<const Token> tokens) const;
    ChainEntry* add(const PrefixKey& key, ChainEntry* parent, PageId page);
    void use(ChainEntry& entry);
    bool drop(ChainEntry& entry);

    HeldPages held_;
    PrefixHash hash_;
    std::unordered_multimap<std::uint64_t, std::unique_ptr<ChainEntry>> entries_;  // by hash
    LeastUsed<ChainEntry> ends_;
    std::int64_t numbers_ = 0;  // given so far
    Index now_ = 0;
};

// ANCHOR: entry
// Of those with this hash the one with this key, compared in full. Null: there is none.
ChainEntry* ChainIndex::entry(const PrefixKey& key) const {
    const auto [first, last] = entries_.equal_range(hash_(key));
    for (auto at = first; at != last; ++at)
        if (at->second->is(key)) return at->second.get();
    return nullptr;
}

// The entries of the longest beginning of these tokens.
std::vector<ChainEntry*> ChainIndex::known(const std::string& scope,
                                           std::span<const Token> tokens) const {
    // SOLUTION-BEGIN 7.3
    std::vector<ChainEntry*> chain;
    ChainEntry* last = nullptr;
    for (Index page = 0; page < held_.pages_in(tokens); ++page) {
        last = entry(key(scope, tokens, page, last));
        if (last == nullptr) break;
        chain.push_back(last);
    }
    return chain;
    // SOLUTION-END 7.3
}

// ANCHOR_END: entry

Index ChainIndex::look(const std::string& scope, std::span<const Token> tokens) const {
    return std::ssize(known(scope, tokens));
}

// Of the entries of a call, in order from the beginning of the text.
void ChainIndex::use(ChainEntry& entry) {
    if (entry.children == 0) ends_.remove(entry);
    entry.used = now_;
    if (entry.children == 0) ends_.add(entry);
}

std::vector<PageId> ChainIndex::find(const std::string& scope, std::span<const Token> tokens) {
    ++now_;
    std::vector<PageId> pages;
    for (ChainEntry* found : known(scope, tokens)) {
        use(*found);
        pages.push_back(found->page);
    }
    counts_.asked += held_.pages_in(tokens);
    counts_.found += std::ssize(pages);
    return pages;
}

void ChainIndex::insert(const std::string& scope,
                        std::span<const Token> tokens,
                        std::span<const PageId> pages) {
    tokens = tokens.first(std::min(tokens.size(), pages.size() * usize(held_.page_slots())));
    const std::vector<ChainEntry*> chain = known(scope, tokens);
    held_.check_new(tokens, pages, std::ssize(chain));
    ++now_;
    for (ChainEntry* found : chain) use(*found);
    ChainEntry* last = chain.empty() ? nullptr : chain.back();
    for (Index page = std::ssize(chain); page < std::ssize(pages); ++page)
        last = add(key(scope, tokens, page, last), last, at(pages, page));
}

ChainEntry* ChainIndex::add(const PrefixKey& key, ChainEntry* parent, PageId page) {
    const std::uint64_t hash = hash_(key);
    auto made = std::make_unique<ChainEntry>(
        ChainEntry{.scope = std::string(key.scope),
                   .parent_number = key.parent,
                   .tokens = {key.tokens.begin(), key.tokens.end()},
                   .number = ++numbers_,
                   .parent = parent,
                   .page = page,
                   .hash = hash,
                   .used = now_});
    ChainEntry* const entry = entries_.emplace(hash, std::move(made))->second.get();
    held_.hold(page, parent == nullptr ? kNoPage : parent->page);
    if (parent != nullptr && parent->children++ == 0) ends_.remove(*parent);
    ends_.add(*entry);
    return entry;
}

bool ChainIndex::drop(ChainEntry& entry) {
    if (held_.in_use(entry.page)) return false;
    held_.drop(entry.page);
    ends_.remove(entry);
    if (ChainEntry* const parent = entry.parent; parent != nullptr && --parent->children == 0)
        ends_.add(*parent);
    auto [at, last] = entries_.equal_range(entry.hash);
    while (at != last && at->second.get() != &entry) ++at;
    entries_.erase(at);
    return true;
}

Index ChainIndex::evict(Index count) {
    const Index evicted = ends_.evict(count, [this](ChainEntry& entry) { return drop(entry); });
    counts_.evicted += evicted;
    return evicted;
}

}  // namespace

std::uint64_t prefix_hash(const PrefixKey& key) {
    Checksum sum;
    const auto add = [&](std::uint64_t number) {
        sum.add_bits(static_cast<std::uint32_t>(number));
        sum.add_bits(static_cast<std::uint32_t>(number >> 32));
    };
    add(key.scope.size());
    for (const char c : key.scope) sum.add_bits(static_cast<unsigned char>(c));
    add(static_cast<std::uint64_t>(key.parent));
    add(key.tokens.size());
    for (const Token token : key.tokens) sum.add_bits(static_cast<std::uint32_t>(token));
    return sum.value();
}

std::unique_ptr<PrefixIndex> make_chain_index(PagePool& pool, PrefixHash hash) {
    return std::make_unique<ChainIndex>(pool, std::move(hash));
}

}  // namespace kvlab
