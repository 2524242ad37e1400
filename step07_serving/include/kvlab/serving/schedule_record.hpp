// schedule_record.hpp - chapter 7: what a scheduler did, step by step, kept for a look at it
// afterwards: who fed what, what happened, and who held which page when the step ended.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <kvlab/serving/scheduler.hpp>

namespace kvlab {

struct RecordedRequest {
    Index arrival_step;  // the step before which it was added
    Index prompt_tokens, max_tokens;
    std::string scope;
};

struct RecordedPart {
    StepShare share;
    Index written;  // tokens that were kept
};

struct RecordedStep {
    double seconds = 0;  // in the time of the model
    std::vector<RecordedPart> parts;
    std::vector<StepEvent> events;  // since the step before, so of add() and cancel(), too
    Index copied = 0;               // pages whose slots were copied
    std::map<Index, std::vector<PageId>> tables = {};  // of the requests that run when it ends
    std::vector<PageId> indexed = {};  // pages that somebody else holds: the index
};

// Watches one scheduler from its first request on; it takes the scheduler's set_on_event(). All
// that it is given must outlive it. Requests are added, and steps run, through it.
class ScheduleRecord {
public:
    // The scheduler's own model and pool. Throws Error if it has had a request already.
    ScheduleRecord(Scheduler& scheduler, const StepModel& model, const PagePool& pool);
    ~ScheduleRecord();

    ScheduleRecord(const ScheduleRecord&) = delete;
    ScheduleRecord& operator=(const ScheduleRecord&) = delete;

    Index add(Request request);

    // A step of the scheduler; false if nobody waited or ran. What happened since the last step
    // is recorded even then, as a step without parts.
    bool step();

    const std::vector<RecordedRequest>& requests() const { return requests_; }

    const std::vector<RecordedStep>& steps() const { return steps_; }

    // Of all steps: events of a kind, and their counts.
    Index events(StepEvent::Kind kind) const;
    Index counts(StepEvent::Kind kind) const;

private:
    RecordedStep end_step(double seconds);
    void note_pages(RecordedStep& step) const;

    Scheduler& scheduler_;
    const StepModel& model_;
    const PagePool& pool_;
    std::vector<RecordedRequest> requests_;
    std::vector<Index> written_;     // of each request, when the last step ended
    std::vector<StepEvent> events_;  // since then
    Index copied_ = 0;               // by then
    std::vector<RecordedStep> steps_;
};

// "added", "admitted" ...
const char* event_name(StepEvent::Kind kind);

}  // namespace kvlab
