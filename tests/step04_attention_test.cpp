// Attention on CUDA kernels: every rung gives the bits of chapter 2's plain loop.
#include <doctest/doctest.h>

#include <kvlab/cuda/device_sampler.hpp>

#include "kernel_problems.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

void check_all_rungs(const AttentionShape& s, bool every_block) {
    const AttentionProblem problem(s);
    for (const AttentionRung& rung : attention_rungs()) {
        if (!rung.accepts(s.T, s.heads / s.kv_heads)) continue;
        for (const int block : rung.blocks) {
            CAPTURE(std::string(rung.name));
            CAPTURE(block);
            CAPTURE(s.T);
            CAPTURE(s.past);
            CAPTURE(s.heads);
            CAPTURE(s.kv_heads);
            CAPTURE(s.D);
            CHECK(problem.holds(rung, block));
            if (!every_block) break;
        }
    }
}

}  // namespace

TEST_SUITE_BEGIN("step04");

TEST_CASE("attention: every rung equals the plain loop around the edges of a tile") {
    for (const Index past : {0, 1, 31, 62, 63, 64, 65, 127, 128, 300})
        for (const Index T : {1, 2, 5, 66}) check_all_rungs({T, 4, 2, 16, past}, false);
}

TEST_CASE("attention: every block size of every rung") {
    for (const Index T : {1, 4}) check_all_rungs({T, 4, 2, 16, 130}, true);
}

TEST_CASE("attention: MHA and GQA and MQA with heads of any width") {
    for (const Index D : {1, 10, 16, 32, 63, 64, 65, 80, 128, 256})
        for (const Index kv_heads : {1, 2, 6}) check_all_rungs({2, 6, kv_heads, D, 70}, false);
}

TEST_CASE("attention: checked launches report nothing in any order of threads") {
    if (!simt::has_checked_kernels()) return;
    for (const simt::Order order :
         {simt::Order::forward, simt::Order::reverse, simt::Order::shuffled}) {
        const simt::Use use({simt::Mode::checked, order, 3, nullptr});
        check_all_rungs({1, 4, 2, 16, 130}, true);
        check_all_rungs({3, 3, 1, 22, 63}, false);
        check_all_rungs({1, 6, 2, 72, 64}, false);
        check_all_rungs({20, 2, 2, 8, 50}, false);
    }
}

TEST_CASE("attention: sharp rows with a maximum that rises and falls from tile to tile") {
    for (const float sharpness : {4.0f, 12.0f}) {
        const AttentionProblem problem({1, 4, 2, 16, 500}, sharpness);
        for (const AttentionRung& rung : attention_rungs()) {
            CAPTURE(std::string(rung.name));
            CAPTURE(sharpness);
            CHECK(problem.holds(rung, 0));
        }
    }
}

TEST_CASE("attention: what does not fit is refused") {
    const DeviceRows q(2, 64), out(2, 64);
    const DeviceArray<float> keys(2 * 8 * 16), values(2 * 8 * 16);
    Scratch scratch;
    for (const AttentionRung& rung : attention_rungs()) {
        CAPTURE(std::string(rung.name));
        const auto run = [&](Index kv_heads, Index capacity, Index past, int block) {
            rung.run({q.heads(4), keys.get(), values.get(), kv_heads, capacity, past,
                      out.heads(4), scratch, block});
        };
        CHECK_THROWS_AS(run(2, 8, 7, 0), Error);  // a slot behind the cache
        CHECK_THROWS_AS(run(3, 8, 0, 0), Error);  // 4 query heads, 3 KV heads
        CHECK_THROWS_AS(run(2, 8, 0, 33 * 33), Error);
        CHECK_THROWS_AS(run(2, 8, -1, 0), Error);
    }
}

TEST_CASE("argmax: every rung finds the lowest index among the largest") {
    in_all_modes([] {
        for (const Index n : {1, 2, 31, 32, 33, 255, 256, 1000, 3000}) {
            std::vector<float> values = normals(n, static_cast<std::uint64_t>(n));
            std::vector<std::vector<float>> cases = {values,
                                                     std::vector<float>(values.size(), -3.0f)};
            for (const Index first : {Index{0}, n / 2, n - 1}) {  // ties with what follows
                cases.push_back(values);
                for (Index i = first; i < n; i += 7) at(cases.back(), i) = 50.0f;
            }
            cases.push_back(values);
            for (float& value : cases.back()) value = value > 0 ? 0.0f : -0.0f;  // equal, both
            for (const auto& row : cases) {
                const DeviceArray<float> on_device(std::span<const float>(row), "values");
                for (const ArgmaxRung& rung : argmax_rungs())
                    for (const int block : rung.blocks) {
                        CAPTURE(std::string(rung.name));
                        CAPTURE(n);
                        CHECK(rung.run({on_device.get(), n, block}) == argmax(row));
                    }
            }
        }
    });
}

TEST_CASE("argmax: more values than all blocks look at in one go, and scratch that is kept") {
    Scratch scratch;
    for (const Index n : {16384, 16385, 50000})
        for (const Index best : {Index{0}, n / 2, n - 1}) {
            std::vector<float> values(usize(n), -1.0f);
            for (Index i = best; i < n; i += 1000) at(values, i) = 2.0f;  // the lowest wins
            const DeviceArray<float> on_device(std::span<const float>(values), "values");
            for (const ArgmaxRung& rung : argmax_rungs()) {
                CAPTURE(std::string(rung.name));
                CAPTURE(n);
                CHECK(rung.run({on_device.get(), n, rung.blocks.back(), &scratch}) == best);
                CHECK(rung.run({on_device.get(), n, 0, &scratch}) == best);
                CHECK(rung.run({on_device.get(), n, rung.blocks.size() > 1 ? 32 : 0}) == best);
            }
        }
}

TEST_CASE("sampling: the tokens of the host's sampler") {
    in_all_modes([] {
        for (const float temperature : {0.0f, 0.3f, 1.0f, 5.0f})
            for (const Index n : {1, 2, 256, 3000}) {
                Sampler on_host({temperature, 0, 1.0f, 77});
                DeviceSampler on_device({temperature, 0, 1.0f, 77});
                for (int draw = 0; draw < 5; ++draw) {
                    const std::vector<float> logits =
                        normals(n, static_cast<std::uint64_t>(draw), 3.0f);
                    const DeviceArray<float> copy(std::span<const float>(logits), "logits");
                    CHECK(on_device.sample(copy.get(), n) == on_host.sample(logits));
                }
            }
    });
    CHECK_THROWS_AS(DeviceSampler({1.0f, 5, 1.0f, 1}), Error);
    CHECK_THROWS_AS(DeviceSampler({1.0f, 0, 0.5f, 1}), Error);
    CHECK_THROWS_AS(DeviceSampler({-1.0f, 0, 1.0f, 1}), Error);
}

TEST_SUITE_END();
