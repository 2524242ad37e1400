// Who feeds which tokens in this step.
#include <algorithm>

#include <kvlab/serving/share_out.hpp>

#include "state.hpp"

namespace kvlab {

// A text that is alone can still be short of a page, if others of the same beginning left their
// copy of it in the index and this text's later pages hang on that. Then it gives up its own
// pages and comes in again with those of the index: hence the second round.
// ANCHOR: plan
void Scheduler::State::plan() {
    for (int round = 0; parts.empty(); ++round) {
        if (waiting.empty() && running.empty()) return;
        check(round < 3, "scheduler: nobody can go on; ", pool.pages() - pool.free(), " of ",
              pool.pages(), " pages are in use");
        admit();
        share();
        give_pages();
    }
    add_guesses();
}

// ANCHOR_END: plan

void Scheduler::State::share() {
    unseen.clear();
    for (const Sequence* text : running) unseen.push_back(text->unseen());
    share_out(unseen, options.token_budget, options.chunked, shares);
}

// In the order of precedence, so that whoever has to give up pages was not given any.
void Scheduler::State::give_pages() {
    reserved = 0;
    left = options.token_budget;
    for (Index i = 0; i < std::ssize(running); ++i) {
        if (at(shares, i) == 0) continue;
        Sequence& text = *at(running, i);
        const Index needed = text.cache->pages_needed(at(shares, i));
        if (!find_pages(text, needed)) return;
        reserved += needed;
        left -= at(shares, i);
        plan_part(text, at(shares, i));
    }
}

// The next `count` tokens of its text. Logits are wanted of the last token of all.
void Scheduler::State::plan_part(Sequence& text, Index count) {
    const std::span<const Token> next = std::span(text.tokens).last(usize(text.unseen()));
    text.fed.assign(next.begin(), next.begin() + count);
    parts.push_back({&text, count, count == std::ssize(next) ? 1 : 0, 0, 0});
}

namespace {

// A drafter of another vocabulary may guess what this model does not know.
void keep_possible(std::vector<Token>& fed, Index most, Index vocab) {
    fed.resize(std::min(fed.size(), usize(most)));
    const auto impossible = [&](Token token) { return token < 0 || token >= vocab; };
    fed.erase(std::find_if(fed.begin(), fed.end(), impossible), fed.end());
}

}  // namespace

// ANCHOR: add_guesses
// Guesses get what nobody else wants: the rest of the budget, and pages that are free.
void Scheduler::State::add_guesses() {
    if (options.draft_tokens == 0) return;
    for (PlannedPart& part : parts) {
        Sequence& text = *part.text;
        if (text.unseen() != 1) continue;  // a prompt
        const Index most = most_guesses(text);
        if (most <= 0) continue;
        drafter->guess(text.number, text.tokens, most, text.fed);
        keep_possible(text.fed, 1 + most, model.vocab());
        part.guesses = std::ssize(text.fed) - 1;
        part.fed = part.wanted = 1 + part.guesses;
        left -= part.guesses;
        reserved += text.cache->pages_needed(1 + part.guesses) - text.cache->pages_needed(1);
    }
}

// One token is kept without any guess, so what is left to write bounds the guesses.
Index Scheduler::State::most_guesses(const Sequence& text) const {
    Index most = std::min({options.draft_tokens, left, text.longest() - text.length() - 1});
    const Index spare = pool.free() - reserved, first = text.cache->pages_needed(1);
    while (most > 0 && text.cache->pages_needed(1 + most) - first > spare) --most;
    return most;
}

// ANCHOR_END: add_guesses

}  // namespace kvlab
