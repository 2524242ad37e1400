// Who comes in, who gives way, who goes. Mistakes in mind: a full hit that leaves nothing to
// compute, pages of a cancelled text in the index, an output that a preemption cuts, the next
// user's text made of the last one's pages, somebody who waits for ever.
#include "serving_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

using Numbers = std::vector<Index>;

const SchedulerOptions kAll{.max_running = 8, .token_budget = 512};

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("scheduler: the bits of each request alone, in every way to batch") {
        for (const Batching batching :
             {Batching::one_by_one, Batching::static_batches, Batching::continuous}) {
            ServingRig rig(24, {.batching = batching, .max_running = 3, .token_budget = 40});
            for (const Index prompt : {1, 63, 64, 65, 128, 200, 2})
                rig.add(prompt_of(prompt, usize(prompt)), 3 + prompt % 5);
            rig.run();
            CHECK(rig.order_of("admitted") == Numbers{0, 1, 2, 3, 4, 5, 6});
            CHECK((rig.scheduler.counts().padded > 0) ==
                  (batching == Batching::static_batches));
        }
    }

    TEST_CASE("scheduler: steps of a single request, counted by hand") {
        // 10 tokens in pieces of 4, 4 and 2; the last piece gives the first token.
        ServingRig rig(1, {.max_running = 1, .token_budget = 4});
        rig.add(prompt_of(10), 6);
        rig.run();
        CHECK(rig.scheduler.counts().steps == 3 + 5);
        CHECK(rig.scheduler.counts().fed == 10 + 5);
        CHECK(rig.scheduler.counts().written == 6);
        CHECK(rig.scheduler.counts(0).computed == 15);
        CHECK(!rig.scheduler.step());
    }

    TEST_CASE("scheduler: a budget of one token a step is enough") {
        ServingRig rig(2, {.max_running = 1, .token_budget = 1});
        rig.add(prompt_of(7), 2);
        rig.run();
        CHECK(rig.scheduler.counts().steps == 8);
    }

    TEST_CASE("scheduler: a prompt that is not chunked is fed whole") {
        ServingRig rig(16, {.max_running = 4, .token_budget = 32, .chunked = false});
        for (const Index prompt : {100, 20, 9, 70}) rig.add(prompt_of(prompt, 3), 12);
        while (rig.scheduler.step())
            for (const StepShare& share : rig.scheduler.last_step()) CHECK(share.wanted == 1);
        rig.run();
    }

    TEST_CASE("scheduler: beginnings that are shared are not computed again") {
        for (const char* kind : {"chain", "radix"}) {
            ServingRig rig(16, kAll, kind);
            std::vector<Token> prompt = prompt_of(150);
            rig.add(prompt, 4);
            rig.run();
            prompt.resize(130);
            prompt.push_back(5);
            rig.add(prompt, 4);
            rig.run();
            CHECK(rig.scheduler.counts(1).cached == 128);
            CHECK(rig.scheduler.counts(1).computed == 3 + 3);
            CHECK(rig.scheduler.counts().cached == 128);
        }
    }

    TEST_CASE("scheduler: what a request wrote is a beginning for the next one") {
        ServingRig rig(16, kAll, "radix");
        rig.add(prompt_of(60), 20);
        rig.run();
        const auto text = rig.scheduler.tokens(0);
        rig.add({text.begin(), text.end()}, 4);
        rig.run();
        CHECK(rig.scheduler.counts(1).cached == 64);
    }

    TEST_CASE("scheduler: a prompt that is wholly there still feeds its last token") {
        for (const char* kind : {"chain", "radix"}) {
            ServingRig rig(8, kAll, kind);
            rig.add(prompt_of(128), 4);
            rig.run();
            rig.add(prompt_of(128), 4);
            rig.run();
            CHECK(rig.scheduler.counts(1).cached == 127);
            CHECK(rig.scheduler.counts(1).computed == 1 + 3);
            CHECK(rig.pool.counts().copied == 1);
        }
    }

    TEST_CASE("scheduler: without a page for the copy the last page is computed again") {
        ServingRig rig(2, kAll, "radix");
        rig.add(prompt_of(127), 1);
        rig.run();
        rig.add(prompt_of(64), 64);
        rig.run();
        CHECK(rig.scheduler.counts(1).cached == 63);
        ServingRig full(1, kAll, "radix");
        full.add(prompt_of(63), 1);
        full.run();
        CHECK(full.index->held() == 0);  // the last token was never fed
        CHECK(full.pages_in_use() == 0);
    }

    TEST_CASE("scheduler: scopes do not share") {
        ServingRig rig(16, kAll, "chain");
        Request first = request_of(prompt_of(100), 3), second = first;
        second.scope = "somebody else";
        rig.add(first);
        rig.run();
        rig.add(second);
        rig.run();
        CHECK(rig.scheduler.counts(1).cached == 0);
        rig.add(second);
        rig.run();
        CHECK(rig.scheduler.counts(2).cached == 64);
    }

    TEST_CASE("scheduler: pages run out and the newest gives way, with its whole output") {
        for (const Preemption preemption : {Preemption::recompute, Preemption::swap}) {
            SchedulerOptions options = kAll;
            options.preemption = preemption;
            ServingRig rig(4, options);
            // Two pages each, and both want a third.
            rig.add(prompt_of(120, 1), 40);
            Request second = request_of(prompt_of(120, 2), 40);
            second.choice.sampling.temperature = 1;  // its dice go on where they were
            second.choice.repetition_penalty = 1.2f;
            rig.add(second);
            rig.run();
            const bool swap = preemption == Preemption::swap;
            CHECK(rig.count("preempted 1") == (swap ? 0 : 1));
            CHECK(rig.count("swapped 1") == (swap ? 1 : 0));
            CHECK(rig.count("resumed 1") == 1);
            CHECK(rig.order_of("ended") == Numbers{0, 1});
            CHECK(rig.scheduler.counts(1).preempted == 1);
            CHECK(rig.scheduler.counts().preempted == 1);
            CHECK(rig.scheduler.counts().swapped == (swap ? 1 : 0));
            // Fed again: its prompt and what it had written by then.
            CHECK((rig.scheduler.counts(1).computed == 159) == swap);
        }
    }

    TEST_CASE("scheduler: lower priority gives way first, however old") {
        ServingRig rig(6, kAll);
        rig.add(prompt_of(120, 1), 40, -1);
        rig.add(prompt_of(120, 2), 40);
        rig.add(prompt_of(120, 3), 40);
        rig.run();
        CHECK(rig.count("preempted 0") > 0);
        CHECK(rig.count("preempted 1") == 0);
        CHECK(rig.order_of("ended") == Numbers{1, 2, 0});
    }

    TEST_CASE("scheduler: what only the index holds goes before anybody gives way") {
        ServingRig rig(4, kAll, "chain");
        rig.add(prompt_of(130, 1), 2);
        rig.run();
        CHECK(rig.index->held() == 2);
        rig.add(prompt_of(120, 2), 100);
        rig.run();
        CHECK(rig.scheduler.counts().preempted == 0);
        CHECK(rig.order_of("evicted").size() > 0);
    }

    TEST_CASE("scheduler: a text whose own pages hang on another one's copy comes in again") {
        for (const Preemption preemption : {Preemption::recompute, Preemption::swap}) {
            SchedulerOptions options = kAll;
            options.preemption = preemption;
            ServingRig rig(3, options, "chain");
            rig.add(prompt_of(64), 1);  // both compute the same page at once
            rig.add(prompt_of(64), 100);
            rig.run();
            CHECK(rig.scheduler.counts(1).preempted == 1);
        }
    }

    TEST_CASE("scheduler: whoever fits the pool alone ends, with one page more or none") {
        for (const char* kind : {"none", "chain", "radix"})
            for (const Preemption preemption : {Preemption::recompute, Preemption::swap}) {
                SchedulerOptions options = kAll;
                options.preemption = preemption;
                ServingRig rig(3, options, kind);
                for (std::uint64_t seed = 0; seed < 6; ++seed)
                    rig.add(prompt_of(64, seed / 2), 128);
                rig.run();
                CHECK(rig.scheduler.counts().preempted > 0);
            }
    }

    TEST_CASE("scheduler: cancelled while it waits, runs, is half read, or has ended") {
        ServingRig rig(8, {.max_running = 3, .token_budget = 40}, "radix");
        const std::vector<Token> prompt = prompt_of(150);
        rig.add(prompt, 10);            // is half read
        rig.add(prompt_of(20, 2), 10);  // runs
        rig.add(prompt_of(20, 3), 2);
        rig.add(prompt_of(20, 4), 10);  // waits
        rig.scheduler.step();
        rig.scheduler.step();
        CHECK(rig.scheduler.running() > 0);
        rig.scheduler.cancel(0);
        rig.scheduler.cancel(3);
        CHECK(rig.scheduler.table(0).empty());
        // Only pages that were computed are in the index.
        CHECK(rig.index->look("", prompt) == rig.index->held());
        rig.scheduler.step();
        rig.scheduler.cancel(1);
        while (rig.scheduler.step()) {
        }
        rig.scheduler.cancel(2);  // has ended: nothing happens
        CHECK(rig.scheduler.outcome(2) == Outcome::length);
        CHECK(rig.scheduler.outcome(0) == Outcome::cancelled);
        CHECK(rig.scheduler.counts().cancelled == 3);
        CHECK(rig.pages_in_use() == rig.index->held());
        rig.add(prompt, 6);  // and what is there is right
        rig.run();
        CHECK(rig.scheduler.counts(4).cached == 64);
    }

    TEST_CASE("scheduler: cancelled while it is swapped out, its copy goes") {
        SchedulerOptions options = kAll;
        options.preemption = Preemption::swap;
        ServingRig rig(4, options);
        rig.add(prompt_of(120, 1), 40);
        rig.add(prompt_of(120, 2), 40);
        while (rig.count("swapped 1") == 0) REQUIRE(rig.scheduler.step());
        CHECK(rig.scheduler.outcome(1) == Outcome::waiting);
        rig.scheduler.cancel(1);
        rig.run();
        CHECK(rig.count("resumed 1") == 0);
    }

    TEST_CASE("scheduler: cancelled by whoever gets its token, or another one's") {
        for (const Index victim : {0, 1, 2}) {
            ServingRig rig(16, kAll, "chain");
            for (std::uint64_t seed = 0; seed < 3; ++seed) rig.add(prompt_of(70, seed), 20);
            rig.on_token = [&](Index request, Token) {
                if (request == 1 && rig.scheduler.generated(1).size() == 5)
                    rig.scheduler.cancel(victim);
            };
            rig.run();
            CHECK(rig.scheduler.outcome(victim) == Outcome::cancelled);
            // Those after it in the batch do not get the token of this step any more.
            CHECK(rig.scheduler.generated(victim).size() == (victim == 2 ? 4 : 5));
        }
    }
}
