// server_loop.hpp - chapter 7: the one thread that owns the scheduler, and how others reach it.
//
// A scheduler, a pool and a decoder are of one thread. Connections have threads of their own,
// and these only hand over what they want (submit) and get what was written (Ticket):
//
//   connection 1 --+                 +--> inbox --> add() \                 +--> ticket 1
//   connection 2 --+--> submit() ----+              step() |  again and again --> ticket 2
//   connection 3 --+    or 429                    cancel() /                +--> ticket 3
//
// The loop sleeps when nobody waits for anything, and never waits for a connection.
#pragma once

#include <chrono>
#include <memory>

#include <kvlab/serving/scheduler.hpp>
#include <kvlab/serving/server_metrics.hpp>

namespace kvlab {

struct LoopOptions {
    SchedulerOptions scheduler = {};
    Index queue = 64;                         // texts beyond those that may run, before a 429
    std::chrono::milliseconds limit{600000};  // for one request, from submit() to its end
};

class ServingLoop {
public:
    // All must outlive it, and belong to its thread until stop() has returned. `prefixes` and
    // `drafter` may be null. Throws Error as Scheduler does.
    ServingLoop(StepModel& model,
                PagePool& pool,
                const Tokenizer& tokenizer,
                const LoopOptions& options,
                PrefixIndex* prefixes = nullptr,
                Drafter* drafter = nullptr);
    ~ServingLoop();  // as stop() with no grace

    // Texts that it takes at a time: those that may run, and the queue.
    Index places() const;

    // Hands a request over; its reply comes through the ticket. Any thread. Throws ApiError:
    // 429 if there are not places enough for its texts now, 503 if the server stops.
    std::shared_ptr<Ticket> submit(ApiRequest request);

    // From now on submit() refuses. What was submitted may go on for `grace`; then it is
    // cancelled. Returns when nothing runs any more, and the index has given its pages back.
    void stop(std::chrono::milliseconds grace);

    // As of the last step. Any thread.
    ServingMetrics metrics() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace kvlab
