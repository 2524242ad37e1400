// measured.hpp - chapter 5: the rows of a table that several subcommands print: each policy on
// all windows, what is random several times, and beside each how far its figure moves.
#pragma once

#include <string>
#include <vector>

#include <kvlab/kvcache/spread.hpp>
#include <kvlab/policies/policy_quality.hpp>
#include <kvlab/tensor/report.hpp>

#include "app.hpp"

namespace kvlab::app {

// One contender; of one that draws, once for each seed.
struct MeasuredRow {
    Contender contender;
    std::vector<PolicyQuality> seeds;

    // The mean over the seeds, of all windows together.
    template <class Of>
    double mean(Of&& of) const {
        double sum = 0;
        for (const PolicyQuality& quality : seeds) sum += of(quality);
        return sum / static_cast<double>(seeds.size());
    }

    // Of each window, the mean over the seeds.
    std::vector<double> of_windows(double (WindowShift::*figure)() const) const;
    // Of each seed, the mean over the windows.
    std::vector<double> kl_of_seeds() const;
};

struct MeasuredTable {
    PolicyReport report;  // its policies are in the rows
    std::vector<MeasuredRow> rows;
};

// All contenders in one run over the windows; those that draw with `seeds` seeds, one after
// the other from their options' on.
MeasuredTable measure_rows(OpenedModel& opened,
                           const TextWindows& windows,
                           const std::vector<Contender>& contenders,
                           Index prompt,
                           Index seeds,
                           bool retention);

// Characters of the column that has a mean and its deviation.
inline constexpr Index kSpreadWidth = 17;

// The row that others are compared with, window by window; null if there is none of that label.
const MeasuredRow* find_row(std::span<const MeasuredRow> rows, const std::string& label);

// The figures of a row that every table has, and, with a baseline, the paired differences.
Json row_json(const MeasuredRow& row, const MeasuredRow* baseline);

// "7 of 8": in how many windows the mean KL is below the baseline's; "" for the baseline itself
// and without one.
std::string below(const MeasuredRow& row, const MeasuredRow* baseline);

}  // namespace kvlab::app
