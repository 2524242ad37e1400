// app.hpp - chapter 2: what the subcommands of step02_attention share.
#pragma once

#include <string>

#include <kvlab/attention/command_line.hpp>

namespace kvlab::app {

struct ScoreFlags {
    SessionOptions session;
    std::string text = KVLAB_SOURCE_WEIGHTS "/heldout.txt";
    std::string cases = KVLAB_SOURCE_WEIGHTS "/recall_cases.jsonl";
    Index windows = 0;  // of the text; 0: all
    std::shared_ptr<OutputFile> json;
};

int run_score(const ScoreFlags& flags);

}  // namespace kvlab::app
