// contract.cpp - chapter 1: one product by every path that the contract covers, and by the sums
// that it forbids.
#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <numeric>
#include <vector>

#include "app.hpp"

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab::app {

namespace {

constexpr Index T = 48, K = 576, N = 200;

// ANCHOR: reassociated
// What engines and compilers do to a sum when nobody forbids it. None of these is wrong, and
// some are more accurate than the contract's sum; they are only different.
float pairwise_tree(const float* a, const float* b, Index n) {
    if (n == 1) return a[0] * b[0];
    return pairwise_tree(a, b, n / 2) + pairwise_tree(a + n / 2, b + n / 2, n - n / 2);
}

float sixteen_lanes(const float* a, const float* b, Index n) {  // SIMD along the sum
    float lane[16] = {};
    for (Index i = 0; i < n; ++i) lane[i % 16] = std::fma(a[i], b[i], lane[i % 16]);
    for (Index width = 8; width > 0; width /= 2)
        for (Index i = 0; i < width; ++i) lane[i] = lane[i] + lane[i + width];
    return lane[0];
}

float one_long_chain(const float* a, const float* b, Index n) {  // no blocks
    float total = 0.0f;
    for (Index i = 0; i < n; ++i) total = std::fma(a[i], b[i], total);
    return total;
}

float without_fma(const float* a,
                  const float* b,
                  Index n) {  // the contract's order, two roundings
    float total = 0.0f;
    for (Index begin = 0; begin < n; begin += kSumBlock) {
        float block = 0.0f;
        for (Index i = begin; i < std::min(begin + kSumBlock, n); ++i)
            block = block + a[i] * b[i];
        total = begin == 0 ? block : total + block;
    }
    return total;
}

// The contract's blocks, added in the order in which they happen to be ready: what atomicAdd
// does on a GPU. Each call draws another order.
float shuffled_blocks(const float* a, const float* b, Index n, Rng& rng) {
    std::vector<Index> order(usize((n + kSumBlock - 1) / kSumBlock));
    std::iota(order.begin(), order.end(), Index{0});
    for (std::size_t i = order.size(); i > 1; --i)
        std::swap(order[i - 1], at(order, rng.below(Index(i))));
    float total = 0.0f;
    for (Index block : order)
        total += dot(a + block * kSumBlock, b + block * kSumBlock,
                     std::min(kSumBlock, n - block * kSumBlock));
    return total;
}

// ANCHOR_END: reassociated

using Sum = std::function<float(const float*, const float*, Index)>;

Tensor product_by(const Sum& sum, const Tensor& x, const Tensor& w) {
    Tensor y({T, N});
    for (Index t = 0; t < T; ++t)
        for (Index n = 0; n < N; ++n) y(t, n) = sum(&x(t, 0), &w(n, 0), K);
    return y;
}

class Table {
public:
    Table(Json& rows, const Tensor& expected) : rows_(rows), expected_(expected) {}

    // Prints one path's checksum and its distance from the plain loop; returns the distance.
    Difference row(const std::string& path, const Tensor& y) {
        const Difference d = compare_bits(y.flat(), expected_.flat());
        const std::string sum = hex64(checksum(y.flat()));
        std::cout << "  " << pad(path, 34) << sum << pad(concat(d.differ), 8, true)
                  << pad(concat(d.max_ulp), 9, true)
                  << pad(d.differ == 0 ? "0" : format_number(d.max_abs, 2), 10, true) << "\n";
        rows_.push_back({{"path", path},
                         {"checksum", sum},
                         {"differ", d.differ},
                         {"max_ulp", d.max_ulp},
                         {"max_abs", d.max_abs}});
        return d;
    }

private:
    Json& rows_;
    const Tensor& expected_;
};

bool all_paths(Table& table, const Tensor& x, const Tensor& w) {
    const PackedMatrix packed = PackedMatrix::pack(w.view());
    const auto& supported = supported_simd_levels();
    bool equal = true;
    for (SimdLevel level : {SimdLevel::portable, SimdLevel::avx2, SimdLevel::avx512})
        for (Index threads : {Index{1}, Index{2}}) {
            const std::string path = concat("packed, ", simd_level_name(level), ", ", threads,
                                            threads == 1 ? " thread" : " threads");
            if (std::find(supported.begin(), supported.end(), level) == supported.end()) {
                std::cout << "  " << pad(path, 34) << "not on this processor\n";
                continue;
            }
            ThreadPool pool(threads);
            Tensor y({T, N});
            matmul(tensor_kernels(level), pool, x.view(), packed, y.view());
            equal = table.row(path, y).differ == 0 && equal;
        }
    return equal;
}

bool reassociated_sums(Table& table, const Tensor& x, const Tensor& w) {
    Rng rng(kSeed);
    const std::pair<const char*, Sum> sums[] = {
        {"pairwise tree", pairwise_tree},
        {"16 lane sums", sixteen_lanes},
        {"one long chain, no blocks", one_long_chain},
        {"multiply, then add (no fma)", without_fma},
        {"blocks in random order (atomics)",
         [&](const float* a, const float* b, Index n) {
             return shuffled_blocks(a, b, n, rng);
         }},
        {"the same again, another order", [&](const float* a, const float* b, Index n) {
             return shuffled_blocks(a, b, n, rng);
         }}};
    bool different = true;
    for (const auto& [name, sum] : sums)
        different = table.row(name, product_by(sum, x, w)).differ > 0 && different;
    return different;
}

bool run_contract(const PartFlags&, Json& report, std::string& result) {
    const Tensor x = random_matrix(T, K, kSeed), w = random_matrix(N, K, kSeed + 1);
    Tensor expected({T, N});
    matmul_plain(x.view(), w.view(), expected.view());
    std::cout << "The contract at work: y[" << T << ", " << N << "] = x[" << T << ", " << K
              << "] * w[" << N << ", " << K << "] transposed, " << T * N << " floats\n"
              << "  " << pad("path", 34) << pad("checksum", 16)
              << "  differ  max ulp   max abs\n";
    Json& part = report["contract"];
    part["shape"] = {T, K, N};
    Table table(part["paths"], expected);
    table.row("plain loop", expected);
    const bool equal = all_paths(table, x, w);
    std::cout << "  all paths of the contract, one checksum: " << verdict(equal) << "\n"
              << "The same product in other ways:\n";
    Table other(part["reassociated"], expected);
    const bool different = reassociated_sums(other, x, w);
    std::cout << "  each of them another checksum: " << verdict(different) << "\n\n";
    result += concat(" contract=", equal ? "equal" : "DIFFERS",
                     " checksum=", hex64(checksum(expected.flat())));
    return equal && different;
}

const Part kContract{{.place = 10,
                      .name = "contract",
                      .text = "one product by all paths, and reassociated",
                      .by_default = true},
                     run_contract};

}  // namespace

}  // namespace kvlab::app
