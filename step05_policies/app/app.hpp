// app.hpp - chapter 5: what the subcommands of step05_policies share.
#pragma once

#include <string>
#include <vector>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/policies/registry.hpp>

namespace kvlab::app {

struct CompareFlags {
    SessionOptions session;
    PolicyOptions policy;
    std::vector<std::string> names;  // empty: all
    std::string text = KVLAB_SOURCE_WEIGHTS "/heldout.txt";
    std::string cases = KVLAB_SOURCE_WEIGHTS "/recall_cases.jsonl";
    Index window = 512, prompt = 256, tokens = 4096, recall = 20;
    std::string json;
};

struct GenerateFlags {
    SessionOptions session;
    PolicyOptions policy;
    SamplingOptions sampling;
    std::string name = "sinks", prompt = "In the beginning";
    Index steps = 128;
    std::string json;
};

// Each returns an exit code.
int run_compare(const CompareFlags& flags);
int run_generate(const GenerateFlags& flags);

}  // namespace kvlab::app
