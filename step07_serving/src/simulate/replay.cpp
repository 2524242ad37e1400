#include <kvlab/serving/replay.hpp>

namespace kvlab {

namespace {

class Replay {
public:
    Replay(Scheduler& scheduler,
           StepModel& model,
           const RequestTrace& trace,
           Index vocab,
           const ReplayOptions& options)
        : scheduler_(scheduler),
          model_(model),
          trace_(trace),
          vocab_(vocab),
          options_(options),
          start_(model.now()) {
        check(options.speed >= 0, "replay: expected a speed from 0 on, found ", options.speed);
        scheduler_.set_on_token(
            [this](Index number, Token token, std::span<const float> logits) {
                take_token(number);
                if (options_.on_token) options_.on_token(number, token, logits);
            });
        scheduler_.set_on_event([this](const StepEvent& event) {
            if (options_.forget && event.kind == StepEvent::Kind::ended)
                ended_.push_back(event.request);
            if (options_.on_event) options_.on_event(event);
        });
    }

    Replay(const Replay&) = delete;
    Replay& operator=(const Replay&) = delete;

    ~Replay() {
        scheduler_.set_on_token({});
        scheduler_.set_on_event({});
    }

    Replayed run() {
        Index texts = 0;
        while (more()) {
            ++result_.steps;
            texts += std::ssize(scheduler_.last_step());
            forget_ended();
        }
        for (Index i = 0; i < std::ssize(result_.requests); ++i)
            check(at(result_.requests, i).written > 0, "replay: request ", i,
                  " ended without a token");
        result_.summary = summarize(result_.requests, options_.deadlines);
        result_.mean_batch = static_cast<double>(texts) / static_cast<double>(result_.steps);
        return std::move(result_);
    }

private:
    double now() const { return model_.now() - start_; }

    // ANCHOR: more
    // One step of the scheduler, or false when all is done. Where nobody runs, time passes
    // until the next request comes.
    bool more() {
        for (;;) {
            add_arrived();
            if (scheduler_.step()) return true;
            if (std::ssize(result_.requests) == std::ssize(trace_.requests)) return false;
            model_.wait_until(start_ + next_arrival());
        }
    }

    double next_arrival() const {
        const double arrival = at(trace_.requests, std::ssize(result_.requests)).arrival();
        return options_.speed > 0 ? arrival / options_.speed : 0;
    }

    void add_arrived() {
        while (std::ssize(result_.requests) < std::ssize(trace_.requests) &&
               next_arrival() <= now()) {
            const TracedRequest& traced = at(trace_.requests, std::ssize(result_.requests));
            const double arrival = next_arrival();
            Request request = to_request(traced, vocab_);
            request.arrival = arrival;
            result_.requests.push_back({.arrival = arrival, .prompt = traced.prompt_tokens()});
            const Index number = scheduler_.add(std::move(request));
            if (result_.requests.size() == 1) first_number_ = number;
        }
    }

    // ANCHOR_END: more

    void take_token(Index number) {
        if (number < first_number_) return;  // of somebody else, before the replay
        ServedRequest& request = at(result_.requests, number - first_number_);
        request.last = now();
        if (request.written++ == 0) request.first = request.last;
    }

    // A text of a static batch keeps its pages until the whole batch has ended.
    void forget_ended() {
        std::vector<Index> later;
        for (const Index number : ended_)
            if (scheduler_.table(number).empty())
                scheduler_.forget(number);
            else
                later.push_back(number);
        ended_ = std::move(later);
    }

    Scheduler& scheduler_;
    StepModel& model_;
    const RequestTrace& trace_;
    Index vocab_;
    const ReplayOptions& options_;
    double start_;
    Index first_number_ = 0;
    Replayed result_;
    std::vector<Index> ended_;  // and not yet forgotten
};

}  // namespace

Replayed replay(Scheduler& scheduler,
                StepModel& model,
                const RequestTrace& trace,
                Index vocab,
                const ReplayOptions& options) {
    check(!trace.requests.empty(), "replay: no requests");
    return Replay(scheduler, model, trace, vocab, options).run();
}

}  // namespace kvlab
