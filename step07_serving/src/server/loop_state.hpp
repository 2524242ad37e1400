// loop_state.hpp - chapter 7: what the loop's thread knows, and the little that it shares.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include <kvlab/serving/server_loop.hpp>

namespace kvlab {

using LoopClock = Ticket::Clock;

struct ServingLoop::State {
    // One text that the scheduler knows.
    struct LiveText {
        std::shared_ptr<Ticket> ticket;
        Index choice;
        TextSender sender;
        LoopClock::time_point since;
        Index written = 0;
        std::optional<EndReason> ended = {};  // by the loop, and not by the scheduler
        std::string failure = {};
    };

    State(StepModel& model,
          PagePool& pool_,
          const Tokenizer& tokenizer_,
          const LoopOptions& options_,
          PrefixIndex* prefixes_,
          Drafter* drafter)
        : pool(pool_),
          tokenizer(tokenizer_),
          options(options_),
          prefixes(prefixes_),
          scheduler(model, pool_, options_.scheduler, prefixes_, drafter) {
        scheduler.set_on_token(
            [this](Index number, Token token, std::span<const float> logits) {
                take_token(number, token, logits);
            });
        publish();
    }

    void run();
    bool wait_for_work();
    void take_inbox();
    void add_text(const std::shared_ptr<Ticket>& ticket, Index choice);
    void take_token(Index number, Token token, std::span<const float> logits);
    void end_what_must();
    void step();
    void collect();
    void end_text(LiveText& text, TextEnd end);
    void publish();
    void deliver();

    // Of the loop's thread.
    PagePool& pool;
    const Tokenizer& tokenizer;
    const LoopOptions options;
    PrefixIndex* const prefixes;
    Scheduler scheduler;
    std::map<Index, LiveText> live;  // by the scheduler's number
    ServingMetrics counted;          // without what submit() counts
    std::vector<std::pair<std::shared_ptr<Ticket>, ReplyPiece>> endings;  // of this step

    // Shared.
    mutable std::mutex mutex;
    std::condition_variable woken;
    std::vector<std::shared_ptr<Ticket>> inbox;
    Index taken = 0;  // places: texts in the inbox or live
    bool stopping = false;
    LoopClock::time_point stop_at;  // when stopping: what still runs is cancelled
    ServingMetrics published;
    std::thread thread;
};

}  // namespace kvlab
