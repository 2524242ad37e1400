// Who goes on when pages run out, in random runs that only count pages. Mistake in mind: a rule
// about the first of all that does not hold where the index holds a copy of its pages.
#include <algorithm>
#include <set>

#include "serving_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Two kinds of tokens, so that many prompts begin alike and are computed at the same time.
Request draw_request(Rng& random, Index most) {
    std::vector<Token> prompt(usize(1 + random.below(most - 2)));
    const auto token = static_cast<Token>(random.below(8) == 0);
    std::fill(prompt.begin(), prompt.end(), token);
    const Index left = most - std::ssize(prompt);
    return request_of(std::move(prompt), 1 + random.below(left));
}

struct FirstOfAll {
    Index preempted = 0, not_back = 0;  // the first one; not running again after the same step
};

// Of the texts that run, the one with the lowest number: here they come in that order.
FirstOfAll watch_the_first(Rng& random, Preemption preemption, bool chain, bool with_index) {
    CountingSteps steps;
    PagePool pool({.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 4},
                  {.pages = 3 + random.below(3), .page_slots = 4});
    const auto index = chain ? make_chain_index(pool) : make_radix_index(pool);
    Scheduler scheduler(
        steps, pool,
        {.max_running = 3, .token_budget = 3 + random.below(20), .preemption = preemption},
        with_index ? index.get() : nullptr);
    FirstOfAll found;
    std::set<Index> running, lost;
    scheduler.set_on_event([&](const StepEvent& event) {
        using Kind = StepEvent::Kind;
        if (event.kind == Kind::admitted || event.kind == Kind::resumed)
            running.insert(event.request);
        if (event.kind == Kind::preempted || event.kind == Kind::swapped)
            if (*running.begin() == event.request) lost.insert(event.request);
        if (event.kind != Kind::admitted && event.kind != Kind::resumed &&
            event.kind != Kind::added && event.kind != Kind::evicted)
            running.erase(event.request);
    });
    for (int i = 0; i < 4; ++i) scheduler.add(draw_request(random, pool.pages() * 4));
    while (scheduler.step()) {
        found.preempted += std::ssize(lost);
        for (const Index request : lost)
            found.not_back += scheduler.outcome(request) == Outcome::waiting ? 1 : 0;
        lost.clear();
    }
    return found;
}

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE(
        "precedence: the first of all loses its pages to the index alone and at once "
        "has them again") {
        for (const Preemption preemption : {Preemption::recompute, Preemption::swap})
            for (const bool chain : {false, true}) {
                FirstOfAll all;
                for (std::uint64_t seed = 0; seed < 300; ++seed) {
                    Rng random(seed, 77);
                    const FirstOfAll one = watch_the_first(random, preemption, chain, true);
                    all.preempted += one.preempted;
                    all.not_back += one.not_back;
                }
                CHECK(all.preempted > 0);
                CHECK(all.not_back == 0);
            }
    }

    TEST_CASE("precedence: without an index the first of all keeps its pages") {
        for (std::uint64_t seed = 0; seed < 300; ++seed) {
            Rng random(seed, 77);
            CHECK(watch_the_first(random, Preemption::recompute, true, false).preempted == 0);
        }
    }

    TEST_CASE("precedence: whole prompts exceed the budget by one of them at most") {
        CountingSteps steps;
        PagePool pool({.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 4}, {.pages = 100});
        Scheduler scheduler(steps, pool,
                            {.max_running = 9, .token_budget = 20, .chunked = false});
        for (std::uint64_t i = 0; i < 6; ++i) scheduler.add(request_of(prompt_of(1, i), 30));
        scheduler.step();
        scheduler.add(
            request_of(prompt_of(20, 7), 3));  // the budget holds it, its rest does not
        scheduler.add(request_of(prompt_of(4, 8), 3));
        std::vector<Index> fed;
        while (scheduler.step()) {
            fed.push_back(0);
            for (const StepShare& share : scheduler.last_step()) fed.back() += share.fed;
        }
        CHECK(fed[0] == 6 + 20);
        CHECK(fed[1] == 6 + 1 + 4);
        CHECK(std::count_if(fed.begin(), fed.end(), [](Index n) { return n > 20; }) == 1);
    }
}
