// A text's way through the loop: it is added, its tokens become pieces, and it ends.
#include "loop_state.hpp"

namespace kvlab {

namespace {

double seconds_between(LoopClock::time_point from, LoopClock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

EndReason reason_of_outcome(Outcome outcome) {
    switch (outcome) {
        case Outcome::end_token:
            return EndReason::stop;
        case Outcome::length:
        case Outcome::context_full:
            return EndReason::length;
        default:
            return EndReason::cancelled;
    }
}

}  // namespace

void ServingLoop::State::add_text(const std::shared_ptr<Ticket>& ticket, Index choice) {
    const ApiRequest& request = ticket->request();
    LiveText text{ticket, choice, TextSender(tokenizer, request.stops, request.logprobs),
                  ticket->deadline() - options.limit};
    Request one = request.request(choice);
    const Index prompt = std::ssize(one.prompt);
    try {
        live.emplace(scheduler.add(std::move(one)), std::move(text));
        counted.prompt_tokens += prompt;
    } catch (const Error& error) {
        end_text(text,
                 {.reason = EndReason::failed, .prompt = prompt, .message = error.what()});
    }
}

// Called by the scheduler inside of a step. A text that has met its stop string is cancelled
// after the step; guesses that were right may still bring it tokens until then.
void ServingLoop::State::take_token(Index number, Token token, std::span<const float> logits) {
    const auto found = live.find(number);
    if (found == live.end() || found->second.ended) return;
    LiveText& text = found->second;
    ++counted.written_tokens;
    if (text.written++ == 0) {
        ++counted.first_tokens;
        counted.first_token_seconds += seconds_between(text.since, LoopClock::now());
    }
    SentText sent = text.sender.push(token, logits);
    if (text.sender.stopped()) text.ended = EndReason::stop;
    if (!sent.text.empty() || !sent.logs.empty())
        text.ticket->push({.choice = text.choice, .sent = std::move(sent)});
}

void ServingLoop::State::end_what_must() {
    const LoopClock::time_point now = LoopClock::now();
    bool stop_now = false;
    {
        const std::lock_guard lock(mutex);
        stop_now = stopping && now >= stop_at;
    }
    for (auto& [number, text] : live) {
        if (text.ticket->hung_up() || stop_now)
            text.ended = EndReason::cancelled;
        else if (now >= text.ticket->deadline())
            text.ended = EndReason::timeout;
        if (text.ended) scheduler.cancel(number);
    }
}

// Ends the texts that the scheduler or the loop has ended.
void ServingLoop::State::collect() {
    for (auto it = live.begin(); it != live.end();) {
        auto& [number, text] = *it;
        if (text.ended) scheduler.cancel(number);
        const Outcome outcome = scheduler.outcome(number);
        if (outcome == Outcome::waiting || outcome == Outcome::running) {
            ++it;
            continue;
        }
        const Index cached = scheduler.counts(number).cached;
        counted.cached_tokens += cached;
        end_text(text, {.reason = text.ended.value_or(reason_of_outcome(outcome)),
                        .prompt = std::ssize(scheduler.tokens(number)) -
                                  std::ssize(scheduler.generated(number)),
                        .cached = cached,
                        .written = text.written,
                        .message = text.failure});
        scheduler.forget(number);
        it = live.erase(it);
    }
}

void ServingLoop::State::end_text(LiveText& text, TextEnd end) {
    SentText rest = text.sender.finish();
    // The sign for the half of a character that the text ends with may complete a stop string.
    if (end.reason == EndReason::length && text.sender.stopped()) end.reason = EndReason::stop;
    ++at(counted.ended, static_cast<Index>(end.reason));
    ReplyPiece last{.choice = text.choice, .sent = std::move(rest), .end = std::move(end)};
    endings.emplace_back(text.ticket, std::move(last));
}

}  // namespace kvlab
