#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/half.hpp>
#include <kvlab/tensor/tensor.hpp>

#include "sanitizers.hpp"

using namespace kvlab;

TEST_SUITE_BEGIN("step01");

TEST_CASE("tensor: zeroed and aligned and row-major") {
    Tensor t({2, 3, 5});
    CHECK(reinterpret_cast<std::uintptr_t>(t.data()) % 64 == 0);
    for (float x : t.flat()) CHECK(x == 0.0f);
    t(1, 2, 4) = 7.0f;
    CHECK(t.flat()[1 * 15 + 2 * 5 + 4] == 7.0f);
    CHECK(t.view().transposed(0, 2)(4, 2, 1) == 7.0f);
    CHECK(t.view()[1].slice(0, 2, 3)(0, 4) == 7.0f);
}

TEST_CASE("tensor: shapes are checked at the door") {
    CHECK_THROWS_WITH_AS(Shape({2, -1}), "shape: axis 1 has negative extent -1", Error);
    CHECK_THROWS_AS(Shape({1, 1, 1, 1, 1}), Error);
    const Index huge = std::numeric_limits<Index>::max() / 2;
    CHECK_THROWS_AS(Shape({huge, 3}), Error);
    Tensor t({2, 3});
    CHECK_THROWS_WITH_AS(check_shape(t.view(), {3, 2}, "x"),
                         "x: expected shape [3, 2], found [2, 3]", Error);
    CHECK_THROWS_AS(t.view()[2], Error);
    CHECK_THROWS_AS(t.view().slice(1, 2, 4), Error);
    CHECK_FALSE(t.view().transposed(0, 1).contiguous());
    CHECK_THROWS_AS(t.view().transposed(0, 1).flat(), Error);
}

TEST_CASE("half: every f16 and bf16 survives the round trip") {
    for (std::uint32_t h = 0; h < 0x10000; ++h) {
        const auto bits = static_cast<std::uint16_t>(h);
        const bool f16_nan = (h & 0x7fff) > 0x7c00, bf16_nan = (h & 0x7fff) > 0x7f80;
        if (!f16_nan) REQUIRE(f32_to_f16(f16_to_f32(bits)) == bits);
        if (!bf16_nan) REQUIRE(f32_to_bf16(bf16_to_f32(bits)) == bits);
    }
    CHECK(f32_to_f16(65519.996f) == 0x7bff);  // the last value that rounds down to 65504
    CHECK(f32_to_f16(65520.0f) == 0x7c00);
    CHECK(f32_to_f16(0x1p-25f) == 0);  // a tie goes to the even neighbour, zero
    CHECK(f32_to_f16(0x1.8p-24f) == 2);
    CHECK(f32_to_f16(1.0f + 0x1p-11f) == 0x3c00);
    CHECK(f32_to_f16(1.0f + 0x1.8p-10f) == 0x3c02);
}

TEST_CASE("ulp distance") {
    CHECK(ulp_distance(1.0f, 1.0f) == 0);
    CHECK(ulp_distance(1.0f, 1.0f + 0x1p-23f) == 1);
    CHECK(ulp_distance(0.0f, -0.0f) == 1);
    CHECK(ulp_distance(-0x1p-149f, 0x1p-149f) == 3);
    CHECK(ulp_distance(std::numeric_limits<float>::quiet_NaN(), 1.0f) ==
          std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("memory: what is used, and the most that was") {
    const MemoryUse before = memory_use();
    {
        Tensor kept({100});  // 400 bytes: seven cache lines
        CHECK(memory_use().bytes == before.bytes + 448);
        reset_memory_peak();
        CHECK(memory_use().peak == before.bytes + 448);
        {
            const Tensor large({3, 1 << 20});
            Tensor moved = std::move(kept);
            CHECK(memory_use().bytes == before.bytes + 448 + (12 << 20));
        }
        CHECK(memory_use().bytes == before.bytes);
        CHECK(memory_use().peak == before.bytes + 448 + (12 << 20));
    }
    CHECK(memory_use().bytes == before.bytes);
    CHECK(memory_use().blocks == before.blocks + 2);
}

TEST_CASE("memory: zeros that nobody writes to take no room") {
    const auto resident = [] {
        std::ifstream pages("/proc/self/statm");
        Index all = 0, held = 0;
        pages >> all >> held;
        return held * static_cast<Index>(::sysconf(_SC_PAGESIZE));
    };
    constexpr Index kMost = Index{1} << 30, kSome = Index{256} << 20;
    const Index before = resident();
    for (const Index bytes : {kMost, Index{5} << 20}) {
        Memory memory(bytes, Memory::Fill::zeros);
        // The thread sanitizer's shadow of this memory is real memory.
        if (!KVLAB_SANITIZED) CHECK(resident() < before + kSome);
        CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % kAlignment == 0);
        memory.data()[bytes - 1] = std::byte{1};
        CHECK(memory.data()[0] == std::byte{0});
        CHECK(memory.data()[bytes / 2] == std::byte{0});
    }
    for (int i = 0; i < 8; ++i) {  // given back and taken again, they are zeros still
        Memory memory(Index{5} << 20, Memory::Fill::zeros);
        const std::byte* const bytes = memory.data();
        CHECK(std::all_of(bytes, bytes + (Index{5} << 20),
                          [](std::byte b) { return b == std::byte{0}; }));
        std::fill_n(memory.data(), Index{5} << 20, std::byte{0xff});
    }
}

TEST_SUITE_END();
