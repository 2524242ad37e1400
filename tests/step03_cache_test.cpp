// Step 3: the contiguous cache. What it holds, what it refuses, and that nothing else
// can be seen.
#include <doctest/doctest.h>

#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const KvShape kShape{2, 4, 2, 8};

// Rows whose every number names its place: layer, position, head, component.
Tensor labelled_rows(Index layer, Index first, Index T, float sign) {
    Tensor rows({T, kShape.kv_heads, kShape.head_dim});
    for (Index t = 0; t < T; ++t)
        for (Index h = 0; h < kShape.kv_heads; ++h)
            for (Index i = 0; i < kShape.head_dim; ++i)
                rows(t, h, i) =
                    sign * static_cast<float>(((layer * 1000 + first + t) * 10 + h) * 10 + i);
    return rows;
}

void feed(KvCache& cache, Index T) {
    const Index first = cache.next_position();
    cache.begin(T);
    for (Index layer = 0; layer < kShape.layers; ++layer)
        cache.append(layer, labelled_rows(layer, first, T, 1.0f).view(),
                     labelled_rows(layer, first, T, -1.0f).view());
    cache.commit();
}

void check_contents(const KvCache& cache) {
    for (Index layer = 0; layer < kShape.layers; ++layer) {
        const Tensor expected = labelled_rows(layer, 0, cache.next_position(), 1.0f);
        for (Index p = 0; p < cache.next_position(); ++p)
            for (Index h = 0; h < kShape.kv_heads; ++h)
                for (Index i = 0; i < kShape.head_dim; ++i) {
                    REQUIRE(cache.key(layer, h, p, i) == expected(p, h, i));
                    REQUIRE(cache.value(layer, h, p, i) == -expected(p, h, i));
                }
    }
}

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("append: rows keep their place over tile borders") {
    for (const Index piece : {1, 7, 63, 64, 65}) {
        CAPTURE(piece);
        KvCache cache(kShape, 200);
        while (cache.room() >= piece) feed(cache, piece);
        CHECK(cache.next_position() == 200 / piece * piece);
        check_contents(cache);
    }
}

TEST_CASE("append: what does not fit is refused and nothing changes") {
    KvCache cache(kShape, 10);
    feed(cache, 8);
    CHECK(cache.room() == 2);
    CHECK_THROWS_WITH_AS(cache.begin(3), "kv cache: a step of 3 tokens; there is room for 2",
                         Error);
    CHECK_THROWS_AS(cache.begin(0), Error);
    CHECK(cache.next_position() == 8);
    check_contents(cache);
    feed(cache, 2);
    CHECK(cache.room() == 0);
    CHECK_THROWS_AS(cache.begin(1), Error);
    check_contents(cache);
    CHECK_THROWS_AS(KvCache(kShape, 0), Error);
}

TEST_CASE("append: a step that is not committed never happened") {
    KvCache cache(kShape, 10);
    feed(cache, 3);
    cache.begin(2);
    cache.append(0, labelled_rows(9, 0, 2, 1.0f).view(), labelled_rows(9, 0, 2, 1.0f).view());
    CHECK(cache.next_position() == 3);
    CHECK_THROWS_AS(cache.key(0, 0, 3, 0), Error);
    CHECK_THROWS_AS(cache.append(0, labelled_rows(0, 0, 3, 1.0f).view(),
                                 labelled_rows(0, 0, 3, 1.0f).view()),
                    Error);
    cache.abandon();
    feed(cache, 1);
    CHECK(cache.next_position() == 4);
    check_contents(cache);
}

TEST_CASE("append: layers come once and in order and all before the end") {
    KvCache cache(kShape, 10);
    const Tensor rows = labelled_rows(0, 0, 1, 1.0f);
    Tensor q({1, kShape.heads, kShape.head_dim}), out({1, kShape.heads, kShape.head_dim});
    ThreadPool pool(1);
    CHECK_THROWS_AS(cache.commit(), Error);
    cache.begin(1);
    CHECK_THROWS_AS(cache.append(1, rows.view(), rows.view()), Error);
    CHECK_THROWS_AS(cache.attend(0, q.view(), out.view(), pool), Error);
    cache.append(0, rows.view(), rows.view());
    CHECK_THROWS_AS(cache.append(0, rows.view(), rows.view()), Error);
    CHECK_THROWS_AS(cache.commit(), Error);
    CHECK(cache.next_position() == 0);
    cache.append(1, rows.view(), rows.view());
    CHECK_THROWS_AS(cache.append(2, rows.view(), rows.view()), Error);
    cache.commit();
    CHECK(cache.next_position() == 1);
}

