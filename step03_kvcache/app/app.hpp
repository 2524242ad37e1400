// app.hpp - chapter 3: what the subcommands of step03_kvcache share.
#pragma once

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <kvlab/attention/command_line.hpp>

namespace kvlab::app {

struct GenerateFlags {
    SessionOptions session;
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

struct VerifyFlags {
    SessionOptions session;
    SamplingOptions sampling;
    std::vector<std::string> models;   // empty: all that are there
    std::vector<std::string> prompts;  // empty: the default three
    Index steps = 24;
    std::shared_ptr<OutputFile> json;
};

struct SpeedFlags {
    SessionOptions session;
    Index prefill = 128, context = 0, tokens = 128, batch = 1;
    Index rounds = 5, warm_up = 1;
    double seconds = 0.2;  // that a round lasts at least
    bool all_logits = false, wait = false;
    std::shared_ptr<OutputFile> json;
    bool json_on_standard_output = false;  // --json -
};

// The most memory that the process ever had in use, code and files included. Linux keeps it for
// the program alone; what getrusage() says is at least what the process had before it became
// this program, a copy of whoever started it.
inline Index resident_peak_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;  // from KiB
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<Index>(usage.ru_maxrss) * 1024;
}

// Those of `names` that are there; prints which are not.
std::vector<std::string> present_models(const std::vector<std::string>& names,
                                        const std::filesystem::path& source_weights);

// Each returns an exit code.
int run_generate(const GenerateFlags& flags);
int run_chat(const GenerateFlags& flags);
int run_verify(const VerifyFlags& flags);
int run_speed(const SpeedFlags& flags);

}  // namespace kvlab::app
