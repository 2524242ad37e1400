// step04_words_test.cpp - CUDA's words on a CPU: each gives what a GPU gives.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include <kvlab/cuda/device.hpp>

#include "device_support.hpp"
#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

TEST_CASE("simt words: bits") {
    const std::vector<unsigned> in = {0, 1, 2, 77, 0x80000000u, 0xffffffffu, 0x00012340u};
    in_all_modes([&] {
        const DeviceArray<unsigned> device(in);
        const DeviceArray<unsigned> out(std::ssize(in) * 8);
        launch(words_of_bits, 1, 32, 0, device.get(), out.get(), static_cast<int>(in.size()));
        const std::vector<unsigned> found = out.to_host();
        for (std::size_t i = 0; i < in.size(); ++i) {
            const unsigned x = in[i];
            CAPTURE(x);
            unsigned reversed = 0, first = 0;
            for (unsigned b = 0; b < 32; ++b) {
                if ((x >> b & 1u) == 0) continue;
                reversed |= 1u << (31 - b);
                if (first == 0) first = b + 1;
            }
            const auto product = static_cast<std::int64_t>(static_cast<int>(x)) * -7;
            const unsigned expected[] = {
                static_cast<unsigned>(std::popcount(x)),
                first,
                static_cast<unsigned>(std::countl_zero(x)),
                reversed,
                static_cast<unsigned>(std::uint64_t{x} * 0x9e3779b9u >> 32),
                static_cast<unsigned>(product >> 32),
                x > 77u ? x : 77u,
                static_cast<int>(x) < 77 ? x : 77u};
            for (std::size_t k = 0; k < 8; ++k) {
                CAPTURE(k);
                CHECK(found[8 * i + k] == expected[k]);
            }
        }
    });
}

TEST_CASE("simt words: floats become integers in the direction that is named") {
    const float inf = std::numeric_limits<float>::infinity();
    const std::vector<float> in = {0.5f, -0.5f, 1.5f, 2.5f, -2.5f, 3.7f, -3.7f,
                                   3e9f, -3e9f, 5e9f, inf,  -inf,  NAN,  0.0f};
    constexpr int kMost = std::numeric_limits<int>::max(), kLeast = -kMost - 1;

    struct Row {
        int nearest, zero, down, up;
        unsigned nearest_unsigned, zero_unsigned;
    };

    const Row expected[] = {{0, 0, 0, 1, 0, 0},
                            {0, 0, -1, 0, 0, 0},
                            {2, 1, 1, 2, 2, 1},
                            {2, 2, 2, 3, 2, 2},
                            {-2, -2, -3, -2, 0, 0},
                            {4, 3, 3, 4, 4, 3},
                            {-4, -3, -4, -3, 0, 0},
                            {kMost, kMost, kMost, kMost, 3000000000u, 3000000000u},
                            {kLeast, kLeast, kLeast, kLeast, 0, 0},
                            {kMost, kMost, kMost, kMost, 0xffffffffu, 0xffffffffu},
                            {kMost, kMost, kMost, kMost, 0xffffffffu, 0xffffffffu},
                            {kLeast, kLeast, kLeast, kLeast, 0, 0},
                            {0, 0, 0, 0, 0, 0},
                            {0, 0, 0, 0, 0, 0}};
    in_all_modes([&] {
        const DeviceArray<float> device(in);
        const DeviceArray<int> out(std::ssize(in) * 14);
        launch(words_of_floats, 1, 32, 0, device.get(), out.get(), static_cast<int>(in.size()));
        const std::vector<int> found = out.to_host();
        for (std::size_t i = 0; i < in.size(); ++i) {
            CAPTURE(i);
            const int* row = &found[14 * i];
            CHECK(row[0] == expected[i].nearest);
            CHECK(row[1] == expected[i].zero);
            CHECK(row[2] == expected[i].down);
            CHECK(row[3] == expected[i].up);
            CHECK(static_cast<unsigned>(row[4]) == expected[i].nearest_unsigned);
            CHECK(static_cast<unsigned>(row[5]) == expected[i].zero_unsigned);
            const int bits = std::bit_cast<int>(in[i]);
            CHECK(row[6] == bits);
            CHECK(row[7] == bits);
            CHECK(row[8] == std::bit_cast<int>(static_cast<float>(bits)));
            const std::int64_t wide =
                static_cast<std::int64_t>(row[12]) << 32 | static_cast<std::uint32_t>(row[13]);
            constexpr auto kWidest = std::numeric_limits<std::int64_t>::max();
            CHECK(wide == (in[i] == inf     ? kWidest
                           : in[i] == -inf  ? -kWidest - 1
                           : in[i] != in[i] ? -kWidest - 1  // CUDA's choice
                                            : std::llrint(in[i])));
            if (in[i] != in[i]) continue;
            CHECK(row[9] == std::bit_cast<int>(in[i] / 3.0f));
            CHECK(row[10] == std::bit_cast<int>(in[i] - 0.1f));
            CHECK(row[11] == std::bit_cast<int>(std::sqrt(in[i] * in[i])));
        }
    });
}

