// Step 6: quantised caches as stores. Mistakes in mind: a fork that shares rows, a truncation
// that brings back what is gone, memory that nobody counts, a format that cuts a head's row
// where it has no block.
#include <doctest/doctest.h>

#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/memory.hpp>

#include "quant_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step06");

TEST_CASE("kv stores: forks and truncation and steps that fail against a fresh cache") {
    QuantRig rig;
    const auto text = random_tokens(120, 96, 14);
    const auto other = random_tokens(40, 96, 15);
    const std::span all(text);
    for (const Format code :
         {&formats::q4_0, &formats::lloyd3, &formats::kivi2, &formats::e4m3})
        for (const Index sinks : {0, 3}) {
            QuantOptions options = kivi(code, 64);
            options.sinks = sinks;
            CAPTURE(quant_name(options));
            const auto fresh = [&](Index length, std::span<const Token> rest) {
                const auto cache = rig.cache(options, 200);
                rig.cached(*cache, all.first(usize(length)), 0);
                return rig.cached(*cache, rest, 0);
            };
            const auto cache = rig.cache(options, 200);
            rig.cached(*cache, all.first(70), 5);
            auto fork = cache->fork();
            const Tensor expected = fresh(70, other);
            CHECK(differing(rig.cached(*fork, other, 3), expected) == 0);
            // The first one does not know of it.
            CHECK(differing(rig.cached(*cache, all.subspan(70), 0),
                            fresh(70, all.subspan(70))) == 0);
            // Three tokens of an unfinished step leave nothing behind.
            fork = cache->fork();
            Tensor rows({3, 2, 32});
            for (float& x : rows.flat()) x = 9.0f;
            cache->begin(3);
            cache->append(0, rows.view(), rows.view());
            cache->abandon();
            CHECK(differing(rig.cached(*cache, other, 0), rig.cached(*fork, other, 0)) == 0);
            if (code == &formats::kivi2) {
                CHECK_THROWS_WITH_AS(cache->truncate(100), doctest::Contains("codes now"),
                                     Error);
            } else {
                cache->truncate(70);
                CHECK(differing(rig.cached(*cache, other, 7), expected) == 0);
            }
            cache->reset();
            CHECK(differing(rig.cached(*cache, all, 64), fresh(0, all)) == 0);
        }
}

TEST_CASE("kivi: what still waits can be taken back") {
    QuantRig rig;
    const auto text = random_tokens(120, 96, 16);
    const auto other = random_tokens(40, 96, 17);
    // All of it, and keys alone within their block.
    for (const auto& [options, length, back] :
         {std::tuple{kivi(&formats::kivi2, 64), Index{60}, Index{20}},
          std::tuple{QuantOptions{&formats::kivi2, &formats::q4_0, false, false, 0, 64},
                     Index{110}, Index{64}}}) {
        const auto cache = rig.cache(options, 200);
        rig.cached(*cache, std::span(text).first(usize(length)), 9);
        cache->truncate(back);
        const auto fresh = rig.cache(options, 200);
        rig.cached(*fresh, std::span(text).first(usize(back)), 0);
        CHECK(differing(rig.cached(*cache, other, 0), rig.cached(*fresh, other, 1)) == 0);
    }
}

TEST_CASE("kv law: a run without a cache rounds and refuses what the cache refuses") {
    QuantRig rig;
    const auto text = random_tokens(40, 96, 18);
    const Tensor floats = rig.uncached(both(&formats::f32), text);
    KvCache cache(rig.shape(), 40);
    CHECK(differing(rig.cached(cache, text, 0), floats) == 0);
    UncachedQuant store(rig.shape(), 40, both(&formats::q4_0));
    CHECK_FALSE(store.remembers());
    CHECK_THROWS_WITH_AS(store.begin(41), doctest::Contains("41 tokens"), Error);
    CHECK_THROWS_AS(store.truncate(1), Error);
    CHECK_THROWS_WITH_AS(UncachedQuant({2, 4, 2, 16}, 40, both(&formats::q4_0)),
                         doctest::Contains("head_dim of 16"), Error);
    // A prompt in pieces would forget its beginning.
    rig.decoder.forward(store, text, LogitsOf::all);
    CHECK(store.next_position() == 0);
}

