// prefix_index.hpp - chapter 7: which pages already hold the beginning of a text.
//
// Two texts that begin with the same tokens have the same keys and values there, in every bit,
// since a token sees only what stands before it. So the second one can use the first one's
// pages. Only whole pages are shared, and an index answers for a text with the longest run of
// them that it knows.
//
// A page is held by its own tokens AND everything before them, in a scope: who may share with
// whom. The tokens are compared, whatever a hash says.
//
// Two of them answer the same questions and give the same answers: a chain of hashes, as vLLM's
// automatic prefix caching has it (its docs, "Automatic Prefix Caching"; in 2024, after the
// paper), and a radix tree, as SGLang has it (Zheng et al. 2024).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kvlab/serving/page_pool.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab {

struct PrefixCounts {
    Index asked = 0;    // whole pages of the texts that were looked for
    Index found = 0;    // of these, the pages that were there
    Index evicted = 0;  // pages that had to go
};

// Of one pool, which must outlive it. What it holds it uses (PagePool::share), so a page stays
// when the text that wrote it has ended. One thread at a time.
class PrefixIndex {
public:
    virtual ~PrefixIndex() = default;

    virtual const char* name() const = 0;

    // The pages with the longest beginning of `tokens` that is held in this scope. They now
    // count as used just now; they get no user: who wants to keep them shares them before the
    // next evict().
    virtual std::vector<PageId> find(const std::string& scope,
                                     std::span<const Token> tokens) = 0;

    // How many pages find() would give. Changes nothing, not even what was used last.
    virtual Index look(const std::string& scope, std::span<const Token> tokens) const = 0;

    // `pages` hold the whole pages at the beginning of `tokens`, and all of them have been
    // written. Those that are new are held from now on; where others hold the same tokens
    // already, those stay. Throws Error, and nothing has happened, unless there are tokens for
    // all pages, and for a page that is free or held for other tokens already.
    virtual void insert(const std::string& scope,
                        std::span<const Token> tokens,
                        std::span<const PageId> pages) = 0;

    // Lets go of up to `count` pages that nobody else uses and that no longer text goes on
    // from, those unused for longest first. Returns how many are free now because of it. No two
    // are equally old: what one call used is the beginning of one text, and goes from its end.
    virtual Index evict(Index count) = 0;

    // How many pages evict() could free, if asked for all. That number is kept, so asking for
    // it costs nothing.
    virtual Index evictable() const = 0;

    virtual Index held() const = 0;

    const PrefixCounts& counts() const { return counts_; }

protected:
    PrefixCounts counts_;
};

// By what the chain finds a page: the page before it, by the number that it got when it was
// inserted (0: there is none), and its own tokens.
struct PrefixKey {
    std::string_view scope;
    std::int64_t parent;
    std::span<const Token> tokens;  // [page_slots]
};

using PrefixHash = std::function<std::uint64_t(const PrefixKey&)>;

// Everything in the key, each part with its length where that is not fixed.
std::uint64_t prefix_hash(const PrefixKey& key);

// With another hash it gives the same answers, only later.
std::unique_ptr<PrefixIndex> make_chain_index(PagePool& pool, PrefixHash hash = prefix_hash);
std::unique_ptr<PrefixIndex> make_radix_index(PagePool& pool);

}  // namespace kvlab
