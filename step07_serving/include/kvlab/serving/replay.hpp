// replay.hpp - chapter 7: a trace of requests through a scheduler, in the time of its model:
// seconds on the wall for a decoder, counted ones for a simulation. The code is the same.
//
// A request counts from when it should have come. Whoever starts its clock only when the
// scheduler had time to look does not see the waiting.
#pragma once

#include <vector>

#include <kvlab/serving/latency.hpp>
#include <kvlab/serving/scheduler.hpp>
#include <kvlab/serving/trace.hpp>

namespace kvlab {

struct ReplayOptions {
    double speed = 1;  // the trace's seconds pass so much faster; 0: all requests come at once
    Deadlines deadlines = {};
    bool forget = false;  // the scheduler keeps nothing of a request that has ended
    Scheduler::OnToken on_token = {};  // is told what the replay is told
    Scheduler::OnEvent on_event = {};
};

struct Replayed {
    std::vector<ServedRequest> requests;  // in the trace's order, from its first moment on
    ServiceSummary summary;
    Index steps = 0;
    double mean_batch = 0;  // texts in a step
};

// Until all have ended. Sets the scheduler's two callbacks, which are empty afterwards. Throws
// Error as Scheduler::add() does, if a request ends without a token, and for a negative speed.
Replayed replay(Scheduler& scheduler,
                StepModel& model,
                const RequestTrace& trace,
                Index vocab,
                const ReplayOptions& options = {});

}  // namespace kvlab
