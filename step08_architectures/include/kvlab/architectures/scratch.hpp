// scratch.hpp - chapter 8: memory for numbers that a mixer needs between two lines of its own,
// and never again. Taking it fresh for every token would cost more than some recurrences do.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <kvlab/tensor/sizes.hpp>

namespace kvlab {

// `count` floats of the calling thread, grown as needed and never given back. They hold
// anything, and are good until the same thread asks again.
inline std::span<float> scratch_floats(Index count) {
    thread_local std::vector<float> floats;
    floats.resize(std::max(floats.size(), usize(count)));
    return {floats.data(), usize(count)};
}

}  // namespace kvlab
