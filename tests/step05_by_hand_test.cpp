// Step 5: the numbers that the chapter works out on paper are those of its code.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <string>

#include <kvlab/kvcache/spread.hpp>
#include <kvlab/policies/allotment.hpp>
#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/policies/slot_cache.hpp>
#include <kvlab/policies/victims.hpp>

using namespace kvlab;

namespace {

constexpr KvShape kOneHead{1, 1, 1, 2};
constexpr Index kTokens = 12;

// The chapter's twelve tokens: every query is (1, 0), and the tokens 2 and 8 have the weight 4.
void feed(KvStore& store, Index token, ThreadPool& pool) {
    Tensor k({1, 1, 2}), v({1, 1, 2}), q({1, 1, 2}), out({1, 1, 2});
    k(0, 0, 0) = token == 2 || token == 8 ? 2.0f : 0.0f;
    q(0, 0, 0) = 1;
    store.begin(1);
    store.append(0, k.view(), v.view());
    store.attend(0, std::as_const(q).view(), out.view(), pool);
    store.commit();
}

std::string held(const PolicyStore& store) {
    std::string row(usize(store.next_position()), '.');
    for (const Index position : store.kept(0, 0)) row[usize(position)] = '#';
    return row;
}

PolicyOptions four_of_twelve() {
    PolicyOptions options;
    options.budget = 4, options.sinks = 1, options.recent = 2;
    options.window = 2, options.kernel = 3;
    return options;
}

// The rows after the last tokens, of so many as are given.
void check_rows(const PolicyPointer& policy, const std::vector<std::string>& last) {
    SlotCache cache(kOneHead, kTokens, policy, {.prompt = 8});
    ThreadPool pool(1);
    for (Index t = 0; t < kTokens; ++t) {
        feed(cache, t, pool);
        const Index row = t - (kTokens - std::ssize(last));
        if (row >= 0) CHECK(held(cache) == at(last, row));
    }
}

// A policy's ratings of slots that are positions, after these queries.
std::vector<float> rated(const PolicyPointer& policy,
                         const std::vector<std::vector<float>>& queries,
                         Index slots) {
    std::vector<std::int32_t> positions(usize(slots));
    std::iota(positions.begin(), positions.end(), 0);
    std::vector<float> state(usize(slots * policy->state_rows())), ratings(usize(slots));
    const HeadSlots head{.prompt = slots,
                         .next = slots,
                         .positions = positions,
                         .state = state.data(),
                         .stride = slots};
    for (std::size_t q = 0; q < queries.size(); ++q)
        policy->observe(head, static_cast<Index>(q), queries[q]);
    policy->rate(head, ratings);
    return ratings;
}

double rounded(double x, double unit) {
    return std::round(x * unit) / unit;
}

}  // namespace

