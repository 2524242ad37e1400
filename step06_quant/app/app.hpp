// app.hpp - chapter 6: the subcommands of step06_quant, each in a file of its own.
#pragma once

#include <functional>

#include <kvlab/attention/command_line.hpp>

namespace kvlab::app {

// A subcommand whose flags live in what `run` holds; `run` returns an exit code.
struct Command {
    CLI::App* app;
    std::function<int()> run;
};

// Each adds itself to `parent`, and is in a file of its own.
Command add_kv(CLI::App& parent);
Command add_histogram(CLI::App& parent);
Command add_bytes(CLI::App& parent);
Command add_kv_clock(CLI::App& parent);
Command add_kv_speed(CLI::App& parent);
Command add_weights(CLI::App& parent);
Command add_smooth(CLI::App& parent);
Command add_lowrank(CLI::App& parent);
Command add_convert(CLI::App& parent);

// The program without a subcommand: its flags are those of `app` itself.
Command add_table(CLI::App& app);

}  // namespace kvlab::app
