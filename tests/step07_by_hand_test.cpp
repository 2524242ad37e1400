// Step 7: the numbers that the chapter works out on paper are those of its code.
#include <doctest/doctest.h>

#include <kvlab/serving/drafts.hpp>
#include <kvlab/serving/paged_cache.hpp>
#include <kvlab/serving/prefix_index.hpp>

#include "paper_pages.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

using PaperPages = std::vector<PageId>;

PaperPages paper_table(const KvStore& store) {
    const auto pages = dynamic_cast<const PagedCache&>(store).table();
    return {pages.begin(), pages.end()};
}

PaperCounts paper_users(const PagePool& pool) {
    PaperCounts counts;
    for (PageId page = 0; page < pool.pages(); ++page) counts.push_back(pool.users(page));
    return counts;
}

using MakePaperIndex = std::unique_ptr<PrefixIndex> (*)(PagePool&);

constexpr MakePaperIndex kPaperIndexes[] = {
    [](PagePool& pool) { return make_chain_index(pool); },
    [](PagePool& pool) { return make_radix_index(pool); }};

// A text that was run and is over: the index holds its whole pages.
void run_on_paper(PagePool& pool,
                  PrefixIndex& index,
                  const std::string& text,
                  const char* scope = "") {
    const std::vector<Token> tokens = paper_letters(text);
    PagedCache cache(pool, kPaperRoom);
    cache.adopt(index.find(scope, tokens));
    cache.pretend(std::ssize(tokens) - cache.next_position());
    index.insert(scope, tokens, cache.table().first(usize(std::ssize(tokens) / kPaperSlots)));
}

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("by hand: three texts in six pages") {
        PagePool pool = paper_pool(6);
        auto a = std::make_unique<PagedCache>(pool, kPaperRoom);
        a->pretend(10);
        CHECK(paper_table(*a) == PaperPages{0, 1, 2});
        PagedCache b(pool, kPaperRoom);
        b.adopt(a->table().first(2));
        b.pretend(3);
        CHECK(paper_table(b) == PaperPages{0, 1, 3});
        CHECK(paper_users(pool) == PaperCounts{2, 2, 1, 1, 0, 0});
        const std::unique_ptr<KvStore> c = a->fork();
        CHECK(paper_users(pool) == PaperCounts{3, 3, 2, 1, 0, 0});
        dynamic_cast<PagedCache&>(*c).pretend(1);
        CHECK(paper_table(*c) == PaperPages{0, 1, 4});
        CHECK(paper_users(pool) == PaperCounts{3, 3, 1, 1, 1, 0});
        CHECK(pool.counts().copied == 1);
        a.reset();
        b.pretend(2);
        CHECK(paper_table(b) == PaperPages{0, 1, 3, 2});
        CHECK(paper_users(pool) == PaperCounts{2, 2, 1, 1, 1, 0});
    }

    TEST_CASE("by hand: slots that three texts hold") {
        const auto held = [](Index page_slots) {
            const PagePool pool = paper_pool(64, page_slots);
            return (pool.pages_for(10) + pool.pages_for(100) + pool.pages_for(300)) *
                   page_slots;
        };
        CHECK(held(256) == 1024);
        CHECK(held(64) == 512);
        CHECK(held(16) == 432);
    }

    TEST_CASE("by hand: which beginnings are found") {
        for (const auto make : kPaperIndexes) {
            PagePool pool = paper_pool(12);
            const std::unique_ptr<PrefixIndex> index = make(pool);
            run_on_paper(pool, *index, "the cat sat on", "shop");
            CHECK(index->held() == 3);
            const auto found = [&](const char* scope, const char* text) {
                return std::ssize(index->find(scope, paper_letters(text)));
            };
            CHECK(found("shop", "the cat ran off") == 2);
            CHECK(found("shop", "the cat sat on") == 3);
            CHECK(found("shop", "the cat sat ") == 3);
            CHECK(found("shop", "a cat sat on") == 0);
            CHECK(found("bank", "the cat sat on") == 0);
        }
    }

    TEST_CASE("by hand: leaves go and the oldest of them first") {
        for (const auto make : kPaperIndexes) {
            PagePool pool = paper_pool(12);
            const std::unique_ptr<PrefixIndex> index = make(pool);
            const char* const texts[] = {"the cat sat ", "the cat ran ", "the dog ran "};
            for (const char* text : texts) run_on_paper(pool, *index, text);
            CHECK(index->held() == 6);
            index->find("", paper_letters(texts[0]));
            const auto there = [&] {
                PaperCounts counts;
                for (const char* text : texts)
                    counts.push_back(index->look("", paper_letters(text)));
                return counts;
            };
            CHECK(index->evict(1) == 1);
            CHECK(there() == PaperCounts{3, 2, 3});
            CHECK(index->evict(1) == 1);
            CHECK(there() == PaperCounts{3, 2, 2});
            CHECK(index->evict(1) == 1);
            CHECK(there() == PaperCounts{3, 2, 1});
        }
    }

    TEST_CASE("by hand: what followed the last three letters") {
        const std::unique_ptr<Drafter> drafter = make_lookup_drafter();
        const auto guesses = [&](const char* text) {
            std::vector<Token> tokens;
            drafter->guess(0, paper_letters(text), 4, tokens);
            return tokens;
        };
        CHECK(guesses("the cat sat on the c") == paper_letters("at s"));
        CHECK(guesses("the cat sat on the") == paper_letters(" cat"));
        CHECK(guesses("a new day").empty());
    }

    TEST_CASE("by hand: guesses over the border of a page and back") {
        PagePool pool = paper_pool(6);
        PagedCache cache(pool, kPaperRoom);
        cache.pretend(7);
        CHECK(pool.free() == 4);
        cache.pretend(4);
        CHECK(paper_table(cache) == PaperPages{0, 1, 2});
        cache.truncate(8);
        CHECK(paper_table(cache) == PaperPages{0, 1});
        CHECK(pool.free() == 4);
        cache.pretend(4);
        cache.truncate(11);
        CHECK(paper_table(cache) == PaperPages{0, 1, 2});
    }
}
