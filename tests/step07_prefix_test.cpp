// Step 7: the two indexes of prefixes. Mistakes in mind: a hash that is taken for proof, a
// scope that runs into the tokens, a page that two texts claim, an end that is evicted while
// somebody reads it, a middle that is evicted before its end, looking that changes what is old.
#include <doctest/doctest.h>

#include <algorithm>

#include "plain_prefix_index.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step07");

TEST_CASE("prefix: the longest run of whole pages is found") {
    for (const MakeIndex& make : all_indexes()) {
        PagePool pool(kPrefixShape, {.pages = 10, .page_slots = kPrefixSlots});
        const auto index = make(pool);
        CAPTURE(index->name());
        CHECK(index->find("", TokenList{1, 2, 3, 4}).empty());
        CHECK(put_text(pool, *index, "", TokenList{1, 2, 3, 4, 5}) == PageList{0, 1});
        CHECK(index->held() == 2);
        CHECK(index->find("", TokenList{}).empty());
        CHECK(index->find("", TokenList{1}).empty());
        CHECK(index->find("", TokenList{1, 2}) == PageList{0});
        CHECK(index->find("", TokenList{1, 2, 3}) == PageList{0});
        CHECK(index->find("", TokenList{1, 2, 3, 4, 9, 9}) == PageList{0, 1});
        CHECK(index->find("", TokenList{1, 2, 3, 9}) == PageList{0});
        CHECK(index->find("", TokenList{1, 9, 3, 4}).empty());
        CHECK(index->find("", TokenList{3, 4}).empty());  // the same tokens after others
        CHECK(index->look("", TokenList{1, 2, 3, 4}) == 2);
        CHECK(index->counts().asked == 2 + 0 + 0 + 1 + 1 + 3 + 2 + 2 + 1);
        CHECK(index->counts().found == 1 + 1 + 2 + 1);
        CHECK(pool.users(0) == 1);
        CHECK(pool.free() == 8);
    }
}

TEST_CASE("prefix: what is held already stays, and the rest is added") {
    for (const MakeIndex& make : all_indexes()) {
        PagePool pool(kPrefixShape, {.pages = 10, .page_slots = kPrefixSlots});
        const auto index = make(pool);
        CAPTURE(index->name());
        CHECK(put_text(pool, *index, "", TokenList{1, 2, 3, 4}) == PageList{0, 1});
        // Computed a second time: its own first page is freed again.
        const PageList second = put_text(pool, *index, "", TokenList{1, 2, 5, 6, 7, 8});
        CHECK(index->find("", TokenList{1, 2, 5, 6, 7, 8}) ==
              PageList{0, second[1], second[2]});
        CHECK(index->held() == 4);
        CHECK(pool.free() == 6);
        CHECK(index->find("", TokenList{1, 2, 3, 4}) == PageList{0, 1});
    }
}

TEST_CASE("prefix: scopes share nothing and do not run into the tokens") {
    for (const MakeIndex& make : all_indexes()) {
        PagePool pool(kPrefixShape, {.pages = 10, .page_slots = kPrefixSlots});
        const auto index = make(pool);
        CAPTURE(index->name());
        put_text(pool, *index, "a", TokenList{'b', 2, 3, 4});
        for (const char* other : {"", "ab", "b", "A"})
            CHECK(index->find(other, TokenList{'b', 2, 3, 4}).empty());
        CHECK(index->find("ab", TokenList{2, 3}).empty());
        CHECK(index->find(std::string("a\0", 2), TokenList{'b', 2}).empty());
        CHECK(index->find("a", TokenList{'b', 2, 3, 4}).size() == 2);
    }
    // One entry, whose parts could be cut at another place.
    const TokenList page{'b', 2}, more{'a', 'b'};
    CHECK(prefix_hash({"a", 0, page}) != prefix_hash({"", 0, more}));
    CHECK(prefix_hash({"ab", 0, page}) != prefix_hash({"a", 0, page}));
    CHECK(prefix_hash({"", 'a', page}) != prefix_hash({"a", 0, page}));
    CHECK(prefix_hash({"", 1, page}) != prefix_hash({"", std::int64_t{1} << 32, page}));
}

TEST_CASE("prefix: pages that a polynomial takes for the same are not") {
    // 31 * (j + 1) + (k - 31) = 31 * j + k: a hash that adds up so cannot tell these apart.
    const auto polynomial = [](const PrefixKey& key) {
        std::uint64_t sum = 0;
        for (const Token token : key.tokens) sum = sum * 31 + static_cast<std::uint64_t>(token);
        return sum;
    };
    PagePool pool(kPrefixShape, {.pages = 10, .page_slots = kPrefixSlots});
    const auto index = make_chain_index(pool, polynomial);
    const TokenList a{5, 40}, b{6, 9};
    CHECK(polynomial({"", 0, a}) == polynomial({"", 0, b}));
    const PageList pages = put_text(pool, *index, "", a);
    CHECK(index->find("", b).empty());
    const PageList others = put_text(pool, *index, "", b);
    CHECK(index->find("", a) == pages);
    CHECK(index->find("", b) == others);
    CHECK(pages != others);
}

