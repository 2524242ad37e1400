// app.hpp - chapter 5: what the subcommands of step05_policies share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/policies/registry.hpp>

namespace kvlab::app {

struct CompareFlags {
    SessionOptions session;
    PolicyOptions policy;
    std::vector<std::string> names;  // empty: all
    std::string set;                 // if not empty, instead of names
    std::string text = cli::default_text("heldout.txt", KVLAB_SOURCE_WEIGHTS);
    std::string cases = cli::default_text("recall_cases.jsonl", KVLAB_SOURCE_WEIGHTS);
    Index window = 512, prompt = 256, tokens = 4096, recall = 20;
    std::shared_ptr<OutputFile> json;
};

struct GenerateFlags {
    SessionOptions session;
    PolicyOptions policy;
    SamplingOptions sampling;
    std::string name = "sinks", prompt = "In the beginning";
    Index steps = 128;
    std::shared_ptr<OutputFile> json;
};

std::vector<std::string> names_of_policies();
void add_policy_flags(CLI::App& app, PolicyOptions& options);

// --policy, a list, or --set.
void add_choice(CLI::App& app,
                std::vector<std::string>& names,
                std::string& set,
                const char* all = "these alone, a list; default: all");

// One row of a table: a policy with its options, and what the table calls it.
struct Contender {
    std::string label, policy;
    PolicyOptions options;
};

std::vector<std::string> names_of_sets();

// Those of the set, in which `options` stand where the set says nothing; without a set, the
// names, each with `options`.
std::vector<Contender> contenders(const std::string& set,
                                  const std::vector<std::string>& names,
                                  const PolicyOptions& options);

// Characters of a table's first column.
int label_width(const std::vector<Contender>& all);

// An experiment: a subcommand whose flags live in what `run` holds; `run` returns an exit code.
struct Command {
    CLI::App* app;
    std::function<int()> run;
};

// Each adds itself to `parent`, and is in a file of its own.
Command add_clock(CLI::App& parent);
Command add_quality(CLI::App& parent);
Command add_memory(CLI::App& parent);
Command add_needle(CLI::App& parent);
Command add_stream(CLI::App& parent);

// A recall case, or a prompt that the full cache goes on with, is run with every policy.
struct RecordFlags {
    SessionOptions session;
    PolicyOptions policy;
    std::vector<std::string> names;  // empty: all
    std::string cases = cli::default_text("recall_cases.jsonl", KVLAB_SOURCE_WEIGHTS);
    Index distance = 64, number = 1;  // the case: the first of this distance
    std::string prompt;               // if not empty, instead of a case
    Index steps = 48;                 // tokens behind the prompt
    Index whole = 0;                  // tokens that go in whole; 0: half of a case, the prompt
    std::shared_ptr<OutputFile> out;
};

// Each returns an exit code.
int run_compare(const CompareFlags& flags);
int run_generate(const GenerateFlags& flags);
int run_record(const RecordFlags& flags);

// These names, or, if there are none, those of all policies that can run the session's model.
std::vector<std::string> chosen_policies(const std::vector<std::string>& names,
                                         const Session& session);

// Makes a policy's stores for texts that are known, so that the oracle can look ahead. Keeps
// references to the session and the options.
using MakePolicy =
    std::function<std::unique_ptr<PolicyStore>(std::span<const Token> text, Index prompt)>;
MakePolicy maker_of(Session& session, const std::string& name, const PolicyOptions& options);

}  // namespace kvlab::app
