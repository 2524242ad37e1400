#include <kvlab/quant/low_rank.hpp>

#include <algorithm>
#include <cmath>

namespace kvlab {

namespace {

// As little as makes the whitening of few rows possible.
constexpr double kDamping = 1e-9;

std::vector<double> as_doubles(const Tensor& w) {
    return {w.flat().begin(), w.flat().end()};
}

// w [N, C] times the lower triangle [C, C].
std::vector<double> times_lower(const Tensor& w, const std::vector<double>& lower) {
    const Index N = w.dim(0), C = w.dim(1);
    std::vector<double> product(usize(N * C), 0.0);
    for (Index n = 0; n < N; ++n)
        for (Index i = 0; i < C; ++i) {
            const double weight = static_cast<double>(w(n, i));
            for (Index j = 0; j <= i; ++j)
                at(product, n * C + j) += weight * at(lower, i * C + j);
        }
    return product;
}

Basis basis_of(const TensorInfo& info, const Calibration* seen) {
    const Tensor w = to_f32(info);
    const Index N = w.dim(0), C = w.dim(1);
    LeftSvd svd = left_svd(as_doubles(w), N, C);
    Basis basis{N, {}, {}, 1};
    const double smallest = std::max(svd.values.back(), 1e-12 * svd.values.front());
    if (smallest > 0) basis.weight_condition = svd.values.front() / smallest;
    if (seen != nullptr) {
        const InputStatistics& input = seen->of(info.name);
        check(!input.gram.empty(), "low rank: the calibration has no gram of ", info.name);
        svd = left_svd(times_lower(w, cholesky(input.gram, C, kDamping)), N, C);
    }
    basis.u = std::move(svd.u);
    basis.values = std::move(svd.values);
    return basis;
}

}  // namespace

CalibrationOptions low_rank_calibration() {
    CalibrationOptions options;
    options.gram = [](const std::string& tensor) {
        return tensor.find("attn_k.weight") != std::string::npos;  // v has the same input
    };
    return options;
}

Bases find_bases(const WeightSource& weights, const Calibration* seen) {
    const Config c = Config::from_metadata(weights.metadata());
    check(c.architecture == Architecture::llama, weights.name(),
          ": low rank: gpt2's keys have a bias, which lies in no direction of the matrix");
    Bases bases;
    for (Index l = 0; l < c.layers; ++l) {
        const std::string blk = concat("blk.", l, ".");
        bases.keys.push_back(basis_of(weights.tensor(blk + "attn_k.weight"), seen));
        bases.values.push_back(basis_of(weights.tensor(blk + "attn_v.weight"), seen));
    }
    return bases;
}

double energy(const Basis& basis, Index rank) {
    double kept = 0, all = 0;
    for (std::size_t i = 0; i < basis.values.size(); ++i) {
        const double square = basis.values[i] * basis.values[i];
        all += square;
        if (static_cast<Index>(i) < rank) kept += square;
    }
    return all > 0 ? kept / all : 1;
}

// |M X|^2 is the sum of m G mt over the rows m of M. In the basis of u, the rows of W - U Ut W
// are the rows ut_j W of the directions j that are left out.
std::vector<double> output_errors(const Basis& basis,
                                  const Tensor& w,
                                  std::span<const double> gram) {
    const Index N = w.dim(0), C = w.dim(1);
    check(N == basis.size && std::ssize(gram) == C * C, "low rank: an error of another matrix");
    std::vector<double> left(usize(N + 1), 0.0);  // from rank j on
    std::vector<double> row(usize(C));
    for (Index j = N; j-- > 0;) {
        std::fill(row.begin(), row.end(), 0.0);
        for (Index n = 0; n < N; ++n)
            for (Index k = 0; k < C; ++k)
                at(row, k) += at(basis.u, n * N + j) * static_cast<double>(w(n, k));
        double square = 0;
        for (Index i = 0; i < C; ++i) {
            const double* const products = gram.data() + i * C;
            double sum = 0;
            for (Index k = 0; k < C; ++k) sum += products[k] * at(row, k);
            square += at(row, i) * sum;
        }
        const auto at = usize(j);
        left[at] = left[at + 1] + std::max(square, 0.0);
    }
    const double all = left[0];
    for (double& square : left) square = all > 0 ? std::sqrt(square / all) : 0.0;
    return left;
}

std::vector<Index> progressive_ranks(const Bases& bases, Index least, Index most) {
    check(least >= 1 && least <= most, "low rank: ranks from ", least, " to ", most);
    const std::size_t L = bases.keys.size();
    check(L > 0 && bases.values.size() == L, "low rank: bases of the keys of ", L,
          " layers and of the values of ", bases.values.size());
    std::vector<double> logs(L);
    double sum = 0;
    for (std::size_t l = L; l-- > 0;) {
        sum += std::log(bases.keys[l].weight_condition) +
               std::log(bases.values[l].weight_condition);
        logs[l] = sum;
    }
    const double low = logs.back(), range = logs.front() - low;
    std::vector<Index> ranks;
    for (const double log : logs) {
        const double share = range > 0 ? (log - low) / range : 1;
        ranks.push_back(
            least + static_cast<Index>(std::lround(share * static_cast<double>(most - least))));
    }
    return ranks;
}

}  // namespace kvlab
