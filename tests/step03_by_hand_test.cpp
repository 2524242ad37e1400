// Step 3: the numbers that the chapter works out on paper are those of its code.
#include <doctest/doctest.h>

#include <cmath>
#include <utility>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/config.hpp>
#include <kvlab/attention/cost.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/naive_cache.hpp>
#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/tensor/numerics.hpp>

using namespace kvlab;

namespace {

constexpr KvShape kOneHead{1, 1, 1, 2};

// The chapter's keys, values and queries of three tokens.
const float kKeys[3][2] = {{0, 1}, {1, 1}, {1, 2}}, kValues[3][2] = {{4, 0}, {0, 4}, {4, 4}},
            kQueries[3][2] = {{1, 0}, {2, 1}, {3, 1}};

Tensor rows(const float (&from)[3][2], Index first, Index last, float scale = 1) {
    Tensor t({last - first, 1, 2});
    for (Index s = first; s < last; ++s)
        for (Index i = 0; i < 2; ++i) t(s - first, 0, i) = from[s][i] * scale;
    return t;
}

struct Step {
    Tensor out;
    Index pairs;
};

Step feed(KvStore& store, Index first, Index last, ThreadPool& pool) {
    Step step{Tensor({last - first, 1, 2}), 0};
    store.begin(last - first);
    store.append(0, rows(kKeys, first, last).view(), rows(kValues, first, last).view());
    const Tensor q = rows(kQueries, first, last, log2e_over(std::sqrt(2.0)));
    step.pairs = store.attend(0, q.view(), step.out.view(), pool).pairs;
    store.commit();
    return step;
}

double rounded(float x, double unit) {
    return std::round(static_cast<double>(x) * unit) / unit;
}

}  // namespace

