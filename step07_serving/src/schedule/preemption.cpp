// When pages run out: first the index gives up what only it holds, then the text that comes
// last in precedence gives up its own. The first text of all does that only if it is alone, and
// pages of the index with the same tokens are in its way: it comes in again with them.
#include "state.hpp"

namespace kvlab {

// ANCHOR: find_pages
// So many free pages besides those that are reserved. False if the text had to give up its own.
bool Scheduler::State::find_pages(const Sequence& text, Index needed) {
    for (;;) {
        const Index missing = needed - (pool.free() - reserved);
        if (missing <= 0) return true;
        if (evict(missing) > 0) continue;
        Sequence& last = *running.back();
        preempt(last);
        if (&last == &text) return false;
    }
}

// ANCHOR_END: find_pages

// Up to so many pages, as the index says. Returns how many.
Index Scheduler::State::evict(Index pages) {
    const Index evicted = prefixes != nullptr ? prefixes->evict(pages) : 0;
    if (evicted > 0) tell(StepEvent::Kind::evicted, nullptr, evicted);
    return evicted;
}

// ANCHOR: preempt
// What it has written stays, and the dice with which it goes on. Either its pages are copied
// out, or all its tokens will be fed again.
void Scheduler::State::preempt(Sequence& text) {
    leave(text, running);
    const Index pages = std::ssize(text.cache->table());
    const bool swap = options.preemption == Preemption::swap && pages > 0;
    if (swap) text.saved = SavedPages::of(*text.cache);
    text.outcome = Outcome::waiting;
    text.cache.reset();
    ++text.counts.preempted;
    ++counts.preempted;
    counts.swapped += swap ? 1 : 0;
    enter(text, waiting);
    if (swap)
        tell(StepEvent::Kind::swapped, &text, pages);
    else
        tell(StepEvent::Kind::preempted, &text);
}

// ANCHOR_END: preempt

// Into new pages; admission saw that they are free, or can be.
void Scheduler::State::bring_back(Sequence& text) {
    const Index needed = pool.pages_for(text.saved->tokens());
    while (needed > pool.free() && evict(needed - pool.free()) > 0) {
    }
    text.saved->into(*text.cache);
    text.saved.reset();
}

}  // namespace kvlab
