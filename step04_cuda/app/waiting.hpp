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

// What a warp has started and used, and when the numbers come that it has asked for.
struct WaitingWarp {
    int started = 0, used = 0;
    std::vector<int> arrives;

    // Starts a load or uses a number; false if there is nothing to do but to wait.
    bool goes_on(const Waiting& w, int clock) {
        if (started < w.loads && started < used + w.at_once && used % w.at_once == 0) {
            arrives.push_back(clock + w.latency);
            ++started;
            return true;
        }
        if (used == started || arrives[static_cast<std::size_t>(used)] > clock) return false;
        ++used;
        return true;
    }
};

// Clocks until all numbers are used. In each clock one warp goes on; they take turns.
inline int clocks_of(const Waiting& w) {
    std::vector<WaitingWarp> warps(static_cast<std::size_t>(w.warps));
    int clock = 0, turn = 0;
    for (int left = 2 * w.warps * w.loads; left > 0; ++clock)
        for (int i = 0; i < w.warps; ++i) {
            const int one = (turn + i) % w.warps;
            if (!warps[static_cast<std::size_t>(one)].goes_on(w, clock)) continue;
            turn = one + 1;
            --left;
            break;
        }
    return clock;
}

}  // namespace kvlab::app
