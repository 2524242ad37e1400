// Step 5: budgets that heads share, and Expected Attention, which rates for them. Mistakes in
// mind: budgets that do not sum up, a floor of all slots instead of the mean, protected slots
// that compete, ties by head; a covariance that is not centred, RoPE that is left on a query, a
// rotation that is not averaged, scores of values' squares.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/policies/allotment.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Heads of a layer with ratings that are given, positions from 0 on.
struct RatedLayer {
    explicit RatedLayer(std::vector<std::vector<float>> of) : ratings(std::move(of)) {
        for (const auto& head : ratings) {
            auto& places = positions.emplace_back(head.size());
            std::iota(places.begin(), places.end(), 0);
        }
        for (std::size_t h = 0; h < ratings.size(); ++h) {
            heads.push_back({{}, ratings[h]});
            heads.back().slots.positions = positions[h];
        }
    }

    std::vector<Index> shared(Index each, double floor) const {
        std::vector<Index> budgets(heads.size(), each);
        allot_jointly(heads, floor, budgets);
        return budgets;
    }

    std::vector<std::vector<float>> ratings;
    std::vector<std::vector<std::int32_t>> positions;
    std::vector<RatedHead> heads;
};

// A rating, written down in double: of queries [n, Hq, D] before RoPE, keys [n, 1, D] after it.
struct ExpectedByHand {
    Index n, group, D, sinks, future;
    const RopeTable* rope;

    std::vector<double> rotated(std::vector<double> x, Index position) const {
        for (Index i = 0; i < rope->rope_dim() / 2; ++i) {
            const auto c = static_cast<double>(rope->cos(position)[i]),
                       s = static_cast<double>(rope->sin(position)[i]);
            const double a = at(x, 2 * i), b = at(x, 2 * i + 1);
            at(x, 2 * i) = a * c - b * s;
            at(x, 2 * i + 1) = b * c + a * s;
        }
        return x;
    }

    // R x, the mean of x over the angles to come.
    std::vector<double> averaged(const std::vector<double>& x) const {
        std::vector<double> mean(x.size());
        const Index last = std::min(n + future, rope->positions());
        for (Index p = n; p < last; ++p) {
            const auto one = rotated(x, p);
            for (std::size_t i = 0; i < x.size(); ++i)
                mean[i] += one[i] / static_cast<double>(last - n);
        }
        return mean;
    }

    std::vector<double> ratings(const Tensor& q, const Tensor& k, const Tensor& v) const {
        std::vector<double> all(usize(n));
        for (Index g = 0; g < group; ++g) {
            // k R Sigma R^T k is the mean square of (R q - mean) . k.
            std::vector<std::vector<double>> queries;
            std::vector<double> mean(usize(D));
            for (Index t = sinks; t < n; ++t) {
                auto& one = queries.emplace_back();
                for (Index i = 0; i < D; ++i) one.push_back(static_cast<double>(q(t, g, i)));
                one = averaged(one);
                for (Index i = 0; i < D; ++i)
                    at(mean, i) += at(one, i) / static_cast<double>(n - sinks);
            }
            std::vector<double> shares;
            for (Index s = sinks; s < n; ++s) {
                double product = 0, squares = 0;
                const auto with_key = [&](const std::vector<double>& x) {
                    double sum = 0;
                    for (Index i = 0; i < D; ++i)
                        sum += at(x, i) * static_cast<double>(k(s, 0, i));
                    return sum;
                };
                product = with_key(mean);
                for (const auto& one : queries) {
                    const double off = with_key(one) - product;
                    squares += off * off / static_cast<double>(n - sinks);
                }
                shares.push_back(std::exp(product / std::sqrt(static_cast<double>(D)) +
                                          squares / static_cast<double>(2 * D)));
            }
            const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
            for (Index s = sinks; s < n; ++s)
                at(all, s) += at(shares, s - sinks) / total / static_cast<double>(group);
        }
        for (Index s = sinks; s < n; ++s) {
            double squares = 0;
            for (Index i = 0; i < D; ++i) {
                const auto one = static_cast<double>(v(s, 0, i));
                squares += one * one;
            }
            at(all, s) *= std::sqrt(squares);
        }
        return all;
    }
};

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("allotment: heads with more high ratings get more of what all have together") {
    const RatedLayer layer({{9, 8, 7, 6, 5, 4}, {3, 2, 1, 0, 0, 0}, {7.5f, 0, 0, 0, 0, 0}});
    CHECK(layer.shared(2, 0) == std::vector<Index>{5, 0, 1});
    CHECK(layer.shared(2, 0.5) == std::vector<Index>{4, 1, 1});
    CHECK(layer.shared(2, 1) == std::vector<Index>{2, 2, 2});
    CHECK(layer.shared(6, 0.2) == std::vector<Index>{6, 6, 6});
    // The floor is of the budget, not of the slots: 0.2 of 5 is one slot.
    CHECK(layer.shared(5, 0.2) == std::vector<Index>{6, 5, 4});
    // Equal ratings: the earlier tokens, then the first heads.
    const RatedLayer equal({{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}});
    CHECK(equal.shared(1, 0) == std::vector<Index>{1, 1, 1});
    std::vector<Index> budgets = {2, 1, 1};
    allot_jointly(equal.heads, 0, budgets);
    CHECK(budgets == std::vector<Index>{2, 1, 1});
    // What is protected lies beside the floor, and is never lost to another head.
    const RatedLayer sinks({{kProtected, 1, 1, 1, 1}, {kProtected, 9, 9, 9, 9}});
    CHECK(sinks.shared(3, 0) == std::vector<Index>{1, 5});
    CHECK(sinks.shared(3, 0.5) == std::vector<Index>{2, 4});
    CHECK(sinks.shared(6, 0.5) == std::vector<Index>{5, 5});
    CHECK_THROWS_WITH_AS(sinks.shared(3, 1.5), "allot: a floor of 1.5", Error);
}

