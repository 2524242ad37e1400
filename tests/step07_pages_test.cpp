// Step 7: pages. Mistakes in mind: a page in two tables that is written, a page twice in one
// table, a tail that is copied too early, too late or not at all, pages lost when a step fails,
// positions that begin again on every page.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/serving/paged_cache.hpp>

#include "paged_fork.hpp"
#include "quant_rig.hpp"
#include "store_misuse.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const KvShape kPagesShape{2, 4, 2, 8};

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("pages: the pool counts users and gives back what was freed last") {
    PagePool pool(kPagesShape, {.pages = 3});
    CHECK(pool.free() == 3);
    CHECK(pool.take() == 0);
    CHECK(pool.take() == 1);
    pool.share(0);
    CHECK(pool.users(0) == 2);
    pool.release(0);
    CHECK(pool.free() == 1);
    pool.release(0);
    pool.release(1);
    CHECK(pool.free() == 3);
    CHECK(pool.take() == 1);
    CHECK(pool.take() == 0);
    CHECK(pool.take() == 2);
    CHECK_THROWS_WITH_AS(pool.take(), "page pool: all 3 pages are in use", Error);
    CHECK(pool.counts().taken == 5);
    CHECK(pool.counts().shared == 1);
    CHECK(pool.counts().most_used == 3);
    CHECK(pool.allocated_bytes() == 0);  // nobody wrote
}

TEST_CASE("pages: one that is taken holds nothing of the text before") {
    PagePool pool(kPagesShape, {.pages = 1});
    const auto marks = [&] {
        Index count = 0;
        pool.visit_memory(0, [&](std::span<std::byte> piece) {
            count += std::count(piece.begin(), piece.end(), std::byte{7});
        });
        return count;
    };
    pool.take();
    pool.visit_memory(0, [](std::span<std::byte> piece) {
        std::fill(piece.begin(), piece.end(), std::byte{7});
    });
    CHECK(marks() == pool.page_bytes());
    CHECK(pool.allocated_bytes() == pool.page_bytes());
    pool.release(0);
    pool.take();
    CHECK(marks() == 0);
}

TEST_CASE("pages: the step of every store") {
    PagePool pool(kPagesShape, {.pages = 8});
    const HostRows rows(kPagesShape);
    check_step_protocol([&] { return std::make_unique<PagedCache>(pool, 20); }, rows);
    CHECK(pool.free() == 8);
}

TEST_CASE("pages: logits have the bits of the contiguous cache") {
    QuantRig rig;
    for (const Index page_slots : {64, 128, 256})
        for (const Index length : {1, 63, 64, 65, 128, 129, 300})
            for (const Index piece : {0, 1, 50}) {
                CAPTURE(page_slots);
                CAPTURE(length);
                CAPTURE(piece);
                const auto text = random_tokens(length, rig.model->config.vocab, 3);
                PagePool pool(rig.shape(), {.pages = 8, .page_slots = page_slots});
                PagedCache paged(pool, 400);
                KvCache contiguous(rig.shape(), 400);
                const Tensor a = rig.cached(paged, text, piece),
                             b = rig.cached(contiguous, text, piece);
                CHECK(differing(a, b) == 0);
                CHECK(std::ssize(paged.table()) == blocks_for(length, page_slots));
                CHECK(paged.bytes().logical == contiguous.bytes().logical);
            }
}

TEST_CASE("pages: going back over a border frees pages and writes none that are shared") {
    QuantRig rig;
    const auto text = random_tokens(330, 96, 6), other = random_tokens(100, 96, 7);
    for (const Index to : {0, 1, 63, 64, 65, 127, 128, 129, 191, 299}) {
        CAPTURE(to);
        PagePool pool(rig.shape(), {.pages = 12, .poison = true});
        PagedCache paged(pool, 400);
        KvCache plain(rig.shape(), 400);
        rig.cached(paged, std::span(text).first(300), 0);
        rig.cached(plain, std::span(text).first(300), 0);
        const auto whole = paged_fork(paged);
        paged.truncate(to);
        plain.truncate(to);
        CHECK(std::ssize(paged.table()) == blocks_for(to, 64));
        CHECK(pool.free() == 12 - 5);  // the fork holds them all
        CHECK(paged.pages_needed(100) ==
              blocks_for(to + 100, 64) - blocks_for(to, 64) + (to % 64 == 0 ? 0 : 1));
        CHECK(differing(rig.cached(paged, other, 33), rig.cached(plain, other, 33)) == 0);
        CHECK(pool.counts().copied == (to % 64 == 0 ? 0 : 1));
        KvCache fresh(rig.shape(), 400);
        rig.cached(fresh, std::span(text).first(300), 0);
        const auto rest = std::span(text).subspan(300);
        CHECK(differing(rig.cached(*whole, rest, 0), rig.cached(fresh, rest, 0)) == 0);
    }
}

