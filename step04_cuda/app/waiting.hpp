// waiting.hpp - chapter 4, an example for paper: a multiprocessor that starts one instruction
// in each clock, and warps that wait for their loads.
#pragma once

#include <vector>

namespace kvlab::app {

// Each warp makes `loads` loads, `at_once` of them before it uses the first, and uses each
// number once. A number comes `latency` clocks after its load has started.
struct Waiting {
    int warps, loads, at_once, latency;
};

// What a warp starts next, and when the numbers come that it has asked for.
struct WaitingWarp {
    int started = 0, used = 0;
    std::vector<int> arrives;
};

// Clocks until all numbers are used. In each clock the first warp that can go on does.
inline int clocks_of(const Waiting& w) {
    std::vector<WaitingWarp> warps(static_cast<std::size_t>(w.warps));
    int clock = 0;
    for (int left = 2 * w.warps * w.loads; left > 0; ++clock)
        for (WaitingWarp& warp : warps) {
            const bool asks = warp.started < w.loads && warp.started < warp.used + w.at_once &&
                              (warp.used % w.at_once == 0);
            const bool uses = warp.used < warp.started &&
                              warp.arrives[static_cast<std::size_t>(warp.used)] <= clock;
            if (!asks && !uses) continue;
            if (asks) {
                warp.arrives.push_back(clock + w.latency);
                ++warp.started;
            } else {
                ++warp.used;
            }
            --left;
            break;
        }
    return clock;
}

}  // namespace kvlab::app
