// smooth_clock.hpp - chapter 6: how fast products of bytes are, beside those of floats.
#pragma once

#include <string>

#include <kvlab/attention/command_line.hpp>

namespace kvlab::app {

struct SmoothClockFlags {
    Index prompt = 512, steps = 32, rounds = 7;
};

void add_smooth_clock_flags(CLI::App& app, SmoothClockFlags& flags);

// Returns an exit code.
int run_smooth_clock(const OpenOptions& opened,
                     const SmoothClockFlags& flags,
                     const std::shared_ptr<OutputFile>& json);

}  // namespace kvlab::app
