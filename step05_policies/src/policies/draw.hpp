// draw.hpp - chapter 5: random numbers that belong to a token, not to the order of steps.
#pragma once

#include <cstdint>
#include <initializer_list>

#include <kvlab/tensor/random.hpp>

namespace kvlab {

// The finaliser of SplitMix64 (Steele et al. 2014): neighbours become unrelated.
inline std::uint64_t mixed(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

// A number for one place: equal for equal numbers. Every number is mixed before the next one is
// added, or seed 1 at place 0 would be seed 0 at place 1.
inline std::uint64_t place_hash(std::initializer_list<Index> place, std::uint64_t seed) {
    std::uint64_t hash = mixed(seed);
    for (const Index number : place) hash = mixed(hash + static_cast<std::uint64_t>(number));
    return hash;
}

// In [0, 1), a multiple of 2^-24, for one more number of a place: a generator for each would
// take longer than all else that is done for a token.
inline float uniform_at(std::uint64_t place, Index number) {
    return static_cast<float>(mixed(place + static_cast<std::uint64_t>(number)) >> 40) *
           0x1p-24f;
}

// A generator for one place.
inline Rng generator_for(std::initializer_list<Index> place, std::uint64_t seed) {
    return Rng(place_hash(place, seed));
}

}  // namespace kvlab
