// by_hand.cpp - chapter 5: the examples that the chapter works out on paper, by the code that
// it teaches: twelve tokens of which some stay, and what each rule computes on a few numbers.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/policies/registry.hpp>
#include <kvlab/policies/slot_cache.hpp>
#include <kvlab/policies/victims.hpp>
#include <kvlab/tensor/worked_examples.hpp>

#include "by_hand.hpp"

namespace kvlab::app {

Slots::Slots(Index slots, Index rows) : state(usize(slots * rows)) {
    for (Index s = 0; s < slots; ++s) positions.push_back(static_cast<std::int32_t>(s));
    head = {.prompt = slots,
            .next = slots,
            .positions = positions,
            .state = state.data(),
            .stride = slots};
}

void print_row(const char* name, std::span<const float> numbers, const char* format) {
    std::printf("  %-17s", name);
    for (const float number : numbers)
        if (std::isinf(number))
            std::printf("   stays");
        else
            std::printf(format, static_cast<double>(number));
    std::printf("\n");
}

namespace {

constexpr KvShape kOneHead{.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 2};
constexpr Index kTokens = 12, kBudget = 4, kPrompt = 8;
// Every query is (1, 0) and token j has the key (e_j, 0), so its weight is 2^e_j.
constexpr float kExponents[kTokens] = {0, 0, 2, 0, 0, 0, 0, 0, 2, 0, 0, 0};
constexpr float kQuery[] = {1, 0};

using Grid = std::vector<std::vector<bool>>;  // [tokens, tokens]: what is held after each

// One token, as the decoder would feed it.
void feed(KvStore& store, Index token, ThreadPool& pool) {
    Tensor k({1, 1, 2}), v({1, 1, 2}), q({1, 1, 2}), out({1, 1, 2});
    k(0, 0, 0) = at(kExponents, token);
    q(0, 0, 0) = kQuery[0];
    store.begin(1);
    store.append(0, k.view(), v.view());
    store.attend(0, std::as_const(q).view(), out.view(), pool);
    store.commit();
}

Grid grid_of(PolicyPointer policy) {
    SlotCache cache(kOneHead, kTokens, std::move(policy), {.prompt = kPrompt});
    ThreadPool pool(1);
    Grid grid;
    for (Index t = 0; t < kTokens; ++t) {
        feed(cache, t, pool);
        grid.emplace_back(usize(kTokens));
        for (const Index position : cache.kept(0, 0)) grid.back()[usize(position)] = true;
    }
    return grid;
}

// Of Quest: what each token's query reads.
Grid grid_of_quest() {
    PolicyOptions options;
    options.budget = kBudget, options.page = 2, options.whole_layers = 0;
    QuestCache cache(kOneHead, kTokens, options);
    ThreadPool pool(1);
    Grid grid;
    for (Index t = 0; t < kTokens; ++t) {
        feed(cache, t, pool);
        grid.emplace_back(usize(kTokens));
        for (const Index page : cache.pages(0, 0, kQuery, t + 1))
            for (Index s = page * 2; s < std::min(page * 2 + 2, t + 1); ++s)
                grid.back()[usize(s)] = true;
    }
    return grid;
}

struct NamedGrid {
    const char* name;
    Grid grid;
};

void print_grids(const std::vector<NamedGrid>& grids) {
    std::string line = "  after   ";
    const auto print = [&line] {
        std::printf("%s\n", line.substr(0, line.find_last_not_of(' ') + 1).c_str());
    };
    for (const NamedGrid& one : grids)
        line += "  " + std::string(one.name) +
                std::string(usize(kTokens), ' ').substr(std::strlen(one.name));
    print();
    for (Index t = 0; t < kTokens; ++t) {
        line = concat("  token ", t < 10 ? " " : "", t);
        for (const NamedGrid& one : grids) {
            line += "  ";
            for (Index s = 0; s < kTokens; ++s)
                line += s > t ? ' ' : at(at(one.grid, t), s) ? '#' : '.';
        }
        print();
    }
}

// Which of twelve tokens are held, or read, after each.
void show_grid() {
    PolicyOptions options, drawn;
    options.budget = drawn.budget = kBudget;
    options.sinks = 1, options.recent = 2, options.window = 2, options.kernel = 3;
    PolicyOptions mean = options;
    mean.normalise = true;
    print_grids({{"window", grid_of(window_policy(options))},
                 {"sinks", grid_of(sinks_policy(options))},
                 {"h2o", grid_of(h2o_policy(options))},
                 {"h2o-mean", grid_of(h2o_policy(mean))}});
    print_grids({{"tova", grid_of(tova_policy(options))},
                 {"snapkv", grid_of(snapkv_policy(options))},
                 {"quest", grid_of_quest()},
                 {"random", grid_of(random_policy(drawn))}});
}

// Four queries share out their attention; what H2O makes of it, in eighths.
void show_h2o() {
    const std::vector<float> shares[] = {{8}, {5, 3}, {4, 1, 3}, {2, 1, 2, 3}};
    PolicyOptions plain, mean, forgetting;
    plain.recent = mean.recent = forgetting.recent = 1;
    mean.normalise = true;
    forgetting.forget = 0.5f;
    std::printf("  slot               0       1       2       3\n");
    for (const auto& row : shares)
        print_row(concat("query ", std::ssize(row) - 1).c_str(), row, "%8g");
    for (const auto& [name, options] : {std::pair("sums", plain), std::pair("mean", mean),
                                        std::pair("forgetting", forgetting)}) {
        Slots slots(4, 1);
        const PolicyPointer policy = h2o_policy(options);
        for (const auto& row : shares) policy->observe(slots.head, std::ssize(row) - 1, row);
        std::vector<float> ratings(4);
        policy->rate(slots.head, ratings);
        if (name == std::string("sums")) print_row("sums", slots.state, "%8g");
        print_row(concat(name, ", rated").c_str(), ratings, "%8.2f");
    }
}

// Eight tokens, the last two vote; a kernel of three.
void show_snapkv() {
    PolicyOptions options;
    options.window = 2, options.kernel = 3;
    const std::vector<float> shares[] = {{0.1f, 0.3f, 0.0f, 0.1f, 0.0f, 0.1f, 0.4f},
                                         {0.0f, 0.2f, 0.0f, 0.1f, 0.1f, 0.0f, 0.1f, 0.5f}};
    for (const auto& row : shares)
        print_row(concat("query ", std::ssize(row) - 1).c_str(), row, "%8.2f");
    for (const bool max_pool : {false, true}) {
        options.max_pool = max_pool;
        Slots slots(8, 1);
        const PolicyPointer policy = snapkv_policy(options);
        for (const auto& row : shares) policy->observe(slots.head, std::ssize(row) - 1, row);
        std::vector<float> ratings(8);
        policy->rate(slots.head, ratings);
        if (!max_pool) print_row("votes", slots.state, "%8.2f");
        print_row(max_pool ? "maximum of 3" : "mean of 3", ratings, "%8.2f");
    }
}

// Four layers of budgets.
void show_pyramid() {
    struct Case {
        Index budget, window, beta, prompt;
    };

    std::printf("  budget  window  beta  prompt     layer 0   1   2   3    mean\n");
    for (const Case& one :
         {Case{24, 4, 5, 100}, Case{28, 8, 5, 40}, Case{24, 4, 5, 39}, Case{24, 4, 1, 100}}) {
        PolicyOptions options;
        options.budget = one.budget, options.window = one.window, options.beta = one.beta;
        const PolicyPointer policy = pyramidkv_policy(options, 4);
        std::printf("  %6td  %6td  %4td  %6td          ", one.budget, one.window, one.beta,
                    one.prompt);
        Index sum = 0;
        for (Index layer = 0; layer < 4; ++layer) {
            const Index kept = policy->keep(layer, one.prompt);
            std::printf("%s%2td", layer == 0 ? "" : "  ", kept);
            sum += kept;
        }
        std::printf("    %4g\n", static_cast<double>(sum) / 4);
    }
}

// Six slots, of which four stay.
void show_victims() {
    constexpr float kRatings[] = {3, 1, 1, kProtected, 1, 2};
    constexpr std::int32_t kPositions[] = {4, 0, 7, 2, 9, 5};
    std::vector<Index> victims;
    choose_victims(kRatings, kPositions, 2, victims);
    std::printf("  victims: slots");
    for (const Index slot : victims) std::printf(" %td (token %d)", slot, at(kPositions, slot));
    std::vector<SlotMove> moves;
    fill_holes(victims, 6, moves);
    std::printf("\n  moves: ");
    for (const auto& [from, to] : moves) std::printf(" slot %td to %td", from, to);
    std::vector<std::int32_t> left(std::begin(kPositions), std::end(kPositions));
    for (const auto& [from, to] : moves) at(left, to) = at(left, from);
    std::printf("\n  positions afterwards: ");
    for (std::size_t s = 0; s < 4; ++s) std::printf(" %d", left[s]);
    std::printf("\n");
}

const cli::Subcommand kByHand = cli::worked_examples(95,
                                                     {{"grid", show_grid},
                                                      {"h2o", show_h2o},
                                                      {"victims", show_victims},
                                                      {"snapkv", show_snapkv},
                                                      {"pyramid", show_pyramid},
                                                      {"quest", show_quest},
                                                      {"slerp", show_slerp},
                                                      {"shifts", show_shifts},
                                                      {"windows", show_windows},
                                                      {"adakv", show_adakv},
                                                      {"scissorhands", show_scissorhands},
                                                      {"keyformer", show_keyformer}});

}  // namespace

}  // namespace kvlab::app
