// regime_tables.hpp - chapter 3: what `regimes` makes of its measurements.
#pragma once

#include <string>

#include <kvlab/tensor/report.hpp>

#include "regime_points.hpp"

namespace kvlab::app {

// The batch at which decode turns compute-bound.
struct Turn {
    Index predicted = 0;   // 0: at none
    Index measured = 0;    // where the line of batch 1 meets the plateau
    std::size_t best = 0;  // index of the decode point with the most tokens per second
};

Turn find_turn(const RegimesPlan& plan, const Roof& roof);

std::string turn_name(Index batch);  // "none" for 0

void print_regimes(const RegimesPlan& plan, const Roofs& roofs, const Turn& turn);

Json regimes_report(const Subject& subject,
                    const RegimesPlan& plan,
                    const Roofs& roofs,
                    const Turn& turn);

}  // namespace kvlab::app
