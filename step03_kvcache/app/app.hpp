// app.hpp - chapter 3: what several subcommands of step03_kvcache share.
#pragma once

#include <sys/resource.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <kvlab/attention/command_line.hpp>

namespace kvlab::app {

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
inline std::vector<std::string> present_models(const std::vector<std::string>& names) {
    std::vector<std::string> present;
    for (const std::string& name : names) {
        try {
            find_model(name, cli::kSourceWeights);
            present.push_back(name);
        } catch (const Error&) {
            std::printf("%s: not here, skipped\n", name.c_str());
        }
    }
    return present;
}

// SmolLM2 in floats: what an experiment runs on when its figures are about floats.
inline constexpr const char* kFloatModel = "SmolLM2-135M-Instruct-F32";

// Throws Error if options.model is the model in floats and its file is not there. The file that
// can be fetched is Q4_1, so the message also says how to make floats of it.
inline void check_float_model(const OpenOptions& options) {
    if (options.model != kFloatModel) return;
    try {
        find_model(options.model, options.source_weights);
    } catch (const Error& error) {
        throw Error(concat(error.what(),
                           " in Q4_1; then: kvlab_weights convert SmolLM2-135M-Instruct-Q4_1 "
                           "weights/downloads/",
                           kFloatModel, ".gguf --type f32"));
    }
}

}  // namespace kvlab::app
