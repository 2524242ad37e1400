#include "random_schedule.hpp"

#include <algorithm>

#include <kvlab/tensor/random.hpp>

namespace kvlab {

namespace {

bool one_in(Rng& random, Index n) {
    return random.below(n) == 0;
}

Index between(Rng& random, Index least, Index most) {
    return least + random.below(most - least + 1);
}

template <class T>
T one_of(Rng& random, std::initializer_list<T> choices) {
    return choices.begin()[random.below(std::ssize(choices))];
}

// Many mistakes show at the border of a page alone, so every third length lies on one.
Index draw_length(Rng& random, Index most) {
    if (one_in(random, 3) && most >= kTile)
        return std::min(most, kTile * between(random, 1, most / kTile));
    return between(random, 1, most);
}

std::vector<Token> draw_text(const LawOptions& options, Rng& random, Index length) {
    const auto first =
        options.text.begin() + random.below(std::ssize(options.text) - length + 1);
    return {first, first + length};
}

ChoiceOptions draw_choice(Rng& random) {
    ChoiceOptions choice;
    choice.sampling.seed = random.next();
    if (one_in(random, 3)) return choice;
    choice.sampling.temperature = 0.25f + 1.25f * random.uniform();
    if (one_in(random, 3)) choice.sampling.top_k = between(random, 1, 40);
    if (one_in(random, 3)) choice.sampling.top_p = 1.0f - 0.5f * random.uniform();
    if (one_in(random, 3)) choice.min_p = 0.2f * random.uniform();
    if (one_in(random, 3)) choice.repetition_penalty = 0.8f + 0.7f * random.uniform();
    return choice;
}

// A beginning that others may have, too, and sometimes nothing else.
std::vector<Token> draw_prompt(const LawOptions& options,
                               Rng& random,
                               const std::vector<std::vector<Token>>& beginnings) {
    std::vector<Token> prompt = at(beginnings, random.below(std::ssize(beginnings)));
    if (one_in(random, 4)) prompt.clear();
    if (!prompt.empty() && one_in(random, 4))
        prompt.resize(usize(draw_length(random, std::ssize(prompt))));
    const Index left = options.most_prompt - std::ssize(prompt);
    if (!prompt.empty() && (left == 0 || one_in(random, 3))) return prompt;
    const auto rest = draw_text(options, random, draw_length(random, left));
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    return prompt;
}

Request draw_request(const LawOptions& options,
                     Rng& random,
                     const std::vector<std::vector<Token>>& beginnings) {
    Request request;
    request.prompt = draw_prompt(options, random, beginnings);
    request.max_tokens = between(random, 1, options.most_tokens);
    request.choice = draw_choice(random);
    if (one_in(random, 2)) request.ends = draw_text(options, random, 2);
    if (one_in(random, 3)) request.priority = between(random, -1, 1);
    if (one_in(random, 6)) request.scope = "another";
    return request;
}

SchedulerOptions draw_options(Rng& random) {
    SchedulerOptions o;
    const Index batching = random.below(10);
    o.batching = batching == 0   ? Batching::one_by_one
                 : batching == 1 ? Batching::static_batches
                                 : Batching::continuous;
    o.max_running = between(random, 1, 8);
    o.token_budget = o.max_running + one_of<Index>(random, {0, 3, 20, 64, 300});
    o.chunked = !one_in(random, 3);
    o.order = one_of(random, {Order::first_come, Order::shortest_first});
    o.preemption = one_of(random, {Preemption::recompute, Preemption::swap});
    o.patience = random.below(4);
    return o;
}

}  // namespace

RandomSchedule draw_schedule(const LawOptions& options, Rng& random) {
    std::vector<std::vector<Token>> beginnings(3);
    for (std::vector<Token>& beginning : beginnings)
        beginning = draw_text(options, random, draw_length(random, options.most_prompt));
    RandomSchedule s{};
    const Index requests = between(random, 1, options.most_requests);
    Index longest = 0, comes = 0;
    for (Index i = 0; i < requests; ++i) {
        s.requests.push_back(draw_request(options, random, beginnings));
        const Request& request = s.requests.back();
        longest = std::max(longest, std::ssize(request.prompt) + request.max_tokens);
        comes += one_in(random, 2) ? 0 : random.below(6);
        s.comes.push_back(comes);
    }
    s.options = draw_options(random);
    const bool alike = s.options.batching == Batching::static_batches;
    s.index = alike ? IndexKind::none
                    : one_of(random, {IndexKind::none, IndexKind::chain, IndexKind::radix});
    s.drafter = alike ? DrafterKind::none
                      : one_of(random, {DrafterKind::none, DrafterKind::lookup,
                                        DrafterKind::model, DrafterKind::at_random});
    if (s.drafter != DrafterKind::none) s.options.draft_tokens = between(random, 1, 5);
    s.format = random.below(std::ssize(options.formats));
    s.rows = at(options.formats, s.format).rows;
    // The longest request alone fits exactly, or a few pages more.
    s.pages = blocks_for(longest, kTile) + one_of<Index>(random, {0, 0, 1, 1, 2, 4, 20});
    s.poison = one_in(random, 2);
    s.cancel_one_in = one_in(random, 2) ? 0 : between(random, 10, 60);
    return s;
}

}  // namespace kvlab
