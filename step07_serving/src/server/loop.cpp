#include <kvlab/tensor/measure.hpp>

#include "loop_state.hpp"

namespace kvlab {

// ANCHOR: server_loop
void ServingLoop::State::run() {
    while (wait_for_work()) {
        take_inbox();
        end_what_must();
        step();
        collect();
        publish();
        deliver();
    }
    if (prefixes != nullptr) prefixes->evict(pool.pages());
    publish();
}

// ANCHOR_END: server_loop

// Sleeps while there is nothing to do; false when there will be nothing any more.
bool ServingLoop::State::wait_for_work() {
    std::unique_lock lock(mutex);
    if (live.empty()) woken.wait(lock, [&] { return stopping || !inbox.empty(); });
    return !(stopping && live.empty() && inbox.empty());
}

void ServingLoop::State::take_inbox() {
    std::vector<std::shared_ptr<Ticket>> tickets;
    {
        const std::lock_guard lock(mutex);
        tickets.swap(inbox);
    }
    for (const auto& ticket : tickets)
        for (Index choice = 0; choice < ticket->request().choices(); ++choice)
            add_text(ticket, choice);
}

// What cannot be computed (a logit that is not finite, memory that is not there) says not whose
// fault it is: all texts that run end, and the server goes on with the others.
void ServingLoop::State::step() {
    const Stopwatch watch;
    try {
        scheduler.step();
    } catch (const std::exception& error) {
        const bool none = scheduler.running() == 0;
        for (auto& [number, text] : live) {
            if (text.ended || !(none || scheduler.outcome(number) == Outcome::running))
                continue;
            text.ended = EndReason::failed;
            text.failure = error.what();
        }
    }
    counted.step_seconds += watch.seconds();
}

void ServingLoop::State::publish() {
    counted.pages = pool.pages();
    counted.pages_free = pool.free();
    counted.pages_kept = prefixes != nullptr ? prefixes->held() : 0;
    counted.waiting = scheduler.waiting();
    counted.running = scheduler.running();
    const SchedulerCounts& counts = scheduler.counts();
    counted.steps = counts.steps;
    counted.preempted = counts.preempted;
    counted.drafted = counts.drafted;
    counted.drafts_accepted = counts.accepted;
    const std::lock_guard lock(mutex);
    counted.accepted = published.accepted;
    counted.refused = published.refused;
    published = counted;
    taken -= std::ssize(endings);
}

// A client who has read the end of a reply finds its place free, and the metrics with it.
void ServingLoop::State::deliver() {
    for (auto& [ticket, piece] : endings) ticket->push(std::move(piece));
    endings.clear();
}

ServingLoop::ServingLoop(StepModel& model,
                         PagePool& pool,
                         const Tokenizer& tokenizer,
                         const LoopOptions& options,
                         PrefixIndex* prefixes,
                         Drafter* drafter)
    : state_(std::make_unique<State>(model, pool, tokenizer, options, prefixes, drafter)) {
    state_->thread = std::thread([state = state_.get()] { state->run(); });
}

ServingLoop::~ServingLoop() {
    stop(std::chrono::milliseconds(0));
}

Index ServingLoop::places() const {
    return state_->options.scheduler.max_running + state_->options.queue;
}

std::shared_ptr<Ticket> ServingLoop::submit(ApiRequest request) {
    const Index wanted = request.choices();
    auto ticket =
        std::make_shared<Ticket>(std::move(request), LoopClock::now() + state_->options.limit);
    {
        const std::lock_guard lock(state_->mutex);
        if (state_->stopping) throw ApiError(503, "stopping", "", "the server is stopping");
        if (wanted > places() - state_->taken) {
            ++state_->published.refused;
            throw ApiError(429, "queue_full", "",
                           concat("the queue is full: ", state_->taken, " of ", places(),
                                  " places are taken; try again later"));
        }
        state_->taken += wanted;
        ++state_->published.accepted;
        state_->inbox.push_back(ticket);
    }
    state_->woken.notify_one();
    return ticket;
}

void ServingLoop::stop(std::chrono::milliseconds grace) {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
        state_->stop_at = LoopClock::now() + grace;
    }
    state_->woken.notify_one();
    if (state_->thread.joinable()) state_->thread.join();
}

ServingMetrics ServingLoop::metrics() const {
    const std::lock_guard lock(state_->mutex);
    return state_->published;
}

}  // namespace kvlab
