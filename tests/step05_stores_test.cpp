// Step 5: the two that forget nothing. Quest reads a part; MiniCache keeps two layers in the
// room of one. Mistakes in mind: a bound that is none, a stale summary of a page, the last
// page's missing slots, K and V merged with each other's lengths, retained tokens of the wrong
// head.
#include <doctest/doctest.h>

#include <cmath>

#include <kvlab/attention/attention.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const KvShape kPairShape{5, 4, 2, 12};

struct LayerRows {
    LayerRows(Index layer, Index number, Index T)
        : k(random_tensor({T, 2, 12}, seed(layer, number, 0))),
          v(random_tensor({T, 2, 12}, seed(layer, number, 1))),
          q(random_tensor({T, 4, 12}, seed(layer, number, 2), 1.5f)) {}

    static std::uint64_t seed(Index layer, Index number, Index what) {
        return static_cast<std::uint64_t>((number * 11 + layer) * 3 + what + 1);
    }

    Tensor k, v, q;
};

// One step into any number of stores; the outputs of the last.
std::vector<float> step_all(const std::vector<KvStore*>& stores, Index number, Index T) {
    ThreadPool pool(1);
    std::vector<float> outputs;
    for (KvStore* store : stores) {
        outputs.clear();
        store->begin(T);
        for (Index layer = 0; layer < kPairShape.layers; ++layer) {
            const LayerRows rows(layer, number, T);
            Tensor out({T, 4, 12});
            store->append(layer, rows.k.view(), rows.v.view());
            store->attend(layer, rows.q.view(), out.view(), pool);
            outputs.insert(outputs.end(), out.flat().begin(), out.flat().end());
        }
        store->commit();
    }
    return outputs;
}

// The pages of 8 slots with the largest bounds, by the definition.
std::vector<Index> plain_pages(const std::vector<std::vector<float>>& keys,
                               const float* q,
                               std::size_t wanted) {
    std::vector<std::pair<float, Index>> bounds;
    for (std::size_t first = 0; first < keys.size(); first += 8) {
        float bound = 0;
        for (std::size_t i = 0; i < 12; ++i) {
            float low = keys[first][i], high = low;
            for (std::size_t s = first; s < std::min(first + 8, keys.size()); ++s) {
                low = std::min(low, keys[s][i]);
                high = std::max(high, keys[s][i]);
            }
            bound += std::max(q[i] * low, q[i] * high);
        }
        bounds.emplace_back(-bound, static_cast<Index>(first / 8));
    }
    std::sort(bounds.begin(), bounds.end());
    bounds.resize(std::min(bounds.size(), wanted));
    std::vector<Index> pages;
    for (const auto& one : bounds) pages.push_back(one.second);
    std::sort(pages.begin(), pages.end());
    return pages;
}

// Attention of one token, by the definition, over the slots of these pages.
std::vector<float> plain_attention(const std::vector<std::vector<float>>& keys,
                                   const std::vector<std::vector<float>>& values,
                                   const std::vector<Index>& pages,
                                   const View<const float>& q) {
    std::vector<std::size_t> slots;
    for (const Index page : pages)
        for (auto s = static_cast<std::size_t>(page * 8);
             s < std::min(static_cast<std::size_t>(page * 8 + 8), keys.size()); ++s)
            slots.push_back(s);
    const Index S = static_cast<Index>(slots.size());
    Tensor k({S, 12}), v({S, 12}), out({12});
    for (Index s = 0; s < S; ++s) {
        std::copy_n(keys[slots[static_cast<std::size_t>(s)]].data(), 12, &k(s, 0));
        std::copy_n(values[slots[static_cast<std::size_t>(s)]].data(), 12, &v(s, 0));
    }
    attention_plain(q, k.view(), v.view(), out.view());
    return {out.flat().begin(), out.flat().end()};
}

PolicyOptions quest_options() {
    PolicyOptions options;
    options.page = 8;
    options.budget = 33;  // five pages
    options.whole_layers = 2;
    return options;
}

double norm(const float* x, Index n) {
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return std::sqrt(sum);
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE(
    "5.2 quest: a page's bound is at least every score of it and a page of one meets it") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        const std::vector<float> q = normals(20, seed), keys = normals(160, 1000 + seed);
        std::vector<float> low(keys.begin(), keys.begin() + 20), high = low;
        for (std::size_t i = 0; i < keys.size(); ++i) {
            low[i % 20] = std::min(low[i % 20], keys[i]);
            high[i % 20] = std::max(high[i % 20], keys[i]);
        }
        const float bound = page_bound(q, low.data(), high.data());
        // The two sums round differently: each of 20 terms of about 1, to 2^-24.
        constexpr float kRounding = 1e-5f;
        for (Index s = 0; s < 8; ++s)
            CHECK(bound >= dot(q.data(), keys.data() + s * 20, 20) - kRounding);
        CHECK(std::fabs(page_bound(q, keys.data(), keys.data()) -
                        dot(q.data(), keys.data(), 20)) <= kRounding);
    }
}

