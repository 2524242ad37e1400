#include <kvlab/serving/scheduler.hpp>

#include <algorithm>

#include "state.hpp"

namespace kvlab {

namespace {

void check_options(const SchedulerOptions& o,
                   const PrefixIndex* prefixes,
                   const Drafter* drafter) {
    check(o.max_running >= 1, "scheduler: at least one text has to run, found ", o.max_running);
    check(o.patience >= 0, "scheduler: patience must not be negative, found ", o.patience);
    check(o.draft_tokens >= 0, "scheduler: draft tokens must not be negative, found ",
          o.draft_tokens);
    check(o.draft_tokens == 0 || drafter != nullptr, "scheduler: ", o.draft_tokens,
          " draft tokens, but there is no drafter");
    const Index running = o.batching == Batching::one_by_one ? 1 : o.max_running;
    check(o.token_budget >= running, "scheduler: a budget of ", o.token_budget,
          " tokens; every one of ", running, " texts needs one in a step");
    check(o.batching != Batching::static_batches || (prefixes == nullptr && drafter == nullptr),
          "scheduler: static batches have no shared beginnings and no guesses");
}

// While a step is under way. What is called meanwhile (OnToken) must not begin another one.
class Inside {
public:
    explicit Inside(bool& inside) : inside_(inside) {
        check(!inside, "scheduler: step() inside of a step");
        inside_ = true;
    }

