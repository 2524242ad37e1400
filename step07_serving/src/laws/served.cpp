#include "served.hpp"

#include <algorithm>

#include "noisy_drafter.hpp"

namespace kvlab {

namespace {

std::unique_ptr<PrefixIndex> make_index(IndexKind kind, PagePool& pool) {
    if (kind == IndexKind::none) return nullptr;
    return kind == IndexKind::chain ? make_chain_index(pool) : make_radix_index(pool);
}

}  // namespace

Served::Served(Decoder& decoder,
               StepModel& steps,
               const RandomSchedule& schedule,
               std::shared_ptr<const Model> small_model,
               Rng random,
               Index number,
               LawReport& report)
    : decoder_(decoder),
      schedule_(schedule),
      random_(random),
      number_(number),
      report_(report),
      cancelled_(schedule.requests.size(), false),
      pieces_(schedule.requests.size(), 0),
      pool_(decoder.kv_shape(),
            {.pages = schedule.pages, .rows = schedule.rows, .poison = schedule.poison}),
      index_(make_index(schedule.index, pool_)),
      drafter_(make_drafter(std::move(small_model))),
      scheduler_(steps, pool_, schedule.options, index_.get(), drafter_.get()) {
    for (const Request& request : schedule.requests) {
        alone_.push_back(serve_alone(decoder, request, schedule.rows));
        futures_.push_back(request.prompt);
        const std::vector<Token>& tokens = alone_.back().tokens;
        futures_.back().insert(futures_.back().end(), tokens.begin(), tokens.end());
    }
    scheduler_.set_on_token([this](Index request, Token token, std::span<const float> logits) {
        compare(request, token, logits);
        cancel_somebody();
    });
    scheduler_.set_on_event([this](const StepEvent& event) { count(event); });
}

std::unique_ptr<Drafter> Served::make_drafter(std::shared_ptr<const Model> small_model) {
    const auto future = [this](Index text) {
        return std::span<const Token>(at(futures_, text));
    };
    switch (schedule_.drafter) {
        case DrafterKind::none:
            return nullptr;
        case DrafterKind::lookup:
            return make_lookup_drafter();
        case DrafterKind::model:
            return make_model_drafter(std::move(small_model), decoder_.engine());
        case DrafterKind::at_random:
            return std::make_unique<NoisyDrafter>(future, decoder_.config().vocab,
                                                  random_.uniform(), random_);
    }
    throw Error("laws: no such drafter");
}

void Served::run() {
    do {
        add_those_who_come();
        cancel_somebody();
        if (scheduler_.step()) count_step();
        ++step_;
        check(step_ < most_steps(), "nobody ends: ", scheduler_.running(), " run and ",
              scheduler_.waiting(), " wait after ", step_, " steps");
    } while (scheduler_.waiting() + scheduler_.running() > 0 ||
             scheduler_.requests() < std::ssize(schedule_.requests));
    report_.counts.copied += pool_.counts().copied;
    compare_ends();
    check_pages();
}

// One after the other, each token in a step of its own, and all of that many times, since who
// is preempted begins again.
Index Served::most_steps() const {
    Index tokens = schedule_.comes.back() + 1;
    for (const Request& request : schedule_.requests)
        tokens += std::ssize(request.prompt) + request.max_tokens;
    return 20 * tokens;
}

void Served::add_those_who_come() {
    for (Index next = scheduler_.requests();
         next < std::ssize(schedule_.requests) && at(schedule_.comes, next) <= step_; ++next)
        scheduler_.add(at(schedule_.requests, next));
}

void Served::cancel_somebody() {
    if (schedule_.cancel_one_in == 0 || random_.below(schedule_.cancel_one_in) != 0) return;
    if (scheduler_.requests() == 0) return;
    const Index request = random_.below(scheduler_.requests());
    const Outcome before = scheduler_.outcome(request);
    scheduler_.cancel(request);
    if (before == Outcome::waiting || before == Outcome::running)
        at(cancelled_, request) = true;
}

void Served::differs(Index request, Index token, const std::string& what) {
    if (report_.first_difference.empty())
        report_.first_difference =
            concat("schedule ", number_, ", request ", request, ", token ", token, ": ", what);
}

void Served::compare(Index request, Token token, std::span<const float> logits) {
    const Index i = std::ssize(scheduler_.generated(request)) - 1;
    const Alone& alone = at(alone_, request);
    ++report_.tokens;
    if (i >= std::ssize(alone.tokens)) {
        ++report_.tokens_differ;
        return differs(request, i, "alone it has ended before");
    }
    const Difference difference = compare_bits(alone.row(i), logits);
    report_.logits.merge(difference);
    if (difference.differ > 0)
        differs(request, i,
                concat(difference.differ, " floats, the first is ", difference.first));
    if (token == at(alone.tokens, i)) return;
    ++report_.tokens_differ;
    differs(request, i, concat("expected token ", at(alone.tokens, i), ", found ", token));
}

void Served::count(const StepEvent& event) {
    LawCounts& counts = report_.counts;
    if (event.kind == StepEvent::Kind::evicted) counts.evicted += event.count;
    if (event.kind == StepEvent::Kind::swapped) ++counts.swapped;
    if (event.kind == StepEvent::Kind::preempted) ++counts.recomputed;
    if (event.kind == StepEvent::Kind::cancelled) ++counts.cancelled;
    if (event.kind == StepEvent::Kind::admitted) count_overtaken(event.request);
}

// By a later one of the same priority.
void Served::count_overtaken(Index request) {
    const auto priority = [&](Index r) { return at(schedule_.requests, r).priority; };
    for (Index earlier = 0; earlier < request; ++earlier)
        if (scheduler_.outcome(earlier) == Outcome::waiting &&
            scheduler_.counts(earlier).preempted == 0 && priority(earlier) == priority(request))
            ++report_.counts.overtaken;
}

// Whole prompts may exceed the budget by the first of them, and then it is the only one.
void Served::count_step() {
    ++report_.steps;
    const SchedulerOptions& options = schedule_.options;
    Index fed = 0, prompts = 0;
    for (const StepShare& share : scheduler_.last_step()) {
        fed += share.fed;
        prompts += share.fed - share.drafted > 1 ? 1 : 0;
        if (share.wanted == 0 && ++at(pieces_, share.request) == 2) ++report_.counts.chunked;
    }
    if (options.batching == Batching::static_batches) return;  // they have no budget
    ++report_.bounded_steps;
    const bool one_whole_prompt = !options.chunked && prompts == 1;
    if (fed > options.token_budget && !one_whole_prompt) ++report_.over_budget;
}

// A request that nobody cancelled has ended as it does alone; one that was cancelled before it
// had ended is cancelled. What that one has written was compared token by token.
void Served::compare_ends() {
    LawCounts& counts = report_.counts;
    for (Index r = 0; r < scheduler_.requests(); ++r) {
        const Outcome outcome = scheduler_.outcome(r);
        counts.ended += outcome == Outcome::end_token ? 1 : 0;
        const Outcome expected = at(cancelled_, r) ? Outcome::cancelled : at(alone_, r).outcome;
        const Index written = std::ssize(scheduler_.generated(r));
        const bool whole = at(cancelled_, r) || written == std::ssize(at(alone_, r).tokens);
        if (outcome == expected && whole) continue;
        ++report_.outcomes_differ;
        differs(r, written,
                concat("expected the end '", outcome_name(expected), "', found '",
                       outcome_name(outcome), "'"));
    }
    const SchedulerCounts& all = scheduler_.counts();
    counts.cached += all.cached;
    counts.accepted += all.accepted;
    counts.rejected += all.drafted - all.accepted;
    counts.padded += all.padded;
}

// When everybody has ended and been forgotten, only the index holds pages.
void Served::check_pages() {
    for (Index r = 0; r < scheduler_.requests(); ++r) scheduler_.forget(r);
    if (index_) index_->evict(pool_.pages());
    const Index lost = pool_.pages() - pool_.free();
    report_.pages_lost += lost;
    if (lost > 0) differs(-1, -1, concat(lost, " pages are not free"));
}

}  // namespace kvlab
