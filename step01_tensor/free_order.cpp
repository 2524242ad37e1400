// free_order.cpp - chapter 1: is a sum faster if its order is free? No part of the project:
// compile it against the library, and let it measure on your machine.
//
//   g++ -std=c++20 -O3 -march=native -Istep01_tensor/include step01_tensor/free_order.cpp
//       build/release/step01_tensor/libkvlab_tensor.a -o /tmp/free_order && /tmp/free_order
#include <cstdio>
#include <cstring>
#include <vector>

#include <kvlab/tensor/ladder.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/simd_level.hpp>

using namespace kvlab;

namespace {

using Lanes = float __attribute__((vector_size(64)));  // 16 floats

// The sum of all lanes: half of them is added to the other half until one is left.
template <std::size_t Count>
float added_up(const float* lanes) {
    float half[Count / 2];
    for (std::size_t i = 0; i < Count / 2; ++i) half[i] = lanes[i] + lanes[i + Count / 2];
    if constexpr (Count == 2)
        return half[0];
    else
        return added_up<Count / 2>(half);
}

// ANCHOR: lane_sums
// `Sums` dot products at once, each in 16 lanes that are added up at the end: the order that
// the contract forbids. The rows of w have n numbers, a multiple of 16.
template <int Sums>
void lane_sums(const float* x, const float* w, Index n, float* y) {
    Lanes sums[Sums] = {};
    for (Index i = 0; i < n; i += 16) {
        Lanes inputs, weights;
        std::memcpy(&inputs, x + i, sizeof inputs);
        for (int s = 0; s < Sums; ++s) {
            std::memcpy(&weights, w + s * n + i, sizeof weights);
            sums[s] += inputs * weights;
        }
    }
    for (int s = 0; s < Sums; ++s) {
        float lanes[16];
        std::memcpy(lanes, &sums[s], sizeof lanes);
        y[s] = added_up<16>(lanes);
    }
}

// ANCHOR_END: lane_sums

Tensor random_matrix(Index rows, Index columns, Rng& rng) {
    Tensor t({rows, columns});
    for (float& number : t.flat()) number = rng.normal();
    return t;
}

// One row of K numbers times a matrix of N outputs; of `copies` matrices another one each time.
void measure(const char* what, Index K, Index N, Index copies) {
    Rng rng(42);
    const Tensor x = random_matrix(1, K, rng);
    std::vector<Tensor> weights;
    std::vector<PackedMatrix> packed;
    for (Index i = 0; i < copies; ++i) {
        weights.push_back(random_matrix(N, K, rng));
        packed.push_back(PackedMatrix::pack(weights.back().view()));
    }
    ThreadPool pool(1);
    Tensor y({1, N});
    std::size_t turn = 0;
    const auto next = [&] { return turn = (turn + 1) % weights.size(); };
    const SimdLevel level = default_simd_level();
    const auto fixed = [&] {  // for a single sum the plain chain, compiled with fma
        const std::size_t i = next();
        if (N == 1)
            ladder_kernels(level).plain(1, K, 1, x.data(), weights[i].data(), y.data());
        else
            matmul(tensor_kernels(level), pool, x.view(), packed[i], y.view());
    };
    const auto one_sum = [&] {
        const float* w = weights[next()].data();
        for (Index n = 0; n < N; ++n) lane_sums<1>(x.data(), w + n * K, K, &y(0, n));
    };
    const auto four_sums = [&] {
        const float* w = weights[next()].data();
        for (Index n = 0; n + 4 <= N; n += 4) lane_sums<4>(x.data(), w + n * K, K, &y(0, n));
    };
    std::vector<double> speeds[3];
    const auto time = [&](int way, auto&& work) {
        const double seconds = time_calls(1, 8e-3, Clock::thread_cpu, work).median;
        speeds[way].push_back(2e-9 * static_cast<double>(K * N) / seconds);
    };
    for (int round = 0; round < 25; ++round) {  // in turn, as clock rates drift
        time(0, fixed);
        time(1, one_sum);
        if (N >= 4) time(2, four_sums);
    }
    std::printf("  %-34s", what);
    for (const auto& way : speeds) {
        if (way.empty()) continue;
        const Quartiles q = quartiles(way);
        std::printf("  %5.3g (%.3g - %.3g)", q.median, q.low, q.high);
    }
    std::printf("\n");
}

}  // namespace

int main() {
    std::printf(
        "GFLOP/s, one thread: medians of 25 rounds (and quartiles)\n"
        "                                      fixed order           16 lanes a sum        4 "
        "sums at once\n");
    measure("one sum of 576", 576, 1, 1);
    measure("[1, 64] x [64, 64]", 64, 64, 1);
    measure("[1, 576] x [576, 384]", 576, 384, 1);
    measure("[1, 576] x [576, 1536]", 576, 1536, 1);
    measure("64 matrices of that size in turn", 576, 1536, 64);
}
