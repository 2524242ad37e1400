// by_hand_methods.cpp - chapter 5: the worked examples of single methods, and of a table's "±".
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>

#include <kvlab/kvcache/spread.hpp>
#include <kvlab/policies/allotment.hpp>
#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/tensor/half.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/rope.hpp>

#include "by_hand.hpp"

namespace kvlab::app {

namespace {

double wide(float x) {
    return static_cast<double>(x);
}

}  // namespace

// A page of three keys: what it says, and what follows for two queries.
void show_quest() {
    const float keys[3][2] = {{1, 3}, {-1, 4}, {0, 5}}, queries[2][2] = {{2, -1}, {2, 1}};
    const float smallest[] = {std::min({1.0f, -1.0f, 0.0f}), std::min({3.0f, 4.0f, 5.0f})},
                largest[] = {std::max({1.0f, -1.0f, 0.0f}), std::max({3.0f, 4.0f, 5.0f})};
    std::printf("  smallest (%g, %g)   largest (%g, %g)\n", wide(smallest[0]),
                wide(smallest[1]), wide(largest[0]), wide(largest[1]));
    for (const auto& q : queries) {
        std::printf("  q = (%g, %2g)   scores", wide(q[0]), wide(q[1]));
        for (const auto& key : keys) std::printf(" %3g", wide(dot(q, key, 2)));
        std::printf("   bound %3g\n", wide(page_bound(q, smallest, largest)));
    }
}

// A direction between two, on the arc and on the straight line.
void show_slerp() {
    const float a[] = {1, 0}, b[] = {0, 1};
    std::printf("  t        direction        degrees from a   on the straight line\n");
    for (const double t : {0.0, 1.0 / 3, 0.5, 0.6, 1.0}) {
        float e[2];
        merged_direction(a, b, t, e);
        const auto degrees = [](double x, double y) {
            return std::atan2(y, x) * 180 / std::numbers::pi;
        };
        std::printf("  %.3f    (%.3f, %.3f)   %14.1f   %.1f, of length %.3f\n", t, wide(e[0]),
                    wide(e[1]), degrees(wide(e[0]), wide(e[1])), degrees(1 - t, t),
                    std::hypot(1 - t, t));
    }
}

// A pair that is turned back by one position, again and again, and once by all.
void show_shifts() {
    constexpr Index kShifts = 500;
    const RopeTable table(kShifts + 1, 2, 10000.0);
    const auto turn_back = [&](float(&x)[2], Index positions) {
        const float cos = *table.cos(positions), sin = *table.sin(positions), even = x[0];
        x[0] = even * cos + x[1] * sin;
        x[1] = x[1] * cos - even * sin;
    };
    const float key[] = {0.6f, 0.8f};
    float once[] = {key[0], key[1]}, floats[] = {key[0], key[1]}, halves[] = {key[0], key[1]};
    turn_back(once, kShifts);
    for (Index i = 0; i < kShifts; ++i) {
        turn_back(floats, 1);
        turn_back(halves, 1);
        for (float& x : halves) x = f16_to_f32(f32_to_f16(x));
    }
    const auto distance = [&](const float(&x)[2]) {
        return std::hypot(wide(x[0] - once[0]), wide(x[1] - once[1]));
    };
    std::printf("  turned back by %td positions at once: (%.6f, %.6f)\n", kShifts,
                wide(once[0]), wide(once[1]));
    std::printf("  by 1 position, %td times, in floats:  (%.6f, %.6f), off by %.1e\n", kShifts,
                wide(floats[0]), wide(floats[1]), distance(floats));
    std::printf("  the same, kept in F16 between:        (%.6f, %.6f), off by %.1e\n",
                wide(halves[0]), wide(halves[1]), distance(halves));
}

// Three windows of text, two methods, and their difference window by window.
void show_windows() {
    const std::vector<double> a = {1.0, 5.0, 9.0}, b = {1.5, 6.0, 9.75};
    const auto print = [](const char* name, const Spread& spread) {
        std::printf("  %-6s mean %6.2f   deviation %5.2f   printed as %s\n", name, spread.mean,
                    spread.deviation, format_spread(spread).c_str());
    };
    print("A", spread_of(a));
    print("B", spread_of(b));
    const Paired difference = paired(a, b);
    print("A - B", difference.difference);
    std::printf("  A is below B in %td of %td windows\n", difference.lower,
                difference.difference.count);
}

// Two heads with three slots each to keep, on average.
void show_adakv() {
    const std::vector<float> ratings[] = {{9, 8, 7, 6, 5, 4}, {3, 2, 1, 1, 1, 1}};
    Slots slots(6, 0);
    const RatedHead heads[] = {{slots.head, ratings[0]}, {slots.head, ratings[1]}};
    print_row("head 0", ratings[0], "%4g");
    print_row("head 1", ratings[1], "%4g");
    for (const double floor : {0.0, 0.4, 0.7, 1.0}) {
        Index budgets[] = {3, 3};
        allot_jointly(heads, floor, budgets);
        std::printf("  floor %.1f: head 0 keeps %td, head 1 keeps %td\n", floor, budgets[0],
                    budgets[1]);
    }
}

// Four queries, in eighths; a vote is a share of at least 1 / n.
void show_scissorhands() {
    const std::vector<float> shares[] = {{8}, {3, 5}, {1, 4, 3}, {2, 1, 2, 3}};
    for (const Index remembered : {Index{400}, Index{2}}) {
        PolicyOptions options;
        options.budget = 3, options.recent = 1, options.votes = remembered;
        const PolicyPointer policy = scissorhands_policy(options);
        Slots slots(4, policy->state_rows());
        for (std::vector<float> row : shares) {
            if (remembered > 4)
                print_row(concat("query ", std::ssize(row) - 1).c_str(), row, "%8g");
            for (float& share : row) share /= 8;
            policy->observe(slots.head, std::ssize(row) - 1, row);
        }
        std::vector<float> ratings(4);
        policy->rate(slots.head, ratings);
        std::printf("  the last %td queries vote\n", remembered);
        print_row("votes", std::span(slots.state).first(4), "%8g");
        print_row("rated", ratings, "%8.2f");
    }
}

// Two slots with the shares 0.64 and 0.36, at the temperatures 1 to 2 of four generated tokens.
void show_keyformer() {
    PolicyOptions options;
    options.noise = false;
    constexpr Index kRead = 1, kGenerated = 4;
    const PolicyPointer policy = keyformer_policy(options, kRead + kGenerated);
    const float shares[] = {0.64f, 0.36f};
    for (Index query = kRead - 1; query < kRead + kGenerated; ++query) {
        Slots slots(2, policy->state_rows());
        slots.head.prompt = kRead;
        policy->observe(slots.head, query, shares);
        std::printf("  after %td tokens, temperature %.2f: the sums grow by %.3f and %.3f\n",
                    query, 1 + static_cast<double>(query) / kGenerated,
                    wide(slots.head.row(0)[0]), wide(slots.head.row(0)[1]));
    }
}

}  // namespace kvlab::app
