// Who comes in before whom. Mistakes in mind: somebody who waits for ever, small requests that
// keep a large one out, a text that is let in and then not fed.
#include "serving_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const SchedulerOptions kMany{.max_running = 8, .token_budget = 512};

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("scheduler: higher priority comes in first and may starve the lower") {
        SchedulerOptions options = kMany;
        options.max_running = 1;
        ServingRig rig(8, options);
        rig.add(prompt_of(10, 1), 2, 0);
        rig.add(prompt_of(10, 2), 2, 5);
        rig.add(prompt_of(10, 3), 2, -5);
        rig.add(prompt_of(10, 4), 2, 5);
        rig.run();
        CHECK(rig.order_of("ended") == std::vector<Index>{1, 3, 0, 2});
    }

    TEST_CASE(
        "scheduler: shortest first, and no one is overtaken more often than patience allows") {
        for (const Index patience : {0, 1, 3, 100}) {
            ServingRig rig(16, {.max_running = 1,
                                .token_budget = 64,
                                .order = Order::shortest_first,
                                .patience = patience});
            rig.add(prompt_of(50), 2);
            for (std::uint64_t seed = 0; seed < 6; ++seed) rig.add(prompt_of(5, seed), 2);
            rig.run();
            const std::vector<Index> order = rig.order_of("admitted");
            const auto place = std::find(order.begin(), order.end(), 0) - order.begin();
            CHECK(place == std::min<Index>(patience, 6));
        }
    }

    TEST_CASE("scheduler: nobody comes in past somebody for whom there are no pages") {
        ServingRig rig(4, kMany);
        rig.add(prompt_of(180, 1), 30);
        rig.add(prompt_of(180, 2), 3);
        rig.add(prompt_of(5, 3), 3);
        rig.run();
        CHECK(rig.order_of("admitted") == std::vector<Index>{0, 1, 2});
    }

    TEST_CASE(
        "scheduler: who is let in is fed in every step; a whole prompt waits for others") {
        for (const bool chunked : {true, false}) {
            CountingSteps steps;
            PagePool pool(KvShape{1, 1, 1, 4}, {.pages = 400});
            constexpr Index kRunning = 6;
            Scheduler scheduler(
                steps, pool, {.max_running = kRunning, .token_budget = 70, .chunked = chunked});
            Rng random(5);
            for (Index r = 0; r < 60; ++r)
                scheduler.add(
                    request_of(prompt_of(1 + random.below(120)), 1 + random.below(30)));
            std::vector<Index> last_fed(60, -1);  // or let in
            Index step = 0, longest = 0;
            scheduler.set_on_event([&](const StepEvent& event) {
                if (event.kind == StepEvent::Kind::admitted)
                    at(last_fed, event.request) = step - 1;
            });
            for (; scheduler.step(); ++step)
                for (const StepShare& share : scheduler.last_step()) {
                    Index& last = at(last_fed, share.request);
                    longest = std::max(longest, step - last);
                    last = step;
                }
            CHECK(scheduler.counts().written > 60);
            // Each prompt before it is fed whole in a step of its own at the latest.
            CHECK((chunked ? longest == 1 : longest > 1 && longest <= kRunning));
        }
    }

    TEST_CASE("scheduler: requests may come from whoever gets a token") {
        ServingRig rig(16, kMany);
        rig.add(prompt_of(5), 3);
        rig.on_token = [&](Index request, Token) {
            if (request < 4) rig.add(prompt_of(6 + request), 3);
        };
        rig.run();
        CHECK(rig.scheduler.requests() > 4);
    }
}