TEST_SUITE("step03") {
    TEST_CASE("by hand: token 2 attends to kept rows with the bits of rows made again") {
        ThreadPool pool(1);
        WholeSequence none(kOneHead, 3);
        KvCache cache(kOneHead, 3);
        NaiveCache naive(kOneHead, 3);
        for (Index T = 1; T <= 3; ++T) {
            const Step again = feed(none, 0, T, pool), kept = feed(cache, T - 1, T, pool),
                       plain = feed(naive, T - 1, T, pool);
            for (Index i = 0; i < 2; ++i) {
                CHECK(again.out(T - 1, 0, i) == kept.out(0, 0, i));
                CHECK(again.out(T - 1, 0, i) == plain.out(0, 0, i));
            }
            CHECK(again.out(0, 0, 0) == 4.0f);  // token 0 sees itself alone, in every round
            CHECK(again.out(0, 0, 1) == 0.0f);
            if (T < 3) continue;
            CHECK(rounded(kept.out(0, 0, 0), 1e4) == 2.7293);
            CHECK(rounded(kept.out(0, 0, 1), 1e4) == 3.8477);
        }
    }

    TEST_CASE("by hand: rows and scores of a text of four tokens") {
        // Without a cache round T feeds T rows, and row t looks at t + 1 slots.
        Index rows_fed = 0, scores = 0;
        for (Index T = 1; T <= 4; ++T) {
            rows_fed += T;
            scores += T * (T + 1) / 2;
        }
        CHECK(rows_fed == 10);
        CHECK(scores == 20);
        CHECK(tokens_processed(1, 4, false) == rows_fed);
        CHECK(tokens_processed(1, 4, true) == 4);
        ThreadPool pool(1);
        WholeSequence none(kOneHead, 3);
        KvCache cache(kOneHead, 3);
        const Index uncached[] = {1, 3, 6}, cached[] = {1, 2, 3};
        for (Index T = 1; T <= 3; ++T) {
            CHECK(feed(none, 0, T, pool).pairs == uncached[T - 1]);
            CHECK(feed(cache, T - 1, T, pool).pairs == cached[T - 1]);
        }
    }

    TEST_CASE("by hand: where attention of one token costs as much as the layers' matrices") {
        Config smollm2;
        smollm2.dim = 576, smollm2.layers = 30, smollm2.heads = 9, smollm2.kv_heads = 3;
        smollm2.head_dim = 64, smollm2.ffn = 1536;
        for (const auto& [config, slots] :
             {std::pair(Config(), Index{354}), std::pair(smollm2, Index{3072})}) {
            const Flops flops = step_flops(config, slots - 1, 1);
            CHECK(flops.attention == flops.projections + flops.ffn);
        }
    }

    TEST_CASE("by hand: a first token that looks both ways gets another result in each round") {
        const float scale = log2e_over(std::sqrt(2.0));
        const float query[] = {kQueries[0][0] * scale, kQueries[0][1] * scale};
        const double expected[][2] = {{4, 0}, {1.321, 2.679}, {2.396, 3.209}};
        for (Index S = 1; S <= 3; ++S) {
            Tensor out({2});
            attention_plain({query, {2}}, {&kKeys[0][0], {S, 2}}, {&kValues[0][0], {S, 2}},
                            out.view());
            CHECK(rounded(out(0), 1e3) == expected[S - 1][0]);
            CHECK(rounded(out(1), 1e3) == expected[S - 1][1]);
        }
    }

    TEST_CASE("by hand: seven tokens in pieces of three give the scores of the whole") {
        // A piece of T tokens behind `past` others: past * T + T * (T + 1) / 2.
        const auto of_piece = [](Index past, Index T) { return past * T + T * (T + 1) / 2; };
        CHECK(of_piece(0, 3) == 6);
        CHECK(of_piece(3, 3) == 15);
        CHECK(of_piece(6, 1) == 7);
        CHECK(of_piece(0, 7) == 6 + 15 + 7);
    }

    TEST_CASE("by hand: steps that count, one that does not, and a truncate") {
        ThreadPool pool(1);
        KvCache cache(kOneHead, 12);
        const Tensor eight({8, 1, 2}), two({2, 1, 2});
        const auto open = [&](const Tensor& t) {
            cache.begin(t.dim(0));
            cache.append(0, t.view(), t.view());
        };
        open(eight);
        cache.commit();
        open(two);
        CHECK(cache.next_position() == 8);
        cache.commit();
        CHECK(cache.next_position() == 10);
        open(two);
        cache.abandon();
        CHECK(cache.next_position() == 10);
        cache.truncate(5);
        CHECK(cache.next_position() == 5);
        CHECK(cache.room() == 7);
    }

    TEST_CASE("by hand: bytes of the tiny model's cache") {
        const KvShape tiny{2, 4, 2, 16};
        const CacheShape shape{2, 2, 16, 4};
        CHECK(shape.per_token() == 512);
        const Index held[] = {512, 11776, 27648, 32768, 33280},
                    allocated[] = {32768, 32768, 32768, 32768, 65536};
        Index i = 0;
        for (const Index n : {1, 23, 54, 64, 65}) {
            KvCache cache(tiny, n);
            const Tensor kept({n, 2, 16});
            cache.begin(n);
            cache.append(0, kept.view(), kept.view());
            cache.append(1, kept.view(), kept.view());
            cache.commit();
            CHECK(cache.bytes().logical == held[i]);
            CHECK(cache.bytes().allocated == allocated[i]);
            CHECK(shape.total(n) == held[i]);
            ++i;
        }
    }

    TEST_CASE("by hand: a key of three numbers in 8 bits") {
        const float row[] = {0.5f, -2.0f, 1.01f};
        std::int8_t codes[3];
        const float scale = quantize_int8(row, 1, 3, codes, 1);
        CHECK(rounded(scale, 1e6) == 0.015748);
        CHECK(codes[0] == 32);
        CHECK(codes[1] == -127);
        CHECK(codes[2] == 64);
        CHECK(rounded(32 * scale, 1e5) == 0.50394);
        CHECK(-127 * scale == -2.0f);
        CHECK(rounded(64 * scale, 1e5) == 1.00787);
    }
}
