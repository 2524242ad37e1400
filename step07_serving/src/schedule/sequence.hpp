// sequence.hpp - chapter 7: all that the scheduler knows of one request.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include <kvlab/serving/paged_cache.hpp>
#include <kvlab/serving/request.hpp>
#include <kvlab/serving/saved_pages.hpp>

namespace kvlab {

struct Sequence {
    Index number;
    Request request;                      // its prompt is in `tokens`
    std::vector<Token> tokens;            // the prompt, and all that was kept
    Index prompt;                         // how many of them are the prompt
    std::optional<TokenChooser> chooser;  // until it ends: its dice go on after a preemption

    Outcome outcome = Outcome::waiting;
    RequestCounts counts = {};
    Index age = -1;       // the how-manieth to be admitted; it keeps that when it is preempted
    Index overtaken = 0;  // by how many later requests, while it waited

    std::unique_ptr<PagedCache> cache = nullptr;  // while it runs
    std::optional<SavedPages> saved = {};         // while it waits, if it was swapped out
    Index indexed = 0;                            // pages that the index was told of
    std::vector<Token> fed = {};                  // its part of the step

    bool preempted() const { return outcome == Outcome::waiting && age >= 0; }

    Index length() const { return std::ssize(tokens); }

    Index generated() const { return length() - prompt; }

    // The most that it may become.
    Index longest() const { return prompt + request.max_tokens; }

    // Tokens that its cache has not seen. At least one: the last token of a text is fed when
    // the next one is wanted.
    Index unseen() const { return length() - (cache ? cache->next_position() : 0); }
};

// Who takes precedence, of those that run: by priority, then by age. No other text takes the
// pages of the first one of this order. It can lose them only where the index holds others of
// the same tokens, and then it comes in again with those, in the same step, unless somebody of
// a higher priority waits. So somebody always ends.
inline bool runs_before(const Sequence* a, const Sequence* b) {
    return std::make_tuple(-a->request.priority, a->age) <
           std::make_tuple(-b->request.priority, b->age);
}

// After every age.
inline constexpr Index kNeverRan = std::numeric_limits<Index>::max();

// Of those that wait: by priority; then who has run before, by age; then who came first.
inline bool waits_before(const Sequence* a, const Sequence* b) {
    const auto key = [](const Sequence* s) {
        return std::make_tuple(-s->request.priority, s->preempted() ? s->age : kNeverRan,
                               s->number);
    };
    return key(a) < key(b);
}

}  // namespace kvlab
