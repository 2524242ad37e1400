// Step 5: the floor. Mistakes in mind: a draw that goes by the slot or by the order of steps,
// heads that draw alike, a chance that depends on a token's age, the same draw in every step.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "policy_support.hpp"
#include "random_steps.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step05");

TEST_CASE("random fixed: every token has the same chance and heads draw for themselves") {
    std::vector<int> times(60);
    PolicyOptions options = small_budget(15);
    std::set<std::vector<Index>> sets;
    constexpr int kSeeds = 100;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        options.seed = seed;
        SlotCache cache(kPairShape, 60, random_fixed_policy(options));
        step_all({&cache}, 1, 40);
        for (Index number = 2; number < 22; ++number) step_all({&cache}, number, 1);
        for (Index layer = 0; layer < kPairShape.layers; ++layer)
            for (const Index h : {0, 1}) {
                for (const Index p : cache.kept(layer, h)) ++at(times, p);
                sets.insert(cache.kept(layer, h));
            }
    }
    CHECK(sets.size() == kSeeds * 10);  // no two alike
    // A quarter of 1000 draws: standard deviation 13.7. The seeds are fixed, so this cannot
    // change from run to run.
    for (const int n : times) CHECK(std::abs(n - 250) < 5 * 14);
}

TEST_CASE("random: in each step every token that is held goes with the same chance") {
    // 15 tokens of a prompt of 40 stay, each of them with a chance of 15/40; then one comes and
    // one goes 20 times. A token has stayed k such steps with a chance of (15/16)^k.
    std::vector<int> times(60), behind_prompt(40);
    PolicyOptions options = small_budget(15);
    std::set<std::vector<Index>> sets;
    constexpr int kSeeds = 100, kDraws = kSeeds * 10;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        options.seed = seed;
        SlotCache cache(kPairShape, 60, random_policy(options));
        step_all({&cache}, 1, 40);
        for (Index layer = 0; layer < kPairShape.layers; ++layer)
            for (const Index h : {0, 1})
                for (const Index p : cache.kept(layer, h)) ++at(behind_prompt, p);
        for (Index number = 2; number < 22; ++number) step_all({&cache}, number, 1);
        for (Index layer = 0; layer < kPairShape.layers; ++layer)
            for (const Index h : {0, 1}) {
                for (const Index p : cache.kept(layer, h)) ++at(times, p);
                sets.insert(cache.kept(layer, h));
            }
    }
    CHECK(sets.size() == kDraws);  // no two alike
    // Five standard deviations of a binomial; the seeds are fixed, so this cannot change from
    // run to run.
    const auto near = [](int found, double chance) {
        const double deviation = std::sqrt(kDraws * chance * (1 - chance));
        return std::fabs(found - kDraws * chance) < 5 * deviation;
    };
    for (const int n : behind_prompt) CHECK(near(n, 15.0 / 40));
    for (Index p = 0; p < 60; ++p) {
        CAPTURE(p);
        const double drawn = p < 40 ? 15.0 / 40 : 1.0,
                     steps = p < 40 ? 20.0 : 60.0 - static_cast<double>(p);
        CHECK(near(at(times, p), drawn * std::pow(15.0 / 16, steps)));
    }
}

TEST_CASE("random: who goes is drawn for the step and belongs to the position") {
    // The victims of 16 tokens in one step after another, by their rank in the text: no rank is
    // liked, and a step does not go by what another drew.
    PolicyOptions options = small_budget(15);
    SlotCache cache(kPairShape, 4000, random_policy(options));
    step_all({&cache}, 1, 15);
    std::vector<int> of_rank(16);
    int same_rank = 0;
    std::vector<Index> before;
    constexpr int kSteps = 320;
    for (Index number = 2; number < 2 + kSteps; ++number) {
        std::vector<std::vector<Index>> held;
        for (const Index h : {0, 1}) held.push_back(cache.kept(3, h));
        step_all({&cache}, number, 1);
        std::vector<Index> ranks;
        for (const Index h : {0, 1}) {
            const std::vector<Index> now = cache.kept(3, h);
            Index rank = 0;
            while (rank < 15 && at(now, rank) == at(held, h)[usize(rank)]) ++rank;
            ranks.push_back(rank);
            ++at(of_rank, rank);
        }
        if (!before.empty()) same_rank += ranks[0] == before[0] ? 1 : 0;
        same_rank += ranks[0] == ranks[1] ? 1 : 0;
        before = ranks;
    }
    // 640 draws among 16: chi-square with 15 degrees of freedom is above 44.3 once in 10 000
    // times, and so are equal ranks, 1 in 16 of 639 pairs, beyond 40 +- 4 * 6.1.
    double chi_square = 0;
    for (const int n : of_rank) chi_square += (n - 40.0) * (n - 40.0) / 40.0;
    CHECK(chi_square < 44.3);
    CHECK(chi_square > 2.0);
    CHECK(std::abs(same_rank - 40) < 25);
    // Wherever a token's slot is.
    const std::vector<std::int32_t> positions = {4, 0, 9, 7, 2}, sorted = {0, 2, 4, 7, 9};
    const auto rated = [&](const std::vector<std::int32_t>& order) {
        HeadSlots head;
        head.next = 10;
        head.positions = order;
        std::vector<float> ratings(order.size());
        random_policy(options)->rate(head, ratings);
        return ratings;
    };
    const std::vector<float> a = rated(positions), b = rated(sorted);
    CHECK(std::vector<float>{a[1], a[4], a[0], a[3], a[2]} == b);
    // The same draws of the same seed, and other ones of another.
    const auto kept = [&](std::uint64_t seed) {
        options.seed = seed;
        SlotCache one(kPairShape, 60, random_policy(options));
        step_all({&one}, 1, 40);
        step_all({&one}, 2, 1);
        return one.kept(4, 1);
    };
    CHECK(kept(1) == kept(1));
    CHECK(kept(1) != kept(2));
}

TEST_SUITE_END();
