// Step 7: the record of a schedule. Mistakes in mind: a table of the step before, an event of
// add() that is lost, tokens counted twice, pages of a text that has ended.
#include <doctest/doctest.h>

#include <numeric>

#include <kvlab/serving/schedule_record.hpp>

using namespace kvlab;

namespace {

// A model that only lets time pass: a millisecond for each token. It has no logits.
class Pretender final : public StepModel {
public:
    std::unique_ptr<PagedCache> make_cache(PagePool& pool) override {
        return std::make_unique<PagedCache>(pool, context());
    }

    Index context() const override { return 512; }

    View<const float> run(std::span<const StepPart> parts) override {
        for (const StepPart& part : parts) {
            part.cache->pretend(std::ssize(part.tokens));
            now_ += 0.001 * static_cast<double>(part.tokens.size());
        }
        return {};
    }

    double now() const override { return now_; }

    void wait_until(double seconds) override { now_ = std::max(now_, seconds); }

private:
    double now_ = 0;
};

// A pool that is too small, shared beginnings and guesses.
struct RecordRig {
    Pretender model;
    PagePool pool{{1, 1, 1, 8}, {.pages = 8, .page_slots = 4}};
    std::unique_ptr<PrefixIndex> index = make_chain_index(pool);
    std::unique_ptr<Drafter> drafter = make_lookup_drafter();
    Scheduler scheduler{model,
                        pool,
                        {.max_running = 3, .token_budget = 8, .draft_tokens = 3},
                        index.get(),
                        drafter.get()};
    ScheduleRecord record{scheduler, model, pool};

    // A prompt of `first` and the numbers after it.
    Index add(Index prompt, Index write, Token first = 1, const std::string& scope = "") {
        std::vector<Token> tokens(usize(prompt));
        std::iota(tokens.begin(), tokens.end(), first);
        return record.add({.prompt = tokens, .max_tokens = write, .scope = scope});
    }
};

Index events_in(const RecordedStep& step, StepEvent::Kind kind) {
    return std::count_if(step.events.begin(), step.events.end(),
                         [&](const StepEvent& event) { return event.kind == kind; });
}

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("record: every step is what the scheduler says after it") {
        RecordRig rig;
        rig.add(9, 16);
        rig.add(12, 16, 0);
        Index step = 0;
        for (bool ran = true; ran; ++step) {
            if (step == 3) rig.add(8, 4);
            if (step == 6) rig.add(9, 12);
            const double before = rig.model.now();
            ran = rig.record.step();
            if (!ran) break;
            REQUIRE(std::ssize(rig.record.steps()) == step + 1);
            const RecordedStep& last = rig.record.steps().back();
            CHECK(last.seconds == rig.model.now() - before);
            CHECK(events_in(last, StepEvent::Kind::added) == (step == 0                ? 2
                                                              : step == 3 || step == 6 ? 1
                                                                                       : 0));
            CHECK(std::ssize(last.tables) == rig.scheduler.running());
            for (const auto& [request, pages] : last.tables) {
                const auto table = rig.scheduler.table(request);
                CHECK(pages == std::vector<PageId>(table.begin(), table.end()));
            }
            CHECK(std::ssize(last.indexed) == rig.index->held());
            REQUIRE(last.parts.size() == rig.scheduler.last_step().size());
            for (std::size_t i = 0; i < last.parts.size(); ++i)
                CHECK(last.parts[i].share.fed == rig.scheduler.last_step()[i].fed);
        }

        const SchedulerCounts& counts = rig.scheduler.counts();
        Index fed = 0, written = 0, copied = 0;
        for (const RecordedStep& each : rig.record.steps()) {
            copied += each.copied;
            for (const auto& [share, kept] : each.parts) {
                fed += share.fed;
                written += kept;
            }
        }
        CHECK(fed == counts.fed);
        CHECK(written == 16 + 16 + 12 + 4);
        CHECK(copied == rig.pool.counts().copied);
        using Kind = StepEvent::Kind;
        CHECK(rig.record.events(Kind::preempted) == counts.preempted);
        CHECK(rig.record.counts(Kind::admitted) + rig.record.counts(Kind::resumed) ==
              counts.cached);
        CHECK(rig.record.events(Kind::ended) == 4);
        CHECK(rig.record.counts(Kind::evicted) == rig.index->counts().evicted);
        CHECK(counts.preempted > 0);
        CHECK(counts.cached > 0);
        CHECK(copied > 0);
        CHECK(counts.accepted > 0);
        CHECK(counts.drafted > counts.accepted);
        CHECK(rig.index->counts().evicted > 0);
    }

    TEST_CASE("record: what happens without a step is a step without parts") {
        RecordRig rig;
        const Index number = rig.add(5, 4, 1, "a");
        rig.scheduler.cancel(number);
        CHECK_FALSE(rig.record.step());
        REQUIRE(rig.record.steps().size() == 1);
        const RecordedStep& step = rig.record.steps().front();
        CHECK(step.parts.empty());
        CHECK(step.tables.empty());
        CHECK(step.seconds == 0);
        CHECK(events_in(step, StepEvent::Kind::added) == 1);
        CHECK(events_in(step, StepEvent::Kind::cancelled) == 1);
        CHECK_FALSE(rig.record.step());
        CHECK(rig.record.steps().size() == 1);
        const RecordedRequest& request = rig.record.requests().front();
        CHECK(request.arrival_step == 0);
        CHECK(request.prompt_tokens == 5);
        CHECK(request.max_tokens == 4);
        CHECK(request.scope == "a");
    }

    TEST_CASE("record: nobody is added past it") {
        RecordRig rig;
        rig.scheduler.add({.prompt = {1}});
        CHECK_THROWS_AS(rig.add(5, 4), Error);
        CHECK_THROWS_AS(ScheduleRecord(rig.scheduler, rig.model, rig.pool), Error);
    }

    TEST_CASE("record: every kind of event has a name of its own") {
        CHECK(std::string(event_name(StepEvent::Kind::added)) == "added");
        CHECK(std::string(event_name(StepEvent::Kind::swapped)) == "swapped");
        CHECK(std::string(event_name(StepEvent::Kind::evicted)) == "evicted");
    }
}
