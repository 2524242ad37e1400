// quant_support.hpp - small helpers of the tests of step 6's weights.
#pragma once

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab::test {

inline Tensor normal_matrix(Index N, Index K, std::uint64_t seed) {
    Tensor w({N, K});
    Rng rng(seed);
    for (float& x : w.flat()) x = rng.normal();
    return w;
}

inline bool equal_bits(const Tensor& a, const Tensor& b) {
    return compare_bits(a.flat(), b.flat()).differ == 0;
}

}  // namespace kvlab::test
