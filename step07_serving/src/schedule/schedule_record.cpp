#include <kvlab/serving/schedule_record.hpp>

#include <utility>

namespace kvlab {

ScheduleRecord::ScheduleRecord(Scheduler& scheduler,
                               const StepModel& model,
                               const PagePool& pool)
    : scheduler_(scheduler), model_(model), pool_(pool), copied_(pool.counts().copied) {
    check(scheduler.requests() == 0, "schedule record: the scheduler has had ",
          scheduler.requests(), " requests already");
    scheduler_.set_on_event([this](const StepEvent& event) { events_.push_back(event); });
}

ScheduleRecord::~ScheduleRecord() {
    scheduler_.set_on_event({});
}

Index ScheduleRecord::add(Request request) {
    const RecordedRequest noted{std::ssize(steps_), std::ssize(request.prompt),
                                request.max_tokens, request.scope};
    const Index number = scheduler_.add(std::move(request));
    check(number == std::ssize(requests_), "schedule record: request ", number,
          " was not added through the record, or one before it");
    requests_.push_back(noted);
    written_.push_back(0);
    return number;
}

bool ScheduleRecord::step() {
    const double start = model_.now();
    const bool ran = scheduler_.step();
    if (ran || !events_.empty()) steps_.push_back(end_step(ran ? model_.now() - start : 0));
    return ran;
}

RecordedStep ScheduleRecord::end_step(double seconds) {
    RecordedStep step{.seconds = seconds,
                      .parts = {},
                      .events = std::exchange(events_, {}),
                      .copied = pool_.counts().copied - copied_};
    copied_ += step.copied;
    for (const StepShare& share : scheduler_.last_step()) {
        const Index written = std::ssize(scheduler_.generated(share.request));
        step.parts.push_back({share, written - at(written_, share.request)});
        at(written_, share.request) = written;
    }
    note_pages(step);
    return step;
}

// The index does not say which pages it holds. But whoever uses a page and is no text is it.
void ScheduleRecord::note_pages(RecordedStep& step) const {
    std::vector<Index> texts(usize(pool_.pages()), 0);  // that use a page
    for (Index i = 0; i < std::ssize(requests_); ++i) {
        const auto table = scheduler_.table(i);
        for (const PageId page : table) ++at(texts, page);
        if (scheduler_.outcome(i) == Outcome::running)
            step.tables[i].assign(table.begin(), table.end());
    }
    for (PageId page = 0; page < pool_.pages(); ++page)
        if (pool_.users(page) > at(texts, page)) step.indexed.push_back(page);
}

Index ScheduleRecord::events(StepEvent::Kind kind) const {
    Index found = 0;
    for (const RecordedStep& step : steps_)
        for (const StepEvent& event : step.events) found += event.kind == kind ? 1 : 0;
    return found;
}

Index ScheduleRecord::counts(StepEvent::Kind kind) const {
    Index sum = 0;
    for (const RecordedStep& step : steps_)
        for (const StepEvent& event : step.events) sum += event.kind == kind ? event.count : 0;
    return sum;
}

const char* event_name(StepEvent::Kind kind) {
    constexpr const char* kNames[] = {"added",   "admitted", "resumed",   "preempted",
                                      "swapped", "ended",    "cancelled", "evicted"};
    return kNames[static_cast<int>(kind)];
}

}  // namespace kvlab
