// What products, kernels, angles, sampling and files say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <kvlab/tensor/ladder.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/memory.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/output_file.hpp>
#include <kvlab/tensor/packed_matrix.hpp>
#include <kvlab/tensor/roofline.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/tensor/simd_level.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>
#include <kvlab/tensor/tensor_type.hpp>
#include <kvlab/tensor/thread_pool.hpp>

using namespace kvlab;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr Index kLargestKernels = std::numeric_limits<Index>::max();

// What this build or this processor does not have; the last has no name in any of them.
std::vector<SimdLevel> missing_levels() {
    std::vector<SimdLevel> missing;
    for (const SimdLevel level :
         {SimdLevel::avx2, SimdLevel::avx512, static_cast<SimdLevel>(99)}) {
        const auto& levels = supported_simd_levels();
        if (std::find(levels.begin(), levels.end(), level) == levels.end())
            missing.push_back(level);
    }
    return missing;
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("messages: packed weights say what they cannot take") {
    const auto made = [](Index outputs, Index depth) {
        return PackedMatrix(outputs, depth).outputs();
    };
    CHECK_THROWS_WITH_AS(
        made(0, 4), "packed matrix: outputs and depth must be positive, found [0, 4]", Error);
    CHECK_THROWS_WITH_AS(
        made(3, 0), "packed matrix: outputs and depth must be positive, found [3, 0]", Error);
    CHECK_THROWS_WITH_AS(
        made(-1, 4), "packed matrix: outputs and depth must be positive, found [-1, 4]", Error);
    CHECK(made(1, 1) == 1);
    const Tensor vector({4}), cube({1, 4, 4}), matrix({1, 4});
    CHECK_THROWS_WITH_AS(PackedMatrix::pack(vector.view()),
                         "packed matrix: expected a matrix [N, K], found [4]", Error);
    CHECK_THROWS_WITH_AS(PackedMatrix::pack(cube.view()),
                         "packed matrix: expected a matrix [N, K], found [1, 4, 4]", Error);
    CHECK(PackedMatrix::pack(matrix.view()).depth() == 4);

    PackedMatrix packed(3, 4);
    const std::vector<float> row = {1.0f, 2.0f, 3.0f, 4.0f};
    std::vector<float> read(4);
    const auto bytes = std::as_bytes(std::span(row));
    CHECK_THROWS_WITH_AS(packed.set_outputs(0, bytes.first(15)),
                         "packed matrix [3, 4]: cannot take 15 bytes at output 0", Error);
    CHECK_THROWS_WITH_AS(packed.set_outputs(3, bytes),
                         "packed matrix [3, 4]: cannot take 16 bytes at output 3", Error);
    CHECK_THROWS_WITH_AS(packed.set_outputs(-1, bytes),
                         "packed matrix [3, 4]: cannot take 16 bytes at output -1", Error);
    CHECK_THROWS_WITH_AS(
        packed.set_outputs(kLargestKernels, bytes),
        "packed matrix [3, 4]: cannot take 16 bytes at output 9223372036854775807", Error);
    packed.set_outputs(2, bytes);
    packed.read(2, read);
    CHECK(read == row);
    CHECK_NOTHROW(packed.set_outputs(3, {}));
}

TEST_CASE("messages: a product says which of its shapes is wrong") {
    const Tensor x({2, 4}), w({3, 4}), narrow({3, 5});
    Tensor y({2, 3}), other({2, 4});
    const PackedMatrix packed = PackedMatrix::pack(w.view());
    ThreadPool pool(1);
    const auto plain = [&](const Tensor& by, Tensor& to) {
        matmul_plain(x.view(), by.view(), to.view());
    };
    const auto fast = [&](const View<const float>& from, const View<float>& to) {
        matmul(tensor_kernels(default_simd_level()), pool, from, packed, to);
    };
    CHECK_THROWS_WITH_AS(plain(narrow, y), "matmul: w: expected shape [3, 4], found [3, 5]",
                         Error);
    CHECK_THROWS_WITH_AS(plain(w, other), "matmul: y: expected shape [2, 3], found [2, 4]",
                         Error);
    CHECK_NOTHROW(plain(w, y));
    CHECK_THROWS_WITH_AS(fast(narrow.view(), y.view()),
                         "matmul: x: expected shape [3, 4], found [3, 5]", Error);
    CHECK_THROWS_WITH_AS(fast(x.view(), other.view()),
                         "matmul: y: expected shape [2, 3], found [2, 4]", Error);
    Tensor columns({4, 2}), sums({3, 2});
    const char* const strided = "matmul: the rows of x and y must be contiguous";
    CHECK_THROWS_WITH_AS(fast(columns.view().transposed(0, 1), y.view()), strided, Error);
    CHECK_THROWS_WITH_AS(fast(x.view(), sums.view().transposed(0, 1)), strided, Error);
    CHECK_NOTHROW(fast(x.view(), y.view()));
}

TEST_CASE("messages: blocks of a type come whole") {
    const auto expand = [](std::size_t bytes, std::size_t numbers) {
        const std::vector<std::byte> blocks(bytes);
        std::vector<float> out(numbers);
        dequantize(TensorType::q8_0, blocks, out);
    };
    CHECK_THROWS_WITH_AS(expand(34, 31),
                         "dequantize Q8_0: expected a multiple of 32 numbers, found 31", Error);
    CHECK_THROWS_WITH_AS(expand(33, 32),
                         "dequantize Q8_0: expected 34 bytes for 32 numbers, found 33", Error);
    CHECK_THROWS_WITH_AS(expand(35, 32),
                         "dequantize Q8_0: expected 34 bytes for 32 numbers, found 35", Error);
    CHECK_NOTHROW(expand(34, 32));
    CHECK_NOTHROW(expand(0, 0));
    CHECK_THROWS_WITH_AS(bytes_for(TensorType::q8_0, 33),
                         "Q8_0: expected a multiple of 32 numbers, found 33", Error);
    CHECK_THROWS_WITH_AS(bytes_for(TensorType::f32, -1),
                         "F32: expected a multiple of 1 numbers, found -1", Error);
    CHECK(bytes_for(TensorType::q8_0, 0) == 0);
}

TEST_CASE("messages: a SIMD level that is not there is refused by every table") {
    for (const SimdLevel level : missing_levels()) {
        const std::string expected =
            concat("SIMD level ", simd_level_name(level),
                   " is not supported by this processor or not built in");
        CAPTURE(static_cast<int>(level));
        CHECK_THROWS_WITH_AS(check_simd_level(level), expected.c_str(), Error);
        CHECK_THROWS_WITH_AS(tensor_kernels(level), expected.c_str(), Error);
        CHECK_THROWS_WITH_AS(ladder_kernels(level), expected.c_str(), Error);
        CHECK_THROWS_WITH_AS(peak_kernels(level), expected.c_str(), Error);
        if (level == SimdLevel::avx2 || level == SimdLevel::avx512)
            CHECK_THROWS_WITH_AS(parse_simd_level(simd_level_name(level)), expected.c_str(),
                                 Error);
    }
    for (const SimdLevel level : supported_simd_levels()) {
        CHECK(parse_simd_level(simd_level_name(level)) == level);
        CHECK_NOTHROW(tensor_kernels(level));
        CHECK_NOTHROW(ladder_kernels(level));
        CHECK_NOTHROW(peak_kernels(level));
    }
    CHECK_THROWS_WITH_AS(parse_simd_level("AVX2"),
                         "SIMD level must be portable, avx2 or avx512, found 'AVX2'", Error);
}

TEST_CASE("kernels: each level has tables of its own") {
    std::set<const void*> tables;
    for (const SimdLevel level : supported_simd_levels())
        for (const void* table : {static_cast<const void*>(&tensor_kernels(level)),
                                  static_cast<const void*>(&ladder_kernels(level)),
                                  static_cast<const void*>(&peak_kernels(level))})
            CHECK(tables.insert(table).second);
}

TEST_CASE("messages: angles say which number has none") {
    CHECK_THROWS_WITH_AS(power(0.0, 1.0), "power: base must be positive and finite, found 0",
                         Error);
    CHECK_THROWS_WITH_AS(power(-2.0, 1.0), "power: base must be positive and finite, found -2",
                         Error);
    CHECK_THROWS_WITH_AS(power(std::nan(""), 1.0),
                         "power: base must be positive and finite, found nan", Error);
    CHECK(power(0x1p-1074, 0.0) == 1.0);
    const double infinite = std::numeric_limits<double>::infinity();
    CHECK_THROWS_WITH_AS(power(infinite, 1.0),
                         "power: base must be positive and finite, found inf", Error);
    CHECK_THROWS_WITH_AS(RopeTable(4, 2, infinite),
                         "rope: base must be positive and finite, found inf", Error);
    CHECK_THROWS_WITH_AS(sin_cos(0x1.0000001p+30),
                         "sin_cos: |x| must be at most 2^30, found 1.07374e+09", Error);
    CHECK_THROWS_WITH_AS(sin_cos(-0x1p+31),
                         "sin_cos: |x| must be at most 2^30, found -2.14748e+09", Error);
    CHECK_THROWS_WITH_AS(sin_cos(std::nan("")), "sin_cos: |x| must be at most 2^30, found nan",
                         Error);
    CHECK(sin_cos(-0x1p+30).sin == -sin_cos(0x1p+30).sin);
    CHECK_THROWS_WITH_AS(RopeTable(4, 2, 0.0),
                         "rope: base must be positive and finite, found 0", Error);
    CHECK_THROWS_WITH_AS(RopeTable(4, 2, std::nan("")),
                         "rope: base must be positive and finite, found nan", Error);
    CHECK(RopeTable(4, 2, 0x1p-1074).positions() == 4);
    constexpr Index kPositions = Index{1} << 30;
    CHECK_THROWS_WITH_AS(RopeTable(-1, 2, 10.0),
                         "rope: positions: expected 0 to 1073741824, found -1", Error);
    CHECK_THROWS_WITH_AS(RopeTable(kPositions + 1, 2, 10.0),
                         "rope: positions: expected 0 to 1073741824, found 1073741825", Error);
    CHECK(RopeTable(0, 2, 10.0).positions() == 0);
    CHECK(RopeTable(kPositions, 2, 10.0).bytes() == 0);

    const RopeTable table(5, 2, 10000.0);
    float head[] = {1.0f, 0.0f};
    CHECK_THROWS_WITH_AS(table.rotate(head, 5), "rope: position 5 is outside of the table of 5",
                         Error);
    CHECK_THROWS_WITH_AS(table.rotate(head, -1),
                         "rope: position -1 is outside of the table of 5", Error);
    table.rotate(head, 0);
    CHECK(head[0] == 1.0f);
    table.rotate(head, 4);
    CHECK(head[0] == table.cos(4)[0]);
    CHECK(head[1] == table.sin(4)[0]);
}

TEST_CASE("messages: sampling says which option or which logit") {
    CHECK_THROWS_WITH_AS(Sampler({.top_k = -1}), "sampling: top-k must be >= 0, found -1",
                         Error);
    CHECK_THROWS_WITH_AS(Sampler({.top_p = 0.0f}), "sampling: top-p must be in (0, 1], found 0",
                         Error);
    CHECK_THROWS_WITH_AS(Sampler({.top_p = -0.5f}),
                         "sampling: top-p must be in (0, 1], found -0.5", Error);
    CHECK_THROWS_WITH_AS(Sampler({.top_p = 1.01f}),
                         "sampling: top-p must be in (0, 1], found 1.01", Error);
    CHECK_THROWS_WITH_AS(Sampler({.top_p = kNan}),
                         "sampling: top-p must be in (0, 1], found nan", Error);
    CHECK_NOTHROW(Sampler({.top_k = 0, .top_p = 1.0f}));
    CHECK_NOTHROW(Sampler({.top_k = kLargestKernels, .top_p = 0x1p-149f}));

    for (const float temperature : {0.0f, 1.0f}) {
        Sampler sampler({.temperature = temperature}), other({.temperature = temperature});
        const auto sample = [&](std::vector<float> logits) { return sampler.sample(logits); };
        CHECK_THROWS_WITH_AS(sample({}), "sampling: no logits", Error);
        CHECK_THROWS_WITH_AS(sample({0.0f, kNan}),
                             "sampling: logit 1 is nan, expected a finite number", Error);
        CHECK_THROWS_WITH_AS(sample({kInfinity, kNan}),
                             "sampling: logit 0 is inf, expected a finite number", Error);
        CHECK_THROWS_WITH_AS(sample({1.0f, 2.0f, -kInfinity}),
                             "sampling: logit 2 is -inf, expected a finite number", Error);
        // What was refused has not used a random number.
        const std::vector<float> even(64, std::numeric_limits<float>::max());
        for (int i = 0; i < 8; ++i) CHECK(sampler.sample(even) == other.sample(even));
    }
}

TEST_CASE("messages: a pool has one thread at least") {
    CHECK_THROWS_WITH_AS(ThreadPool(0), "thread pool: threads must be 1 to 256, found 0",
                         Error);
    CHECK_THROWS_WITH_AS(ThreadPool(-1), "thread pool: threads must be 1 to 256, found -1",
                         Error);
    CHECK_THROWS_WITH_AS(ThreadPool(257), "thread pool: threads must be 1 to 256, found 257",
                         Error);
    CHECK(ThreadPool(1).threads() == 1);
    CHECK(ThreadPool(256).threads() == 256);
}

TEST_CASE("messages: an output file has a name and ends once") {
    CHECK_THROWS_WITH_AS(OutputFile(""),
                         "expected the name of a file to write, found an empty one", Error);
    OutputFile file("/dev/null");
    file.write("x");
    file.commit();
    CHECK_THROWS_WITH_AS(file.commit(), "/dev/null: is complete already", Error);
}

TEST_SUITE_END();