TEST_CASE("5.2 quest: attention is the plain loop over the slots of the best pages") {
    Rng rng(4);
    QuestCache quest(kPairShape, 200, quest_options());
    KvCache full(kPairShape, 200);
    for (Index number = 0; number < 60; ++number) {
        if (number % 17 == 16) {  // an unfinished step, and going back into a page
            quest.begin(9);
            quest.append(0, LayerRows(0, 999, 9).k.view(), LayerRows(0, 999, 9).v.view());
            const Index length = quest.next_position() - rng.below(12);
            quest.truncate(length);
            full.truncate(length);
        }
        const Index T = number == 0 ? 77 : number % 10 == 9 ? 5 : 1;
        const auto expected = step_all({&full}, number, T),
                   found = step_all({&quest}, number, T);
        const Index n = full.next_position();
        if (T > 1) CHECK(found == expected);  // several tokens read everything
        if (T > 1) continue;
        for (Index layer = 0; layer < kPairShape.layers; ++layer)
            for (Index head = 0; head < 4; ++head) {
                std::vector<std::vector<float>> keys, values;
                for (Index p = 0; p < n; ++p) {
                    keys.emplace_back();
                    values.emplace_back();
                    for (Index i = 0; i < 12; ++i) {
                        keys.back().push_back(full.key(layer, head / 2, p, i));
                        values.back().push_back(full.value(layer, head / 2, p, i));
                    }
                }
                const LayerRows rows(layer, number, 1);
                const View<const float> q = rows.q.view()[0][head];
                const auto pages = plain_pages(keys, q.data(), layer < 2 ? 1000 : 5);
                if (layer >= 2) CHECK(quest.pages(layer, head, q.flat(), n) == pages);
                const auto plain = plain_attention(keys, values, pages, q);
                REQUIRE(std::equal(plain.begin(), plain.end(),
                                   found.begin() + (layer * 4 + head) * 12));
            }
    }
    const auto copy = quest.fork();
    CHECK(step_all({copy.get()}, 70, 1) == step_all({&quest}, 70, 1));
    PolicyOptions wrong = quest_options();
    wrong.page = 24;
    CHECK_THROWS_AS(QuestCache(kPairShape, 100, wrong), Error);
}

TEST_CASE("5.2 minicache: a merged direction lies on the arc between the two") {
    for (std::uint64_t seed = 0; seed < 100; ++seed)
        for (const double t : {0.0, 0.3, 0.6, 1.0}) {
            std::vector<float> a = normals(16, seed), b = normals(16, 500 + seed), e(16);
            for (std::size_t i = 0; i < 16; ++i)  // from near to far, and beyond a right angle
                b[i] = a[i] * (static_cast<float>(seed % 7) - 3.0f) + b[i];
            merged_direction(a, b, t, e);
            double c = 0;
            for (std::size_t i = 0; i < 16; ++i)
                c += static_cast<double>(a[i]) * static_cast<double>(b[i]);
            const double na = norm(a.data(), 16), nb = norm(b.data(), 16),
                         angle = std::acos(c / (na * nb));
            for (std::size_t i = 0; i < 16; ++i) {
                const double expected =
                    (std::sin((1 - t) * angle) * static_cast<double>(a[i]) / na +
                     std::sin(t * angle) * static_cast<double>(b[i]) / nb) /
                    std::sin(angle);
                CHECK(std::fabs(static_cast<double>(e[i]) - expected) < 1e-6);  // floats
            }
            CHECK(std::fabs(norm(e.data(), 16) - 1) < 1e-6);
        }
}

TEST_CASE("5.2 minicache: parallel and opposite and zero vectors give finite directions") {
    const std::vector<float> a = {3, 4, 0}, twice = {6, 8, 0}, back = {-3, -4, 0},
                             zero = {0, 0, 0};
    std::vector<float> e(3);
    merged_direction(a, twice, 0.6, e);
    CHECK(e == std::vector<float>{0.6f, 0.8f, 0});
    merged_direction(a, back, 0.6, e);
    CHECK(std::fabs(norm(e.data(), 3) - 1) < 1e-6);
    merged_direction(a, back, 0.5, e);
    CHECK(e == zero);
    merged_direction(zero, a, 0.25, e);
    CHECK(e == std::vector<float>{0.6f, 0.8f, 0});
    merged_direction(zero, zero, 0.25, e);
    CHECK(e == zero);
}