TEST_CASE("prefix: ends are evicted before beginnings and old ones before new ones") {
    for (const MakeIndex& make : all_indexes()) {
        PagePool pool(kPrefixShape, {.pages = 10, .page_slots = kPrefixSlots});
        const auto index = make(pool);
        CAPTURE(index->name());
        put_text(pool, *index, "", TokenList{1, 1, 2, 2, 3, 3});
        put_text(pool, *index, "", TokenList{1, 1, 2, 2, 4, 4});
        put_text(pool, *index, "", TokenList{7, 7});
        CHECK(index->find("", TokenList{1, 1, 2, 2, 3, 3}).size() == 3);  // newer than the rest
        CHECK(index->look("", TokenList{1, 1, 2, 2, 4, 4}) == 3);         // changes nothing
        CHECK(index->evictable() == 5);
        CHECK(index->evict(1) == 1);
        CHECK(index->look("", TokenList{1, 1, 2, 2, 4, 4}) == 2);
        CHECK(index->evict(1) == 1);
        CHECK(index->look("", TokenList{7, 7}) == 0);
        CHECK(index->evict(1) == 1);
        CHECK(index->look("", TokenList{1, 1, 2, 2, 3, 3}) == 2);
        CHECK(index->evict(9) == 2);
        CHECK(index->evict(9) == 0);
        CHECK(index->counts().evicted == 5);
        CHECK(pool.free() == 10);
    }
}

TEST_CASE("prefix: a page that a text uses stays and so does what is before it") {
    for (const MakeIndex& make : all_indexes()) {
        PagePool pool(kPrefixShape, {.pages = 10, .page_slots = kPrefixSlots});
        {
            const auto index = make(pool);
            CAPTURE(index->name());
            const PageList pages =
                put_text(pool, *index, "", TokenList{1, 1, 2, 2, 3, 3, 4, 4});
            put_text(pool, *index, "", TokenList{1, 1, 5, 5});
            pool.share(pages[2]);
            CHECK(index->evictable() == 2);
            CHECK(index->evict(10) == 2);
            CHECK(index->evictable() == 0);
            CHECK(index->look("", TokenList{1, 1, 2, 2, 3, 3, 4, 4}) == 3);
            CHECK(index->look("", TokenList{1, 1, 5, 5}) == 1);
            pool.release(pages[2]);
            pool.share(pages[0]);
            CHECK(index->evictable() == 2);
            CHECK(index->evict(1) == 1);
            pool.release(pages[0]);
            CHECK(pool.free() == 8);
        }
        CHECK(pool.free() == 10);  // an index that ends lets go of all
    }
}

TEST_CASE("prefix: refusals") {
    for (const MakeIndex& make : all_indexes()) {
        PagePool pool(kPrefixShape, {.pages = 10, .page_slots = kPrefixSlots});
        const auto index = make(pool);
        CAPTURE(index->name());
        const PageList pages = put_text(pool, *index, "", TokenList{1, 1, 2, 2});
        const PageId mine = pool.take();
        CHECK_THROWS_WITH_AS(index->insert("", TokenList{5, 5, 6}, PageList{mine, mine}),
                             "prefix index: 3 tokens do not fill 2 pages of 2", Error);
        CHECK_THROWS_WITH_AS(index->insert("", TokenList{5, 5}, PageList{9}),
                             "prefix index: page 9 is free", Error);
        CHECK_THROWS_WITH_AS(index->insert("", TokenList{5, 5, 6, 6}, PageList{mine, mine}),
                             doctest::Contains("is held for other tokens already"), Error);
        CHECK_THROWS_WITH_AS(index->insert("b", TokenList{1, 1}, PageList{pages[0]}),
                             "prefix index: page 0 is held for other tokens already", Error);
        CHECK_THROWS_AS(index->insert("", TokenList{5, 5}, PageList{99}), Error);
        CHECK(index->held() == 2);
        CHECK(pool.users(mine) == 1);
        index->insert("", TokenList{1, 1, 2, 2}, pages);  // of a text that adopted them
        CHECK(index->held() == 2);
        CHECK(pool.users(pages[0]) == 1);
        pool.release(mine);
    }
    PagePool pool(kPrefixShape, {.pages = 10, .page_slots = kPrefixSlots});
    CHECK_THROWS_WITH_AS(make_chain_index(pool, nullptr), "prefix index: no hash", Error);
}

TEST_CASE("prefix: random texts give all indexes the answers of a plain list") {
    for (const MakeIndex& make : all_indexes())
        for (std::uint64_t seed = 1; seed <= 10; ++seed) {
            PrefixRace race(make, seed);
            CAPTURE(race.index->name());
            CAPTURE(seed);
            for (Index step = 0; step < 300; ++step) race.step();
            race.finish();
            CHECK(race.found > 100);
            CHECK(race.evicted > 20);
            CHECK(race.pinned > 20);
        }
}

TEST_SUITE_END();
