// Parameters at their borders: the first and the last that are right, and their neighbours that
// are not. What breaks here: < for <=, a loop that ends one early, a tail that is not taken.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/tensor/simd_level.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

#include "random_data.hpp"

using namespace kvlab;

namespace {

constexpr Index kWidths[] = {1, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025};

Shape shape_of_rank(Index rank) {
    const std::vector<Index> extents(usize(rank), 2);
    return Shape(extents);
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("borders: an axis is one of the rank and no more") {
    for (Index rank = 1; rank <= kMaxRank; ++rank) {
        CAPTURE(rank);
        const Tensor t(shape_of_rank(rank));
        const View<const float> view = t.view();
        CHECK(view.transposed(0, rank - 1).shape() == view.shape());
        CHECK(view.slice(rank - 1, 0, 2).shape() == view.shape());
        CHECK(view.slice(rank - 1, 2, 2).size() == 0);
        // Ranks below the largest have an extent of 0 behind their last: to exchange that would
        // go unnoticed.
        for (const Index axis : {Index{-1}, rank, rank + 1}) {
            CAPTURE(axis);
            CHECK_THROWS_WITH_AS(
                view.transposed(axis, 0),
                concat("view: axes ", axis, ", 0 outside of ", view.shape()).c_str(), Error);
            CHECK_THROWS_WITH_AS(
                view.transposed(0, axis),
                concat("view: axes 0, ", axis, " outside of ", view.shape()).c_str(), Error);
            CHECK_THROWS_WITH_AS(
                view.slice(axis, 0, 0),
                concat("view: axis ", axis, " outside of ", view.shape()).c_str(), Error);
        }
        CHECK_THROWS_AS(view.slice(0, 0, 3), Error);
        CHECK_THROWS_AS(view.slice(0, 2, 1), Error);
        CHECK_THROWS_AS(view.slice(0, -1, 1), Error);
        CHECK(view[1].rank() == rank - 1);
        CHECK_THROWS_WITH_AS(view[2], concat("view: index 2 outside of ", view.shape()).c_str(),
                             Error);
        CHECK_THROWS_AS(view[-1], Error);
    }
    CHECK_THROWS_AS(shape_of_rank(kMaxRank + 1), Error);
    CHECK_THROWS_AS(View<const float>().transposed(0, 0), Error);
}

TEST_CASE("borders: a look at rank and strides is contiguous or is not") {
    const Tensor t({3, 4});
    CHECK(t.view().slice(0, 1, 2).contiguous());
    CHECK(t.view().slice(0, 1, 3).contiguous());
    CHECK_FALSE(t.view().slice(1, 0, 3).contiguous());
    // A single row of a slice has no gap in it; the stride of an axis of one does not count.
    CHECK(t.view().slice(1, 0, 3).slice(0, 1, 2).contiguous());
    CHECK(t.view().slice(1, 0, 1).slice(0, 0, 1).transposed(0, 1).contiguous());
}

TEST_CASE("borders: the last term counts at every width") {
    for (const Index n : kWidths) {
        CAPTURE(n);
        std::vector<float> a(usize(n)), b(a);
        a.back() = 3.0f, b.back() = 5.0f;
        CHECK(dot(a.data(), b.data(), n) == 15.0f);
        CHECK(sum(a.data(), n) == 3.0f);
        CHECK(argmax(a) == n - 1);
        CHECK(all_finite(a));
        std::vector<float> weights(a.size());
        a.back() = 127.0f;  // 2^127 is all of the sum
        CHECK(softmax_weights(a, weights) == weights.back());
        a.back() = std::nanf("");
        CHECK_FALSE(all_finite(a));
        a.back() = std::numeric_limits<float>::infinity();
        CHECK_FALSE(all_finite(a));
        a.back() = 0.0f, a.front() = std::nanf("");
        CHECK_FALSE(all_finite(a));
        // And what lies behind the last does not.
        std::vector<float> longer = test::normals(n + 1, 7), other = longer;
        other.back() = 1e30f;
        CHECK(dot(longer.data(), b.data(), n) == dot(other.data(), b.data(), n));
        const std::span<const float> first(longer.data(), usize(n));
        CHECK(checksum(first) == checksum(std::span<const float>(other.data(), first.size())));
        CHECK(checksum(longer) != checksum(other));
    }
}

TEST_CASE("borders: every output and every input of a product, at every width") {
    ThreadPool pool(2);
    for (const Index K : kWidths)
        for (const Index N : {Index{1}, Index{63}, Index{64}, Index{65}, Index{1025}}) {
            CAPTURE(K);
            CAPTURE(N);
            Tensor x({1, K}), w({N, K}), expected({1, N}), y({1, N});
            x(0, K - 1) = 2.0f;
            for (Index n = 0; n < N; ++n) w(n, K - 1) = static_cast<float>(n + 1);
            const PackedMatrix packed = PackedMatrix::pack(w.view());
            matmul_plain(x.view(), w.view(), expected.view());
            for (const SimdLevel level : supported_simd_levels()) {
                for (float& value : y.flat()) value = -1.0f;
                matmul(tensor_kernels(level), pool, x.view(), packed, y.view());
                for (Index n = 0; n < N; ++n) {
                    REQUIRE(expected(0, n) == 2.0f * static_cast<float>(n + 1));
                    REQUIRE(y(0, n) == expected(0, n));
                }
            }
        }
}

TEST_CASE("borders: a table of angles has its first and its last position") {
    for (const Index positions : {1, 511, 512, 513, 1024, 1025}) {
        CAPTURE(positions);
        const RopeTable table(positions, 4, 10000.0);
        CHECK(table.cos(0)[0] == 1.0f);
        CHECK(table.sin(0)[1] == 0.0f);
        CHECK(std::fabs(table.cos(positions - 1)[0] -
                        static_cast<float>(std::cos(positions - 1))) < 1e-6f);
        CHECK(std::fabs(table.sin(positions - 1)[1] -
                        static_cast<float>(std::sin((positions - 1) / 100.0))) < 1e-6f);
    }
}

TEST_CASE("borders: one candidate left is drawn and still uses a random number") {
    const auto logits = test::normals(50, 3);
    const Index best = argmax(logits);
    for (const SamplingOptions& one :
         {SamplingOptions{.temperature = 5.0f, .top_k = 1, .seed = 2},
          SamplingOptions{.temperature = 5.0f, .top_p = 0x1p-20f, .seed = 2},
          SamplingOptions{.temperature = 5.0f, .top_k = 7, .top_p = 0x1p-20f, .seed = 2}}) {
        Sampler sampler(one);
        for (int i = 0; i < 50; ++i) CHECK(sampler.sample(logits) == best);
    }
    for (const float temperature : {0.0f, 1.0f}) {
        Sampler sampler({.temperature = temperature, .seed = 2});
        const std::vector<float> alone = {-3.0f};
        for (int i = 0; i < 5; ++i) CHECK(sampler.sample(alone) == 0);
    }
    // A choice of one took a number, so that what follows does not depend on how
    // many there were.
    Sampler first({.temperature = 1.0f, .seed = 2}), second({.temperature = 1.0f, .seed = 2});
    first.sample(std::vector<float>{1.0f});
    second.sample(logits);
    for (int i = 0; i < 20; ++i) CHECK(first.sample(logits) == second.sample(logits));
}

TEST_CASE("borders: the last candidate can be drawn and the one behind it cannot") {
    const std::vector<float> even(5, 1.0f);
    const auto seen = [&](SamplingOptions options) {
        options.temperature = 1.0f;
        Sampler sampler(options);
        std::vector<bool> drawn(5);
        for (int i = 0; i < 400; ++i) at(drawn, sampler.sample(even)) = true;
        return drawn;
    };
    CHECK(seen({}) == std::vector<bool>(5, true));
    CHECK(seen({.top_k = 5}) == std::vector<bool>(5, true));
    CHECK(seen({.top_k = 6}) == std::vector<bool>(5, true));
    CHECK(seen({.top_k = 4}) == std::vector<bool>{true, true, true, true, false});
    CHECK(seen({.top_p = 0.79f}) == std::vector<bool>{true, true, true, true, false});
    CHECK(seen({.top_p = 0.81f}) == std::vector<bool>(5, true));
}

TEST_CASE("borders: without options nothing is drawn") {
    const auto logits = test::normals(9, 4);
    Sampler sampler((SamplingOptions()));
    for (int i = 0; i < 5; ++i) CHECK(sampler.sample(logits) == argmax(logits));
    Sampler least({.temperature = Sampler::kLeastTemperature});
    CHECK(least.sample(logits) == argmax(logits));
    CHECK_THROWS_AS(Sampler({.temperature = std::nextafter(0x1p-20f, 0.0f)}), Error);
    CHECK_THROWS_AS(Sampler({.temperature = std::numeric_limits<float>::infinity()}), Error);
    CHECK_THROWS_AS(Sampler({.top_p = std::nextafter(1.0f, 2.0f)}), Error);
    CHECK_THROWS_AS(Sampler({.top_p = std::nanf("")}), Error);
    CHECK_THROWS_AS(Sampler({.temperature = 1.0f}).sample({}), Error);
}

TEST_SUITE_END();
