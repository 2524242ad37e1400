// checksum.hpp - chapter 1: how to compare two runs. One number for many bits, and
// where they differ.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// FNV-1a, 64 bit, over whole 32-bit patterns in index order (contract, rule 8). Feed it floats;
// two runs with the same checksum computed the same bits.
class Checksum {
public:
    void add(float value) { add_bits(std::bit_cast<std::uint32_t>(value)); }

    void add(std::span<const float> values) {
        for (float value : values) add(value);
    }

    void add_bits(std::uint32_t bits) { hash_ = (hash_ ^ bits) * 1099511628211ull; }

    std::uint64_t value() const { return hash_; }

    std::string hex() const;  // 16 lower-case digits

private:
    std::uint64_t hash_ = 0xcbf29ce484222325ull;
};

std::uint64_t checksum(std::span<const float> values);

// 16 lower-case hexadecimal digits.
std::string hex64(std::uint64_t value);

// How many floats lie between a and b: 0 for equal bits, 1 for neighbours; +0 and -0 are 1
// apart. NaN is as far as can be: the largest value, unless the bits are equal.
std::uint64_t ulp_distance(float a, float b);

// ANCHOR: difference
// The result of comparing two runs bit by bit.
struct Difference {
    Index count = 0;   // floats compared
    Index differ = 0;  // of these, with different bits
    Index first = -1;  // index of the first difference, -1 if none
    std::uint64_t max_ulp = 0;
    double max_abs = 0;  // largest |a - b|; infinity if a NaN is on one side only

    void merge(const Difference& later);  // `later` follows this one in index order
};

// ANCHOR_END: difference

// Compares element by element. Throws Error if the lengths differ.
Difference compare_bits(std::span<const float> a, std::span<const float> b);

}  // namespace kvlab
