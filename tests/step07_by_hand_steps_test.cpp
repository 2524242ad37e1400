// Step 7: what the chapter works out on paper about steps: who is fed when, by its scheduler.
#include <doctest/doctest.h>

#include <kvlab/serving/scheduler.hpp>

#include "paper_pages.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Counts steps, and computes nothing.
class PaperSteps final : public StepModel {
public:
    std::unique_ptr<PagedCache> make_cache(PagePool& pool) override {
        return std::make_unique<PagedCache>(pool, kPaperRoom);
    }

    Index context() const override { return kPaperRoom; }

    View<const float> run(std::span<const StepPart> parts) override {
        for (const StepPart& part : parts) part.cache->pretend(std::ssize(part.tokens));
        return {};
    }

    double now() const override { return 0; }

    void wait_until(double) override {}
};

// Guesses that are never right: a model without logits writes token 0 alone.
class PaperGuesses final : public Drafter {
public:
    const char* name() const override { return "wrong"; }

    void guess(Index, std::span<const Token>, Index count, std::vector<Token>& to) override {
        to.insert(to.end(), usize(count), 5);
    }

    void forget(Index) override {}
};

struct PaperRequest {
    Index prompt, writes, since;  // since: the step that it comes before
};

// [requests][steps]: what each was fed.
std::vector<PaperCounts> fed_on_paper(Scheduler& scheduler,
                                      const std::vector<PaperRequest>& all) {
    std::vector<PaperCounts> rows(all.size());
    std::size_t added = 0;
    for (Index step = 1;; ++step) {
        for (; added < all.size() && all[added].since <= step; ++added) {
            Request request;
            request.prompt.assign(usize(all[added].prompt), 1);
            request.max_tokens = all[added].writes;
            scheduler.add(request);
        }
        if (!scheduler.step()) return rows;
        for (auto& row : rows) row.push_back(0);
        for (const StepShare& share : scheduler.last_step())
            at(rows, share.request).back() = share.fed;
    }
}

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("by hand: a text that is held whole computes its last token in a copy") {
        PagePool pool = paper_pool(12);
        const std::unique_ptr<PrefixIndex> index = make_chain_index(pool);
        const std::vector<Token> text = paper_letters("the cat sat ");
        PagedCache first(pool, kPaperRoom);
        first.pretend(std::ssize(text));
        index->insert("", text, first.table());
        PaperSteps model;
        Scheduler scheduler(model, pool, SchedulerOptions{}, index.get());
        Request request;
        request.prompt = text;
        request.max_tokens = 1;
        scheduler.add(request);
        REQUIRE(scheduler.step());
        CHECK(scheduler.counts(0).cached == 11);
        CHECK(scheduler.counts(0).computed == 1);
        CHECK(pool.counts().copied == 1);
    }

    TEST_CASE("by hand: four requests in three ways") {
        const std::vector<PaperRequest> asked = {{1, 6, 1}, {1, 2, 1}, {1, 2, 1}, {1, 2, 1}};
        for (const auto& [batching, steps, padded] :
             {std::tuple(Batching::one_by_one, 12, 0),
              std::tuple(Batching::static_batches, 8, 4),
              std::tuple(Batching::continuous, 6, 0)}) {
            PagePool pool = paper_pool(32);
            PaperSteps model;
            SchedulerOptions options;
            options.batching = batching;
            options.max_running = 2;
            Scheduler scheduler(model, pool, options);
            const std::vector<PaperCounts> rows = fed_on_paper(scheduler, asked);
            CHECK(std::ssize(rows[0]) == steps);
            CHECK(scheduler.counts().written == 12);
            CHECK(scheduler.counts().padded == padded);
        }
    }

    TEST_CASE("by hand: a prompt of 13 whole and in chunks") {
        const std::vector<PaperRequest> asked = {{3, 6, 1}, {13, 3, 3}, {2, 3, 3}};
        for (const bool chunked : {false, true}) {
            PagePool pool = paper_pool(32);
            PaperSteps model;
            SchedulerOptions options;
            options.chunked = chunked;
            options.token_budget = 8;
            options.max_running = 4;
            Scheduler scheduler(model, pool, options);
            const std::vector<PaperCounts> rows = fed_on_paper(scheduler, asked);
            using Rows = std::vector<PaperCounts>;
            CHECK(
                rows ==
                (chunked
                     ? Rows{{3, 1, 1, 1, 1, 1, 0}, {0, 0, 7, 6, 1, 1, 0}, {0, 0, 0, 1, 1, 1, 1}}
                     : Rows{{3, 1, 1, 1, 1, 1}, {0, 0, 13, 1, 1, 0}, {0, 0, 0, 2, 1, 1}}));
        }
    }

    TEST_CASE("by hand: the newer text gives up its pages") {
        PagePool pool = paper_pool(5);
        PaperSteps model;
        Scheduler scheduler(model, pool, SchedulerOptions{});
        const std::vector<PaperCounts> rows = fed_on_paper(scheduler, {{7, 7, 1}, {6, 5, 1}});
        CHECK(rows[0] == PaperCounts{7, 1, 1, 1, 1, 1, 1, 0, 0});
        CHECK(rows[1] == PaperCounts{6, 1, 1, 0, 0, 0, 0, 9, 1});
        CHECK(scheduler.counts(0).preempted == 0);
        CHECK(scheduler.counts(1).preempted == 1);
        CHECK(scheduler.counts(1).computed == 18);
        CHECK(std::ssize(scheduler.generated(1)) == 5);
    }

    TEST_CASE("by hand: wrong guesses go and nothing is computed again") {
        PagePool pool = paper_pool(6);
        PaperSteps model;
        PaperGuesses drafter;
        SchedulerOptions options;
        options.draft_tokens = 3;
        Scheduler scheduler(model, pool, options, nullptr, &drafter);
        const std::vector<PaperCounts> rows = fed_on_paper(scheduler, {{7, 4, 1}});
        CHECK(rows[0] ==
              PaperCounts{7, 3, 2, 1});  // as many guesses as tokens are left to write
        CHECK(scheduler.counts().drafted == 3);
        CHECK(scheduler.counts().accepted == 0);
        CHECK(scheduler.generated(0).size() == 4);
    }

    TEST_CASE("by hand: a long request is overtaken as often as patience allows") {
        PagePool pool = paper_pool(12);
        PaperSteps model;
        SchedulerOptions options;
        options.order = Order::shortest_first;
        options.max_running = 1;
        options.patience = 2;
        Scheduler scheduler(model, pool, options);
        const std::vector<PaperCounts> rows =
            fed_on_paper(scheduler, {{9, 1, 1}, {2, 1, 1}, {2, 1, 1}, {2, 1, 1}, {2, 1, 1}});
        CHECK(rows[0] == PaperCounts{0, 0, 9, 0, 0});
        CHECK(rows[1] == PaperCounts{2, 0, 0, 0, 0});
        CHECK(rows[4] == PaperCounts{0, 0, 0, 0, 2});
    }
}
