// Sizes that do not exist: each must be an Error that names it, not a small block of memory.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/tensor/memory.hpp>
#include <kvlab/tensor/packed_matrix.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/sizes.hpp>
#include <kvlab/tensor/tensor.hpp>

#include "sanitizers.hpp"
#include "skip.hpp"

using namespace kvlab;

namespace {

constexpr Index kMostIndex = std::numeric_limits<Index>::max();

// Near every power of two at which a product of 2, 4, 64 ... of them wraps around.
std::vector<Index> huge_numbers() {
    std::vector<Index> all = {kMostIndex, kMostIndex - 1, kMostIndex - 63, kMostIndex / 2};
    for (int e = 55; e <= 62; ++e)
        for (const Index near : {-1, 0, 1}) all.push_back((Index{1} << e) + near);
    return all;
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("sizes: products and sums are right or refused") {
    CHECK(checked_product("x", {}) == 1);
    CHECK(checked_product("x", {3, 4, 5}) == 60);
    CHECK(checked_product("x", {0, 7}) == 0);
    CHECK(checked_product("x", {Index{1} << 31, Index{1} << 31}) == Index{1} << 62);
    CHECK(checked_sum("x", {kMostIndex - 1, 1}) == kMostIndex);
    CHECK_THROWS_WITH_AS(checked_product("tiles", {4, Index{1} << 61}),
                         "tiles: 4 x 2305843009213693952 does not fit in 64 bits", Error);
    CHECK_THROWS_WITH_AS(checked_product("tiles", {4, -1}),
                         "tiles: 4 x -1: a size must not be negative", Error);
    CHECK_THROWS_WITH_AS(checked_sum("slots", {kMostIndex, 63}),
                         "slots: 9223372036854775807 + 63 does not fit in 64 bits", Error);
    CHECK_THROWS_AS(checked_sum("slots", {-1, 5}), Error);
    CHECK(blocks_for(0, 64) == 0);
    CHECK(blocks_for(1, 64) == 1);
    CHECK(blocks_for(64, 64) == 1);
    CHECK(blocks_for(65, 64) == 2);
    CHECK(blocks_for(kMostIndex, 64) == Index{1} << 57);
}

TEST_CASE("sizes: memory of a size that no machine has is an Error with the size") {
    CHECK_THROWS_WITH_AS(Memory(-1, Memory::Fill::zeros),
                         "memory: expected memory of 0 to 2^47 bytes, found -1", Error);
    for (const Index bytes : huge_numbers()) {
        CHECK_THROWS_AS(Memory(bytes, Memory::Fill::nothing), Error);
        CHECK_THROWS_AS(MemoryPool().take(bytes), Error);
    }
    std::vector<float> list;
    CHECK_THROWS_AS(resize_list(list, kMostIndex / 2, "a list"), Error);
    CHECK_THROWS_AS(resize_list(list, -1, "a list"), Error);
    resize_list(list, 3, "a list");
    CHECK(list.size() == 3);
}

TEST_CASE("sizes: memory that this machine does not have is an Error with the size") {
    if (KVLAB_SANITIZED != 0) {
        test::skip("this sanitizer ends the program when memory is refused");
        return;
    }
    CHECK_THROWS_WITH_AS(Memory(kMostBytes, Memory::Fill::nothing),
                         "memory: this machine has no room for 140737488355328 bytes", Error);
    std::vector<float> list;
    CHECK_THROWS_WITH_AS(resize_list(list, kMostBytes / 4, "a list"),
                         "a list: this machine has no room for 140737488355328 bytes", Error);
    MemoryPool pool;
    CHECK_THROWS_AS(pool.take(kMostBytes), Error);
    CHECK(pool.take(64) != nullptr);  // and goes on as if nobody had asked
}

TEST_CASE("sizes: shapes whose strides would overflow are refused even when empty") {
    for (const Index n : huge_numbers()) {
        CHECK_THROWS_AS(Shape({n, 64}), Error);
        CHECK_THROWS_AS(Shape({0, n, n}), Error);
        CHECK_THROWS_AS(Shape({n, n, 0}), Error);
        CHECK_THROWS_AS(Tensor({n, 2}), Error);
    }
    CHECK(Shape({0, 5, 7}).size() == 0);
    CHECK(Shape({5, 0}).size() == 0);
    CHECK(Shape({}).size() == 1);
    CHECK(Tensor({0, 5}).size() == 0);
}

TEST_CASE("sizes: a tensor that was moved from is empty") {
    Tensor full({2, 3});
    full(1, 2) = 7.0f;
    Tensor other = std::move(full);
    CHECK(other(1, 2) == 7.0f);
    CHECK(full.size() == 0);         // NOLINT(bugprone-use-after-move)
    CHECK(full.shape() == Shape());  // NOLINT(bugprone-use-after-move)
    CHECK_THROWS_AS(full.view()[0], Error);
    full = std::move(other);
    CHECK(full(1, 2) == 7.0f);
    CHECK(other.shape() == Shape());  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("sizes: views refuse what is outside of them") {
    const Tensor t({2, 3});
    const View<const float> view = t.view();
    for (const Index bad :
         {Index{-1}, Index{2}, kMostIndex, std::numeric_limits<Index>::min()}) {
        CHECK_THROWS_AS(view[bad], Error);
        CHECK_THROWS_AS(view.slice(0, bad, 2 + (bad == 2)), Error);
        CHECK_THROWS_AS(view.slice(0, 1, bad == 2 ? 3 : bad), Error);
        CHECK_THROWS_AS(view.slice(bad, 0, 1), Error);
        CHECK_THROWS_AS(view.transposed(0, bad), Error);
    }
    CHECK_THROWS_AS(View<const float>()[0], Error);
}

TEST_CASE("sizes: tables and packed weights refuse what does not fit") {
    for (const Index n : huge_numbers()) {
        CHECK_THROWS_AS(RopeTable(n, 64, 10000.0), Error);
        CHECK_THROWS_AS(RopeTable(64, n / 2 * 2, 10000.0), Error);
        for (const TensorType type : {TensorType::f32, TensorType::q8_0, TensorType::q4_k}) {
            CHECK_THROWS_AS(PackedMatrix(n, 256, type), Error);
            CHECK_THROWS_AS(PackedMatrix(64, n / 256 * 256, type), Error);
            const Index count = n / 256 * 256;
            const double exact = static_cast<double>(count / block_elements(type)) *
                                 static_cast<double>(block_bytes(type));
            if (exact < 0x1p63)
                CHECK(static_cast<double>(bytes_for(type, count)) == exact);
            else
                CHECK_THROWS_AS(bytes_for(type, count), Error);
        }
    }
}

TEST_SUITE_END();
