// problems.hpp - chapter 4: what the ladders climb: one problem for each operation, of
// SmolLM2's widths, run by every rung.
#pragma once

#include <string>
#include <vector>

#include <kvlab/cuda/simt.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

// What one rung did: the launches, with what they counted, and the checksum of its result.
struct RungRun {
    std::string name, idea;
    std::string checksum;
    std::vector<simt::LaunchRecord> launches;
    double seconds = 0;  // measured, on a GPU alone

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
    Index least_bytes;      // every input and output once
    std::string expected;   // the CPU's checksum
    std::vector<RungRun> runs;
    // A whole layer of SmolLM2 is so many times this one, side by side: counts and blocks grow
    // by that, and its bytes are whole_bytes. Counting a part takes a part of the time.
    Index copies = 1;
    Index whole_bytes = 0;  // 0: least_bytes

    bool holds() const;

    Index least_sectors() const { return (least_bytes + 31) / 32; }

    Index estimate_bytes() const { return whole_bytes == 0 ? least_bytes : whole_bytes; }
};

// Runs all ladders: under the executor with the options that hold (simt::Use), and counts need
// checked mode; on a GPU, if that is selected, several times, measured.
std::vector<Ladder> run_ladders();

}  // namespace kvlab::app
