// splitmix64.hpp - chapter 8: a hash of 64 bits in integers alone, so that every machine and
// every language draws the same: blocks of BigBird's pattern, cases of a recall task.
#pragma once

#include <cstdint>

namespace kvlab {

// Steele, Lea and Flood (2014): the next number of the generator whose state is z.
inline std::uint64_t splitmix64(std::uint64_t z) {
    z += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

}  // namespace kvlab
