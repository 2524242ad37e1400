// Step 5: MiniCache, two layers in the room of one. Mistakes in mind: keys with the lengths of
// values, the lower layer's with the upper's, retained tokens of the wrong head, angles near 0
// and near half a turn.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/policies/mini_cache.hpp>

#include "policy_support.hpp"
#include "random_steps.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

double norm(const float* x, Index n) {
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return std::sqrt(sum);
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("minicache: a merged direction lies on the arc between the two") {
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

TEST_CASE("minicache: parallel and opposite and zero vectors give finite directions") {
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

TEST_CASE("minicache: what is retained is exact and what is merged keeps its lengths") {
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
                CHECK(std::ssize(retained) ==
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

TEST_CASE("minicache: the keys that differ most in direction are retained") {
    PolicyOptions options;
    options.retained = 0.1;
    options.merge_from = 1;
    MiniCache mini(kPairShape, 64, options);
    step_all({&mini}, 1, 40);
    for (Index h = 0; h < 2; ++h) {
        std::vector<std::pair<double, Index>> cosines;
        const RandomRows lower(3, 1, 40), upper(4, 1, 40);
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

TEST_CASE("minicache: a vector without length is retained first and harms nothing") {
    PolicyOptions options;
    options.merge_from = 0;
    options.retained = 0.2;  // one of the first step's three, none of the next one
    const KvShape shape{2, 1, 1, 4};
    MiniCache mini(shape, 10, options);
    // Tokens whose keys and values point one way, with these lengths.
    const auto step = [&](const std::vector<float>& lower, const std::vector<float>& upper) {
        const auto T = std::ssize(lower);
        mini.begin(T);
        for (const Index layer : {0, 1}) {
            Tensor rows({T, 1, 4});
            for (Index t = 0; t < T; ++t)
                rows(t, 0, 1) = (layer == 0 ? lower : upper)[usize(t)];
            mini.append(layer, rows.view(), rows.view());
        }
        mini.commit();
    };
    step({2, 0, 4}, {1, 3, 1});
    CHECK(mini.retained(0, 0) == std::vector<Index>{1});
    CHECK(mini.key(1, 0, 1, 1) == 3.0f);
    CHECK(mini.key(1, 0, 2, 1) == 1.0f);
    step({0}, {5});  // not retained: the share is used up
    for (Index i = 0; i < 4; ++i) {
        CHECK(mini.key(0, 0, 3, i) == 0.0f);
        CHECK(mini.key(1, 0, 3, i) == 0.0f);
        CHECK(mini.value(1, 0, 3, i) == 0.0f);
    }
}

TEST_CASE("minicache: everything retained is the full cache for any direction") {
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

TEST_CASE("minicache: steps that fail and forks and odd layers") {
    PolicyOptions options;
    options.retained = 0.3;
    MiniCache mini(kPairShape, 100, options), fresh(kPairShape, 100, options);
    CHECK(mini.bytes().allocated < KvCache(kPairShape, 1000).bytes().allocated);
    step_all({&mini}, 1, 30);
    step_all({&fresh}, 1, 30);
    mini.begin(70);  // more than a tile, and never committed
    mini.append(0, RandomRows(0, 9, 70).k.view(), RandomRows(0, 9, 70).v.view());
    CHECK_THROWS_AS(mini.commit(), Error);
    mini.abandon();
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
