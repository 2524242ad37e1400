// laws.hpp - chapter 7: what must hold whatever is asked for, and in whatever order.
//
// Nobody can think of every schedule that breaks a scheduler, so they are drawn: requests that
// share beginnings, and how they are served; small pools, so that pages run out; cancellations
// between and inside of steps. Each request is also served alone, in the cache of chapter 3,
// and then
//   - every row of logits that a token is taken from has the bits that it has there, and the
//     tokens are the same; a request that was cancelled has a beginning of them,
//   - everybody ends, and then every page is free.
// A law that holds because nothing happened proves nothing. So whatever a scheduler can do is
// counted, too.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/tensor/checksum.hpp>

namespace kvlab {

// One way to keep pages.
struct LawRows {
    std::string name;
    MakeRows rows;
};

struct LawOptions {
    Index schedules = 300;
    bool to_first_difference = false;  // or all of them, whatever is found
    Index first = 0;  // the number of the first one: each can be drawn by itself
    std::uint64_t seed = 42;
    std::vector<Token> text;  // what prompts are cut from, at least 2 * most_prompt tokens
    Index most_requests = 8, most_prompt = 192, most_tokens = 24;
    std::vector<LawRows> formats = {{"f32", float_rows()}};
};

// How often it happened, in all schedules.
struct LawCounts {
    Index cached = 0, copied = 0, evicted = 0;      // tokens; pages; pages
    Index recomputed = 0, swapped = 0;              // preemptions of both kinds
    Index accepted = 0, rejected = 0;               // guesses
    Index cancelled = 0, ended = 0, overtaken = 0;  // requests; ended: by an end token
    Index chunked = 0, padded = 0;                  // prompts that were fed in pieces; tokens

    // The names of those that never happened, with commas; empty if there is none.
    std::string never() const;
};

struct LawReport {
    Index schedules = 0, requests = 0, steps = 0;
    Difference logits;
    Index tokens = 0, tokens_differ = 0;
    Index outcomes_differ = 0;  // requests that ended in another way than alone
    Index pages_lost = 0;       // not free in the end
    Index bounded_steps = 0;    // those that have a budget
    Index over_budget = 0;      // of these; a whole prompt may be, if no other goes with it
    LawCounts counts;
    std::vector<std::pair<std::string, Index>> drawn;  // of each way to keep pages, schedules
    std::string first_difference;                      // which schedule, request and token

    // As LawCounts::never(), and the ways to keep pages that were not drawn.
    std::string never() const;

    bool holds() const {
        return logits.differ + tokens_differ + outcomes_differ + pages_lost + over_budget == 0;
    }
};

// Throws Error unless there is text enough, and the model's context holds the longest request;
// also for a schedule that goes on and on, for which nothing could be reported.
LawReport check_laws(Decoder& decoder,
                     const LawOptions& options,
                     const std::function<void(Index schedule)>& on_schedule = {});

}  // namespace kvlab
