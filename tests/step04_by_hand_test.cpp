// Step 4: what the chapter works out on paper is what its kernels and its executor say.
#include <doctest/doctest.h>

#include <vector>

#include <kvlab/cuda/ladders.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "../step04_cuda/app/by_hand.cuh"
#include "../step04_cuda/app/waiting.hpp"
#include "simt_support.hpp"
#include "skip.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

namespace {

// Counters of one warp that reads in[first + apart * lane].
simt::Counters read(int first, int apart) {
    simt::Counters counters;
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, &counters});
    const DeviceArray<float> in(counting_up(32 * 576), "in"), out(32, "out");
    launch(read_apart, 1, 32, 0, in.get(), out.get(), first, apart);
    CHECK(out.to_host()[31] == static_cast<float>(first + 31 * apart));
    return counters;
}

Index wavefronts(int width) {
    simt::Counters counters;
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, &counters});
    const DeviceArray<float> out(32, "out");
    launch(read_column, 1, 32, usize(32 * width) * sizeof(float), out.get(), width);
    CHECK(out.to_host()[31] == 0.0f);
    return counters.shared_loads.wavefronts;
}

}  // namespace

TEST_CASE("by hand: twelve threads double ten numbers") {
    const DeviceArray<float> in(counting_up(10), "in"), out(10, "out");
    launch(twice, 3, 4, 0, in.get(), out.get(), 10);
    for (std::size_t i = 0; i < 10; ++i)
        CHECK(out.to_host()[i] == 2.0f * static_cast<float>(i));
}

TEST_CASE("by hand: a thread after the last number is reported") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, nullptr});
    const DeviceArray<float> in(counting_up(10), "in"), out(10, "out");
    try {
        launch(twice_without_guard, 3, 4, 0, in.get(), out.get(), 10);
        FAIL("nothing was reported");
    } catch (const simt::Fault& fault) {
        CHECK(fault.kind == simt::FaultKind::out_of_bounds);
        CHECK(fault.block.x == 2);
        CHECK(fault.thread.x == 2);
        CHECK(fault.memory == "in");
    }
}

TEST_CASE("by hand: a request of 32 lanes counts as the chapter says") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    CHECK(read(0, 1).loads.sectors == 4);
    CHECK(read(1, 1).loads.sectors == 5);
    CHECK(read(0, 2).loads.sectors == 8);
    CHECK(read(0, 8).loads.sectors == 32);
    CHECK(read(0, 576).loads.sectors == 32);
    CHECK(read(5, 0).loads.sectors == 1);
}

TEST_CASE("by hand: a column of shared memory counts as the chapter says") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    CHECK(wavefronts(1) == 1);
    CHECK(wavefronts(2) == 2);
    CHECK(wavefronts(32) == 32);
    CHECK(wavefronts(33) == 1);
    CHECK(wavefronts(64) == 32);
    CHECK(wavefronts(65) == 1);
}

TEST_CASE("by hand: warps that wait for loads of 20 clocks") {
    // A load and a use are a clock each. One at a time: four times 20 clocks and a use.
    CHECK(app::clocks_of({1, 4, 1, 20}) == 4 * 21);
    // Four at a time: the last load starts at clock 3, is there at 23, and is used there.
    CHECK(app::clocks_of({1, 4, 4, 20}) == 24);
    CHECK(app::clocks_of({4, 4, 1, 20}) == 4 * 24);
    CHECK(app::clocks_of({32, 4, 1, 20}) == 2 * 4 * 32);  // nothing is left to hide
    CHECK(app::clocks_of({1, 1, 1, 5}) == 6);
}

TEST_CASE("by hand: a sum of three chains is in order on every rung") {
    constexpr Index kDepth = 3 * 64;
    std::vector<float> weights(usize(kDepth), 0.0f);
    weights[0] = 16777216.0f;
    weights[64] = weights[128] = 1.0f;
    PackedMatrix packed(1, kDepth, TensorType::f32);
    packed.set_outputs(0, std::as_bytes(std::span<const float>(weights)));
    const DeviceArray<float> x(std::vector<float>(usize(kDepth), 1.0f), "x"), y(1, "y");
    for (const LinearRung& rung : linear_rungs()) {
        CAPTURE(rung.name);
        const DeviceMatrix w(packed, rung.layout);
        for (const int block : rung.blocks) {
            Scratch scratch;
            rung.run({w, nullptr, View<const float>(x.get(), {1, kDepth}),
                      View<float>(y.get(), {1, 1}), scratch, block});
            CHECK(y.to_host()[0] == 16777216.0f);  // a tree would say 16777218
        }
    }
}

TEST_CASE("by hand: a maximum that grows over three tiles") {
    constexpr Index kSlots = 3 * 64;
    const float scores[] = {3, 2, 5, 3, 4, 4}, numbers[] = {1, 2, 2, 3, 1, 3};
    float total = 0.0f;
    std::vector<float> keys(usize(kSlots), -1000.0f), values(usize(kSlots), 0.0f);
    for (std::size_t s = 0; s < 6; ++s) {
        total += kvlab::exp2(scores[s] - 5.0f);
        keys[s / 2 * 64 + s % 2] = scores[s];
        values[s / 2 * 64 + s % 2] = numbers[s];
    }
    CHECK(total == 2.625f);
    CHECK((1.5f * 0.25f + 1.25f) + 2.0f * 0.5f == 2.625f);
    const DeviceArray<float> q(std::vector<float>{1.0f}, "q"), k(keys, "k"), v(values, "v"),
        out(1, "out");
    for (const AttentionRung& rung : attention_rungs()) {
        CAPTURE(rung.name);
        Scratch scratch;
        rung.run({View<const float>(q.get(), {1, 1, 1}), k.get(), v.get(), 1, kSlots,
                  kSlots - 1, View<float>(out.get(), {1, 1, 1}), scratch});
        CHECK(out.to_host()[0] == 2.0f);
    }
}

TEST_CASE("by hand: the largest of eight by a tree of four threads") {
    const DeviceArray<float> values(std::vector<float>{3, 7, 7, 1, 7, 2, 0, 9}, "values");
    const ArgmaxRung& tree = find_rung(argmax_rungs(), "tree");
    CHECK(tree.run({values.get(), 8, 4}) == 7);
    CHECK(tree.run({values.get(), 7, 4}) == 1);
}

TEST_SUITE_END();
