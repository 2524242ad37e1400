// app.hpp - chapter 1: what the parts of step01_tensor share.
#pragma once

#include <string>

#include <kvlab/tensor/program.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/thread_pool.hpp>

namespace kvlab::app {

inline constexpr std::uint64_t kSeed = 42;

// Each part prints its table, adds its figures to `report` and its key=value pairs to `result`,
// and returns whether what it claims holds.
bool run_contract(Json& report, std::string& result);
bool run_goldens(Json& report, std::string& result);
bool run_matmul(Index rounds, Json& report, std::string& result);
bool run_ladder(Index threads, Json& report, std::string& result);
bool run_roofline(Index threads, Json& report, std::string& result);

// `rows` x `columns` random floats, near normal, by the generator of rule 5.
Tensor random_matrix(Index rows, Index columns, std::uint64_t seed);

using cli::verdict;

// The text padded with blanks to `width`; on the left if `right` is set.
std::string pad(const std::string& text, std::size_t width, bool right = false);

}  // namespace kvlab::app
