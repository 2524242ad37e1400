// app.hpp - chapter 5: what the subcommands of step05_policies share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/policies/policy_quality.hpp>
#include <kvlab/policies/registry.hpp>

namespace kvlab::app {

// The defaults of all policies, with another budget.
inline PolicyOptions with_budget(Index budget) {
    PolicyOptions options;
    options.budget = budget;
    return options;
}

std::vector<std::string> names_of_policies();
void add_policy_flags(CLI::App& app, PolicyOptions& options);

// --policy, a list, or --set.
void add_choice(CLI::App& app,
                std::vector<std::string>& names,
                std::string& set,
                const char* all = "these alone, a list; default: all");

std::vector<std::string> names_of_sets();

// Those of the set, in which `options` stand where the set says nothing; without a set, the
// names, each with `options`.
std::vector<Contender> contenders(const std::string& set,
                                  const std::vector<std::string>& names,
                                  const PolicyOptions& options);

// The files of --text, the flags of windows and seeds, and the row that others are compared
// with: what every measurement on texts is asked.
struct TextFlags {
    std::vector<std::string> texts = {cli::default_text("heldout.txt")};
    Index window = 512, prompt = 256, tokens = 4096, seeds = 5;
    std::string baseline = "sinks";
};

void add_text_flags(CLI::App& app, TextFlags& flags);

// Characters of a table's first column.
int label_width(const std::vector<Contender>& all);

// These names, or, if there are none, those of all policies that can run the
// opened model's model.
std::vector<std::string> chosen_policies(const std::vector<std::string>& names,
                                         const OpenedModel& opened);

// Makes a policy's stores for texts that are known, so that the oracle can look ahead. Keeps
// references to the opened model and the options.
using MakePolicy =
    std::function<std::unique_ptr<PolicyStore>(std::span<const Token> text, Index prompt)>;
MakePolicy maker_of(OpenedModel& opened, const std::string& name, const PolicyOptions& options);

}  // namespace kvlab::app
