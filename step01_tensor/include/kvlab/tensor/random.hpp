// random.hpp - chapter 1: one generator, written out in integers, so that a seed means the same
// numbers on every machine (std::normal_distribution differs between libraries).
#pragma once

#include <cstdint>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// PCG-XSH-RR 64/32 (O'Neill 2014): 64 bits of state, 32 bits out.
class Rng {
public:
    // ANCHOR: pcg
    explicit Rng(std::uint64_t seed, std::uint64_t stream = 1) : increment_(stream * 2 + 1) {
        next();
        state_ += seed;
        next();
    }

    std::uint32_t next() {
        const std::uint64_t old = state_;
        state_ = old * 6364136223846793005ull + increment_;
        const auto mixed = static_cast<std::uint32_t>(((old >> 18) ^ old) >> 27);
        const auto turn = static_cast<std::uint32_t>(old >> 59);
        return (mixed >> turn) | (mixed << ((32 - turn) & 31));
    }

    // ANCHOR_END: pcg

    // In [0, 1), a multiple of 2^-24.
    float uniform() { return static_cast<float>(next() >> 8) * 0x1p-24f; }

    // In [0, n), without bias (Lemire 2019). Throws Error unless n is positive and below 2^32.
    Index below(Index n) {
        check(n > 0 && n < (Index{1} << 32), "rng: expected 1 to 2^32 - 1 choices, found ", n);
        const auto range = static_cast<std::uint32_t>(n);
        for (;;) {
            const std::uint64_t product = std::uint64_t{next()} * range;
            if (static_cast<std::uint32_t>(product) >= (0u - range) % range)
                return static_cast<Index>(product >> 32);
        }
    }

    // Mean 0, standard deviation 1, near normal: the sum of twelve 16-bit uniforms
    // (Irwin-Hall). An integer scaled by a power of two, so it is exact everywhere. Range +-6.
    float normal() {
        std::int32_t total = -6 * 65535;
        for (int i = 0; i < 6; ++i) {
            const std::uint32_t two = next();
            total += static_cast<std::int32_t>((two & 0xffffu) + (two >> 16));
        }
        return static_cast<float>(total) * 0x1p-16f;
    }

private:
    std::uint64_t state_ = 0;
    std::uint64_t increment_;
};

}  // namespace kvlab
