// hadamard.hpp - chapter 6: a rotation that spreads one outlier over all channels of a head
// (for caches: QuaRot, Ashkboos et al. 2024).
#pragma once

#include <span>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Throws Error, naming it, unless head_dim is a power of two.
void check_hadamard(Index head_dim);

// x = H x / sqrt(n) in place, with Sylvester's H of n = x.size(), a power of two: log2 n passes
// of sums and differences, then one product. H is symmetric and H H = n, so the same call turns
// back, up to rounding; and (H q) . (H k) / n = q . k.
void hadamard(std::span<float> x);

}  // namespace kvlab