TEST_CASE("pages: without enough of them a step is refused and nothing has happened") {
    QuantRig rig;
    const auto text = random_tokens(200, 96, 6);
    PagePool pool(rig.shape(), {.pages = 3});
    PagedCache first(pool, 400);
    rig.cached(first, std::span(text).first(100), 0);
    const auto second = paged_fork(first);
    const std::vector<PageId> table(first.table().begin(), first.table().end());
    const PoolCounts before = pool.counts();
    CHECK(first.room() == 300);
    CHECK(first.pages_needed(29) == 2);  // the copy of the tail and one more
    CHECK_THROWS_WITH_AS(
        first.begin(29),
        "paged cache: a step of 29 tokens needs 2 pages, and of 3 there are 1 free", Error);
    CHECK_THROWS_AS(rig.decoder.forward(first, std::span(text).subspan(100, 29)), Error);
    CHECK_THROWS_AS(first.pretend(29), Error);
    CHECK(std::equal(table.begin(), table.end(), first.table().begin(), first.table().end()));
    CHECK(first.next_position() == 100);
    CHECK(pool.free() == 1);
    for (const PageId page : table) CHECK(pool.users(page) == 2);
    CHECK(pool.counts().taken == before.taken);
    CHECK(pool.counts().copied == 0);
    first.pretend(28);  // the copy alone
    CHECK(pool.free() == 0);
    CHECK_THROWS_AS(second->begin(29), Error);
    second->pretend(28);  // now it is alone in its tail
    CHECK(pool.counts().copied == 1);
}

TEST_CASE("pages: a step that fails gives back what it took") {
    QuantRig rig;
    const auto text = random_tokens(200, 96, 6);
    PagePool pool(rig.shape(), {.pages = 5, .rows = rows_in(&formats::f16)});
    PagedCache cache(pool, 400);
    rig.cached(cache, std::span(text).first(100), 0);
    const auto fork = paged_fork(cache);
    const KvShape shape = rig.shape();
    Tensor rows({100, shape.kv_heads, shape.head_dim});
    rows(70, 1, 3) = 1e6f;  // f16 cannot hold it
    cache.begin(100);
    CHECK(pool.free() == 0);
    CHECK_THROWS_AS(cache.append(0, rows.view(), rows.view()), Error);
    cache.abandon();
    CHECK(pool.free() == 2);  // the copy of the tail stays
    CHECK(cache.next_position() == 100);
    const auto rest = std::span(text).subspan(100, 60);
    KvCache plain(shape, 400, rows_in(&formats::f16));
    rig.cached(plain, std::span(text).first(100), 0);
    const Tensor expected = rig.cached(plain, rest, 0);
    CHECK(differing(rig.cached(cache, rest, 0), expected) == 0);
    CHECK(differing(rig.cached(*fork, rest, 7), expected) == 0);
}

TEST_CASE("pages: others' pages are adopted full and at the beginning") {
    QuantRig rig;
    const auto text = random_tokens(250, 96, 6), other = random_tokens(70, 96, 7);
    PagePool pool(rig.shape(), {.pages = 8});
    PagedCache first(pool, 400), second(pool, 400), third(pool, 100);
    rig.cached(first, std::span(text).first(200), 0);
    const auto full = first.table().first(3);
    second.adopt(full);
    CHECK(second.next_position() == 192);
    CHECK(second.pages_needed(1) == 1);
    for (const PageId page : full) CHECK(pool.users(page) == 2);
    KvCache plain(rig.shape(), 400);
    rig.cached(plain, std::span(text).first(192), 0);
    CHECK(differing(rig.cached(second, other, 9), rig.cached(plain, other, 9)) == 0);
    CHECK(pool.counts().copied == 0);
    CHECK_THROWS_WITH_AS(second.adopt(full), doctest::Contains("before the first token"),
                         Error);
    CHECK_THROWS_WITH_AS(third.adopt(full), doctest::Contains("3 pages of 64 tokens"), Error);
    const PageId twice[] = {full[0], full[0]}, free[] = {full[0], 7}, none[] = {8};
    PagedCache fourth(pool, 400);
    CHECK_THROWS_WITH_AS(fourth.adopt(twice), doctest::Contains("twice in one text"), Error);
    CHECK_THROWS_WITH_AS(fourth.adopt(free), "paged cache: page 7 is free", Error);
    CHECK_THROWS_AS(fourth.adopt(none), Error);
    CHECK(fourth.table().empty());
    CHECK(pool.users(full[0]) == 2);
    fourth.adopt({});
    CHECK(fourth.next_position() == 0);
}