    ~Inside() { inside_ = false; }

    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

private:
    bool& inside_;
};

// A step is refused as a whole, so a token that no model knows must not get into one.
void check_request(const Request& request, const StepModel& model, const PagePool& pool) {
    const Index prompt = std::ssize(request.prompt);
    check(prompt >= 1, "scheduler: the prompt is empty");
    check(request.max_tokens >= 1, "scheduler: expected at least one token to write, found ",
          request.max_tokens);
    for (const Token token : request.prompt)
        check(token >= 0 && token < model.vocab(), "scheduler: token ", token,
              " is outside of the vocabulary of ", model.vocab());
    const Index longest =
        checked_sum("scheduler: prompt and tokens", {prompt, request.max_tokens});
    check(longest <= model.context(), "scheduler: a prompt of ", prompt, " tokens and ",
          request.max_tokens, " to write do not fit the context of ", model.context());
    check(pool.pages_for(longest) <= pool.pages(), "scheduler: a prompt of ", prompt,
          " tokens and ", request.max_tokens, " to write need ", pool.pages_for(longest),
          " pages, the pool has ", pool.pages());
}

bool goes_before(const std::vector<Sequence*>& line,
                 const std::vector<Sequence*>& waiting,
                 const Sequence* a,
                 const Sequence* b) {
    return &line == &waiting ? waits_before(a, b) : runs_before(a, b);
}

}  // namespace

Scheduler::State::State(StepModel& step_model,
                        PagePool& page_pool,
                        const SchedulerOptions& all_options,
                        PrefixIndex* prefix_index,
                        Drafter* guesser)
    : model(step_model),
      pool(page_pool),
      options(all_options),
      prefixes(prefix_index),
      drafter(guesser) {
    check_options(options, prefixes, drafter);
}

Sequence& Scheduler::State::find(Index request) const {
    const auto found = texts.find(request);
    check(found != texts.end(), "scheduler: there is no request ", request,
          request >= 0 && request < added ? " any more" : "");
    return *found->second;
}

void Scheduler::State::tell(StepEvent::Kind kind, const Sequence* text, Index count) const {
    if (on_event) on_event({kind, text != nullptr ? text->number : 0, count});
}

void Scheduler::State::enter(Sequence& text, std::vector<Sequence*>& line) {
    const auto before = [&](const Sequence* a, const Sequence* b) {
        return goes_before(line, waiting, a, b);
    };
    line.insert(std::upper_bound(line.begin(), line.end(), &text, before), &text);
}

void Scheduler::State::leave(const Sequence& text, std::vector<Sequence*>& line) {
    const auto place = std::find(line.begin(), line.end(), &text);
    if (place != line.end()) line.erase(place);
}

// Whatever it held is free again; its tokens and counts stay until forget().
void Scheduler::State::end(Sequence& text, Outcome outcome) {
    text.outcome = outcome;
    text.chooser.reset();
    leave(text, waiting);
    leave(text, running);
    text.cache.reset();
    text.saved.reset();
    text.fed = {};
    if (drafter != nullptr) drafter->forget(text.number);
    const bool cancelled = outcome == Outcome::cancelled;
    counts.cancelled += cancelled ? 1 : 0;
    tell(cancelled ? StepEvent::Kind::cancelled : StepEvent::Kind::ended, &text);
}

// ANCHOR: step
bool Scheduler::State::step() {
    const Inside alone(inside);
    parts.clear();
    last_step.clear();
    if (options.batching == Batching::static_batches)
        plan_static();
    else
        plan();
    if (parts.empty()) return false;
    run();
    if (batch_has_ended()) end_batch();
    return true;
}

// ANCHOR_END: step

Scheduler::Scheduler(StepModel& model,
                     PagePool& pool,
                     const SchedulerOptions& options,
                     PrefixIndex* prefixes,
                     Drafter* drafter)
    : state_(std::make_unique<State>(model, pool, options, prefixes, drafter)) {}

Scheduler::~Scheduler() = default;

Index Scheduler::add(Request request) {
    State& s = *state_;
    check_request(request, s.model, s.pool);
    const Index prompt = std::ssize(request.prompt);
    TokenChooser chooser(request.choice);
    auto text = std::make_unique<Sequence>(
        Sequence{s.added, std::move(request), {}, prompt, std::move(chooser)});
    text->tokens = std::move(text->request.prompt);
    s.enter(*text, s.waiting);
    const auto place = s.texts.emplace(s.added, std::move(text)).first;
    s.tell(StepEvent::Kind::added, place->second.get());
    return s.added++;
}

void Scheduler::cancel(Index request) {
    Sequence& text = state_->find(request);
    if (text.outcome == Outcome::waiting || text.outcome == Outcome::running)
        state_->end(text, Outcome::cancelled);
    if (!state_->inside && state_->batch_has_ended()) state_->end_batch();
}

bool Scheduler::step() {
    return state_->step();
}

void Scheduler::set_on_token(OnToken on_token) {
    state_->on_token = std::move(on_token);
}

void Scheduler::set_on_event(OnEvent on_event) {
    state_->on_event = std::move(on_event);
}

Index Scheduler::requests() const {
    return state_->added;
}

Index Scheduler::waiting() const {
    return std::ssize(state_->waiting);
}

Index Scheduler::running() const {
    return std::count_if(
        state_->running.begin(), state_->running.end(),
        [](const Sequence* text) { return text->outcome == Outcome::running; });
}

Outcome Scheduler::outcome(Index request) const {
    return state_->find(request).outcome;
}

std::span<const Token> Scheduler::tokens(Index request) const {
    return state_->find(request).tokens;
}

std::span<const Token> Scheduler::generated(Index request) const {
    const Sequence& text = state_->find(request);
    return std::span(text.tokens).subspan(usize(text.prompt));
}

const RequestCounts& Scheduler::counts(Index request) const {
    return state_->find(request).counts;
}

std::span<const PageId> Scheduler::table(Index request) const {
    const Sequence& text = state_->find(request);
    return text.cache ? text.cache->table() : std::span<const PageId>();
}

const SchedulerCounts& Scheduler::counts() const {
    return state_->counts;
}

std::span<const StepShare> Scheduler::last_step() const {
    return state_->last_step;
}

void Scheduler::forget(Index request) {
    const Sequence& text = state_->find(request);
    check(text.outcome != Outcome::waiting && text.outcome != Outcome::running && !text.cache,
          "scheduler: request ", request, " has not ended, or its batch has not");
    check(!state_->inside, "scheduler: forget() inside of a step");
    state_->texts.erase(request);
}

}  // namespace kvlab
