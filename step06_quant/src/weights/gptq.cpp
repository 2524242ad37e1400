#include <kvlab/quant/gptq.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <kvlab/quant/linear_algebra.hpp>
#include <kvlab/quant/weight_codec.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

constexpr Index kColumnBlock = 128;  // the paper's B: columns after which the rest is updated

// A square matrix in double, [K, K], row-major.
class Square {
public:
    explicit Square(Index K) : K_(K), numbers_(usize(K * K)) {}

    Square(std::span<const double> numbers, Index K)
        : K_(K), numbers_(numbers.begin(), numbers.end()) {
        check(std::ssize(numbers) == K * K, "gptq: expected ", K, " x ", K, " numbers, found ",
              numbers.size());
    }

    double& operator()(Index i, Index j) { return at(numbers_, i * K_ + j); }

    double operator()(Index i, Index j) const { return at(numbers_, i * K_ + j); }

    Index size() const { return K_; }

    const std::vector<double>& numbers() const { return numbers_; }

private:
    Index K_;
    std::vector<double> numbers_;
};

// L^-1, row by row: each is a sum of rows above it.
Square inverse_of_lower(const Square& l) {
    const Index K = l.size();
    Square inverse(K);
    for (Index i = 0; i < K; ++i) {
        inverse(i, i) = 1;
        for (Index k = 0; k < i; ++k)
            for (Index j = 0; j <= k; ++j) inverse(i, j) -= l(i, k) * inverse(k, j);
        for (Index j = 0; j <= i; ++j) inverse(i, j) /= l(i, i);
    }
    return inverse;
}

// With dead channels out of the way and something added to the diagonal, so that H has an
// inverse at all.
Square damped(std::span<const double> gram, Index K, double damping) {
    Square h(gram, K);
    double mean = 0;
    for (Index i = 0; i < K; ++i) {
        if (h(i, i) == 0) h(i, i) = 1;
        mean += h(i, i) / static_cast<double>(K);
    }
    for (Index i = 0; i < K; ++i) h(i, i) += damping * mean;
    return h;
}

// One group of w s, cut off at `share` of its largest magnitude, rounded and divided by s.
void round_cut_off(std::span<const float> w,
                   std::span<const float> s,
                   float share,
                   int bits,
                   std::vector<float>& out) {
    out.resize(w.size());
    float largest = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
        out[i] = w[i] * s[i];
        largest = std::max(largest, std::fabs(out[i]));
    }
    const float limit = largest * share;
    for (float& x : out) x = std::clamp(x, -limit, limit);
    const auto [low, high] = std::minmax_element(out.begin(), out.end());
    const Grid grid = grid_of(*low, *high, bits);
    for (std::size_t i = 0; i < w.size(); ++i) out[i] = grid.nearest(out[i]) / s[i];
}

// (w - q) G (w - q)^T over the columns from `first` on alone.
double group_error(std::span<const float> w,
                   std::span<const float> q,
                   std::span<const double> gram,
                   Index K,
                   Index first) {
    const auto off = [&](std::size_t i) {
        return static_cast<double>(w[i]) - static_cast<double>(q[i]);
    };
    double total = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
        const double* const row = &at(gram, (first + static_cast<Index>(i)) * K + first);
        double sum = 0;
        for (std::size_t j = 0; j < w.size(); ++j) sum += row[j] * off(j);
        total += off(i) * sum;
    }
    return total;
}

Grid grid_of_group(std::span<const double> row, Index first, Index group, int bits) {
    const auto begin = row.begin() + first;
    const auto end = row.begin() + std::min(first + group, std::ssize(row));
    const auto [least, most] = std::minmax_element(begin, end);
    return grid_of(static_cast<float>(*least), static_cast<float>(*most), bits);
}

// ANCHOR: gptq_row
// One row. A group's grid is made when its first column comes: from the row as all earlier
// blocks of columns have left it, but without the changes of this block, as in the reference.
void gptq_row(std::span<double> row,  // [K], changed on the way
              const std::vector<double>& u,
              int bits,
              Index group,
              float* out) {
    const auto K = std::ssize(row);
    Grid grid;
    std::vector<double> block, errors;
    for (Index first = 0; first < K; first += kColumnBlock) {
        const Index last = std::min(first + kColumnBlock, K);
        block.assign(row.begin() + first, row.begin() + last);
        errors.clear();
        for (Index i = first; i < last; ++i) {
            if (i % group == 0) grid = grid_of_group(row, i, group, bits);
            // SOLUTION-BEGIN 6.5
            const double* line = u.data() + i * K;
            const double w = at(block, i - first);
            out[i] = grid.nearest(static_cast<float>(w));
            const double error = (w - static_cast<double>(out[i])) / line[i];
            for (Index j = i + 1; j < last; ++j) at(block, j - first) -= error * line[j];
            errors.push_back(error);
            // SOLUTION-END 6.5
        }
        // ANCHOR_END: gptq_row
        // ANCHOR: gptq_after
        // SOLUTION-BEGIN 6.5
        for (Index i = first; i < last; ++i) {
            const double error = at(errors, i - first);
            const double* line = u.data() + i * K;
            for (Index j = last; j < K; ++j) at(row, j) -= error * line[j];
        }
        // SOLUTION-END 6.5
    }
}