TEST_SUITE("step05") {
    TEST_CASE("by hand: which of twelve tokens are held") {
        PolicyOptions options = four_of_twelve(), mean = options, drawn;
        mean.normalise = true;
        drawn.budget = 4;
        check_rows(window_policy(options), {".......####", "........####"});
        check_rows(sinks_policy(options), {"#.......###", "#........###"});
        check_rows(h2o_policy(options), {"#.#.....##", "#.#......##", "#.#.......##"});
        check_rows(h2o_policy(mean), {"#.#.....##", "..#.....###", "..#.....#.##"});
        check_rows(tova_policy(options), {"###.....#.", "###.....#..", "###.....#..."});
        check_rows(snapkv_policy(options),
                   {".##...##", ".##...###", ".##...####", ".##...#####", ".##...######"});
        check_rows(random_policy(drawn), {"....##.#.#.", "....##.#...#"});
    }

    TEST_CASE("by hand: which of twelve tokens Quest reads") {
        PolicyOptions options = four_of_twelve();
        options.page = 2, options.whole_layers = 0;
        QuestCache cache(kOneHead, kTokens, options);
        ThreadPool pool(1);
        const float q[] = {1, 0};
        const std::vector<Index> first = {0, 1, 3}, last = {1, 4, 5};
        for (Index t = 0; t < kTokens; ++t) {
            feed(cache, t, pool);
            if (t == 6) CHECK(cache.pages(0, 0, q, 7) == first);  // the newest: page 3
            CHECK(held(cache) == std::string(usize(t + 1), '#'));
        }
        CHECK(cache.pages(0, 0, q, kTokens) == last);
    }

    TEST_CASE("by hand: sums of attention in eighths") {
        const std::vector<std::vector<float>> queries = {{8}, {5, 3}, {4, 1, 3}, {2, 1, 2, 3}};
        PolicyOptions options;
        options.recent = 1;
        CHECK(rated(h2o_policy(options), queries, 4) ==
              std::vector<float>{19, 5, 5, kProtected});
        options.forget = 0.5f;
        CHECK(rated(h2o_policy(options), queries, 4) ==
              std::vector<float>{6.25f, 2.25f, 3.5f, kProtected});
        options.forget.reset();
        options.normalise = true;
        CHECK(rated(h2o_policy(options), queries, 4) ==
              std::vector<float>{4.75f, 5.0f / 3, 2.5f, kProtected});
    }

    TEST_CASE("by hand: six slots of which four stay") {
        const float ratings[] = {3, 1, 1, kProtected, 1, 2};
        const std::int32_t positions[] = {4, 0, 7, 2, 9, 5};
        std::vector<Index> victims;
        choose_victims(ratings, positions, 2, victims);
        CHECK(victims == std::vector<Index>{2, 4});
        std::vector<SlotMove> moves;
        fill_holes(victims, 6, moves);
        REQUIRE(moves.size() == 1);
        CHECK(moves[0].from == 5);
        CHECK(moves[0].to == 2);
    }

    TEST_CASE("by hand: votes of SnapKV, pooled over three slots") {
        PolicyOptions options = four_of_twelve();
        // The last two queries of eight tokens; each shares out 1.
        const std::vector<std::vector<float>> queries = {
            {0.1f, 0.3f, 0.0f, 0.1f, 0.0f, 0.1f, 0.4f},
            {0.0f, 0.2f, 0.0f, 0.1f, 0.1f, 0.0f, 0.1f, 0.5f}};
        for (const auto& shares : queries)
            CHECK(rounded(std::accumulate(shares.begin(), shares.end(), 0.0), 1000) == 1.0);
        const std::vector<float> mean = rated(snapkv_policy(options), queries, 8);
        const double expected[] = {0.20, 0.20, 0.23, 0.10, 0.13, 0.07};
        for (std::size_t s = 0; s < 6; ++s)
            CHECK(rounded(static_cast<double>(mean[s]), 100) == expected[s]);
        CHECK(mean[6] == kProtected);
        CHECK(mean[7] == kProtected);
        options.max_pool = true;
        CHECK(rated(snapkv_policy(options), queries, 8) ==
              std::vector<float>{0.5f, 0.5f, 0.5f, 0.2f, 0.2f, 0.1f, kProtected, kProtected});
    }

    TEST_CASE("by hand: budgets of four layers") {
        const auto budgets = [](Index budget, Index window, Index beta, Index prompt) {
            PolicyOptions options;
            options.budget = budget, options.window = window, options.beta = beta;
            const PolicyPointer policy = pyramidkv_policy(options, 4);
            std::vector<Index> kept;
            for (Index layer = 0; layer < 4; ++layer)
                kept.push_back(policy->keep(layer, prompt));
            return kept;
        };
        CHECK(budgets(24, 4, 5, 100) == std::vector<Index>{40, 30, 20, 10});
        CHECK(budgets(28, 8, 5, 40) == std::vector<Index>{40, 32, 24, 16});
        CHECK(budgets(24, 4, 5, 39) == std::vector<Index>{24, 24, 24, 24});
        CHECK(budgets(24, 4, 1, 100) == std::vector<Index>{24, 24, 24, 24});
    }

    TEST_CASE("by hand: what a page says, and its bound") {
        const float smallest[] = {-1, 3}, largest[] = {1, 5};
        const float down[] = {2, -1}, up[] = {2, 1};
        CHECK(page_bound(down, smallest, largest) == -1.0f);
        CHECK(page_bound(up, smallest, largest) == 7.0f);
    }

    TEST_CASE("by hand: a direction a third of the way") {
        const float a[] = {1, 0}, b[] = {0, 1};
        float e[2];
        merged_direction(a, b, 1.0 / 3, e);
        CHECK(rounded(static_cast<double>(e[0]), 1000) == 0.866);
        CHECK(rounded(static_cast<double>(e[1]), 1000) == 0.5);
        merged_direction(a, b, 0, e);
        CHECK(e[0] == 1.0f);
        CHECK(e[1] == 0.0f);
    }

    TEST_CASE("by hand: two methods on three windows") {
        const double a[] = {1.0, 5.0, 9.0}, b[] = {1.5, 6.0, 9.75};
        CHECK(spread_of(a).deviation == 4.0);
        CHECK(rounded(spread_of(b).deviation, 100) == 4.13);
        const Paired difference = paired(a, b);
        CHECK(difference.difference.mean == -0.75);
        CHECK(difference.difference.deviation == 0.25);
        CHECK(difference.lower == 3);
    }

    TEST_CASE("by hand: two heads share their budgets") {
        const std::vector<float> ratings[] = {{9, 8, 7, 6, 5, 4}, {3, 2, 1, 1, 1, 1}};
        const std::int32_t positions[] = {0, 1, 2, 3, 4, 5};
        const HeadSlots slots{.positions = positions};
        const RatedHead heads[] = {{slots, ratings[0]}, {slots, ratings[1]}};
        for (const auto& [floor, first] :
             {std::pair(0.0, 6), std::pair(0.4, 5), std::pair(0.7, 4), std::pair(1.0, 3)}) {
            Index budgets[] = {3, 3};
            allot_jointly(heads, floor, budgets);
            CHECK(budgets[0] == first);
            CHECK(budgets[1] == 6 - first);
        }
    }

    TEST_CASE("by hand: votes of Scissorhands, all and the last two") {
        std::vector<std::vector<float>> queries = {{8}, {3, 5}, {1, 4, 3}, {2, 1, 2, 3}};
        for (auto& row : queries)
            for (float& share : row) share /= 8;
        PolicyOptions options;
        options.budget = 3, options.recent = 1;
        CHECK(rated(scissorhands_policy(options), queries, 4) ==
              std::vector<float>{0.5f, 2.0f / 3, 1, kProtected});
        options.votes = 2;
        CHECK(rated(scissorhands_policy(options), queries, 4) ==
              std::vector<float>{0.5f, 0.5f, 1, kProtected});
    }

    TEST_CASE("by hand: Keyformer's temperature evens out the shares") {
        PolicyOptions options;
        options.noise = false;
        const PolicyPointer policy = keyformer_policy(options, 5);
        const std::int32_t positions[] = {0, 1};
        const double expected[] = {0.640, 0.613, 0.595, 0.581, 0.571};
        for (Index query = 0; query <= 4; ++query) {
            float state[4] = {};
            const HeadSlots head{
                .prompt = 1, .next = 2, .positions = positions, .state = state, .stride = 2};
            const float shares[] = {0.64f, 0.36f};
            policy->observe(head, query, shares);
            CHECK(rounded(static_cast<double>(state[0]), 1000) == at(expected, query));
        }
    }
}
