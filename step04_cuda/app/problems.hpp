// problems.hpp - chapter 4: what the ladders climb: an operation at some size, with the CPU's
// answer, and every rung that takes it as a call. To count them, to compare them and to time
// them is other files' business.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <kvlab/cuda/ladders.hpp>
#include <kvlab/cuda/simt.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

// What is done with a rung: `work` runs it once, as often as it is called; `result` is the
// checksum of what the last run left behind.
using Visit = std::function<void(const Rung& rung,
                                 const std::function<void()>& work,
                                 const std::function<std::string()>& result)>;

struct Problem {
    std::string operation;  // "linear", with the shape what rows of reports are joined by
    std::string shape;      // "R1 N3072 K576 F32"
    std::string size;       // "x [1, 576], w [3072, 576] F32"
    Index bytes;            // every input and output once
    Index fma;              // that the formula asks for
    std::string expected;   // the CPU's checksum
    std::function<void(const Visit&)> each_rung;
};

// y [R, N] = x [R, K] w^T. Rungs that want rows take F32 alone: rows are floats.
struct LinearShape {
    Index R, N, K;
    TensorType type;
};

Problem linear_problem(const LinearShape& shape);
std::string linear_name(const LinearShape& shape);
Index linear_bytes(const LinearShape& shape);

// T tokens after `past` others. The widths are SmolLM2's unless told otherwise.
struct AttentionShape {
    Index T, past, heads = 9, kv_heads = 3, D = 64;
};

Problem attention_problem(const AttentionShape& shape);

// R rows of C numbers.
Problem norm_problem(Index R, Index C);

Problem argmax_problem(Index count);

// What one rung did: the launches, with what they counted, and the checksum of its result.
struct RungRun {
    std::string name, idea;
    std::string checksum;
    std::vector<simt::LaunchRecord> launches;  // under the executor

    // Sectors of global memory, loaded and stored, of all launches.
    Index sectors() const;
    // Of any counter, over all launches.
    Index sum(Index (*of)(const simt::Counters&)) const;
    // Every launch with its shape and all that was counted: what the other figures are made of.
    Json launches_json() const;
};

struct Ladder {
    std::string key;        // "linear_1", for reports
    std::string operation;  // "product of one row"
    std::string size;       // "x [1, 576], w [64, 576] F32"
    Index least_bytes = 0;  // every input and output once
    std::string expected;   // the CPU's checksum
    std::vector<RungRun> runs;
    // A whole layer of SmolLM2 is so many times this one, side by side: counts and blocks grow
    // by that, and its bytes are whole_bytes. Counting a part takes a part of the time.
    Index copies = 1;
    Index whole_bytes = 0;  // 0: least_bytes
    // Of the whole: under these names `step04_cuda bench` measures it.
    std::string bench_operation, bench_shape;

    bool holds() const;

    Index least_sectors() const { return (least_bytes + 31) / 32; }

    Index estimate_bytes() const { return whole_bytes == 0 ? least_bytes : whole_bytes; }
};

// Runs all ladders once, on the device that is selected: under the executor with the options
// that hold (simt::Use), and counts need checked mode.
std::vector<Ladder> run_ladders();

}  // namespace kvlab::app