TEST_CASE("kv stores: waiting rows of a fork and the memory they take") {
    const KvShape shape{2, 4, 2, 32};
    const MemoryUse before = memory_use();
    {
        KvCache cache(shape, 200, coded_rows(kivi(&formats::kivi2, 64)));
        Tensor rows({100, 2, 32});
        for (Index i = 0; i < rows.size(); ++i) rows.data()[i] = static_cast<float>(i % 77);
        const auto fill = [&] {
            cache.begin(100);
            for (const Index layer : {0, 1}) cache.append(layer, rows.view(), rows.view());
            cache.commit();
        };
        const Index unused = memory_use().bytes - before.bytes - rows.size() * 4;
        CHECK(unused == cache.bytes().allocated);
        fill();
        CHECK(memory_use().bytes - before.bytes - rows.size() * 4 == cache.bytes().allocated);
        const auto fork = cache.fork();
        CHECK(memory_use().bytes - before.bytes - rows.size() * 4 ==
              2 * cache.bytes().allocated);
        // What waits in the fork is its own.
        const auto& copy = dynamic_cast<const KvCache&>(*fork);
        const float old = copy.key(1, 1, 99, 5);
        CHECK(old == rows(99, 1, 5));
        for (float& x : rows.flat()) x = -1.0f;
        fill();
        CHECK(copy.key(1, 1, 99, 5) == old);
        CHECK(cache.key(1, 1, 199, 5) == -1.0f);
    }
    CHECK(memory_use().bytes == before.bytes);
}

TEST_CASE("kv stores: what does not fit is refused by name") {
    const KvShape tiny{2, 4, 2, 16}, odd{1, 2, 1, 24};
    const auto make = [](const KvShape& shape, const QuantOptions& options) {
        return KvCache(shape, 64, coded_rows(options));
    };
    for (const Format code : {&formats::q8_0, &formats::q4_0, &formats::q4_1})
        CHECK_THROWS_WITH_AS(make(tiny, both(code)),
                             doctest::Contains("head_dim of 16 is no multiple of 32"), Error);
    CHECK_THROWS_WITH_AS(make(tiny, {&formats::f32, &formats::kivi4}),
                         "kivi4: a head_dim of 16 is no multiple of 32", Error);
    CHECK_NOTHROW(make(tiny, {&formats::kivi4, &formats::f32}));
    QuantOptions rotated = both(&formats::int8);
    rotated.turn = true;
    CHECK_NOTHROW(make(tiny, rotated));
    CHECK_THROWS_WITH_AS(make(odd, rotated), doctest::Contains("24 is no power of two"), Error);
    rotated.before_rope = true;
    CHECK_THROWS_WITH_AS(make(tiny, rotated), doctest::Contains("before RoPE"), Error);
    QuantOptions before = both(&formats::f16);
    before.before_rope = true;
    CHECK_THROWS_WITH_AS(make(tiny, before), doctest::Contains("model with RoPE"), Error);
    for (const Index residual : {0, 31, 48})
        CHECK_THROWS_WITH_AS(make({1, 2, 1, 32}, kivi(&formats::kivi2, residual)),
                             doctest::Contains("residual"), Error);
    CHECK_THROWS_WITH_AS(find_kv_format(coded_formats(), "q5_0"),
                         doctest::Contains("q4_0, q4_1, lloyd4"), Error);
    KvCache cache(tiny, 2, coded_rows(both(&formats::f16)));
    CHECK_THROWS_AS(cache.begin(3), Error);
    Tensor rows({1, 2, 16});
    rows(0, 1, 3) = 65520.0f;
    cache.begin(1);
    CHECK_THROWS_WITH_AS(cache.append(0, rows.view(), rows.view()),
                         "f16 cache: 65520 does not fit", Error);
}

TEST_SUITE_END();
