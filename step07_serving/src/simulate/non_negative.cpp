// Least squares with x >= 0, for few columns.
#include <algorithm>
#include <cmath>
#include <limits>

#include <kvlab/serving/costs.hpp>

namespace kvlab {

namespace {

using Numbers = std::vector<double>;

// Gaussian elimination with the largest pivots, m [n, n + 1]: the last column becomes x. False
// if the columns depend on each other.
bool eliminate(Numbers& m, Index n) {
    const Index width = n + 1;
    for (Index k = 0; k < n; ++k) {
        Index pivot = k;
        for (Index i = k + 1; i < n; ++i)
            if (std::fabs(at(m, i * width + k)) > std::fabs(at(m, pivot * width + k)))
                pivot = i;
        if (std::fabs(at(m, pivot * width + k)) < 1e-12) return false;
        for (Index j = 0; j < width; ++j)
            std::swap(at(m, k * width + j), at(m, pivot * width + j));
        for (Index i = 0; i < n; ++i) {
            if (i == k) continue;
            const double factor = at(m, i * width + k) / at(m, k * width + k);
            for (Index j = k; j < width; ++j)
                at(m, i * width + j) -= factor * at(m, k * width + j);
        }
    }
    for (Index k = 0; k < n; ++k) at(m, k * width + n) /= at(m, k * width + k);
    return true;
}

// A'A, A'b and b'b, after the columns were scaled to length 1: seconds per byte and seconds per
// step differ by ten powers of ten.
struct NormalEquations {
    NormalEquations(std::span<const double> a, std::span<const double> b, Index columns)
        : n(columns), gram(usize(n * n)), right(usize(n)), length(usize(n)) {
        const Index rows = std::ssize(b);
        for (Index k = 0; k < n; ++k) {
            double sum = 0;
            for (Index r = 0; r < rows; ++r) sum += at(a, r * n + k) * at(a, r * n + k);
            at(length, k) = sum > 0 ? std::sqrt(sum) : 1;
        }
        for (Index r = 0; r < rows; ++r) {
            square += at(b, r) * at(b, r);
            for (Index i = 0; i < n; ++i) {
                const double x = at(a, r * n + i) / at(length, i);
                at(right, i) += x * at(b, r);
                for (Index j = 0; j < n; ++j)
                    at(gram, i * n + j) += x * at(a, r * n + j) / at(length, j);
            }
        }
    }

    // |A x - b|^2 with x on these columns alone; infinity if that is not feasible.
    double solve(const std::vector<Index>& columns, Numbers& x) const {
        const Index count = std::ssize(columns), width = count + 1;
        Numbers m(usize(count * width));
        for (Index i = 0; i < count; ++i) {
            for (Index j = 0; j < count; ++j)
                at(m, i * width + j) = at(gram, at(columns, i) * n + at(columns, j));
            at(m, i * width + count) = at(right, at(columns, i));
        }
        if (!eliminate(m, count)) return std::numeric_limits<double>::infinity();
        x.assign(usize(n), 0);
        double error = square;
        for (Index i = 0; i < count; ++i) {
            const double value = at(m, i * width + count);
            if (!(value >= 0)) return std::numeric_limits<double>::infinity();
            at(x, at(columns, i)) = value / at(length, at(columns, i));
            error -= value * at(right, at(columns, i));
        }
        return error;
    }

    Index n;
    Numbers gram, right, length;
    double square = 0;
};

}  // namespace

// ANCHOR: solve_non_negative
std::vector<double> solve_non_negative(std::span<const double> a,
                                       std::span<const double> b,
                                       Index columns) {
    check(columns >= 1 && columns <= 12, "least squares: expected 1 to 12 columns, found ",
          columns);
    check(!b.empty() && std::ssize(a) == std::ssize(b) * columns, "least squares: ", a.size(),
          " numbers for ", b.size(), " rows of ", columns);
    const NormalEquations equations(a, b, columns);
    std::vector<double> best(usize(columns)), x;
    double least = equations.square;  // of x = 0
    for (Index choice = 1; choice < Index{1} << columns; ++choice) {
        std::vector<Index> used;
        for (Index k = 0; k < columns; ++k)
            if ((choice >> k & 1) != 0) used.push_back(k);
        const double error = equations.solve(used, x);
        if (error < least) {
            least = error;
            best = x;
        }
    }
    return best;
}

// ANCHOR_END: solve_non_negative

}  // namespace kvlab
