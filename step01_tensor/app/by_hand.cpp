// by_hand.cpp - chapter 1: the subcommand that prints the worked examples, one of them or all.
#include "by_hand.hpp"

#include <iostream>
#include <vector>

#include "app.hpp"

namespace kvlab::app {

namespace {

struct Example {
    std::string name;
    void (*print)();

    Example(const char* of, void (*example)()) : name(of), print(example) {}
};

const std::vector<Example>& examples() {
    static const std::vector<Example> all = {
        Example("order", by_hand_order), Example("float", by_hand_float),
        Example("fma", by_hand_fma),     Example("zero", by_hand_zero),
        Example("exp2", by_hand_exp2),   Example("libm", by_hand_libm),
        Example("view", by_hand_view),   Example("product", by_hand_product),
        Example("norm", by_hand_norm),   Example("softmax", by_hand_softmax),
        Example("turn", by_hand_turn),   Example("draw", by_hand_draw)};
    return all;
}

struct ByHandFlags {
    std::string of = "all";
};

void add_by_hand_flags(CLI::App& app, ByHandFlags& flags) {
    std::vector<std::string> names = {"all"};
    for (const Example& example : examples()) names.push_back(example.name);
    app.add_option("--of", flags.of, "which of them")
        ->check(CLI::IsMember(names))
        ->capture_default_str();
    app.fallthrough(false);  // nothing here is timed, and no report is written
}

int run_by_hand(const ByHandFlags& flags) {
    for (const Example& example : examples())
        if (flags.of == "all" || flags.of == example.name) example.print();
    return cli::kHolds;
}

const cli::Subcommand kByHand{
    {.place = 50, .name = "by-hand", .text = "the chapter's worked examples, computed"},
    add_by_hand_flags,
    run_by_hand};

}  // namespace

}  // namespace kvlab::app