TEST_CASE("simt words: atomics") {
    in_all_modes([] {
        std::vector<int> zeros(128);
        zeros[4] = -1;
        const DeviceArray<int> counts(zeros);
        const DeviceArray<unsigned> unsigneds(std::vector<unsigned>(3));
        launch(words_of_atomics, 1, 64, 0, counts.get(), unsigneds.get());
        const std::vector<int> found = counts.to_host();
        const int expected[] = {2016, -2016, -63, 63, ~0xff, (1 << 30) - 1, 6, 64, 1, 1};
        for (std::size_t k = 0; k < std::size(expected); ++k) {
            CAPTURE(k);
            // 64 threads flip bit i % 3: 22, 21 and 21 times.
            CHECK(found[k] == expected[k]);
        }
        for (int ticket = 0; ticket < 64; ++ticket)
            CHECK(at(found, 16 + ticket) == 100 + ticket);
        // 0 .. 9 and round again, 64 times; from 0 to 9 and down.
        CHECK(unsigneds.to_host() == std::vector<unsigned>{4, 6, 0x8000003fu});
    });
}

TEST_CASE("simt words: barriers that count") {
    in_all_modes([] {
        for (const int yes : {0, 1, 33, 64}) {
            std::vector<int> in(64);
            for (int i = 0; i < yes; ++i) in[usize((7 * i) % 64)] = i % 2 == 0 ? 4 : -1;
            const DeviceArray<int> device(in), out(3 * 64);
            launch(words_of_barriers, 1, 64, 0, device.get(), out.get());
            const std::vector<int> found = out.to_host();
            for (std::size_t i = 0; i < 64; ++i) {
                CHECK(found[3 * i] == yes);
                CHECK(found[3 * i + 1] == (yes > 0 ? 1 : 0));
                CHECK(found[3 * i + 2] == (yes == 64 ? 1 : 0));
            }
        }
    });
}

TEST_CASE("simt words: a partial warp shuffles down from lanes that are not there") {
    in_all_modes([] {
        for (const Index n : {1, 7, 16, 31}) {
            TestData data(n);
            data.run(partial_warp_sum, 1, 32, 0);
            CHECK(data.out.to_host()[0] == static_cast<float>(n * (n - 1) / 2));
        }
        if (selected_device() == Device::gpu) return;  // which leaves it open what comes
        TestData data;
        data.run(outside_of_the_mask, 1, 32, 0);
        const std::vector<float> out = data.out.to_host();
        for (const Index i : {4, 5, 6, 7, 8, 9, 10, 11, 24, 25, 26, 27})
            CHECK((i == 8 || i == 9 || i == 10 || i == 11
                       ? at(out, i) == static_cast<float>(i - 8)
                       : std::isnan(at(out, i))));
        CHECK(at(out, 0) == 4.0f);
        CHECK(at(out, 15) == 3.0f);
        CHECK(at(out, 31) == 27.0f);
    });
}

TEST_SUITE_END();
