// by_hand_steps.cpp - chapter 7: worked examples of the scheduler: who is fed in which step, on
// a model that only counts.
#include <cstdio>

#include "by_hand.hpp"

namespace kvlab::app {

std::unique_ptr<PagedCache> CountedSteps::make_cache(PagePool& pool) {
    return std::make_unique<PagedCache>(pool, context_);
}

View<const float> CountedSteps::run(std::span<const StepPart> parts) {
    for (const StepPart& part : parts) part.cache->pretend(std::ssize(part.tokens));
    seconds_ += 1;
    return {};
}

namespace {

constexpr Index kContextOnPaper = 64;

Request asked(Index prompt, Index max_tokens) {
    Request request;
    request.prompt.assign(usize(prompt), 1);
    request.max_tokens = max_tokens;
    return request;
}

// What each request was fed, step by step: [requests][steps].
using Fed = std::vector<std::vector<Index>>;

void note(Fed& fed, const Scheduler& scheduler, Index steps) {
    fed.resize(usize(scheduler.requests()));
    for (auto& row : fed) row.resize(usize(steps));
    for (const StepShare& share : scheduler.last_step())
        at(at(fed, share.request), steps - 1) = share.fed;
}

void print_fed(const Fed& fed) {
    for (std::size_t r = 0; r < fed.size(); ++r) {
        std::printf("    %c     ", static_cast<char>('A' + r));
        for (const Index tokens : fed[r]) std::printf(tokens == 0 ? "  ." : " %2td", tokens);
        std::printf("\n");
    }
    std::printf("    in all");
    for (std::size_t step = 0; step < fed[0].size(); ++step) {
        Index sum = 0;
        for (const auto& row : fed) sum += row[step];
        std::printf(" %2td", sum);
    }
    std::printf("\n");
}

}  // namespace

// Four requests with prompts of one token, which write 6, 2, 2 and 2, two at a time.
void show_batching() {
    for (const auto& [name, batching] : {std::pair("one by one", Batching::one_by_one),
                                         std::pair("static", Batching::static_batches),
                                         std::pair("continuous", Batching::continuous)}) {
        PagePool pool = paper_pool(32);
        CountedSteps model(kContextOnPaper);
        SchedulerOptions options;
        options.batching = batching;
        options.max_running = 2;
        Scheduler scheduler(model, pool, options);
        for (const Index writes : {6, 2, 2, 2}) scheduler.add(asked(1, writes));
        Fed fed;
        Index steps = 0;
        while (scheduler.step()) note(fed, scheduler, ++steps);
        std::printf("  %s: %td steps, %td tokens written, %td fed as padding\n", name, steps,
                    scheduler.counts().written, scheduler.counts().padded);
        print_fed(fed);
    }
}

// A writes; a prompt of 13 and one of 2 come before step 3; a budget of 8.
void show_chunks() {
    for (const bool chunked : {false, true}) {
        PagePool pool = paper_pool(32);
        CountedSteps model(kContextOnPaper);
        SchedulerOptions options;
        options.chunked = chunked;
        options.token_budget = 8;
        options.max_running = 4;
        Scheduler scheduler(model, pool, options);
        scheduler.add(asked(3, 6));
        Fed fed;
        Index steps = 0;
        do {
            if (steps == 2) {
                scheduler.add(asked(13, 3));
                scheduler.add(asked(2, 3));
            }
            if (!scheduler.step()) break;
            note(fed, scheduler, ++steps);
        } while (true);
        std::printf("  %s:\n", chunked ? "in chunks" : "whole");
        print_fed(fed);
    }
}

// Two texts that grow in a pool of five pages, too few for both.
void show_preemption() {
    PagePool pool = paper_pool(5);
    CountedSteps model(kContextOnPaper);
    Scheduler scheduler(model, pool, SchedulerOptions{});
    scheduler.add(asked(7, 7));
    scheduler.add(asked(6, 5));
    std::string happened;
    scheduler.set_on_event([&](const StepEvent& event) {
        const char who = static_cast<char>('A' + event.request);
        if (event.kind == StepEvent::Kind::preempted)
            happened += concat("  ", who, " is preempted");
        if (event.kind == StepEvent::Kind::resumed)
            happened += concat("  ", who, " is resumed");
        if (event.kind == StepEvent::Kind::ended) happened += concat("  ", who, " ends");
    });
    std::printf("  step  fed to A  to B  pages of A  of B  free\n");
    for (Index step = 1; scheduler.step(); ++step) {
        Index fed[2] = {};
        for (const StepShare& share : scheduler.last_step()) at(fed, share.request) = share.fed;
        const auto pages = [&](Index request) { return std::ssize(scheduler.table(request)); };
        std::printf("  %4td  %8td  %4td  %10td  %4td  %4td%s\n", step, fed[0], fed[1], pages(0),
                    pages(1), pool.free(), happened.c_str());
        happened.clear();
    }
    for (const Index request : {0, 1})
        std::printf("  %c: %td tokens written, %td computed, preempted %td times\n",
                    static_cast<char>('A' + request), std::ssize(scheduler.generated(request)),
                    scheduler.counts(request).computed, scheduler.counts(request).preempted);
}

}  // namespace kvlab::app
