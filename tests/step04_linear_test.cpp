// Matrix products and norms on CUDA kernels: every rung gives the bits of the plain loop, for
// any shape, format and block size.
#include <doctest/doctest.h>

#include <cmath>

#include "kernel_problems.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

TEST_CASE("linear: every rung equals the plain loop at sizes around 64") {
    for (const Index R : {1, 3, 17, 65})
        for (const Index K : {1, 63, 64, 65, 200})
            for (const Index N : {1, 64, 65}) {
                const LinearProblem product(TensorType::f32, R, K, N,
                                            static_cast<std::uint64_t>(R * 1000 + K * 10 + N));
                for (const LinearRung& rung : linear_rungs()) {
                    CAPTURE(std::string(rung.name));
                    CAPTURE(R);
                    CAPTURE(K);
                    CAPTURE(N);
                    CHECK(product.holds(rung, 0));
                }
            }
}

TEST_CASE("linear: every rung in every mode and order of threads") {
    in_all_modes([] {
        for (const Index R : {1, 17})
            for (const Index K : {1, 65}) {
                const LinearProblem product(TensorType::f32, R, K, 65,
                                            static_cast<std::uint64_t>(R + K));
                for (const LinearRung& rung : linear_rungs()) {
                    CAPTURE(std::string(rung.name));
                    CAPTURE(R);
                    CAPTURE(K);
                    CHECK(product.holds(rung, 0));
                }
            }
    });
}

TEST_CASE("linear: every format and every block size of every rung in raw launches") {
    for (const TensorType type : kTensorTypes)
        for (const LinearRung& rung : linear_rungs()) {
            const LinearProblem product(type, 66, whole_blocks(type, 224), 130, 9);
            for (const int block : rung.blocks) {
                CAPTURE(std::string(type_name(type)));
                CAPTURE(std::string(rung.name));
                CAPTURE(block);
                CHECK(product.holds(rung, block));
            }
        }
}

TEST_CASE("linear: every format in checked launches") {
    if (!simt::has_checked_kernels()) return;
    const simt::Use use({simt::Mode::checked, simt::Order::reverse, 1, nullptr});
    for (const TensorType type : kTensorTypes)
        for (const LinearRung& rung : linear_rungs()) {
            CAPTURE(std::string(type_name(type)));
            CAPTURE(std::string(rung.name));
            CHECK(LinearProblem(type, 2, whole_blocks(type, 96), 66, 10).holds(rung, 0));
        }
}

TEST_CASE("linear: checked launches whose threads come round more than once") {
    // With 1024 threads the split kernel has 16 blocks of 64 inputs at a time.
    if (!simt::has_checked_kernels()) return;
    const LinearProblem product(TensorType::f32, 2, 1100, 66, 12);
    for (const simt::Order order : {simt::Order::forward, simt::Order::shuffled}) {
        const simt::Use use({simt::Mode::checked, order, 2, nullptr});
        for (const LinearRung& rung : linear_rungs())
            for (const int block : rung.blocks) {
                CAPTURE(std::string(rung.name));
                CAPTURE(block);
                CHECK(product.holds(rung, block));
            }
    }
}

TEST_CASE("linear: a bias is added after the complete sum") {
    const std::vector<float> bias = normals(70, 5, 1e4f);
    const LinearProblem product(TensorType::f32, 20, 130, 70, 6);
    for (const LinearRung& rung : linear_rungs()) {
        CAPTURE(std::string(rung.name));
        CHECK(product.holds(rung, 0, bias));
    }
}

TEST_CASE("linear: zeros keep their signs and subnormal numbers their bits") {
    Tensor w({64, 64}), x({1, 64});
    for (float& value : x.flat()) value = -0.0f;
    for (float& value : w.flat()) value = 1.0f;
    x(0, 63) = -0x1p-149f;
    const LinearProblem subnormal(x, w), zeros = negative_zeros(64), more = negative_zeros(200);
    CHECK(subnormal.expected(0, 0) == -0x1p-149f);
    CHECK(std::signbit(zeros.expected(0, 0)));
    for (const LinearRung& rung : linear_rungs()) {
        CAPTURE(std::string(rung.name));
        CHECK(subnormal.holds(rung, 0));
        CHECK(zeros.holds(rung, 0));
        CHECK(more.holds(rung, 0));
    }
}

