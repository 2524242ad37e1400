// linear_algebra.hpp - chapter 6: two factorisations, written out, in double.
#pragma once

#include <span>
#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// The left half of a singular value decomposition A = U S Vt.
struct LeftSvd {
    Index rows = 0;
    std::vector<double> u;       // [rows, rows] a column for each singular value, orthonormal
    std::vector<double> values;  // [rows] falling; columns with 0 complete the basis
};

// Of a [rows, columns], one-sided Jacobi (Hestenes 1958): pairs of rows are turned against each
// other until all are orthogonal; their lengths are then the singular values. Slow and
// accurate. Throws Error for an empty matrix and for one that is not of this size.
LeftSvd left_svd(std::vector<double> a, Index rows, Index columns);

// The lower triangle L of a = L Lt, a [n, n] symmetric. `damping` times the mean of the
// diagonal is added to it first: what few rows were seen of has directions without any length.
// Throws Error if it is not positive definite even so.
std::vector<double> cholesky(std::span<const double> a, Index n, double damping);

}  // namespace kvlab
