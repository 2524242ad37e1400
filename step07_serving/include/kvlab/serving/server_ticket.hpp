// server_ticket.hpp - chapter 7: where one request of a client and its reply change hands.
//
//   thread of the connection                     the loop's thread
//   ------------------------                     -----------------
//   submit() ------------------ ticket --------> admitted, scheduled
//   wait()   <----------------- pieces --------- push() after every step
//   hang_up() ----------------------------------> cancelled before the next step
//
// Nobody waits for a slow reader: push() never blocks. What nobody has read yet piles up here,
// a piece for each token at most, so max_tokens of them bound it. The pages of the pool are
// free again as soon as the text is written, not when it is read.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <kvlab/serving/server_request.hpp>
#include <kvlab/serving/server_text.hpp>

namespace kvlab {

enum class EndReason {
    stop,       // a stop string, or a token that ends a text
    length,     // max_tokens, or the context is full
    timeout,    // the server's time limit
    cancelled,  // the server stops, or nobody reads any more
    failed      // an error while computing
};

// OpenAI's names for the first two; its clients take others as they come.
const char* end_reason_name(EndReason reason);

struct TextEnd {
    EndReason reason;
    Index prompt = 0, cached = 0, written = 0;  // tokens; cached: of the prompt, from the index
    std::string message = {};                   // of `failed`
};

// What is new of one of a request's texts.
struct ReplyPiece {
    Index choice = 0;
    SentText sent = {};
    std::optional<TextEnd> end = {};  // with the last one
};

class Ticket {
public:
    using Clock = std::chrono::steady_clock;

    Ticket(ApiRequest request, Clock::time_point deadline)
        : request_(std::move(request)), deadline_(deadline) {}

    const ApiRequest& request() const { return request_; }

    Clock::time_point deadline() const { return deadline_; }

    // What has come since the last call, in order; if nothing has, waits for it so long.
    std::vector<ReplyPiece> wait(std::chrono::milliseconds most);

    void hang_up() { hung_up_ = true; }

    bool hung_up() const { return hung_up_; }

    void push(ReplyPiece piece);

private:
    const ApiRequest request_;
    const Clock::time_point deadline_;
    std::atomic<bool> hung_up_{false};
    std::mutex mutex_;
    std::condition_variable came_;
    std::vector<ReplyPiece> pieces_;
};

}  // namespace kvlab
