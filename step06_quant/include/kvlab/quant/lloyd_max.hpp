// lloyd_max.hpp - chapter 6: the levels that cost the least squared error for numbers that are
// normally distributed (Lloyd 1957, Max 1960).
//
// The coordinates of a row that a Hadamard matrix has rotated are signed sums of the whole row,
// and those of most rows look drawn from N(0, |x|^2 / D); so one table serves all rows, and
// only the row's size is kept beside the codes. (A row with one or two large numbers becomes a
// few heaps instead.) That is the idea behind TurboQuant (Zandieh et al. 2025), which takes a
// random rotation, so that it holds for any row (turbo4 of coded_formats.hpp), and the exact
// law of a coordinate.
#pragma once

#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// The levels of N(0, 1) for a code of so many bits, rising. Found by Lloyd's iteration: a limit
// between two levels is their mean, a level is the mean of what falls between its limits.
// In double: what is kept is rounded into a table. Throws Error unless 1 <= bits <= 4.
std::vector<double> lloyd_max_levels(Index bits);

// One step of the iteration.
std::vector<double> lloyd_max_step(const std::vector<double>& levels);

// The table, [16]; of fewer bits it is repeated (simd_codes.hpp).
extern const float kLloyd1[16], kLloyd2[16], kLloyd3[16], kLloyd4[16];

}  // namespace kvlab
