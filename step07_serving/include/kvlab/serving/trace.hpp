// trace.hpp - chapter 7: requests as they came in, in a file that can be replayed.
//
// One line of JSON names the trace, and each line after it is a request:
//
// ANCHOR: line
//   {"arrival_us":1530000,"prompt":[[7,64],[9,20]],"max_tokens":12,"scope":"","priority":0}
// ANCHOR_END: line
//
// A prompt is written as pieces [seed, count]: the first `count` tokens of an endless text that
// the seed stands for. So a file stays small, means tokens for any vocabulary, and shows where
// two prompts begin alike: this one begins with the same 64 tokens as [[7,100]].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <kvlab/serving/request.hpp>

namespace kvlab {

struct PromptPiece {
    std::int64_t seed = 0;  // not negative
    Index count = 0;

    bool operator==(const PromptPiece&) const = default;
};

struct TracedRequest {
    std::int64_t arrival_us =
        0;  // microseconds after the start: a whole number has no rounding
    std::vector<PromptPiece> prompt;
    Index max_tokens = 1;
    std::string scope = {};
    Index priority = 0;

    Index prompt_tokens() const;

    double arrival() const { return static_cast<double>(arrival_us) * 1e-6; }

    bool operator==(const TracedRequest&) const = default;
};

struct RequestTrace {
    std::string name;
    std::vector<TracedRequest> requests;  // in the order in which they come

    // Tokens of the longest text, prompt and answer.
    Index longest() const;

    bool operator==(const RequestTrace&) const = default;
};

// Of the endless text of a seed, in a vocabulary of `vocab` tokens: the first `count`.
std::vector<Token> piece_tokens(const PromptPiece& piece, Index vocab);

// What a scheduler can be given. Its tokens are the most likely ones, and no token ends it
// early, so that a trace asks for the same work from every model.
Request to_request(const TracedRequest& traced, Index vocab);

// The file's text.
std::string to_text(const RequestTrace& trace);

// Throws Error, with the line, for a file that holds something else: a field that is missing,
// unknown or out of its range, a request that comes before the one above it, no request at all.
RequestTrace read_request_trace(const std::string& path);

}  // namespace kvlab
