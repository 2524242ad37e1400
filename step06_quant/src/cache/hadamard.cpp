#include <kvlab/quant/hadamard.hpp>

#include <bit>
#include <cmath>

namespace kvlab {

void check_hadamard(Index head_dim) {
    check(head_dim > 0 && std::has_single_bit(usize(head_dim)), "hadamard: a head_dim of ",
          head_dim, " is no power of two");
}

// ANCHOR: hadamard
void hadamard(std::span<float> x) {
    // SOLUTION-BEGIN 6.2
    const std::size_t n = x.size();
    for (std::size_t half = 1; half < n; half *= 2)
        for (std::size_t begin = 0; begin < n; begin += 2 * half)
            for (std::size_t i = begin; i < begin + half; ++i) {
                const float a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
    const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(n)));
    for (float& y : x) y *= scale;
    // SOLUTION-END 6.2
}

// ANCHOR_END: hadamard

}  // namespace kvlab
