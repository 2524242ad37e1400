// step04_borders_test.cpp - the executor's rules and the kernels at their borders: the last
// lane of a segment, a part of a word, one thread more than a block of 64.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include <kvlab/cuda/device_sampler.hpp>

#include "kernel_problems.hpp"
#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

namespace {

// The lane that a number comes from, as CUDA's guide says it of lanes within a segment.
int expected_source(int shuffle, int lane, int by, int width) {
    const int within = lane % width, first = lane - within;
    if (shuffle == 0) return first + by % width;
    if (shuffle == 1) return within < by ? lane : lane - by;
    if (shuffle == 2) return within + by >= width ? lane : lane + by;
    return (lane ^ by) / width > lane / width ? lane
                                              : lane ^ by;  // earlier segments may be read
}

using Elements = Kernel<int, int, const unsigned char*, unsigned char*>;

struct Size {
    const Elements& kernel;
    std::size_t bytes;
};

// Of the warps of `count` threads, whose elements lie `stride` apart from address 0 on.
simt::Counters expected_counts(Index count, Index stride, Index bytes) {
    simt::Counters sum;
    for (Index first = 0; first < count; first += 32) {
        std::set<Index> touched, sectors, words;
        for (Index t = first; t < std::min(count, first + 32); ++t)
            for (Index i = 0; i < bytes; ++i) {
                const Index at = t * stride * bytes + i;
                touched.insert(at);
                sectors.insert(at / 32);
                words.insert(at / 4);
            }
        std::map<Index, Index> of_bank;
        for (const Index word : words) ++of_bank[word % 32];
        Index waves = 0;
        for (const auto& [bank, served] : of_bank) waves = std::max(waves, served);
        const auto up = [](std::size_t n) { return (static_cast<Index>(n) + 31) / 32; };
        ++sum.loads.requests;
        sum.most_loads = 1;
        sum.loads.sectors += std::ssize(sectors);
        sum.loads.minimal += up(touched.size());
        ++sum.shared_loads.requests;
        sum.shared_loads.wavefronts += waves;
        sum.shared_loads.minimal += up(words.size());
    }
    sum.stores = sum.loads;
    sum.shared_stores = sum.shared_loads;
    sum.barriers = 1;
    return sum;
}

}  // namespace

TEST_CASE("simt borders: shuffles stay inside of segments of every width") {
    for (const simt::Mode mode : test_modes()) {
        const simt::Use use({mode, simt::Order::shuffled, 3, nullptr});
        for (const int width : {1, 2, 4, 8, 16, 32})
            for (int by = 0; by < 32; ++by) {
                const DeviceArray<int> out(4 * 32, "out");
                launch(shuffles_by, 1, 32, 0, width, by, out.get());
                const std::vector<int> found = out.to_host();
                for (int i = 0; i < 4 * 32; ++i) {
                    CAPTURE(width);
                    CAPTURE(by);
                    CAPTURE(i);
                    REQUIRE(at(found, i) == expected_source(i / 32, i % 32, by, width));
                }
            }
    }
}

TEST_CASE("simt borders: parts of words, whole ones and several are counted") {
    const Size sizes[] = {{elements_of_1, 1},
                          {elements_of_2, 2},
                          {elements_of_4, 4},
                          {elements_of_8, 8},
                          {elements_of_16, 16}};
    for (const simt::Mode mode : test_modes())
        for (const Size& size : sizes)
            for (const int stride : {1, 2, 3})
                for (const int count : {1, 31, 32, 33, 63, 64, 65}) {
                    CAPTURE(size.bytes);
                    CAPTURE(stride);
                    CAPTURE(count);
                    std::vector<unsigned char> bytes(65 * 3 * size.bytes);
                    for (std::size_t i = 0; i < bytes.size(); ++i)
                        bytes[i] = static_cast<unsigned char>(i % 251 + 1);
                    const DeviceArray<unsigned char> in(bytes, "in");
                    const DeviceArray<unsigned char> out(
                        std::vector<unsigned char>(bytes.size()), "out");
                    simt::Counters counters;
                    {
                        const simt::Use use({mode, simt::Order::forward, 1, &counters});
                        launch(size.kernel, 1, 65, 0, count, stride, in.get(), out.get());
                    }
                    const std::vector<unsigned char> found = out.to_host();
                    for (std::size_t i = 0; i < found.size(); ++i) {
                        const std::size_t element = i / size.bytes;
                        const bool moved =
                            element % usize(stride) == 0 && element < usize(count * stride);
                        REQUIRE(found[i] == (moved ? bytes[i] : 0));
                    }
                    if (mode == simt::Mode::checked)
                        CHECK(counters ==
                              expected_counts(count, stride, static_cast<Index>(size.bytes)));
                }
}

TEST_CASE("simt borders: products around one and sixteen blocks of 64") {
    for (const Index R : {1, 63, 64, 65})
        for (const Index K : {63, 64, 65, 1023, 1024, 1025})
            for (const Index N : {63, 64, 65}) {
                if (R > 1 && (K > 65 || N != 65)) continue;  // each border once
                const LinearProblem product(TensorType::f32, R, K, N,
                                            static_cast<std::uint64_t>(R + K * 100 + N));
                for (const LinearRung& rung : linear_rungs()) {
                    CAPTURE(std::string(rung.name));
                    CAPTURE(R);
                    CAPTURE(K);
                    CAPTURE(N);
                    CHECK(product.holds(rung, 0));
                }
            }
}

TEST_CASE("simt borders: norms of widths around one and sixteen blocks of 64") {
    for (const Index C : {63, 64, 65, 1023, 1024, 1025})
        for (const NormRung& rung : norm_rungs()) {
            CAPTURE(std::string(rung.name));
            CAPTURE(C);
            const Tensor x = random_tensor({3, C}, 1), weight = random_tensor({C}, 2);
            Tensor expected({3, C});
            for (Index r = 0; r < 3; ++r)
                rms_norm(&x(r, 0), weight.data(), 1e-5f, C, &expected(r, 0));
            const DeviceRows in(3, C, x.flat()), out(3, C);
            const DeviceArray<float> scale(std::span<const float>(weight.flat()), "weight");
            rung.run({in.view(), scale.get(), 1e-5f, out.view()});
            CHECK(out.untouched());
            CHECK(is_equal(out.values(), expected.flat()));
        }
}

TEST_CASE("simt borders: the largest of 1023, 1024 and 1025 numbers, wherever it is") {
    for (const Index n : {1, 63, 64, 65, 1023, 1024, 1025})
        for (const Index best : {Index{0}, n / 2, n - 1})
            for (const ArgmaxRung& rung : argmax_rungs()) {
                CAPTURE(std::string(rung.name));
                CAPTURE(n);
                CAPTURE(best);
                std::vector<float> values(usize(n), -1.0f);
                at(values, best) = 2.0f;
                at(values, n - 1) = 2.0f;  // the lower index wins
                const DeviceArray<float> on_device(values, "logits");
                CHECK(rung.run({on_device.get(), n}) == best);
            }
}

TEST_CASE("simt borders: attention around one and sixteen tiles of 64 slots") {
    for (const Index slots : {63, 64, 65, 1023, 1024, 1025})
        for (const Index T : {1, 2}) {
            const AttentionProblem problem({T, 3, 1, 16, slots - T});
            for (const AttentionRung& rung : attention_rungs()) {
                if (!rung.accepts(T, 3)) continue;
                CAPTURE(std::string(rung.name));
                CAPTURE(slots);
                CAPTURE(T);
                CHECK(problem.holds(rung, 0));
            }
        }
}

TEST_SUITE_END();
