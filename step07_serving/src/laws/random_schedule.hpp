// random_schedule.hpp - chapter 7: requests, and how they are served, drawn from a seed.
#pragma once

#include <vector>

#include <kvlab/serving/laws.hpp>
#include <kvlab/serving/scheduler.hpp>

namespace kvlab {

enum class IndexKind { none, chain, radix };
enum class DrafterKind { none, lookup, model, at_random };

struct RandomSchedule {
    std::vector<Request> requests;  // in the order in which they come
    std::vector<Index> comes;       // of each, the step before which it comes
    SchedulerOptions options;
    IndexKind index;
    DrafterKind drafter;
    Index format;  // of LawOptions::formats
    MakeRows rows;
    Index pages;
    bool poison;
    Index cancel_one_in;  // steps, and tokens
};

// `random` is used up by it, and goes on to draw what happens in the schedule.
RandomSchedule draw_schedule(const LawOptions& options, Rng& random);

}  // namespace kvlab