// ANCHOR_END: gptq_after

}  // namespace

std::vector<double> cholesky_of_inverse(std::span<const double> h, Index K) {
    const Square below = inverse_of_lower(Square(cholesky(h, K, 0), K));
    Square inverse(K);  // H^-1 = L^-T L^-1
    for (Index k = 0; k < K; ++k)
        for (Index i = 0; i <= k; ++i)
            for (Index j = 0; j <= k; ++j) inverse(i, j) += below(k, i) * below(k, j);
    const Square lower(cholesky(inverse.numbers(), K, 0), K);
    Square upper(K);
    for (Index i = 0; i < K; ++i)
        for (Index j = i; j < K; ++j) upper(i, j) = lower(j, i);
    return upper.numbers();
}

double product_error(const View<const float>& w,
                     const View<const float>& q,
                     std::span<const double> gram) {
    const Index K = w.dim(1);
    check_shape(q, w.shape(), "product error: q");
    check(std::ssize(gram) == K * K, "product error: ", gram.size(), " products for ", K,
          " columns");
    std::vector<double> off(usize(K));
    double total = 0;
    for (Index n = 0; n < w.dim(0); ++n) {
        for (Index k = 0; k < K; ++k)
            at(off, k) = static_cast<double>(w(n, k)) - static_cast<double>(q(n, k));
        for (Index i = 0; i < K; ++i) {
            double sum = 0;
            for (Index j = 0; j < K; ++j) sum += at(gram, i * K + j) * at(off, j);
            total += at(off, i) * sum;
        }
    }
    return total;
}

Tensor gptq_round(const View<const float>& w,
                  std::span<const double> gram,
                  int bits,
                  Index group,
                  double damping) {
    const Index N = w.dim(0), K = w.dim(1);
    const Square h = damped(gram, K, damping);
    const std::vector<double> u = cholesky_of_inverse(h.numbers(), K);
    Tensor out({N, K});
    std::vector<double> row(usize(K));
    for (Index n = 0; n < N; ++n) {
        for (Index k = 0; k < K; ++k) {
            const bool dead = at(gram, k * K + k) == 0;
            at(row, k) = dead ? 0 : static_cast<double>(w(n, k));
        }
        gptq_row(row, u, bits, group, &out(n, 0));
    }
    return out;
}

Tensor rtn_round(const View<const float>& w, int bits, Index group) {
    const auto codec = make_rtn_codec(bits, group);
    Tensor out(w.shape());
    codec->decode(codec->encode(w), out.view());
    return out;
}

Tensor scaled_round(const View<const float>& w,
                    std::span<const float> s,
                    int bits,
                    Index group) {
    Tensor scaled(w.shape());
    for (Index n = 0; n < w.dim(0); ++n)
        for (Index k = 0; k < w.dim(1); ++k) scaled(n, k) = w(n, k) * at(s, k);
    Tensor out = rtn_round(scaled.view(), bits, group);
    for (Index n = 0; n < w.dim(0); ++n)
        for (Index k = 0; k < w.dim(1); ++k) out(n, k) /= at(s, k);
    return out;
}

// ANCHOR: clip
Tensor clipped_round(const View<const float>& w,
                     std::span<const float> s,
                     std::span<const double> gram,
                     int bits,
                     Index group) {
    const Index N = w.dim(0), K = w.dim(1);
    check(std::ssize(s) == K && std::ssize(gram) == K * K && group > 0, "awq: ", s.size(),
          " scales, ", gram.size(), " products and groups of ", group, " for ", K, " columns");
    Tensor out({N, K});
    std::vector<float> rounded;
    for (Index n = 0; n < N; ++n) {
        check(all_finite(w[n].flat()), "awq: row ", n, " has a number that is not finite");
        for (Index first = 0; first < K; first += group) {
            const auto begin = usize(first);
            const auto size = usize(std::min(group, K - first));
            const std::span<const float> part = w[n].flat().subspan(begin, size);
            double least = std::numeric_limits<double>::infinity();
            for (int percent = 100; percent >= 50; percent -= 5) {
                round_cut_off(part, s.subspan(begin, size),
                              static_cast<float>(percent) / 100.0f, bits, rounded);
                const double error = group_error(part, rounded, gram, K, first);
                if (!(error < least)) continue;
                least = error;
                std::copy(rounded.begin(), rounded.end(), &out(n, first));
            }
        }
    }
    return out;
}

// ANCHOR_END: clip

std::vector<float> awq_scales(std::span<const float> mean_abs, double alpha) {
    std::vector<double> s;
    for (const float mean : mean_abs)
        s.push_back(std::max(std::pow(static_cast<double>(mean), alpha), 1e-4));
    const auto [least, most] = std::minmax_element(s.begin(), s.end());
    const double middle = std::sqrt(*least * *most);
    std::vector<float> scales;
    scales.reserve(s.size());
    for (const double one : s) scales.push_back(static_cast<float>(one / middle));
    return scales;
}

}  // namespace kvlab