TEST_CASE("pages: pretending makes no memory and any size of page will do") {
    PagePool pool(kPagesShape, {.pages = 100, .page_slots = 16});
    CHECK(pool.page_bytes() * 4 == PagePool(kPagesShape, {.pages = 1}).page_bytes());
    PagedCache cache(pool, 1000);
    for (Index step = 0; step < 40; ++step) cache.pretend(7);
    const auto fork = paged_fork(cache);
    cache.truncate(17);
    cache.pretend(1);
    CHECK(pool.counts().copied == 1);
    CHECK(cache.table().size() == 2);
    CHECK(fork->table().size() == 18);
    CHECK(pool.free() == 100 - 18 - 1);
    CHECK(pool.allocated_bytes() == 0);
    CHECK(fork->bytes().allocated == 18 * pool.page_bytes());
    CHECK(fork->bytes().logical == 280 * 2 * 2 * 2 * 8 * 4);
    const Tensor rows({1, 2, 8});
    cache.begin(1);
    CHECK_THROWS_WITH_AS(cache.append(0, rows.view(), rows.view()),
                         "page pool: pages of 16 slots are only counted: attention reads tiles "
                         "of 64",
                         Error);
    cache.abandon();
}

TEST_CASE("pages: refusals") {
    CHECK_THROWS_WITH_AS(PagePool(kPagesShape, {}),
                         "page pool: expected 1 to 2147483647 pages, found 0", Error);
    CHECK_THROWS_AS(PagePool(kPagesShape, {.pages = Index{1} << 31}), Error);
    CHECK_THROWS_WITH_AS(PagePool(kPagesShape, {.pages = 1, .page_slots = 0}),
                         "page pool: a page of 0 slots", Error);
    CHECK_THROWS_WITH_AS(PagePool(kPagesShape, {.pages = 1, .rows = nullptr}),
                         "page pool: no rows", Error);
    CHECK_THROWS_AS(PagePool({2, 3, 2, 8}, {.pages = 1}), Error);
    PagePool pool(kPagesShape, {.pages = 2});
    const PageId page = pool.take();
    CHECK_THROWS_WITH_AS(pool.share(1), "page pool: page 1 is free", Error);
    CHECK_THROWS_WITH_AS(pool.release(1), "page pool: page 1 is free", Error);
    CHECK_THROWS_WITH_AS(pool.users(2), "page pool: there is no page 2 of 2", Error);
    CHECK_THROWS_AS(pool.users(-1), Error);
    CHECK_THROWS_WITH_AS(pool.rows(1, 0), "page pool: page 1 is free", Error);
    CHECK(pool.written(page, 0) == nullptr);
    CHECK_THROWS_AS(pool.copy(page, page, 1), Error);
    CHECK_THROWS_AS(pool.copy(page, 1, 1), Error);
    pool.release(page);
    CHECK_THROWS_WITH_AS(pool.release(page), "page pool: page 0 is free", Error);
    CHECK(pool.free() == 2);
    QuantOptions before = both(&formats::q8_0);
    before.before_rope = true;
    PagePool unrotated({2, 4, 2, 32}, {.pages = 2, .rows = coded_rows(before)});
    CHECK_THROWS_WITH_AS(PagedCache(unrotated, 10),
                         "paged cache: keys before RoPE need a model with RoPE of 10 positions",
                         Error);
    CHECK_THROWS_AS(PagedCache(pool, 0), Error);
}

TEST_SUITE_END();
