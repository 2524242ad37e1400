// commands.hpp - chapter 3: the subcommands that are experiments, each in a file of its own.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace kvlab::app {

// A subcommand's flags live in what `run` holds; `run` returns an exit code.
struct Command {
    CLI::App* app;
    std::function<int()> run;
};

// Each adds itself to `parent`.
Command add_count(CLI::App& parent);
Command add_memory(CLI::App& parent);
Command add_clock(CLI::App& parent);
Command add_diverge(CLI::App& parent);
Command add_regimes(CLI::App& parent);
Command add_ablate(CLI::App& parent);
Command add_quality(CLI::App& parent);

}  // namespace kvlab::app
