// Who of those that wait comes in: the next one in order, if there are a place and pages.
// Nobody comes in past somebody for whom there are no pages: small requests would keep a large
// one out for ever.
#include <algorithm>

#include "state.hpp"

namespace kvlab {

Index Scheduler::State::most_running() const {
    return options.batching == Batching::one_by_one ? 1 : options.max_running;
}

// ANCHOR: next_waiting
// The first in line; with shortest_first the shortest of the same priority. Who ran before
// stays first, and so does whoever has been overtaken as often as patience allows.
Sequence& Scheduler::State::next_waiting() const {
    Sequence* next = waiting.front();
    if (options.order == Order::first_come || next->preempted()) return *next;
    for (Sequence* text : waiting) {
        if (text->request.priority != next->request.priority) break;
        if (text->overtaken >= options.patience) return *text;
        if (text->longest() < next->longest()) next = text;
    }
    return *next;
}

// ANCHOR_END: next_waiting

void Scheduler::State::count_overtaken(const Sequence& text) {
    for (Sequence* other : waiting)
        if (other->request.priority == text.request.priority && other->number < text.number)
            ++other->overtaken;
}

void Scheduler::State::admit() {
    Index wish = 0;  // tokens that those inside would feed
    for (const Sequence* text : running) wish += text->unseen();
    while (!waiting.empty() && std::ssize(running) < most_running() &&
           wish < options.token_budget) {
        Sequence& text = next_waiting();
        if (!take_in(text)) return;
        wish += text.unseen();
    }
}

// ANCHOR: pages_are_there
// Pages for all its tokens so far, if it begins with `known` pages of the index and its own
// last token is not in them. Those for which texts inside were let in are theirs, taken or not.
// What the index holds for nobody else can be evicted, but not what this text will use.
bool Scheduler::State::pages_are_there(const Sequence& text, Index known) const {
    Index free = pool.free();
    for (const Sequence* other : running) free -= other->cache->pages_needed(other->unseen());
    const Index whole = std::min(known, (text.length() - 1) / pool.page_slots());
    const Index needed = pool.pages_for(text.length()) - whole;
    if (needed <= free || prefixes == nullptr) return needed <= free;
    return needed <= free + std::max<Index>(0, prefixes->evictable() - known);
}

// ANCHOR_END: pages_are_there

// ANCHOR: usable_pages
// How many pages of the index it can begin with, -1 if it cannot begin. Somebody's last token
// has to be fed in any case, for its logits. If even that lies in a page of the index, the text
// will copy this page; and where there is no page to copy it to, it does without.
Index Scheduler::State::usable_pages(const Sequence& text) const {
    const bool asks = prefixes != nullptr && !text.saved;
    const Index known = asks ? prefixes->look(text.request.scope, text.tokens) : 0;
    if (pages_are_there(text, known)) return known;
    const Index fewer = std::min(known, (text.length() - 1) / pool.page_slots());
    return fewer < known && pages_are_there(text, fewer) ? fewer : -1;
}

// ANCHOR_END: usable_pages

bool Scheduler::State::take_in(Sequence& text) {
    const Index usable = usable_pages(text);
    if (usable < 0) return false;
    const bool again = text.preempted();
    start(text);
    Index cached = 0;
    if (text.saved)
        bring_back(text);
    else if (usable > 0)
        cached = adopt(text, usable);
    counts.cached += cached;
    if (!again) text.counts.cached = cached;
    tell(again ? StepEvent::Kind::resumed : StepEvent::Kind::admitted, &text, cached);
    return true;
}

// Returns the tokens that need not be fed.
Index Scheduler::State::adopt(Sequence& text, Index pages) {
    const auto tokens = std::span(text.tokens).first(usize(pages * pool.page_slots()));
    text.cache->adopt(prefixes->find(text.request.scope, tokens));
    text.cache->truncate(std::min(text.cache->next_position(), text.length() - 1));
    text.indexed = pages;
    return text.cache->next_position();
}

void Scheduler::State::start(Sequence& text) {
    text.cache = model.make_cache(pool);
    leave(text, waiting);
    if (text.age < 0) {
        if (options.order == Order::shortest_first) count_overtaken(text);
        text.age = admitted++;
    }
    text.outcome = Outcome::running;
    text.indexed = 0;
    enter(text, running);
}

}  // namespace kvlab
