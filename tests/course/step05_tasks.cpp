// Chapter 5's tasks: what policies rate, which slots go and what fills them, bounds of a page,
// and a direction between two.
#include <algorithm>

#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/policies/victims.hpp>

#include "task_case.hpp"

using namespace kvlab;

namespace {

using course::Answer;
using course::Given;

// Slots with one row of state, as a policy sees them.
struct Slots {
    explicit Slots(const Given& given) : state(given.floats("state")) {
        for (const Index position : given.integers("positions"))
            positions.push_back(static_cast<std::int32_t>(position));
        head.positions = positions;
        head.state = state.data();
        head.stride = std::ssize(state);
        head.next = given.number("next");
        head.prompt = given.number("prompt");
    }

    std::vector<std::int32_t> positions;
    std::vector<float> state;
    HeadSlots head;
};

PolicyOptions options_of(const Given& given) {
    PolicyOptions options;
    if (given.has("budget")) options.budget = given.number("budget");
    if (given.has("ratio")) options.ratio = given.real("ratio");
    if (given.has("recent")) options.recent = given.number("recent");
    if (given.has("window")) options.window = given.number("window");
    if (given.has("kernel")) options.kernel = given.number("kernel");
    if (given.has("max_pool")) options.max_pool = given.number("max_pool") == 1;
    if (given.has("beta")) options.beta = given.number("beta");
    if (given.has("normalise")) options.normalise = given.number("normalise") == 1;
    if (given.has("forget")) options.forget = static_cast<float>(given.real("forget"));
    return options;
}

// Ratings as two lists: which slots are protected, and the ratings of the others.
void answer_ratings(const Policy& policy, const Slots& slots, Answer& answer) {
    std::vector<float> ratings(slots.positions.size(), -1.0f);
    policy.rate(slots.head, ratings);
    std::vector<Index> is_protected;
    for (float& rating : ratings) {
        is_protected.push_back(rating == kProtected ? 1 : 0);
        if (rating == kProtected) rating = 0.0f;
    }
    answer.integers("protected", is_protected);
    answer.floats("ratings", ratings);
}

}  // namespace

KVLAB_TASK_CASE("5.1 h2o: a slot keeps the sum of what all queries gave it") {
    const Slots slots(given);
    const Tensor shares = given.tensor("shares");  // [queries, slots]
    const PolicyPointer policy = h2o_policy(options_of(given));
    const Index queries = shares.dim(0), n = slots.head.slots();
    for (Index t = 0; t < queries;
         ++t)  // the last query sees all slots, the one before one less
        policy->observe(slots.head, slots.head.next - queries + t,
                        shares.view()[t].flat().first(usize(n - queries + t + 1)));
    answer.floats("sums", slots.state);
}

KVLAB_TASK_CASE("5.1 h2o: the last tokens are protected and the others rated by their sum") {
    answer_ratings(*h2o_policy(options_of(given)), Slots(given), answer);
}

KVLAB_TASK_CASE("5.2 snapkv: votes are pooled over the neighbours before the window") {
    answer_ratings(*snapkv_policy(options_of(given)), Slots(given), answer);
}

KVLAB_TASK_CASE("5.3 pyramid: every layer has its own budget") {
    const Index layers = given.number("layers");
    const PolicyPointer policy = pyramidkv_policy(options_of(given), layers);
    const Index tokens = given.number("tokens");
    std::vector<Index> kept, of_the_prompt;
    for (Index layer = 0; layer < layers; ++layer) {
        kept.push_back(policy->keep(layer, tokens));
        of_the_prompt.push_back(std::min(kept.back(), tokens));
    }
    answer.integers("kept", kept);
    answer.integers("kept of the prompt", of_the_prompt);
}

KVLAB_TASK_CASE("5.4 victims: the lowest ratings go and of equal ones the later tokens") {
    const std::vector<Index> positions = given.integers("positions");
    const std::vector<std::int32_t> narrow(positions.begin(), positions.end());
    std::vector<Index> victims = {99};  // of the head before
    choose_victims(given.floats("ratings"), narrow, given.number("count"), victims);
    answer.integers("victims", victims);
}

KVLAB_TASK_CASE("5.5 holes: the survivors beyond the border move into them") {
    std::vector<SlotMove> moves = {{99, 99}};  // of the head before
    fill_holes(given.integers("victims"), given.number("slots"), moves);
    std::vector<Index> from, to;
    for (const SlotMove& move : moves) {
        from.push_back(move.from);
        to.push_back(move.to);
    }
    answer.integers("from", from);
    answer.integers("to", to);
}

KVLAB_TASK_CASE("5.6 bound: the largest score that a key of the page could have") {
    const std::vector<float> q = given.floats("q"), smallest = given.floats("smallest"),
                             largest = given.floats("largest");
    const float bound = page_bound(q, smallest.data(), largest.data());
    answer.floats("bound", std::span(&bound, 1));
}

KVLAB_TASK_CASE("5.6 pages: those with the largest bounds are read") {
    const Tensor k = given.tensor("k"), queries = given.tensor("q");  // [S, Hkv, D], [n, D]
    const Tensor before = given.tensor("before");  // the keys until the text is taken back
    const KvShape shape{1, k.dim(1), k.dim(1), k.dim(2)};
    PolicyOptions options;
    options.page = given.number("page");
    options.budget = given.number("budget");
    options.whole_layers = 0;
    options.newest_page = given.number("newest_page") == 1;
    QuestCache cache(shape, k.dim(0), options);
    const std::vector<Index> lengths = given.integers("lengths");
    bool taken_back = false;
    for (const Index length : lengths) {  // up to this one, or back to it
        const Index from = cache.next_position();
        if (length <= from) {
            cache.truncate(length);
            taken_back = true;
            continue;
        }
        const View<const float> rows = (taken_back ? k : before).view().slice(0, from, length);
        cache.begin(length - from);
        cache.append(0, rows, rows);
        ThreadPool pool(1);
        Tensor out({length - from, shape.heads, shape.head_dim});
        cache.attend(0, rows, out.view(), pool);
        cache.commit();
    }
    std::vector<Index> pages;
    for (Index i = 0; i < queries.dim(0); ++i)
        for (Index head = 0; head < shape.heads; ++head)
            for (const Index page :
                 cache.pages(0, head, queries.view()[i].flat(), cache.next_position()))
                pages.push_back(page);
    answer.integers("pages", pages);
}

KVLAB_TASK_CASE("5.7 slerp: a direction on the arc from one to the other") {
    const std::vector<float> lower = given.floats("lower");
    std::vector<float> direction(lower.size(), 9.0f);
    merged_direction(lower, given.floats("upper"), given.real("t"), direction);
    answer.floats("direction", direction);
}