TEST_CASE("append: rows of another shape are refused") {
    KvCache cache(kShape, 10);
    cache.begin(1);
    Tensor wrong_heads({1, 4, 8}), wrong_dim({1, 2, 4});
    const Tensor right = labelled_rows(0, 0, 1, 1.0f);
    CHECK_THROWS_AS(cache.append(0, wrong_heads.view(), right.view()), Error);
    CHECK_THROWS_AS(cache.append(0, right.view(), wrong_dim.view()), Error);
}

TEST_CASE("truncate and reset: forgotten tokens are gone and the rest stays") {
    KvCache cache(kShape, 150);
    feed(cache, 140);
    for (const Index length : {140, 100, 65, 64, 63, 1, 0}) {
        cache.truncate(length);
        CHECK(cache.next_position() == length);
        CHECK(cache.bytes().logical == length * 2 * 2 * 2 * 8 * 4);
        check_contents(cache);
    }
    CHECK_THROWS_AS(cache.truncate(1), Error);
    CHECK_THROWS_AS(cache.truncate(-1), Error);
    feed(cache, 70);
    cache.reset();
    CHECK(cache.next_position() == 0);
    CHECK(cache.room() == 150);
}

TEST_CASE("fork: two continuations do not see each other") {
    KvCache cache(kShape, 150);
    feed(cache, 70);
    const auto copy = cache.fork();
    auto& other = dynamic_cast<KvCache&>(*copy);
    CHECK(other.next_position() == 70);
    check_contents(other);
    cache.truncate(3);
    feed(cache, 5);
    CHECK(other.next_position() == 70);
    check_contents(other);
    feed(other, 80);
    check_contents(other);
    CHECK(cache.next_position() == 8);
    check_contents(cache);
}

TEST_CASE("operations: random sequences against a plain model of the cache") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        Rng rng(seed);
        auto cache = std::make_unique<KvCache>(kShape, 1 + rng.below(200));
        Index length = 0;
        for (int operation = 0; operation < 40; ++operation) {
            const Index T = 1 + rng.below(70);
            switch (rng.below(4)) {
                case 0:
                case 1:
                    if (T <= cache->capacity() - length) {
                        feed(*cache, T);
                        length += T;
                    } else {
                        CHECK_THROWS_AS(cache->begin(T), Error);
                    }
                    break;
                case 2:
                    length = rng.below(length + 1), cache->truncate(length);
                    break;
                default: {
                    auto fork = cache->fork();
                    cache.reset(dynamic_cast<KvCache*>(fork.release()));
                }
            }
            REQUIRE(cache->next_position() == length);
        }
        check_contents(*cache);
    }
}

TEST_CASE("bytes: logical is the formula and allocated counts whole tiles") {
    const KvShape smol{30, 9, 3, 64};
    KvCache cache(smol, 100);
    CHECK(cache.bytes().logical == 0);
    CHECK(cache.bytes().allocated == Index{2} * 30 * 3 * 64 * 128 * 4);
    const KvShape narrow{1, 1, 1, 8};  // values are padded to 16 floats, keys are not
    CHECK(KvCache(narrow, 64).bytes().allocated == 64 * (8 + 16) * 4);
}

TEST_CASE("prefill: a store that does not remember is refused in pieces") {
    const auto source = make_synthetic(small_config(), 1);
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(*source, *engine), *engine);
    const auto tokens = random_tokens(20, 96, 1);
    KvCache cache(decoder.kv_shape(), 19);
    CHECK_THROWS_AS(prefill(decoder, cache, tokens, 4), Error);
    CHECK(cache.next_position() == 0);
    CHECK_THROWS_AS(prefill(decoder, cache, {}, 4), Error);
    CHECK_THROWS_AS(prefill(decoder, cache, std::span(tokens).first(2), -1), Error);
    CHECK_NOTHROW(prefill(decoder, cache, std::span(tokens).first(19), 4));
    CHECK(cache.next_position() == 19);
}

TEST_CASE("prefill: a piece that wants no logits changes no bit of what follows") {
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(*make_synthetic(small_config(), 1), *engine), *engine);
    const auto tokens = random_tokens(20, 96, 1);
    const auto first = std::span(tokens).first(19), last = std::span(tokens).last(1);
    KvCache whole(decoder.kv_shape(), 20), pieces(decoder.kv_shape(), 20),
        other(decoder.kv_shape(), 20);
    const std::uint64_t expected = checksum(decoder.forward(whole, tokens).flat());
    CHECK(decoder.forward(pieces, first, LogitsOf::none).dim(0) == 0);
    CHECK(pieces.next_position() == 19);
    const std::vector<SequenceStep> batch = {{&other, first, LogitsOf::none},
                                             {&pieces, last, LogitsOf::last}};
    const View<const float> rows = decoder.forward(batch);
    CHECK(rows.dim(0) == 1);
    CHECK(checksum(rows.flat()) == expected);
    CHECK(checksum(decoder.forward(other, last).flat()) == expected);
}

TEST_SUITE_END();
