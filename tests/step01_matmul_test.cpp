// The packed kernels against the plain loop: every SIMD level, thread count and awkward size,
// with ==.
#include <doctest/doctest.h>

#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/ladder.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/simd_level.hpp>

#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step01");

TEST_CASE("matmul: packed equals plain in every bit at every level and size and thread count") {
    const Index sizes[] = {1, 2, 15, 16, 63, 64, 65, 127, 130, 200};
    ThreadPool one(1), two(2), three(3);
    Rng pick(7);
    for (int round = 0; round < 60; ++round) {
        const Index T = round < 10 ? sizes[round] : sizes[pick.below(10)];
        const Index K = sizes[pick.below(10)], N = sizes[pick.below(10)];
        CAPTURE(T);
        CAPTURE(K);
        CAPTURE(N);
        const Tensor x = random_tensor({T, K}, 1 + static_cast<std::uint64_t>(round));
        const Tensor w = random_tensor({N, K}, 1000 + static_cast<std::uint64_t>(round));
        Tensor expected({T, N});
        matmul_plain(x.view(), w.view(), expected.view());
        const PackedMatrix packed = PackedMatrix::pack(w.view());
        for (SimdLevel level : supported_simd_levels())
            for (ThreadPool* pool : {&one, &two, &three}) {
                CAPTURE(simd_level_name(level));
                Tensor wide(
                    {T, N + 3});  // canaries behind each row: a kernel must not write there
                for (float& v : wide.flat()) v = 12345.0f;
                View<float> y = wide.view().slice(1, 0, N);
                matmul(tensor_kernels(level), *pool, x.view(), packed, y);
                for (Index t = 0; t < T; ++t) {
                    REQUIRE(compare_bits({&y(t, 0), usize(N)}, {&expected(t, 0), usize(N)})
                                .differ == 0);
                    for (Index c = N; c < N + 3; ++c) REQUIRE(wide(t, c) == 12345.0f);
                }
            }
    }
}

TEST_CASE("matmul: one row and many rows add the blocks of a long sum in the same order") {
    // The mutant split_depends_on_rows survived every shorter sum: three blocks added in pairs,
    // (b0 + b1) + b2, are still in order.
    ThreadPool pool(2);
    for (const Index K : {193, 256, 257, 352, 576})
        for (const Index N : {64, 130}) {
            const Tensor x = random_tensor({7, K}, 1), w = random_tensor({N, K}, 2);
            const PackedMatrix packed = PackedMatrix::pack(w.view());
            Tensor expected({7, N});
            matmul_plain(x.view(), w.view(), expected.view());
            for (const SimdLevel level : supported_simd_levels())
                for (const Index T : {1, 2, 7}) {
                    CAPTURE(K);
                    CAPTURE(N);
                    CAPTURE(T);
                    CAPTURE(simd_level_name(level));
                    Tensor y({T, N});
                    matmul(tensor_kernels(level), pool, x.view().slice(0, 0, T), packed,
                           y.view());
                    CHECK(
                        compare_bits(y.flat(), expected.flat().first(y.flat().size())).differ ==
                        0);
                }
        }
}

TEST_CASE("ladder: the slow rungs equal the plain loop in every bit") {
    for (const Index K : {1, 63, 64, 65, 150}) {
        const Index T = 3, N = 37;
        const Tensor x = random_tensor({T, K}, 51), w = random_tensor({N, K}, 52);
        Tensor wt({K, N}), expected({T, N}), sums({N});
        for (Index n = 0; n < N; ++n)
            for (Index k = 0; k < K; ++k) wt(k, n) = w(n, k);
        matmul_plain(x.view(), w.view(), expected.view());
        for (SimdLevel level : supported_simd_levels()) {
            const LadderKernels& rungs = ladder_kernels(level);
            Tensor plain({T, N}), reordered({T, N});
            rungs.plain(T, K, N, x.data(), w.data(), plain.data());
            rungs.reordered(T, K, N, x.data(), wt.data(), sums.data(), reordered.data());
            CHECK(compare_bits(plain.flat(), expected.flat()).differ == 0);
            CHECK(compare_bits(reordered.flat(), expected.flat()).differ == 0);
        }
    }
}

TEST_SUITE_END();
