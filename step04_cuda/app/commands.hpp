// commands.hpp - chapter 4: the subcommands of step04_cuda.
#pragma once

#include <string>

#include <kvlab/attention/command_line.hpp>

namespace kvlab::app {

struct LadderFlags {
    std::string model = "tiny";  // the decoder that climbs
    std::shared_ptr<OutputFile> json;
    std::shared_ptr<OutputFile> launches;  // file for the launches' shapes
};

struct EstimateFlags {
    std::string gpu = "A100";
    std::shared_ptr<OutputFile> json;
};

struct GenerateFlags {
    SessionOptions session;
    SamplingOptions sampling;
    std::string prompt = "The meaning of life is";
    Index steps = 128;
    Index batch = 1;
    std::string linear, norm, attention;  // kernels; empty: what suits
    std::string device = "auto";          // or executor, gpu
    bool checked = false, compare = false, ignore_end = false;
    std::shared_ptr<OutputFile> json;
};

// Each returns an exit code.
int run_ladders_command(const LadderFlags& flags);
int run_estimate(const EstimateFlags& flags);
int run_generate(const GenerateFlags& flags);
// The executor: a right kernel's counters, a wrong one's report, and the GPU if there is one.
int run_simt();

}  // namespace kvlab::app
