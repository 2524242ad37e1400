// Packed weights in every format: whatever bytes a file holds, the product is the plain loop's
// on the values that rule 6 defines. The blocks are random bytes, not quantised normals, so
// that negative and subnormal scales, zeros and every code occur.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/simd_level.hpp>

#include "random_blocks.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step01");

TEST_CASE("panels: reading an output gives back its row in every format") {
    Rng rng(21);
    for (TensorType type : kTensorTypes)
        for (Index N : {1, 63, 64, 65, 130}) {
            CAPTURE(std::string(type_name(type)));
            const Index K = whole_blocks(type, 96);
            const auto bytes = random_rows(type, N, K, rng);
            const Tensor w = dequantized(type, bytes, N, K);
            PackedMatrix packed(N, K, type);
            packed.set_outputs(0, bytes);
            CHECK(packed.bytes() == (N + 63) / 64 * 64 * bytes_for(type, K));
            std::vector<float> row(usize(K));
            for (Index n = 0; n < N; ++n) {
                packed.read(n, row);
                REQUIRE(compare_bits(row, {&w(n, 0), row.size()}).differ == 0);
            }
        }
}

TEST_CASE("panels: a row times a matrix too large for the cache equals the plain loop") {
    constexpr Index kN = 1000, kK = 256;  // 144 KB in the smallest format: asked for ahead
    ThreadPool one(1), two(2);
    Rng rng(25);
    Tensor x({1, kK}), expected({1, kN}), y({1, kN});
    for (float& v : x.flat()) v = rng.normal();
    for (TensorType type : kTensorTypes) {
        const auto bytes = random_rows(type, kN, kK, rng);
        const Tensor w = dequantized(type, bytes, kN, kK);
        matmul_plain(x.view(), w.view(), expected.view());
        PackedMatrix packed(kN, kK, type);
        packed.set_outputs(0, bytes);
        for (SimdLevel level : supported_simd_levels())
            for (ThreadPool* pool : {&one, &two}) {
                CAPTURE(std::string(type_name(type)));
                CAPTURE(simd_level_name(level));
                matmul(tensor_kernels(level), *pool, x.view(), packed, y.view());
                REQUIRE(compare_bits(y.flat(), expected.flat()).differ == 0);
            }
    }
}

TEST_CASE("panels: every format equals the plain loop on its defined values bit for bit") {
    ThreadPool one(1), two(2);
    Rng rng(22);
    const Index rows[] = {1, 2, 5, 6, 7, 13, 64, 65}, outputs[] = {1, 16, 63, 64, 65, 130, 192};
    for (TensorType type : kTensorTypes)
        for (int round = 0; round < 16; ++round) {
            const Index T = rows[round % 8], N = outputs[rng.below(7)],
                        K = whole_blocks(type, 1 + static_cast<Index>(rng.below(200)) *
                                                       (block_elements(type) == 256 ? 4 : 1));
            CAPTURE(std::string(type_name(type)));
            CAPTURE(T);
            CAPTURE(N);
            CAPTURE(K);
            const auto bytes = random_rows(type, N, K, rng);
            const Tensor w = dequantized(type, bytes, N, K);
            Tensor x({T, K}), expected({T, N}), y({T, N});
            for (float& v : x.flat()) v = rng.normal();
            matmul_plain(x.view(), w.view(), expected.view());
            PackedMatrix packed(N, K, type);
            packed.set_outputs(0, bytes);
            for (SimdLevel level : supported_simd_levels())
                for (ThreadPool* pool : {&one, &two}) {
                    CAPTURE(simd_level_name(level));
                    matmul(tensor_kernels(level), *pool, x.view(), packed, y.view());
                    REQUIRE(compare_bits(y.flat(), expected.flat()).differ == 0);
                }
        }
}

TEST_CASE("panels: infinite and NaN scales reach the product in every format") {
    // A broken file must not look like a working one, at any level.
    for (TensorType type : {TensorType::f16, TensorType::bf16, TensorType::q8_0,
                            TensorType::q4_0, TensorType::q4_1, TensorType::q4_k})
        for (std::uint16_t half : {std::uint16_t{0x7f80}, std::uint16_t{0xffc0}}) {
            const Index K = whole_blocks(type, 32);
            std::vector<std::byte> bytes(usize(bytes_for(type, K)), std::byte{0x11});
            std::memcpy(bytes.data(), &half, 2);
            PackedMatrix packed(1, K, type);
            packed.set_outputs(0, bytes);
            Tensor x({2, K}), y({2, 1});
            for (float& v : x.flat()) v = 1.0f;
            ThreadPool pool(1);
            for (SimdLevel level : supported_simd_levels()) {
                matmul(tensor_kernels(level), pool, x.view(), packed, y.view());
                CHECK(y(0, 0) - y(0, 0) != 0.0f);
                CHECK(y(1, 0) - y(1, 0) != 0.0f);
            }
        }
}

TEST_SUITE_END();
