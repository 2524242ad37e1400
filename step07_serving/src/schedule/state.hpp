// state.hpp - chapter 7: what the scheduler keeps between its steps. What is done with it is in
// one file per idea:
//
//   admission.cpp     who of those that wait comes in, if there are pages
//   plan.cpp          who feeds which tokens in this step, and gets pages for them
//   preemption.cpp    pages that somebody has to give back
//   run.cpp           the step itself, and what is kept of it
//   static_batch.cpp  the plan of those who do not let anybody in before all have ended
#pragma once

#include <unordered_map>

#include <kvlab/serving/scheduler.hpp>

#include "sequence.hpp"

namespace kvlab {

// One text's part in the step that is planned. Its tokens are in Sequence::fed.
struct PlannedPart {
    Sequence* text;
    Index fed;
    Index wanted;   // rows of logits
    Index guesses;  // of its tokens, the last ones
    Index padding;  // of its tokens, those that only keep others company
};

struct Scheduler::State {
    State(StepModel& model,
          PagePool& pool,
          const SchedulerOptions& options,
          PrefixIndex* prefixes,
          Drafter* drafter);

    // scheduler.cpp
    Sequence& find(Index request) const;
    void tell(StepEvent::Kind kind, const Sequence* text, Index count = 0) const;
    void enter(Sequence& text, std::vector<Sequence*>& line);
    void leave(const Sequence& text, std::vector<Sequence*>& line);
    void end(Sequence& text, Outcome outcome);
    bool step();

    // admission.cpp
    Index most_running() const;
    Sequence& next_waiting() const;
    void admit();
    bool take_in(Sequence& text);
    Index usable_pages(const Sequence& text) const;
    bool pages_are_there(const Sequence& text, Index known) const;
    Index adopt(Sequence& text, Index pages);
    void start(Sequence& text);
    void count_overtaken(const Sequence& text);

    // plan.cpp
    void plan();
    void share();
    void give_pages();
    void plan_part(Sequence& text, Index count);
    void add_guesses();
    Index most_guesses(const Sequence& text) const;

    // preemption.cpp
    bool find_pages(const Sequence& text, Index needed);
    Index evict(Index pages);
    void preempt(Sequence& text);
    void bring_back(Sequence& text);

    // static_batch.cpp
    void plan_static();
    void admit_batch();
    bool batch_has_ended() const;
    void end_batch();
    void plan_padded(Sequence& text, Index count, bool prompts);

    // run.cpp
    void run();
    void take(const PlannedPart& part, const View<const float>& logits);
    bool keep(Sequence& text, Token token, std::span<const float> logits);
    void settle(Sequence& text);
    void insert_pages(Sequence& text);

    // Fixed at construction.
    StepModel& model;
    PagePool& pool;
    SchedulerOptions options;
    PrefixIndex* prefixes;
    Drafter* drafter;
    OnToken on_token;
    OnEvent on_event;

    // All that were added and not forgotten, by number.
    std::unordered_map<Index, std::unique_ptr<Sequence>> texts;
    Index added = 0, admitted = 0;
    std::vector<Sequence*> waiting;  // in the order of waits_before()
    std::vector<Sequence*> running;  // of runs_before(); of a static batch also who has ended

    // The step that is planned or under way.
    bool inside = false;                // of step()
    std::vector<Index> unseen, shares;  // of the running texts
    std::vector<PlannedPart> parts;
    std::vector<StepPart> step_parts;
    Index left = 0;      // of the budget
    Index reserved = 0;  // free pages that the parts planned so far will take

    std::vector<StepShare> last_step;
    SchedulerCounts counts;
};

}  // namespace kvlab
