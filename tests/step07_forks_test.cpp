// Step 7: forks of a text in pages. Mistakes in mind: a tail that is copied too early, too late
// or not at all, a page that both go on writing, a copy that nobody needs.
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

const KvShape kForkShape{2, 4, 2, 8};

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("pages: a fork costs a page when it writes") {
    QuantRig rig;
    const auto text = random_tokens(150, rig.model->config.vocab, 4);
    const std::span<const Token> all(text);
    PagePool pool(rig.shape(), {.pages = 8});
    PagedCache first(pool, 400);
    KvCache plain(rig.shape(), 400);
    rig.cached(first, all.first(100), 0);
    rig.cached(plain, all.first(100), 0);
    const auto second = paged_fork(first);
    const auto plain_second = plain.fork();
    CHECK(pool.free() == 6);
    CHECK(second->pages_needed(1) == 1);
    const Tensor a = rig.cached(*second, all.subspan(100), 7),
                 b = rig.cached(*plain_second, all.subspan(100), 7);
    CHECK(differing(a, b) == 0);
    CHECK(pool.counts().copied == 1);
    CHECK(second->table()[0] == first.table()[0]);
    CHECK(second->table()[1] != first.table()[1]);
    CHECK(first.pages_needed(1) == 0);
    CHECK(differing(rig.cached(first, all.first(50), 0), rig.cached(plain, all.first(50), 0)) ==
          0);
    CHECK(pool.counts().copied == 1);
}

TEST_CASE("pages: a fork at a border copies nothing and both go on") {
    QuantRig rig;
    const auto text = random_tokens(200, 96, 4);
    const std::span<const Token> all(text);
    PagePool pool(rig.shape(), {.pages = 8});
    PagedCache first(pool, 400);
    KvCache plain(rig.shape(), 400);
    rig.cached(first, all.first(128), 0);
    rig.cached(plain, all.first(128), 0);
    const auto second = paged_fork(first);
    const auto plain_second = plain.fork();
    CHECK(pool.free() == 6);
    CHECK(second->pages_needed(1) == 1);
    // In one step of the decoder, which reads the shared pages for both.
    const SequenceStep steps[] = {{&first, all.subspan(128, 9), LogitsOf::all},
                                  {second.get(), all.subspan(150, 30), LogitsOf::all}};
    const Tensor together = QuantRig::copy(rig.decoder.forward(steps));
    const Tensor a = rig.cached(plain, all.subspan(128, 9), 0),
                 b = rig.cached(*plain_second, all.subspan(150, 30), 0);
    const std::span<const float> rows = std::as_const(together).flat();
    CHECK(compare_bits(rows.first(usize(a.size())), a.flat()).differ == 0);
    CHECK(compare_bits(rows.last(usize(b.size())), b.flat()).differ == 0);
    CHECK(pool.counts().copied == 0);
    CHECK(pool.counts().shared == 2);
    CHECK(pool.free() == 4);
}

TEST_CASE("pages: the last user of a tail writes into it and need not copy") {
    PagePool pool(kForkShape, {.pages = 3});
    PagedCache first(pool, 100);
    first.pretend(10);
    auto second = paged_fork(first);
    const PageId page = first.table()[0];
    second->pretend(1);
    CHECK(pool.counts().copied == 1);
    CHECK(second->table()[0] != page);
    CHECK(first.pages_needed(1) == 0);
    first.pretend(1);
    CHECK(first.table()[0] == page);
    CHECK(pool.counts().copied == 1);
    // A fork that ends before anybody writes.
    second = paged_fork(first);
    CHECK(pool.users(page) == 2);
    second.reset();
    first.pretend(1);
    CHECK(first.table()[0] == page);
    CHECK(pool.counts().copied == 1);
}

TEST_SUITE_END();
