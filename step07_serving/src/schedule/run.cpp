// The step itself, and what is kept of it.
#include <algorithm>
#include <utility>

#include <kvlab/serving/accepted.hpp>

#include "state.hpp"

namespace kvlab {

// ANCHOR: run
void Scheduler::State::run() {
    step_parts.clear();
    for (const PlannedPart& part : parts)
        step_parts.push_back({part.text->cache.get(), part.text->fed, part.wanted});
    const View<const float> logits = model.run(step_parts);
    ++counts.steps;
    try {
        Index row = 0;
        for (const PlannedPart& part : parts) {
            const bool rows = logits.rank() == 2 && part.wanted > 0;
            take(part, rows ? logits.slice(0, row, row + part.wanted) : View<const float>());
            row += part.wanted;
        }
    } catch (...) {
        // What on_token() threw ends the step, but nobody's text: who was not asked for a token
        // feeds the last one again.
        for (const PlannedPart& part : parts) settle(*part.text);
        throw;
    }
}

// ANCHOR_END: run

// ANCHOR: take
// A text that has ended meanwhile, since on_token() cancelled it, has no cache any more.
void Scheduler::State::take(const PlannedPart& part, const View<const float>& logits) {
    Sequence& text = *part.text;
    StepShare share{text.number, part.fed, part.wanted, part.guesses, 0};
    text.counts.computed += part.fed - part.padding;
    text.counts.drafted += part.guesses;
    counts.fed += part.fed;
    counts.padded += part.padding;
    counts.drafted += part.guesses;
    if (part.wanted > 0 && text.outcome == Outcome::running) {
        const auto guesses = std::span<const Token>(text.fed).last(usize(part.guesses));
        share.accepted = accept(
            logits, guesses, *text.chooser, text.tokens,
            [&](Token token, std::span<const float> row) { return keep(text, token, row); });
    }
    text.counts.accepted += share.accepted;
    counts.accepted += share.accepted;
    last_step.push_back(share);
    settle(text);
}

// ANCHOR_END: take

// True if the text goes on.
bool Scheduler::State::keep(Sequence& text, Token token, std::span<const float> logits) {
    ++counts.written;
    const std::vector<Token>& ends = text.request.ends;
    if (std::find(ends.begin(), ends.end(), token) != ends.end())
        text.outcome = Outcome::end_token;
    else if (text.length() == text.longest())
        text.outcome = Outcome::length;
    if (on_token) on_token(text.number, token, logits);
    return text.outcome == Outcome::running;
}

// ANCHOR: settle
// Rejected guesses and padding leave the cache: a text's last token is never in it, since it is
// fed when the next one is wanted. What is left is computed and stays, so others may use it.
void Scheduler::State::settle(Sequence& text) {
    if (!text.cache) return;
    if (text.cache->next_position() >= text.length()) text.cache->truncate(text.length() - 1);
    insert_pages(text);
    if (text.outcome == Outcome::running) return;
    if (options.batching != Batching::static_batches)
        end(text, text.outcome);
    else if (std::exchange(text.chooser, {}))
        tell(StepEvent::Kind::ended, &text);  // but it stays as long as its batch
}

void Scheduler::State::insert_pages(Sequence& text) {
    if (prefixes == nullptr) return;
    const Index full = text.cache->next_position() / pool.page_slots();
    if (full <= text.indexed) return;
    const auto tokens = std::span(text.tokens).first(usize(full * pool.page_slots()));
    prefixes->insert(text.request.scope, tokens, text.cache->table().first(usize(full)));
    text.indexed = full;
}

// ANCHOR_END: settle

}  // namespace kvlab
