// Every kernel of the table against the plain loop that defines it, at every SIMD level, with
// ==. What breaks them: tails, a sum over lanes, max and min with swapped operands, an
// approximate reciprocal, a write beyond the end.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/peak_kernels.hpp>
#include <kvlab/tensor/simd_level.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

#include "random_data.hpp"

using namespace kvlab;

namespace {

constexpr Index kSizes[] = {1,  2,  3,   4,   5,   7,   8,   15,  16,   17,   63,
                            64, 65, 127, 128, 130, 512, 513, 576, 1023, 1024, 1025};
constexpr float kCanary = 12345.0f;

// Calls test(kernels, n, x, z) with ordinary and with extreme x and z, at every level and size.
template <class Test>
void for_all(Test&& test) {
    for (SimdLevel level : supported_simd_levels())
        for (Index n : kSizes)
            for (std::uint64_t seed = 0; seed < 6; ++seed) {
                CAPTURE(simd_level_name(level));
                CAPTURE(n);
                CAPTURE(seed);
                const auto x = seed < 3 ? test::normals(n, seed) : test::extremes(n, seed);
                const auto z =
                    seed < 3 ? test::normals(n, seed + 50) : test::extremes(n, seed + 50);
                test(tensor_kernels(level), n, x, z);
            }
}

// Runs write(y) on a row with canaries behind it, and compares it with `expected`.
template <class Write>
void check_row(const std::vector<float>& expected, Write&& write) {
    std::vector<float> y(expected.size() + 16, kCanary);
    write(y.data());
    const std::span<const float> row(y.data(), expected.size());
    const Difference d = compare_bits(row, expected);
    CAPTURE(d.first);
    CAPTURE(d.max_ulp);
    // NaN has many bit patterns and is outside of the contract: it must only be NaN
    // on both sides.
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (expected[i] != expected[i])
            REQUIRE(row[i] != row[i]);
        else
            REQUIRE(ulp_distance(row[i], expected[i]) == 0);
    }
    REQUIRE(std::count(y.begin() + std::ssize(expected), y.end(), kCanary) == 16);
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("kernels: rms_norm equals the plain loop in every bit") {
    for_all([](const TensorKernels& k, Index n, const auto& x, const auto& w) {
        std::vector<float> y(x.size());
        rms_norm(x.data(), w.data(), 1e-5f, n, y.data());
        check_row(y,
                  [&](float* out) { k.rms_norm(1, x.data(), n, w.data(), 1e-5f, n, out, n); });
        check_row(y, [&](float* out) {  // in place
            std::copy(x.begin(), x.end(), out);
            k.rms_norm(1, out, n, w.data(), 1e-5f, n, out, n);
        });
    });
}

TEST_CASE("kernels: swiglu equals the plain loop in every bit") {
    for_all([](const TensorKernels& k, Index n, const auto& gate, const auto& up) {
        std::vector<float> y(gate.size());
        for (std::size_t i = 0; i < y.size(); ++i) y[i] = silu(gate[i]) * up[i];
        check_row(y, [&](float* out) { k.swiglu(gate.data(), up.data(), n, out); });
        check_row(y, [&](float* out) {
            std::copy(gate.begin(), gate.end(), out);
            k.swiglu(out, up.data(), n, out);
        });
        check_row(y, [&](float* out) {
            std::copy(up.begin(), up.end(), out);
            k.swiglu(gate.data(), out, n, out);
        });
    });
}

TEST_CASE("kernels: gelu and exp2 and add equal the plain loops in every bit") {
    for_all([](const TensorKernels& k, Index n, const auto& x, const auto& z) {
        std::vector<float> y(x.size());
        std::transform(x.begin(), x.end(), y.begin(), [](float v) { return gelu(v); });
        check_row(y, [&](float* out) { k.gelu(x.data(), n, out); });
        std::transform(x.begin(), x.end(), y.begin(), [](float v) { return kvlab::exp2(v); });
        check_row(y, [&](float* out) { k.exp2(x.data(), n, out); });
        std::transform(x.begin(), x.end(), z.begin(), y.begin(),
                       [](float a, float b) { return b + a; });
        check_row(y, [&](float* out) {
            std::copy(z.begin(), z.end(), out);
            k.add(x.data(), n, out);
        });
    });
}

TEST_CASE("kernels: exp2 equals the plain loop on a sweep of all exponents") {
    std::vector<float> x;
    for (std::uint32_t bits = 0; bits < 0x7f800000u; bits += 0x3457u) {
        x.push_back(std::bit_cast<float>(bits));
        x.push_back(std::bit_cast<float>(bits | 0x80000000u));
    }
    for (int half = -260; half <= 260; ++half) x.push_back(static_cast<float>(half) * 0.5f);
    std::vector<float> expected, y(x.size());
    for (const float v : x) expected.push_back(kvlab::exp2(v));
    for (SimdLevel level : supported_simd_levels()) {
        CAPTURE(simd_level_name(level));
        tensor_kernels(level).exp2(x.data(), std::ssize(x), y.data());
        CHECK(compare_bits(y, expected).differ == 0);
    }
}

// One block by both entry points, with strides that leave gaps, against the plain loop.
static void check_block(
    SimdLevel level, Index rows, Index width, Index depth, BlockMode mode, Rng& pick) {
    const Index xs = depth + pick.below(4), bs = width + 16 * pick.below(2),
                ys = width + pick.below(5);
    const auto x = test::normals(rows * xs, static_cast<std::uint64_t>(depth)),
               b = test::normals(depth * bs, 2);
    auto expected = test::normals(rows * ys, 3), y = expected, asking = expected;
    for (Index r = 0; r < rows; ++r)
        for (Index c = 0; c < width; ++c) {
            float& out = at(expected, r * ys + c);
            float chain = mode == BlockMode::resume ? out : 0.0f;
            for (Index i = 0; i < depth; ++i)
                chain = std::fma(at(x, r * xs + i), at(b, i * bs + c), chain);
            out = mode == BlockMode::add ? out + chain : chain;
        }
    const TensorKernels& k = tensor_kernels(level);
    k.block(rows, depth, x.data(), xs, b.data(), bs, width, y.data(), ys, mode);
    k.block_ahead(rows, depth, x.data(), xs, b.data(), bs, width, asking.data(), ys, mode,
                  {std::as_bytes(std::span(b)).data(), 2});
    CAPTURE(concat(simd_level_name(level), ' ', rows, ' ', width, ' ', depth));
    REQUIRE(compare_bits(y, expected).differ == 0);
    REQUIRE(compare_bits(asking, expected).differ == 0);
}

TEST_CASE("kernels: block in its three modes for every number of rows and width") {
    Rng pick(11);
    for (SimdLevel level : supported_simd_levels())
        for (Index rows = 1; rows <= kMaxKernelRows; ++rows)
            for (Index width : {16, 32, 48, 64})
                for (Index depth : {1, 7, 63, 64})
                    for (BlockMode mode : {BlockMode::first, BlockMode::add, BlockMode::resume})
                        check_block(level, rows, width, depth, mode, pick);
}

TEST_CASE("kernels: panels equals one dot per column") {
    for (SimdLevel level : supported_simd_levels())
        for (Index panels : {1, 2, 3, 5})
            for (Index depth : {1, 15, 63, 64, 65, 127, 128, 129, 192, 200, 576}) {
                CAPTURE(simd_level_name(level));
                CAPTURE(panels);
                CAPTURE(depth);
                const auto x = test::normals(depth, 4),
                           b = test::normals(panels * depth * kPanel, 5);
                std::vector<float> expected(usize(panels * kPanel));
                for (Index c = 0; c < panels * kPanel; ++c)
                    at(expected, c) =
                        dot(x.data(), 1, b.data() + c / kPanel * depth * kPanel + c % kPanel,
                            kPanel, depth);
                for (const Source source : {Source::cache, Source::memory})
                    check_row(expected, [&](float* out) {
                        tensor_kernels(level).f32->multiply(
                            panels, depth, x.data(),
                            reinterpret_cast<const std::byte*>(b.data()), out, source);
                    });
            }
}

TEST_CASE("kernels: the measuring loops do what they say") {
    std::vector<float> ones(512, 1.0f);
    for (SimdLevel level : supported_simd_levels()) {
        CAPTURE(simd_level_name(level));
        const PeakKernels& peak = peak_kernels(level);
        CHECK(peak.read(ones.data(), 512, 3) == 3 * 512.0f);  // every float, every time
        // Each chain goes half the way to 1 per step: after many steps the sum
        // counts the chains.
        CHECK(peak.fma_chains(100, 5.0f) == static_cast<float>(peak.flops_per_step / 2));
        CHECK(peak.fma_chains(1, 1.0f) > static_cast<float>(peak.flops_per_step / 2));
    }
}

TEST_CASE("packed matrix: layout and padding and doors") {
    Tensor w({70, 3});
    for (Index i = 0; i < w.size(); ++i) at(w.flat(), i) = static_cast<float>(i + 1);
    const PackedMatrix packed = PackedMatrix::pack(w.view());
    CHECK(packed.panels() == 2);
    CHECK(packed.bytes() == 2 * 3 * 64 * 4);
    const auto weight = [&](Index p, Index i) {
        return reinterpret_cast<const float*>(packed.panel(p))[i];
    };
    CHECK(weight(0, 2 * 64 + 5) == w(5, 2));
    CHECK(weight(1, 1 * 64 + 5) == w(69, 1));
    CHECK(weight(1, 1 * 64 + 6) == 0.0f);
    float row[3] = {};
    packed.read(69, row);
    CHECK(row[2] == w(69, 2));
    CHECK_THROWS_AS(packed.read(70, row), Error);
    CHECK_THROWS_AS(packed.read(0, std::span(row).first(2)), Error);
    CHECK_THROWS_AS(PackedMatrix(0, 3), Error);
    CHECK_THROWS_WITH_AS(
        PackedMatrix(4, 48, TensorType::q8_0),
        "packed matrix: the depth of a matrix in Q8_0 must be a multiple of 32, found 48",
        Error);
    PackedMatrix pieces(70, 3);
    const auto bytes = std::as_bytes(w.flat());
    pieces.set_outputs(0, bytes.first(33 * 12));
    pieces.set_outputs(33, bytes.subspan(33 * 12));
    for (Index n = 0; n < 70; ++n) {
        pieces.read(n, row);
        CHECK(row[1] == w(n, 1));
    }
    CHECK_THROWS_AS(pieces.set_outputs(1, bytes), Error);
    CHECK_THROWS_AS(pieces.set_outputs(0, bytes.first(13)), Error);
    Tensor x({2, 4}), y({2, 70});
    ThreadPool pool(1);
    const TensorKernels& kernels = tensor_kernels(SimdLevel::portable);
    CHECK_THROWS_WITH_AS(matmul(kernels, pool, x.view(), packed, y.view()),
                         "matmul: x: expected shape [2, 3], found [2, 4]", Error);
    Tensor empty({0, 3}), nothing({0, 70});
    matmul(kernels, pool, empty.view(), packed, nothing.view());  // no rows: nothing to do
}

TEST_CASE("matmul: large enough to be cut into pieces of rows and with strided rows") {
    // 700 rows of 300: several pieces of rows; x and y are columns of wider matrices.
    Tensor wide({700, 310}), out({700, 140}), expected({700, 130}), w({130, 300});
    Rng rng(12);
    for (float& v : wide.flat()) v = rng.normal();
    for (float& v : w.flat()) v = rng.normal();
    View<const float> x = wide.view().slice(1, 5, 305);
    matmul_plain(x, w.view(), expected.view());
    const PackedMatrix packed = PackedMatrix::pack(w.view());
    ThreadPool pool(2);
    matmul(tensor_kernels(default_simd_level()), pool, x, packed, out.view().slice(1, 0, 130));
    for (Index t = 0; t < 700; ++t) {
        REQUIRE(compare_bits({&out(t, 0), 130}, {&expected(t, 0), 130}).differ == 0);
        for (Index c = 130; c < 140; ++c) REQUIRE(out(t, c) == 0.0f);
    }
}

TEST_CASE("matmul: a row has the same bits whatever its neighbours are") {
    const auto data = test::normals(70 * 576, 13);
    Tensor x({70, 576}), w({192, 576}), all({70, 192}), alone({1, 192});
    std::copy(data.begin(), data.end(), x.data());
    Rng rng(14);
    for (float& v : w.flat()) v = rng.normal();
    const PackedMatrix packed = PackedMatrix::pack(w.view());
    ThreadPool pool(2);
    for (SimdLevel level : supported_simd_levels()) {
        matmul(tensor_kernels(level), pool, x.view(), packed, all.view());
        for (Index t : {0, 1, 5, 6, 31, 64, 69}) {
            matmul(tensor_kernels(level), pool, x.view().slice(0, t, t + 1), packed,
                   alone.view());
            REQUIRE(compare_bits(alone.flat(), {&all(t, 0), 192}).differ == 0);
        }
    }
}

TEST_CASE("simd level: the environment chooses and a wrong name is a clear error") {
    const char* old = std::getenv("KVLAB_SIMD");
    const std::string saved = old ? old : "";
    unsetenv("KVLAB_SIMD");
    CHECK(default_simd_level() == supported_simd_levels().back());
    setenv("KVLAB_SIMD", "portable", 1);
    CHECK(default_simd_level() == SimdLevel::portable);
    setenv("KVLAB_SIMD", "sse9", 1);
    CHECK_THROWS_WITH_AS(default_simd_level(),
                         "SIMD level must be portable, avx2 or avx512, found 'sse9'", Error);
    setenv("KVLAB_SIMD", "", 1);
    CHECK_THROWS_AS(default_simd_level(), Error);
    if (old)
        setenv("KVLAB_SIMD", saved.c_str(), 1);
    else
        unsetenv("KVLAB_SIMD");
    CHECK(supported_simd_levels().front() == SimdLevel::portable);
    for (SimdLevel level : supported_simd_levels())
        CHECK(parse_simd_level(simd_level_name(level)) == level);
}

TEST_SUITE_END();
