// scheduler.hpp - chapter 7: who runs next. Many requests, steps of a budget, pages that may
// run out.
//
// ANCHOR: states
//              add()             a place and pages are free             its last token
//   request ----------->  waiting --------------------------->  running ---------------> ended
//                            ^                                     |                       ^
//                            +----- preempted: pages run out ------+                       |
//                                   (recompute, or swapped out)             cancel(), from
//                                                                           anywhere
// ANCHOR_END: states
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <kvlab/serving/drafts.hpp>
#include <kvlab/serving/prefix_index.hpp>
#include <kvlab/serving/request.hpp>
#include <kvlab/serving/step_model.hpp>

namespace kvlab {

enum class Batching {
    one_by_one,      // a request runs alone to its end
    static_batches,  // as many as fit, prompts padded to the longest, all to the last one's end
    continuous       // a request comes and goes at any step (Orca, Yu et al. 2022)
};

enum class Order { first_come, shortest_first };

enum class Preemption {
    recompute,  // its pages are freed; later its prompt and what it wrote are fed again
    swap        // its pages are copied out of the pool, and later back
};

struct SchedulerOptions {
    Batching batching = Batching::continuous;
    Index max_running = 16;    // texts in one step
    Index token_budget = 256;  // tokens in one step
    bool chunked = true;  // a prompt may be spread over steps (Sarathi, Agrawal et al. 2023)
    Order order = Order::first_come;
    Preemption preemption = Preemption::recompute;
    Index patience = 8;      // a waiting request is overtaken by at most so many
    Index draft_tokens = 0;  // guesses in a step, with a drafter
};

// What happened in a step, for recordings and tests.
struct StepEvent {
    enum class Kind { added, admitted, resumed, preempted, swapped, ended, cancelled, evicted };
    Kind kind;
    Index request = 0;  // of evicted: none
    // admitted, resumed: tokens from the index; evicted: pages; swapped (out, which is no
    // `preempted` besides): pages
    Index count = 0;
};

// What one text did in the last step.
struct StepShare {
    Index request, fed, wanted, drafted, accepted;
};

struct SchedulerCounts {
    Index steps = 0, fed = 0, padded = 0,
          written = 0;                 // tokens: fed in all, of them padding; kept
    Index cached = 0;                  // tokens that came from the index
    Index preempted = 0, swapped = 0;  // requests; of them by swapping
    Index drafted = 0, accepted = 0, cancelled = 0;
};

// One thread at a time. A request's logits and tokens have the bits that it gets alone.
class Scheduler {
public:
    // What was just written, and from which row of logits (empty if the model has none).
    using OnToken =
        std::function<void(Index request, Token token, std::span<const float> logits)>;
    using OnEvent = std::function<void(const StepEvent& event)>;

    // `prefixes` and `drafter` may be null; all must outlive this. Throws Error for options
    // that cannot be.
    Scheduler(StepModel& model,
              PagePool& pool,
              const SchedulerOptions& options,
              PrefixIndex* prefixes = nullptr,
              Drafter* drafter = nullptr);
    ~Scheduler();

    // Returns its number: 0, 1, 2 ... Throws Error for a request that could never run: an empty
    // prompt, no tokens to write, or more of both than the context or the whole pool holds.
    Index add(Request request);

    // Ends it where it stands; of one that has ended, nothing happens.
    void cancel(Index request);

    // One step of the model, or false if nobody waits or runs.
    bool step();

    void set_on_token(OnToken on_token);
    void set_on_event(OnEvent on_event);

    Index requests() const;
    Index waiting() const;
    Index running() const;

    Outcome outcome(Index request) const;
    std::span<const Token> tokens(Index request) const;  // with the prompt
    std::span<const Token> generated(Index request) const;
    const RequestCounts& counts(Index request) const;

    // The pages of a request that runs, in order.
    std::span<const PageId> table(Index request) const;

    const SchedulerCounts& counts() const;

    // Of the last step, in the order of its batch.
    std::span<const StepShare> last_step() const;

    // Gives up what is kept of a request that has ended (its tokens, its counts).
    void forget(Index request);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace kvlab