TEST_CASE("linear: what a rung does not take is refused") {
    const PackedMatrix packed = PackedMatrix::pack(random_tensor({64, 64}, 1).view());
    const DeviceRows x(2, 64), y(2, 64), narrow(2, 63);
    Scratch scratch;
    for (const LinearRung& rung : linear_rungs()) {
        CAPTURE(std::string(rung.name));
        const DeviceMatrix w(packed, rung.layout);
        const DeviceMatrix other(packed, rung.layout == MatrixLayout::rows
                                             ? MatrixLayout::panels
                                             : MatrixLayout::rows);
        CHECK_THROWS_AS(rung.run({w, nullptr, narrow.view(), y.view(), scratch}), Error);
        CHECK_THROWS_AS(rung.run({w, nullptr, x.view(), narrow.view(), scratch}), Error);
        CHECK_THROWS_AS(rung.run({other, nullptr, x.view(), y.view(), scratch}), Error);
        CHECK_THROWS_AS(rung.run({w, nullptr, x.view(), y.view(), scratch, 1025}), Error);
        CHECK_THROWS_AS(rung.run({w, nullptr, x.view(), y.view(), scratch, -1}), Error);
    }
    CHECK_THROWS_AS(find_rung(linear_rungs(), "fastest"), Error);
}

TEST_CASE("norms: rows that begin at multiples of sixteen bytes and rows that do not") {
    in_all_modes([] {
        for (const Index C : {4, 60, 68, 576, 1024, 1028, 4096, 4100})
            for (const Index gap : {0, 4, 6}) {
                const std::vector<float> x = normals(2 * C, 3, 4.0f), weight = normals(C, 4);
                Tensor expected({2, C});
                for (Index r = 0; r < 2; ++r)
                    rms_norm(&at(x, r * C), weight.data(), 1e-5f, C, &expected(r, 0));
                const DeviceArray<float> w(std::span<const float>(weight), "weight");
                for (const NormRung& rung : norm_rungs()) {
                    const DeviceRows in(2, C, x, gap), out(2, C, gap);
                    rung.run({in.view(), w.get(), 1e-5f, out.view()});
                    rung.run({in.view(), w.get(), 1e-5f, in.view()});  // in place
                    CAPTURE(std::string(rung.name));
                    CAPTURE(C);
                    CAPTURE(gap);
                    CHECK(out.untouched());
                    CHECK(is_equal(out.values(), expected.flat()));
                    CHECK(is_equal(in.values(), expected.flat()));
                }
            }
    });
}

TEST_CASE("norms: every rung equals the plain loop with every block size and mode") {
    in_all_modes([] {
        for (const Index R : {1, 3})
            for (const Index C : {1, 63, 64, 65, 576}) {
                const std::vector<float> x = normals(R * C, 3, 4.0f), weight = normals(C, 4);
                Tensor expected({R, C});
                for (Index r = 0; r < R; ++r)
                    rms_norm(&at(x, r * C), weight.data(), 1e-5f, C, &expected(r, 0));
                const DeviceArray<float> w(std::span<const float>(weight), "weight");
                for (const NormRung& rung : norm_rungs())
                    for (const int block : rung.blocks) {
                        const DeviceRows in(R, C, x), out(R, C);
                        rung.run({in.view(), w.get(), 1e-5f, out.view(), block});
                        rung.run({in.view(), w.get(), 1e-5f, in.view(), block});  // in place
                        CAPTURE(std::string(rung.name));
                        CAPTURE(C);
                        CAPTURE(block);
                        CHECK(out.untouched());
                        CHECK(is_equal(out.values(), expected.flat()));
                        CHECK(is_equal(in.values(), expected.flat()));
                    }
            }
    });
}

TEST_SUITE_END();
