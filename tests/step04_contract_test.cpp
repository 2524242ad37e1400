// The numeric contract in the words of a kernel is that of chapter 1.
#include <doctest/doctest.h>

#include <cstring>

#include <kvlab/tensor/half.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "random_data.hpp"
#include "simt_kernels/contract.cuh"
#include "simt_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

bool same_number(float a, float b) {
    std::uint32_t x = 0, y = 0;
    std::memcpy(&x, &a, 4);
    std::memcpy(&y, &b, 4);
    return x == y || (a != a && b != b);  // the bits of a NaN are nobody's business
}

}  // namespace

TEST_SUITE_BEGIN("step04");

TEST_CASE("contract: every half and every bfloat16 and every power of two has the same bits") {
    const DeviceArray<float> out(3 * 65536);
    launch(contract_halves, 512, 128, 0, out.get());
    const std::vector<float> found = out.to_host();
    Index wrong = 0;
    for (std::size_t i = 0; i < 65536; ++i) {
        const auto bits = static_cast<std::uint16_t>(i);
        wrong += same_number(found[3 * i], f16_to_f32(bits)) ? 0 : 1;
        wrong += same_number(found[3 * i + 1], bf16_to_f32(bits)) ? 0 : 1;
        wrong += same_number(found[3 * i + 2], pow2(static_cast<float>(i) - 32768.0f)) ? 0 : 1;
    }
    CHECK(wrong == 0);
}

TEST_CASE("contract: the functions have the same bits for ordinary and extreme numbers") {
    std::vector<float> x = extremes(100000, 31);
    for (int i = 0; i < 100000; ++i)  // all over the range of 2^x
        x.push_back(static_cast<float>(i - 50000) * 0.0027f);
    const DeviceArray<float> in(std::span<const float>(x), "x"), out(5 * std::ssize(x));
    launch(contract_functions, static_cast<unsigned>(x.size() / 128 + 1), 128, 0, in.get(),
           out.get(), static_cast<int>(x.size()));
    const std::vector<float> found = out.to_host();
    Index wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const Exp2Parts parts = exp2_parts(x[i]);
        const float expected[] = {exp2(x[i]), parts.p, parts.n, silu(x[i]), gelu(x[i])};
        for (std::size_t j = 0; j < 5; ++j)
            if (!same_number(found[5 * i + j], expected[j])) {
                CAPTURE(x[i]);
                CAPTURE(j);
                if (++wrong == 1) CHECK(found[5 * i + j] == expected[j]);
            }
    }
    CHECK(wrong == 0);
}

TEST_SUITE_END();
