// request.hpp - chapter 7: what somebody wants to have written, and what has become of it.
#pragma once

#include <string>
#include <vector>

#include <kvlab/serving/token_choice.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab {

struct Request {
    std::vector<Token> prompt;     // at least one
    Index max_tokens = 16;         // at most so many are written
    ChoiceOptions choice = {};     // how they are chosen from logits
    std::vector<Token> ends = {};  // one of these is the last token of the text
    Index priority = 0;            // higher ones go first
    std::string scope = {};        // who may share its beginning: see prefix_index.hpp
    double arrival = 0;            // seconds after the start, of a trace
};

enum class Outcome { waiting, running, length, end_token, context_full, cancelled };

const char* outcome_name(Outcome outcome);

// What one request cost and got, for tables and tests.
struct RequestCounts {
    Index cached = 0;     // tokens of its prompt that came from another text's pages
    Index computed = 0;   // tokens that were fed, again after a preemption
    Index preempted = 0;  // times that its pages were taken from it
    Index drafted = 0, accepted = 0;  // tokens that were guessed, and those that were right
};

}  // namespace kvlab
