// traffic.hpp - chapter 4: counts what a warp's accesses cost: sectors of global memory and
// wavefronts of shared memory.
//
// A GPU serves the 32 lanes of a warp together; here they run one after another. The n-th time
// that each lane executes one access since the warp was last together is taken as one request.
#pragma once

#include <array>
#include <unordered_map>
#include <vector>

#include <kvlab/cuda/simt.hpp>

namespace kvlab::simt {

class Traffic {
public:
    // `site`: the instruction and how the lane got there.
    void add(unsigned lane,
             std::uint64_t site,
             bool shared,
             bool store,
             std::uintptr_t address,
             std::size_t bytes);

    // The warp is together (or done): counts its requests and begins anew.
    void flush(Counters& counters);

private:
    // A sector of 32 bytes with a bit for each that is touched; or in shared memory a row of
    // one word in each of the 32 banks.
    struct Line {
        std::uintptr_t number;
        std::uint32_t touched;
    };

    using Request = std::vector<Line>;

    struct Site {
        bool shared = false, store = false;
        std::array<std::uint32_t, 32> executed{};  // by lane
        std::vector<Request> requests;
    };

    std::unordered_map<std::uint64_t, Site> sites_;
    Index loads_ = 0;  // requests of the warp to load, so far
};

}  // namespace kvlab::simt
