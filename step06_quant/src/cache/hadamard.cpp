#include <kvlab/quant/hadamard.hpp>

#include <bit>
#include <cmath>

#include <kvlab/tensor/random.hpp>

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

RowTurn RowTurn::by_hadamard(Index head_dim) {
    check_hadamard(head_dim);
    RowTurn turn;
    turn.turns_ = true;
    return turn;
}

RowTurn RowTurn::at_random(Index head_dim, std::uint64_t seed) {
    RowTurn turn = by_hadamard(head_dim);
    constexpr std::uint64_t kStream = 3;  // of the generator
    Rng rng(seed, kStream);
    for (Index i = 0; i < head_dim; ++i)
        turn.signs_.push_back((rng.next() >> 31) != 0 ? -1.0f : 1.0f);
    return turn;
}

void RowTurn::apply(std::span<float> row) const {
    if (!turns_) return;
    const auto sign = [&] {
        for (std::size_t i = 0; i < signs_.size(); ++i) row[i] *= signs_[i];
    };
    sign();
    hadamard(row);
    sign();
}

}  // namespace kvlab