TEST_CASE("allotment: budgets sum up and no slot that goes is rated above one that stays") {
    Rng rng(3);
    for (int round = 0; round < 200; ++round) {
        const Index slots = 1 + rng.below(30), count = 1 + rng.below(5);
        std::vector<std::vector<float>> ratings;
        for (Index h = 0; h < count; ++h)
            for (Index s = 0; s < slots; ++s) {
                if (s == 0) ratings.emplace_back();
                ratings.back().push_back(static_cast<float>(rng.below(12)));  // with ties
            }
        const RatedLayer layer(ratings);
        const Index each = 1 + rng.below(slots);
        const double floor = static_cast<double>(rng.below(5)) / 4;
        const auto budgets = layer.shared(each, floor);
        CHECK(std::accumulate(budgets.begin(), budgets.end(), Index{0}) == each * count);
        const auto safe = static_cast<Index>(floor * static_cast<double>(each));
        float lowest_kept = kProtected, highest_gone = -1;
        for (std::size_t h = 0; h < budgets.size(); ++h) {
            CHECK(budgets[h] >= safe);
            std::sort(ratings[h].rbegin(), ratings[h].rend());
            if (budgets[h] > safe)
                lowest_kept = std::min(lowest_kept, at(ratings[h], budgets[h] - 1));
            if (budgets[h] < slots)
                highest_gone = std::max(highest_gone, at(ratings[h], budgets[h]));
        }
        CHECK(lowest_kept >= highest_gone);
    }
}

TEST_CASE("allotment: a floor of everything is one budget for all heads in every bit") {
    PolicyRig rig(small_config(6, 2, 10));
    const auto text = random_tokens(90, 96, 5);
    const auto pieces = one_by_one(50, 40);
    PolicyOptions options = small_budget();
    options.floor = 1;
    for (const auto& names : {std::pair{"adakv-snapkv", "snapkv"},
                              std::pair{"expected-attention", "expected-attention-uniform"}}) {
        const std::string shared = names.first, uniform = names.second;
        CAPTURE(shared);
        options.floor = 1;
        const auto a = rig.store(shared, options), b = rig.store(uniform, options);
        CHECK(rig.logits(*a, text, pieces) == rig.logits(*b, text, pieces));
        options.floor = 0.2;
        const auto c = rig.store(shared, options);
        rig.logits(*c, text, pieces);
        bool differ = false;
        for (Index layer = 0; layer < 2; ++layer) {
            const Index x = std::ssize(c->kept(layer, 0)), y = std::ssize(c->kept(layer, 1));
            CHECK(x + y == 2 * (24 + 40));
            CHECK(std::min(x, y) >= 40 + 4);  // a fifth of what is not protected, at least
            differ = differ || x != y;
        }
        CHECK(differ);
        // Scores and queries went with the prompt: a slot has its position beside it.
        CHECK(c->bytes().logical == 2 * 2 * (24 + 40) * (2 * 10 + 1) * 4);
    }
}

TEST_CASE("expected attention: ratings are the formula's") {
    const Index n = 40, D = 10;
    const RopeTable rope(100, 8, 10000.0);  // 8 of 10 components; the context ends at 100
    const KvShape shape{1, 3, 1, D};
    PolicyOptions options = small_budget(12);
    options.own["future"] = 80;  // to be cut
    for (const Index sinks : {4, 0}) {
        options.sinks = sinks;
        const PolicyPointer policy = expected_attention_policy(options, shape, &rope, true);
        const Tensor q = random_tensor({n, 3, D}, 1, 2.0f), v = random_tensor({n, 1, D}, 2);
        Tensor k = random_tensor({n, 1, D}, 3, 2.0f);
        KvTiles rows(n, 1, D);
        for (Index t = 0; t < n; ++t) rope.rotate(&k(t, 0, 0), t);
        rows.write(0, k.view(), v.view());
        std::vector<std::int32_t> positions(usize(n));
        std::iota(positions.begin(), positions.end(), 0);
        std::vector<float> state(usize(policy->state_rows() * n)), ratings(usize(n));
        HeadSlots head;
        head.prompt = head.next = head.stride = n;
        head.positions = positions;
        head.state = state.data();
        head.rows = &rows;
        for (Index t = 0; t < n; ++t) {
            Tensor asked({3, D});  // as attend() gets them: at their angles, and scaled
            for (Index g = 0; g < 3; ++g) {
                for (Index i = 0; i < D; ++i) asked(g, i) = q(t, g, i);
                rope.rotate(&asked(g, 0), t);
                for (Index i = 0; i < D; ++i)
                    asked(g, i) *= log2e_over(std::sqrt(static_cast<double>(D)));
            }
            policy->ask(head, t, asked.view());
        }
        policy->rate(head, ratings);
        const auto expected = ExpectedByHand{n, 3, D, sinks, 80, &rope}.ratings(q, k, v);
        for (Index s = 0; s < n; ++s) {
            CAPTURE(s);
            if (s < sinks)
                CHECK(at(ratings, s) == kProtected);
            else  // about 100 roundings of numbers around 10, times their exponential
                CHECK(std::abs(static_cast<double>(at(ratings, s)) - at(expected, s)) <=
                      1e-4 * at(expected, s));
        }
    }
}

TEST_SUITE_END();
