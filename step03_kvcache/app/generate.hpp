// generate.hpp - chapter 3: what a text and a conversation share.
#pragma once

#include <string>

#include <kvlab/attention/command_line.hpp>

namespace kvlab::app {

struct GenerateFlags {
    OpenOptions opened = cli::open_options();
    SamplingOptions sampling;
    std::string prompt;
    bool prompt_given = false;
    std::string system;  // of a chat
    bool system_given = false;
    Index steps = 128;
    Index batch = 1;
    Index chunk = 512;
    bool no_cache = false, compare = false, chat = false, ignore_end = false;
    std::shared_ptr<OutputFile> json, trace;
};

// `generate --chat`. Returns an exit code.
int run_chat(const GenerateFlags& flags);

}  // namespace kvlab::app
