// hadamard.hpp - chapter 6: a rotation that spreads one outlier over all channels of a head
// (for caches: QuaRot, Ashkboos et al. 2024).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Throws Error, naming it, unless head_dim is a power of two.
void check_hadamard(Index head_dim);

// x = H x / sqrt(n) in place, with Sylvester's H of n = x.size(), a power of two: log2 n passes
// of sums and differences, then one product. H is symmetric and H H = n, so the same call turns
// back, up to rounding; and (H q) . (H k) / n = q . k.
void hadamard(std::span<float> x);

// What turns rows before they are kept, and back: nothing, H as above, or R H R with a diagonal
// R of random signs. All are their own inverses. R makes the turn of any row look random, where
// H alone turns some rows into a few heaps; TurboQuant's random turn is any orthogonal matrix,
// which takes D^2 products, and the last R is there to make this one its own inverse.
class RowTurn {
public:
    RowTurn() = default;  // nothing
    static RowTurn by_hadamard(Index head_dim);
    static RowTurn at_random(Index head_dim, std::uint64_t seed);

    bool turns() const { return turns_; }

    void apply(std::span<float> row) const;

private:
    bool turns_ = false;
    std::vector<float> signs_;  // R, or empty
};

}  // namespace kvlab
