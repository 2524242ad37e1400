#include <kvlab/quant/linear_algebra.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace kvlab {

namespace {

double dot_double(const double* a, const double* b, Index n) {
    double sums[4] = {};  // four chains, because one would wait for each addition
    Index i = 0;
    for (; i + 4 <= n; i += 4)
        for (Index j = 0; j < 4; ++j) sums[j] += a[i + j] * b[i + j];
    for (; i < n; ++i) sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Turns rows a and b of both matrices by the angle with cosine c and sine s.
void turn(double* a, double* b, Index n, double c, double s) {
    for (Index i = 0; i < n; ++i) {
        const double x = a[i], y = b[i];
        a[i] = c * x - s * y;
        b[i] = s * x + c * y;
    }
}

// ANCHOR: jacobi
// One sweep over all pairs of rows; true if any was turned. `turns` takes the same turns.
bool sweep(std::vector<double>& a, std::vector<double>& turns, Index rows, Index columns) {
    constexpr double kOrthogonal = 1e-14;  // cosine of the angle between two rows
    bool turned = false;
    for (Index p = 0; p + 1 < rows; ++p)
        for (Index q = p + 1; q < rows; ++q) {
            double *const x = a.data() + p * columns, *const y = a.data() + q * columns;
            const double xx = dot_double(x, x, columns), yy = dot_double(y, y, columns),
                         xy = dot_double(x, y, columns);
            if (!(std::fabs(xy) > kOrthogonal * std::sqrt(xx * yy))) continue;
            // The smaller root of t^2 + 2 zeta t - 1 = 0 is the tangent that makes them so.
            const double zeta = (yy - xx) / (2 * xy);
            const double t =
                std::copysign(1.0, zeta) / (std::fabs(zeta) + std::sqrt(1 + zeta * zeta));
            const double c = 1 / std::sqrt(1 + t * t);
            turn(x, y, columns, c, c * t);
            turn(turns.data() + p * rows, turns.data() + q * rows, rows, c, c * t);
            turned = true;
        }
    return turned;
}

// ANCHOR_END: jacobi

}  // namespace

LeftSvd left_svd(std::vector<double> a, Index rows, Index columns) {
    check(rows > 0 && columns > 0 && std::ssize(a) == rows * columns, "svd: ", a.size(),
          " numbers are not [", rows, ", ", columns, "]");
    std::vector<double> turns(usize(rows * rows), 0.0);
    for (Index i = 0; i < rows; ++i) at(turns, i * rows + i) = 1.0;
    for (int i = 0; i < 60 && sweep(a, turns, rows, columns); ++i) {
    }
    // a = turns * original, with orthogonal rows: original = turns transposed * a.
    std::vector<double> lengths;
    for (Index i = 0; i < rows; ++i) {
        const double* const row = a.data() + i * columns;
        lengths.push_back(std::sqrt(dot_double(row, row, columns)));
    }
    std::vector<Index> order(usize(rows));
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Index i, Index j) { return at(lengths, i) > at(lengths, j); });
    LeftSvd svd{rows, std::vector<double>(turns.size()), {}};
    for (Index j = 0; j < rows; ++j) {
        const Index from = at(order, j);
        svd.values.push_back(at(lengths, from));
        for (Index i = 0; i < rows; ++i) at(svd.u, i * rows + j) = at(turns, from * rows + i);
    }
    return svd;
}

std::vector<double> cholesky(std::span<const double> a, Index n, double damping) {
    check(n > 0 && std::ssize(a) == n * n, "cholesky: ", a.size(), " numbers are not [", n,
          ", ", n, "]");
    double mean = 0;
    for (Index i = 0; i < n; ++i) mean += at(a, i * n + i);
    mean /= static_cast<double>(n);
    std::vector<double> lower(a.size(), 0.0);
    for (Index i = 0; i < n; ++i)
        for (Index j = 0; j <= i; ++j) {
            double *const row = lower.data() + i * n, *const column = lower.data() + j * n;
            const double left =
                at(a, i * n + j) + (i == j ? damping * mean : 0.0) - dot_double(row, column, j);
            check(i != j || left > 0, "cholesky: the matrix is not positive definite at row ",
                  i);
            row[j] = i == j ? std::sqrt(left) : left / column[j];
        }
    return lower;
}

}  // namespace kvlab
