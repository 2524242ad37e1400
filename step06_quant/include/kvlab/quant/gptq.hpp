// gptq.hpp - chapter 6: GPTQ (Frantar et al. 2023) and AWQ (Lin et al. 2024) for one matrix.
//
// Rounding to nearest makes each weight's error small. What counts is the error of W x, and x
// has directions that are large and channels that move together:
//
//   GPTQ   rounds column after column, and lets the columns to come make up for each error
//   AWQ    rounds W s / s: large channels of x get a finer step, others a coarser one
#pragma once

#include <span>
#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// The upper triangular U [K, K] with U^T U = H^-1, by plain Cholesky in double. Throws Error if
// H [K, K] is not positive definite.
std::vector<double> cholesky_of_inverse(std::span<const double> h, Index K);

// sum over rows of (w - q) G (w - q)^T: the squared error of the product over the calibration
// text, G = X^T X [K, K].
double product_error(const View<const float>& w,  // [N, K]
                     const View<const float>& q,  // [N, K]
                     std::span<const double> gram);

// w [N, K] rounded with groups of `group` columns, `bits` bits, as GPTQ does. `damping` times
// the mean of the gram's diagonal is added to it. Channels whose input is always 0 become 0.
// Throws Error if the gram is then not positive definite, or a group's step is beyond f16.
Tensor gptq_round(const View<const float>& w,
                  std::span<const double> gram,  // [K, K]
                  int bits,
                  Index group,
                  double damping);

// Rounded to nearest in groups.
Tensor rtn_round(const View<const float>& w, int bits, Index group);

// Q(W s) / s.
Tensor scaled_round(const View<const float>& w,
                    std::span<const float> s,  // [K]
                    int bits,
                    Index group);

// The same behind AWQ's second search: each group of a row of W s is cut off at its largest
// magnitude times 1, 0.95 ... 0.5, whichever makes the group's own part of the product's error
// smallest, by its block of the gram; of equal ones the largest. A range that leaves out a few
// large numbers has finer steps for all others.
Tensor clipped_round(const View<const float>& w,
                     std::span<const float> s,  // [K]
                     std::span<const double> gram,
                     int bits,
                     Index group);

// s [K] of the inputs' mean magnitudes [K]: mean^alpha, at least 1e-4, then divided by
// sqrt(largest * smallest). alpha 0: all 1.
std::vector<float> awq_scales(std::span<const float> mean_abs, double alpha);

}  // namespace kvlab