TEST_CASE("5.2 minicache: what is retained is exact and what is merged keeps its lengths") {
    PolicyOptions options;
    options.retained = 0.2;
    options.merge_from = 1;  // pairs 1 2 and 3 4
    for (const double t : {0.0, 0.6, 1.0}) {
        CAPTURE(t);
        options.direction = t;
        MiniCache mini(kPairShape, 100, options);
        KvCache full(kPairShape, 100);
        std::vector<KvStore*> both = {&full, &mini};
        for (const Index T : {41, 1, 1, 1, 22, 1, 4}) step_all(both, T, T);
        for (Index layer = 0; layer < 5; ++layer)
            for (Index h = 0; h < 2; ++h) {
                const std::vector<Index> retained = mini.retained(layer, h);
                CHECK(static_cast<Index>(retained.size()) ==
                      (layer == 0 ? 71 : static_cast<Index>(std::ceil(0.2 * 71))));
                for (Index p = 0; p < 71; ++p) {
                    const bool exact =
                        std::find(retained.begin(), retained.end(), p) != retained.end();
                    float k[12], v[12], mk[12], mv[12];
                    for (Index i = 0; i < 12; ++i) {
                        k[i] = full.key(layer, h, p, i);
                        v[i] = full.value(layer, h, p, i);
                        mk[i] = mini.key(layer, h, p, i);
                        mv[i] = mini.value(layer, h, p, i);
                    }
                    if (exact) {
                        REQUIRE(std::equal(k, k + 12, mk));
                        REQUIRE(std::equal(v, v + 12, mv));
                        continue;
                    }
                    // Three roundings of floats: direction, length, product.
                    CHECK(std::fabs(norm(mk, 12) / norm(k, 12) - 1) < 1e-6);
                    CHECK(std::fabs(norm(mv, 12) / norm(v, 12) - 1) < 1e-6);
                    const bool own = (t == 0 && layer % 2 == 1) || (t == 1 && layer % 2 == 0);
                    double off = 0;
                    for (Index i = 0; i < 12; ++i)
                        off = std::max(off, static_cast<double>(std::fabs(mk[i] - k[i])));
                    CHECK((off < 2e-6) == own);  // of numbers below 4
                }
            }
    }
}

TEST_CASE("5.2 minicache: the keys that differ most in direction are retained") {
    PolicyOptions options;
    options.retained = 0.1;
    options.merge_from = 1;
    MiniCache mini(kPairShape, 64, options);
    step_all({&mini}, 1, 40);
    for (Index h = 0; h < 2; ++h) {
        std::vector<std::pair<double, Index>> cosines;
        const LayerRows lower(3, 1, 40), upper(4, 1, 40);
        for (Index t = 0; t < 40; ++t) {
            double c = 0;
            for (Index i = 0; i < 12; ++i)
                c += static_cast<double>(lower.k(t, h, i)) *
                     static_cast<double>(upper.k(t, h, i));
            cosines.emplace_back(
                c / (norm(&lower.k(t, h, 0), 12) * norm(&upper.k(t, h, 0), 12)), t);
        }
        std::sort(cosines.begin(), cosines.end());
        std::vector<Index> expected;
        for (std::size_t n = 0; n < 4; ++n) expected.push_back(cosines[n].second);
        std::sort(expected.begin(), expected.end());
        CHECK(mini.retained(3, h) == expected);
        CHECK(mini.retained(4, h) == expected);
    }
}

TEST_CASE("5.2 minicache: everything retained is the full cache for any direction") {
    for (const double t : {0.0, 0.25, 0.6, 1.0}) {
        PolicyOptions options;
        options.retained = 1;
        options.direction = t;
        MiniCache mini(kPairShape, 100, options);
        KvCache full(kPairShape, 100);
        for (const Index T : {30, 1, 1, 40, 1})
            CHECK(step_all({&mini}, T, T) == step_all({&full}, T, T));
    }
}

TEST_CASE("5.2 minicache: steps that fail and forks and odd layers") {
    PolicyOptions options;
    options.retained = 0.3;
    MiniCache mini(kPairShape, 100, options), fresh(kPairShape, 100, options);
    CHECK(mini.bytes().allocated < KvCache(kPairShape, 1000).bytes().allocated);
    step_all({&mini}, 1, 30);
    step_all({&fresh}, 1, 30);
    mini.begin(70);  // more than a tile, and never committed
    mini.append(0, LayerRows(0, 9, 70).k.view(), LayerRows(0, 9, 70).v.view());
    CHECK_THROWS_AS(mini.commit(), Error);
    CHECK_THROWS_AS(mini.truncate(20), Error);
    mini.truncate(30);
    const auto copy = mini.fork();
    const auto expected = step_all({&fresh}, 2, 5);
    CHECK(step_all({&mini}, 2, 5) == expected);
    CHECK(step_all({copy.get()}, 2, 5) == expected);
    // Five layers, merged from the middle: 2 and 3; the last one is whole.
    CHECK(mini.retained(1, 0).size() == 35);
    CHECK(mini.retained(2, 0).size() == 11);
    CHECK(mini.retained(3, 1).size() == 11);
    CHECK(mini.retained(4, 0).size() == 35);
    options.direction = 1.5;
    CHECK_THROWS_AS(MiniCache(kPairShape, 100, options), Error);
}

TEST_SUITE_END();
