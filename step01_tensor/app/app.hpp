// app.hpp - chapter 1: what the parts of step01_tensor share.
#pragma once

#include <string>

#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/subcommand.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/thread_pool.hpp>

namespace kvlab::app {

inline constexpr std::uint64_t kSeed = 42;

struct PartFlags {
    Index threads = 2, rounds = 25;
    std::shared_ptr<OutputFile> json;
};

// A part prints its table, adds its figures to `report` and its key=value pairs to `result`,
// and returns whether what it claims holds. Each is a subcommand with the program's own flags.
struct Part {
    using Run = bool (*)(const PartFlags& flags, Json& report, std::string& result);

    // By default: it is one of those that run without a subcommand, by place.
    Part(cli::About about, Run run);

    Run run;
    bool by_default;
    cli::Subcommand subcommand;
};

// `rows` x `columns` random floats, near normal, by the generator of rule 5.
Tensor random_matrix(Index rows, Index columns, std::uint64_t seed);

using cli::verdict;

// The text padded with blanks to `width`; on the left if `right` is set.
std::string pad(const std::string& text, std::size_t width, bool right = false);

}  // namespace kvlab::app
