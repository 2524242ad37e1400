// rope.hpp - chapter 1: rotary position embedding (Su et al. 2021), its tables
// and its rotation.
#pragma once

#include <memory>

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
//
// Positions are a promise of the model, not work: rows are made in blocks of kBlock positions
// when one of them is first asked for, so that a context of millions costs nothing until it is
// used. Any number of threads may ask at once; copies share the rows.
class RopeTable {
public:
    static constexpr Index kBlock = 512;  // positions whose rows are made together

    RopeTable() = default;
    // Throws Error unless rope_dim is even and 2 to 2^20, positions 0 to 2^30 and base > 0.
    RopeTable(Index positions, Index rope_dim, double base);

    Index positions() const { return positions_; }

    Index rope_dim() const { return rope_dim_; }

    // Rows [rope_dim / 2] of a position, 0 <= position < positions(); valid as long as the
    // table or a copy of it. The first call in a block allocates and makes its rows.
    const float* cos(Index position) const {
        return block(position) + position % kBlock * rope_dim_;
    }

    const float* sin(Index position) const { return cos(position) + rope_dim_ / 2; }

    // Bytes of the rows that have been made.
    Index bytes() const;

    // Rotates the first rope_dim floats of one head in place, pairs (2i, 2i + 1), by the angles
    // of the position (contract, rule 4). Throws Error if it is outside of the table.
    void rotate(float* head, Index position) const;

private:
    struct Blocks;
    const float* block(Index position) const;

    Index positions_ = 0, rope_dim_ = 0;
    std::shared_ptr<Blocks> blocks_;  // of [kBlock][cosines, then sines: rope_dim]
};

}  // namespace kvlab
