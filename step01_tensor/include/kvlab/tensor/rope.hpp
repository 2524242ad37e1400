// rope.hpp - chapter 1: rotary position embedding (Su et al. 2021), its tables and its
// rotation.
#pragma once

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// sin and cos in double, written out (argument reduction and a polynomial), because libm's last
// bit differs between systems. Error below 1.1 ulp of double. Throws Error for |x| > 2^30.
struct SinCos {
    double sin;
    double cos;
};

SinCos sin_cos(double x);

// base^exponent in double, base > 0, by logarithm and exponential in pairs of doubles.
double power(double base, double exponent);

// cos and sin of position * base^(-2i / rope_dim), rounded once to f32 (contract, rule 5).
class RopeTable {
public:
    RopeTable() = default;
    // Throws Error unless rope_dim is positive and even, positions >= 0 and base > 0.
    RopeTable(Index positions, Index rope_dim, double base);

    Index positions() const { return cos_.rank() ? cos_.dim(0) : 0; }

    Index rope_dim() const { return rope_dim_; }

    const float* cos(Index position) const { return cos_.data() + position * (rope_dim_ / 2); }

    const float* sin(Index position) const { return sin_.data() + position * (rope_dim_ / 2); }

    // Rotates the first rope_dim floats of one head in place, pairs (2i, 2i + 1):
    //   y0 = fma(x0, c, -(x1 * s)),  y1 = fma(x1, c, x0 * s)
    // Throws Error if the position is outside of the table.
    void rotate(float* head, Index position) const;

private:
    Index rope_dim_ = 0;
    Tensor cos_, sin_;  // [positions, rope_dim / 2]
};

}  // namespace kvlab
