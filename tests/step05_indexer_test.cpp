// Step 5: the indexer. Mistakes in mind: products below 0 that count, a set for each head, the
// index of one KV head, a scale of the whole layer, a tie that goes to the later token, bytes
// of the index that nobody counts, a fork whose index is empty.
#include <doctest/doctest.h>

#include <cmath>

#include <kvlab/attention/attention.hpp>
#include <kvlab/policies/indexer_cache.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const KvShape kIndexShape{1, 6, 3, 10};

struct IndexedText {
    explicit IndexedText(Index n)
        : k(random_tensor({n, kIndexShape.kv_heads, kIndexShape.head_dim}, 1)),
          v(random_tensor({n, kIndexShape.kv_heads, kIndexShape.head_dim}, 2)),
          q(random_tensor({n, kIndexShape.heads, kIndexShape.head_dim}, 3, 2.0f)) {}

    // Tokens [first, first + T) in one step.
    Tensor feed(KvStore& store, Index first, Index T, AttentionWork* work = nullptr) const {
        ThreadPool pool(2);
        Tensor out({T, kIndexShape.heads, kIndexShape.head_dim});
        store.begin(T);
        store.append(0, k.view().slice(0, first, first + T),
                     v.view().slice(0, first, first + T));
        const AttentionWork done =
            store.attend(0, q.view().slice(0, first, first + T), out.view(), pool);
        store.commit();
        if (work != nullptr) *work = done;
        return out;
    }

    Tensor k, v, q;
};

PolicyOptions reading(Index budget) {
    PolicyOptions options;
    options.budget = budget;
    return options;
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("indexer: a key in 8 bits is off by half a step of its own scale at most") {
    const Tensor keys = random_tensor({70, 10}, 4);
    IndexKeys index(70, 2, 10);
    for (Index s = 0; s < 70; ++s) {
        std::vector<float> key(&keys(s, 0), &keys(s, 0) + 10);
        for (float& number : key) number *= static_cast<float>(s);  // slot 0: a key of zeros
        index.write(1, s, key);
        const float most =
            std::abs(*std::max_element(key.begin(), key.end(), [](float a, float b) {
                return std::abs(a) < std::abs(b);
            }));
        for (Index i = 0; i < 10; ++i) {
            const float off = std::abs(index.key(1, s, i) - at(key, i));
            CHECK(off <= most / 127 * 0.50001f);  // and a rounding of the quotient
            if (std::abs(at(key, i)) == most) CHECK(off <= most * 0x1p-22f);
        }
    }
    CHECK(index.key(0, 5, 5) == 0.0f);
    CHECK(IndexKeys::slot_bytes(10) == 14);
    CHECK(index.allocated_bytes() == 2 * 2 * 64 * (10 + 4));
}

TEST_CASE("indexer: a score is the sum of what heads find, and nothing is taken off") {
    // Two heads, one KV head: the first likes slot 0 and dislikes slot 1 a lot, the second the
    // other way round, but less.
    IndexKeys index(4, 1, 2);
    index.write(0, 0, std::vector<float>{1, 0});
    index.write(0, 1, std::vector<float>{0, 1});
    index.write(0, 2, std::vector<float>{-1, -1});
    float scores[kTile] = {};
    index.score(0, 0, std::vector<float>{2, -9}, scores);
    CHECK(std::vector<float>(scores, scores + 4) == std::vector<float>{2, 0, 7, 0});
    index.score(0, 0, std::vector<float>{-3, 1}, scores);
    CHECK(std::vector<float>(scores, scores + 4) == std::vector<float>{2, 1, 9, 0});
}

TEST_CASE("indexer: the best tokens of all heads together are read and no others") {
    const Index n = 150, budget = 40;
    const IndexedText text(n);
    IndexerCache cache(kIndexShape, n, reading(budget));
    text.feed(cache, 0, 60);
    for (Index t = 60; t < n; ++t) {
        AttentionWork work;
        const Tensor out = text.feed(cache, t, 1, &work);
        // Once more, number by number, in double: no two sums are that near.
        std::vector<std::pair<double, Index>> scores;
        for (Index s = 0; s <= t; ++s) {
            double score = 0;
            for (Index head = 0; head < 6; ++head) {
                const Index h = head / 2;
                float most = 0;
                for (Index i = 0; i < 10; ++i) most = std::max(most, std::abs(text.k(s, h, i)));
                const float scale = most / 127;
                double product = 0;
                for (Index i = 0; i < 10; ++i)
                    product +=
                        static_cast<double>(text.q(t, head, i)) *
                        static_cast<double>(std::nearbyint(text.k(s, h, i) / scale) * scale);
                score += std::max(0.0, product);
            }
            scores.emplace_back(-score, s);
        }
        std::sort(scores.begin(), scores.end());
        std::vector<Index> best;
        for (Index i = 0; i < budget; ++i) best.push_back(at(scores, i).second);
        std::sort(best.begin(), best.end());
        REQUIRE(cache.chosen(0, text.q.view()[t], t + 1) == best);
        for (Index head = 0; head < 6; ++head) {
            Tensor k({budget, 10}), v({budget, 10}), expected({10});
            for (Index s = 0; s < budget; ++s)
                for (Index i = 0; i < 10; ++i) {
                    k(s, i) = text.k(at(best, s), head / 2, i);
                    v(s, i) = text.v(at(best, s), head / 2, i);
                }
            attention_plain(text.q.view()[t][head], k.view(), v.view(), expected.view());
            REQUIRE(compare_bits(out.view()[0][head].flat(), expected.flat()).differ == 0);
        }
        CHECK(work.pairs == 6 * budget);
        CHECK(work.bytes_read == 3 * ((t + 1) * 14 + budget * 80));
        CHECK(work.bytes_written == 3 * (14 + 80));
    }
    CHECK(cache.bytes().logical == n * 3 * (80 + 14));
    CHECK(cache.bytes().allocated == 3 * 3 * 64 * ((10 + 16) * 4 + 14));
    CHECK(cache.kept(0, 2).size() == 150);
}

TEST_CASE("indexer: equal scores keep the earlier tokens, and a fork has the index") {
    IndexerCache cache(kIndexShape, 40, reading(5));
    IndexedText text(40);
    for (Index t = 1; t < 40; ++t)
        for (Index h = 0; h < 3; ++h)
            for (Index i = 0; i < 10; ++i) text.k(t, h, i) = text.k(0, h, i);
    text.feed(cache, 0, 30);
    CHECK(cache.chosen(0, text.q.view()[3], 30) == std::vector<Index>{0, 1, 2, 3, 4});
    CHECK(cache.chosen(0, text.q.view()[3], 4) == std::vector<Index>{0, 1, 2, 3});
    IndexerCache other(kIndexShape, 80, reading(5));
    const IndexedText mixed(80);
    mixed.feed(other, 0, 60);
    const auto copy = other.fork();
    for (Index t = 60; t < 80; ++t) {
        const Tensor a = mixed.feed(other, t, 1), b = mixed.feed(*copy, t, 1);
        CHECK(compare_bits(a.flat(), b.flat()).differ == 0);
    }
    CHECK_THROWS_WITH_AS(cache.chosen(1, text.q.view()[3], 4),
                         "indexer: layer 1 is outside of 1 layers", Error);
    CHECK_THROWS_WITH_AS(cache.chosen(0, text.q.view()[3], 31),
                         "indexer: a choice of 31 slots, of 30 that are held", Error);
    CHECK_THROWS_AS(IndexerCache(kIndexShape, 40, reading(0)), Error);
}

TEST_SUITE_END();
