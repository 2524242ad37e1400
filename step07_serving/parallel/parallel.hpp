// parallel.hpp - chapter 7: what the subcommands of step07_parallel share: the session, the
// flags, and how an error on any rank becomes the end of all.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <kvlab/attention/command_line.hpp>

#include "mpi_ranks.hpp"

namespace kvlab::app {

// The only one of this process, made by main().
inline const MpiSession*& session() {
    static const MpiSession* only = nullptr;
    return only;
}

struct ParallelFlags {
    OpenOptions opened = cli::open_options();
    std::string format = "f32";
    Index steps = 32;
    Index patience = 60;
};

inline void add_parallel_flags(CLI::App& app, ParallelFlags& flags) {
    flags.opened.threads = 1;  // there is a process for each core already
    cli::add_model_flags(app, flags.opened);
    app.add_option("--cache", flags.format, "format of the cache")
        ->check(CLI::IsMember({"f32", "f16", "int8"}))
        ->capture_default_str();
    cli::add_count(app, "-n,--steps", flags.steps, 1, "tokens to generate");
    cli::add_count(app, "--patience", flags.patience, {1, 86400},
                   "seconds to wait for another rank, before the run ends with an error");
}

// False, and rank 0 says so, if the ranks were started with different command lines: they would
// wait for each other in different places.
bool started_alike(Ranks& ranks);

// Runs what every rank can do by itself, such as reading a file. If it fails on some of them,
// the first of these says why, and nobody goes on: false on all.
bool prepared(Ranks& ranks, const std::function<void()>& work);

// Runs what the ranks do together. An error on any of them ends all.
int together(Ranks& ranks, const std::function<int()>& work);

}  // namespace kvlab::app
