// The plan of static batches: nobody comes in before all have ended, and everybody feeds as
// many tokens as everybody else. This is what frameworks do that know only rectangles:
//
//   prompt A  a b c d e            what it writes   1 2 3 4 5
//   prompt B  a b . . .                             1 2 . . .     .: padding
//
// Padding is computed, and then cut off again, so no bit of anybody's logits depends on it.
// A batch has the tokens of its rectangle, whatever the budget of a step is.
#include <algorithm>

#include "state.hpp"

namespace kvlab {

namespace {

// With all its tokens, and as long a prompt as the longest in the batch.
Index pages_in_batch(const PagePool& pool, const Sequence& text, Index longest_prompt) {
    return pool.pages_for(std::max(longest_prompt, text.longest()));
}

}  // namespace

bool Scheduler::State::batch_has_ended() const {
    return std::none_of(running.begin(), running.end(),
                        [](const Sequence* text) { return text->outcome == Outcome::running; });
}

void Scheduler::State::end_batch() {
    for (Sequence* text : running) {
        text->cache.reset();
        text->fed = {};
    }
    running.clear();
}

// As many as fit: pages are there for the longest that each may become, so nobody is preempted.
void Scheduler::State::admit_batch() {
    Index longest_prompt = 0;
    while (!waiting.empty() && std::ssize(running) < most_running()) {
        Sequence& text = next_waiting();
        const Index longest = std::max(longest_prompt, text.prompt);
        Index pages = pages_in_batch(pool, text, longest);
        for (const Sequence* other : running) pages += pages_in_batch(pool, *other, longest);
        if (pages > pool.free()) break;
        longest_prompt = longest;
        start(text);
        tell(StepEvent::Kind::admitted, &text);
    }
    check(waiting.empty() || !running.empty(), "scheduler: nobody can begin; ",
          pool.pages() - pool.free(), " of ", pool.pages(), " pages are in use");
}

// ANCHOR: plan_static
// A batch begins with the prompts without their last tokens, padded to the longest. From then
// on everybody feeds one token: the last one of his text, or padding after its end.
void Scheduler::State::plan_static() {
    if (running.empty()) admit_batch();
    Index longest = 1;  // of what is unseen of those that go on
    for (const Sequence* text : running)
        if (text->outcome == Outcome::running) longest = std::max(longest, text->unseen());
    const bool prompts = longest > 1;
    for (Sequence* text : running) plan_padded(*text, prompts ? longest - 1 : 1, prompts);
}

// ANCHOR_END: plan_static

// `count` tokens: of a text that runs the next ones, as far as there are any, but of a prompt
// never the last one.
void Scheduler::State::plan_padded(Sequence& text, Index count, bool prompts) {
    const bool runs = text.outcome == Outcome::running;
    const Index real = !runs ? 0 : prompts ? text.unseen() - 1 : 1;
    const std::span<const Token> next = std::span(text.tokens).last(usize(text.unseen()));
    text.fed.assign(next.begin(), next.begin() + real);
    text.fed.resize(usize(count), text.tokens.back());
    parts.push_back({&text, count, runs && !prompts ? 1 : 0, 0, count - real});
}

}  // namespace kvlab
