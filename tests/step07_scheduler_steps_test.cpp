// What happens inside of a step, and what is refused. Mistakes in mind: padding that somebody
// sees, a callback that throws and takes other texts with it, a request that stays for ever.
#include "serving_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE("step07") {
    TEST_CASE("scheduler: static batches, counted by hand") {
        ServingRig rig(8, {.batching = Batching::static_batches, .max_running = 2});
        rig.add(prompt_of(30, 1), 2);
        rig.add(prompt_of(10, 2), 5);
        rig.add(prompt_of(3, 3), 1);
        Index step = 0;
        while (rig.scheduler.step())
            CHECK(std::ssize(rig.scheduler.last_step()) == (++step <= 6 ? 2 : 1));
        rig.run();
        // 29 tokens each, so 20 of padding for the second; then five steps of both, of which
        // the first one needs two. The third comes when both have ended.
        CHECK(rig.scheduler.counts().steps == (1 + 5) + 2);
        CHECK(rig.scheduler.counts().padded == 20 + 3);
        CHECK(rig.scheduler.counts().fed == 2 * 29 + 2 * 5 + 3);
        CHECK(rig.order_of("ended") == std::vector<Index>{0, 1, 2});
        CHECK(rig.count("admitted 2") == 1);
    }

    TEST_CASE("scheduler: a static batch takes no more than has pages to its end") {
        ServingRig rig(4, {.batching = Batching::static_batches, .max_running = 4});
        rig.add(prompt_of(10, 1), 100);
        rig.add(prompt_of(10, 2), 100);
        rig.add(prompt_of(10, 3), 5);
        rig.scheduler.step();
        CHECK(rig.scheduler.running() == 2);
        rig.scheduler.cancel(0);
        rig.scheduler.cancel(1);
        CHECK(rig.pages_in_use() == 0);
        rig.run();
    }

    TEST_CASE("scheduler: what a callback throws ends the step, and nobody's text") {
        for (const Batching batching : {Batching::static_batches, Batching::continuous}) {
            ServingRig rig(16, {.batching = batching, .max_running = 4});
            for (std::uint64_t seed = 0; seed < 4; ++seed)
                rig.add(prompt_of(60 + seed, seed), 8);
            Index thrown = 0;
            rig.on_token = [&](Index request, Token) {
                if (request == 1 && rig.scheduler.generated(1).size() % 3 == 0 && ++thrown)
                    throw Error("the reader is gone");
            };
            for (bool more = true; more;) try {
                    more = rig.scheduler.step();
                } catch (const Error&) {
                    CHECK(thrown > 0);
                }
            rig.run();
            CHECK(thrown == 2);
        }
    }

    TEST_CASE("scheduler: a model that fails leaves everything as it was") {
        struct Failing final : StepModel {
            explicit Failing(StepModel& good) : model(good) {}

            std::unique_ptr<PagedCache> make_cache(PagePool& pool) override {
                return model.make_cache(pool);
            }

            Index context() const override { return model.context(); }

            View<const float> run(std::span<const StepPart> parts) override {
                check(++calls % 3 != 0, "the machine is tired");
                return model.run(parts);
            }

            double now() const override { return model.now(); }

            void wait_until(double seconds) override { model.wait_until(seconds); }

            StepModel& model;
            Index calls = 0;
        };

        ServingRig rig(8);
        Failing failing(rig.steps);
        auto lookup = make_lookup_drafter();
        Scheduler scheduler(failing, rig.pool,
                            {.max_running = 4, .token_budget = 300, .draft_tokens = 4}, nullptr,
                            lookup.get());
        const Request request = request_of(prompt_of(70), 20);
        const Alone alone = serve_alone(rig.decoder, request, float_rows());
        scheduler.add(request);
        Index failures = 0;
        for (bool more = true; more;) try {
                more = scheduler.step();
            } catch (const Error&) {
                ++failures;
            }
        CHECK(failures > 0);
        const auto found = scheduler.generated(0);
        CHECK(std::equal(found.begin(), found.end(), alone.tokens.begin(), alone.tokens.end()));
    }

    TEST_CASE("scheduler: a model without logits writes token 0") {
        CountingSteps steps;
        PagePool pool(KvShape{1, 1, 1, 4}, {.pages = 10, .page_slots = 16});
        Scheduler scheduler(steps, pool, {.max_running = 2, .token_budget = 8});
        scheduler.add(request_of(prompt_of(20), 30));
        while (scheduler.step()) {
        }
        CHECK(scheduler.generated(0).size() == 30);
        for (const Token token : scheduler.generated(0)) CHECK(token == 0);
        CHECK(pool.counts().most_used == 4);  // 49 tokens, of which the last is never fed
    }

    TEST_CASE("scheduler: a request that is forgotten is gone, and its number not used again") {
        ServingRig rig(4);
        rig.add(prompt_of(5), 3);
        CHECK_THROWS_AS(rig.scheduler.forget(0), Error);
        rig.scheduler.step();
        CHECK_THROWS_WITH(rig.scheduler.forget(0),
                          "scheduler: request 0 has not ended, or its batch has not");
        rig.on_token = [&](Index, Token) { CHECK_THROWS_AS(rig.scheduler.forget(0), Error); };
        rig.run();
        rig.scheduler.forget(0);
        CHECK_THROWS_WITH(rig.scheduler.tokens(0), "scheduler: there is no request 0 any more");
        CHECK_THROWS_WITH(rig.scheduler.cancel(1), "scheduler: there is no request 1");
        CHECK(rig.scheduler.add(request_of(prompt_of(5), 3)) == 1);
    }

    TEST_CASE("scheduler: requests that could never run are refused, and change nothing") {
        ServingRig rig(2);
        CHECK_THROWS_WITH(rig.scheduler.add(request_of({}, 3)),
                          "scheduler: the prompt is empty");
        CHECK_THROWS_WITH(rig.scheduler.add(request_of(prompt_of(3), 0)),
                          "scheduler: expected at least one token to write, found 0");
        CHECK_THROWS_WITH(rig.scheduler.add(request_of(prompt_of(500), 13)),
                          "scheduler: a prompt of 500 tokens and 13 to write do not fit the "
                          "context of 512");
        CHECK_THROWS_WITH(rig.scheduler.add(request_of(prompt_of(120), 9)),
                          "scheduler: a prompt of 120 tokens and 9 to write need 3 pages, the "
                          "pool has 2");
        Request cold = request_of(prompt_of(3), 3);
        cold.choice.sampling.temperature = -1;
        CHECK_THROWS_AS(rig.scheduler.add(cold), Error);
        CHECK(rig.scheduler.requests() == 0);
        CHECK(!rig.scheduler.step());
    }

    TEST_CASE("scheduler: a token outside of the vocabulary is refused when it comes") {
        ServingRig rig(4);
        CHECK_THROWS_WITH(rig.scheduler.add(request_of({3, 256}, 3)),
                          "scheduler: token 256 is outside of the vocabulary of 256");
        CHECK_THROWS_AS(rig.scheduler.add(request_of({-1}, 3)), Error);
    }

    TEST_CASE("scheduler: options that cannot be are refused") {
        CountingSteps steps;
        PagePool pool(KvShape{1, 1, 1, 4}, {.pages = 4});
        const auto index = make_chain_index(pool);
        const auto drafter = make_lookup_drafter();
        const auto refused = [&](const SchedulerOptions& options, const char* why,
                                 PrefixIndex* prefixes = nullptr, Drafter* guesser = nullptr) {
            CHECK_THROWS_WITH(Scheduler(steps, pool, options, prefixes, guesser), why);
        };
        refused({.max_running = 0}, "scheduler: at least one text has to run, found 0");
        refused({.max_running = 8, .token_budget = 7},
                "scheduler: a budget of 7 tokens; every one of 8 texts needs one in a step");
        refused({.patience = -1}, "scheduler: patience must not be negative, found -1");
        refused({.draft_tokens = -1}, "scheduler: draft tokens must not be negative, found -1");
        refused({.draft_tokens = 3}, "scheduler: 3 draft tokens, but there is no drafter");
        const char* const alike =
            "scheduler: static batches have no shared beginnings and no guesses";
        refused({.batching = Batching::static_batches}, alike, index.get());
        refused({.batching = Batching::static_batches}, alike, nullptr, drafter.get());
        Scheduler one(steps, pool, {.batching = Batching::one_by_one, .token_budget = 1});
        one.add(request_of(prompt_of(3), 1));
        one.set_on_token([&](Index, Token, std::span<const float>) {
            CHECK_THROWS_WITH(one.step(), "scheduler: step() inside of a step");
        });
        while (one.step()) {
        }
    }

    TEST_CASE("decoder steps: wanted rows, and nothing else") {
        ServingRig rig(8);
        const auto a = rig.steps.make_cache(rig.pool), b = rig.steps.make_cache(rig.pool);
        const std::vector<Token> tokens = prompt_of(6);
        const auto run = [&](Index wanted_a, Index wanted_b) {
            const StepPart parts[] = {{a.get(), tokens, wanted_a}, {b.get(), tokens, wanted_b}};
            return rig.steps.run(parts);
        };
        CHECK(run(0, 0).dim(0) == 0);
        CHECK(run(0, 1).dim(0) == 1);
        CHECK(run(6, 1).dim(0) == 7);
        CHECK_THROWS_WITH(run(2, 1),
                          "decoder steps: of 6 tokens none, the last or all may want logits, "
                          "found 2");
        CHECK(a->next_position() == 18);
    }
}
