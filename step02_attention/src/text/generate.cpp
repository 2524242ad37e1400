#include <algorithm>

#include <kvlab/attention/generate.hpp>

#include <utility>

namespace kvlab {

const char* finish_name(Finish finish) {
    static constexpr const char* kNames[] = {"running", "length", "end token", "context full"};
    return kNames[static_cast<std::size_t>(finish)];
}

Index Generator::add(KvStore& store,
                     std::span<const Token> prompt,
                     Index steps,
                     const SamplingOptions& sampling) {
    return add(store, prompt, steps, Sampler(sampling));
}

Index Generator::add(KvStore& store,
                     std::span<const Token> prompt,
                     Index steps,
                     Sampler sampler) {
    const Index P = static_cast<Index>(prompt.size());
    check(P >= 1, "generate: the prompt is empty");
    check(steps >= 0, "generate: steps must not be negative, found ", steps);
    check(store.next_position() < P, "generate: the store has seen ", store.next_position(),
          " tokens, the prompt has ", P);
    const bool bounded = decoder_.context_bounds(store);
    const Index context = decoder_.config().context;
    check(!bounded || P <= context, "generate: a prompt of ", P,
          " tokens does not fit the model's context of ", context);
    const Index length = checked_sum("generate: prompt and steps", {P, steps});
    Sequence sequence{&store, {prompt.begin(), prompt.end()}, P, length, std::move(sampler)};
    // Beyond a million tokens the list may as well grow.
    constexpr Index kReserved = Index{1} << 20;
    sequence.tokens.reserve(usize(std::min(length, bounded ? context + 1 : P + kReserved)));
    if (steps == 0) sequence.finish = Finish::length;
    sequences_.push_back(std::move(sequence));
    batch_.reserve(sequences_.size());
    numbers_.reserve(sequences_.size());
    return sequences() - 1;
}

// ANCHOR: step
bool Generator::step() {
    batch_.clear();
    numbers_.clear();
    // SOLUTION-BEGIN 2.5
    for (Index number = 0; number < sequences(); ++number) {
        Sequence& s = sequences_[usize(number)];
        if (s.finish != Finish::running) continue;
        const Index seen = s.store->next_position(),
                    length = static_cast<Index>(s.tokens.size());
        const bool bounded = decoder_.context_bounds(*s.store);
        if (length - seen > s.store->room() ||
            (bounded && length > decoder_.config().context)) {
            s.finish = Finish::context_full;
            continue;
        }
        const std::span<const Token> unseen = std::span(s.tokens).subspan(usize(seen));
        batch_.push_back({s.store, unseen, LogitsOf::last});
        numbers_.push_back(number);
    }
    if (batch_.empty()) return false;
    const View<const float> logits = decoder_.forward(batch_);
    for (std::size_t i = 0; i < numbers_.size(); ++i)
        take_token(sequences_[usize(numbers_[i])], numbers_[i], logits[static_cast<Index>(i)]);
    return true;
    // SOLUTION-END 2.5
}

// ANCHOR_END: step

void Generator::take_token(Sequence& s, Index number, const View<const float>& logits) {
    checksum_.add(logits.flat());
    const auto token = static_cast<Token>(s.sampler.sample(logits.flat()));
    // SOLUTION-BEGIN 2.5
    s.tokens.push_back(token);
    if (is_end_ && is_end_(token))
        s.finish = Finish::end_token;
    else if (static_cast<Index>(s.tokens.size()) >= s.length)
        s.finish = Finish::length;
    // SOLUTION-END 2.5
    if (on_token_) on_token_(number, token, logits);
}

void Generator::run() {
    while (step()) {
    }
}

std::span<const Token> Generator::generated(Index sequence) const {
    const Sequence& s = at(sequence);
    return std::span(s.tokens).subspan(usize(s.prompt));
}

const Generator::Sequence& Generator::at(Index sequence) const {
    check(sequence >= 0 && sequence < sequences(), "generate: there is no sequence ", sequence);
    return sequences_[usize(sequence)];
}

}  // namespace kvlab
