// What shapes, views and memory say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
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

constexpr Index kLargest = std::numeric_limits<Index>::max();

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("messages: an open task says which it is") {
    CHECK_THROWS_WITH_AS(todo("3.2"), "task 3.2 is not solved yet; see the chapter's README.md",
                         NotImplemented);
}

TEST_CASE("messages: shapes say which axis cannot be") {
    CHECK_THROWS_WITH_AS(Shape({1, 1, 1, 1, 1}), "shape: at most 4 axes, found 5", Error);
    CHECK(Shape({1, 1, 1, 1}).rank() == 4);
    CHECK_THROWS_WITH_AS(Shape({2, -3}), "shape: axis 1 has negative extent -3", Error);
    CHECK_THROWS_WITH_AS(Shape({-1}), "shape: axis 0 has negative extent -1", Error);
    CHECK(Shape({2, 0}).size() == 0);
    // Of several axes it is the one that is wrong.
    CHECK_THROWS_WITH_AS(Shape({1, 1, 1, -1}), "shape: axis 3 has negative extent -1", Error);
    CHECK_THROWS_WITH_AS(Shape({kLargest / 16, -1}), "shape: axis 1 has negative extent -1",
                         Error);
    // A sixteenth of the range, so that bytes can be counted too.
    CHECK(Shape({2, kLargest / 32}).size() == kLargest / 32 * 2);
    CHECK_THROWS_WITH_AS(
        Shape({2, kLargest / 32 + 1}),
        "shape: element count overflows at axis 1 with extent 288230376151711744", Error);
    CHECK_THROWS_WITH_AS(
        Shape({0, kLargest, 3}),
        "shape: element count overflows at axis 1 with extent 9223372036854775807", Error);
}

TEST_CASE("messages: views say what they look like") {
    const Tensor t({3, 4});
    const View<const float> view = t.view();
    CHECK_THROWS_WITH_AS(view.transposed(0, 1).flat(), "view: flat() of a strided view [4, 3]",
                         Error);
    CHECK(view.flat().size() == 12);
    CHECK(view[0].rank() == 1);
    CHECK_THROWS_WITH_AS(check_shape(view, Shape({4, 3}), "w"),
                         "w: expected shape [4, 3], found [3, 4]", Error);
    CHECK_THROWS_WITH_AS(check_shape(view, Shape({3, 4, 1}), "w"),
                         "w: expected shape [3, 4, 1], found [3, 4]", Error);
    CHECK_NOTHROW(check_shape(view, Shape({3, 4}), "w"));
    CHECK_THROWS_WITH_AS(check_shape(view, {3, 5}, "w"),
                         "w: expected shape [3, 5], found [3, 4]", Error);
    CHECK_THROWS_WITH_AS(check_shape(view, {3}, "w"), "w: expected shape [3], found [3, 4]",
                         Error);
    CHECK_THROWS_WITH_AS(check_shape(view, {3, 4, 0}, "w"),
                         "w: expected shape [3, 4, 0], found [3, 4]", Error);
    CHECK_NOTHROW(check_shape(view, {3, 4}, "w"));
}

TEST_CASE("messages: a pool of memory refuses what is no size") {
    MemoryPool pool;
    CHECK_THROWS_WITH_AS(pool.take(-1),
                         "memory pool: expected memory of 0 to 2^47 bytes, found -1", Error);
    CHECK_THROWS_WITH_AS(
        pool.take(kMostBytes + 1),
        "memory pool: expected memory of 0 to 2^47 bytes, found 140737488355329", Error);
    CHECK(pool.take(0) != nullptr);
    std::vector<float> list;
    CHECK_THROWS_WITH_AS(resize_list(list, kMostBytes / 4 + 1, "a list"),
                         "a list: expected memory of 0 to 2^47 bytes, found 140737488355332",
                         Error);
    CHECK(list.empty());
    CHECK_NOTHROW(check_bytes("most", kMostBytes));
}

TEST_CASE("messages: nothing has no largest and no median") {
    CHECK_THROWS_WITH_AS(argmax({}), "argmax: no values", Error);
    CHECK(argmax(std::vector<float>{-1.0f}) == 0);
    CHECK_THROWS_WITH_AS(quartiles({}), "quartiles: no samples", Error);
    CHECK(quartiles({3.0}).median == 3.0);
}

TEST_SUITE_END();
