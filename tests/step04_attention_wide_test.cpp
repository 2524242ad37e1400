// The rungs of attention that load sixteen bytes at a time: every width of a head, every size
// of a group, long caches and long prompts; what they move; and which of them a step takes.
#include <doctest/doctest.h>

#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/simt.hpp>

#include "kernel_problems.hpp"
#include "skip.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const AttentionRung& rung_of(const char* name) {
    return find_rung(attention_rungs(), name);
}

// With these rungs, where they take the shape.
void check_wide(const AttentionShape& s, int block = 0) {
    const AttentionProblem problem(s);
    for (const char* name : {"vector", "async"}) {
        const AttentionRung& rung = rung_of(name);
        if (!rung.accepts(s.T, s.heads / s.kv_heads)) continue;
        CAPTURE(std::string(name));
        CAPTURE(s.T);
        CAPTURE(s.past);
        CAPTURE(s.heads);
        CAPTURE(s.kv_heads);
        CAPTURE(s.D);
        CHECK(problem.holds(rung, rung.blocks.size() == 1 ? 0 : block));
    }
}

std::vector<simt::LaunchRecord> launches_of(const AttentionShape& s, const char* rung) {
    const AttentionProblem problem(s);
    std::vector<simt::LaunchRecord> records;
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, nullptr, &records});
    CHECK(problem.holds(rung_of(rung), 0, 0));
    return records;
}

}  // namespace

TEST_SUITE_BEGIN("step04");

TEST_CASE("attention: wide loads with heads of 20 to 256 and groups of 1 to 16") {
    for (const Index D : {4, 20, 64, 68, 96, 128, 132, 256})
        for (const Index group : {1, 3, 4, 8, 16})
            for (const Index T : {1, 2, 9, 33})
                check_wide({T, 2 * group, 2, D, T == 9 ? 0 : 70});
}

TEST_CASE("attention: prompts of 1 to 130 tokens") {
    for (Index T = 1; T <= 130; ++T) check_wide({T, 3, 1, 12, T % 3 == 0 ? 61 : 0});
    for (const Index T : {31, 32, 33, 65, 127, 130})
        for (const Index D : {64, 96, 128}) check_wide({T, 3, 1, D, 0});
}

TEST_CASE("attention: blocks of few rows and of many") {
    for (const int block : {32, 64, 128, 256, 512, 1024})
        for (const Index D : {64, 128}) check_wide({50, 4, 2, D, 30}, block);
}

TEST_CASE("attention: caches of thousands of slots") {
    for (const Index past : {2047, 2048, 4095, 8191}) check_wide({1, 4, 2, 64, past});
    check_wide({4, 3, 1, 96, 8188});
}

TEST_CASE("attention: wide loads are ordered by every barrier in any order of threads") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    for (const simt::Order order :
         {simt::Order::forward, simt::Order::reverse, simt::Order::shuffled}) {
        const simt::Use use({simt::Mode::checked, order, 5, nullptr, nullptr});
        check_wide({1, 3, 1, 64, 130});
        check_wide({5, 3, 1, 128, 62});
        check_wide({30, 3, 1, 64, 55});
        check_wide({12, 3, 1, 96, 60}, 32);
    }
}

TEST_CASE("attention: wide loads move no sector twice and ask no bank twice") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    for (const Index D : {64, 128})
        for (const Index T : {1, 43})
            for (const char* rung : {"vector", "async"}) {
                const AttentionShape shape{T, 3, 1, D, 128 - T};
                if (!rung_of(rung).accepts(T, 3)) continue;
                for (const simt::LaunchRecord& launch : launches_of(shape, rung)) {
                    CAPTURE(launch.kernel);
                    CAPTURE(D);
                    CAPTURE(T);
                    const simt::Counters& c = launch.counters;
                    CHECK(c.loads.sectors == c.loads.minimal);
                    CHECK(c.stores.sectors == c.stores.minimal);
                    CHECK(c.shared_loads.conflicts() == 0);
                    CHECK(c.shared_stores.conflicts() == 0);
                }
            }
}

TEST_CASE("attention: a tile's keys and values are read once") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    // 2 * 128 slots of 64 floats are 2048 sectors; each block reads 3 heads' queries, 24.
    CHECK(launches_of({1, 3, 1, 64, 127}, "vector")[0].counters.loads.sectors == 2048 + 2 * 24);
    CHECK(launches_of({1, 3, 1, 64, 127}, "async")[0].counters.loads.sectors == 2048 + 24);
    // 43 tokens of 3 heads are 129 rows, 32 to a block: what each block's last row sees.
    const Index seen = 96 + 107 + 117 + 128 + 128;
    CHECK(launches_of({43, 3, 1, 64, 85}, "async")[0].counters.loads.sectors ==
          2 * 8 * seen + 129 * 8);
}

TEST_CASE("attention: 64 rows share a tile where there are blocks enough") {
    const auto threads = [](const AttentionShape& s) {
        const AttentionProblem problem(s);
        std::vector<simt::LaunchRecord> records;
        const simt::Use use({simt::Mode::raw, simt::Order::forward, 1, nullptr, &records});
        CHECK(problem.holds(rung_of("async"), 0));
        return records[0].threads();
    };
    CHECK(threads({1, 8, 8, 4, 0}) == 32);         // a row, and a warp's eight
    CHECK(threads({9, 8, 8, 4, 0}) == 64);         // nine
    CHECK(threads({128, 8, 8, 4, 0}) == 128);      // 8 * 2 blocks of 64 would be few
    CHECK(threads({128, 64, 64, 4, 0}) == 256);    // 64 * 2 are not
    CHECK(threads({128, 64, 64, 128, 0}) == 128);  // but wide heads need the memory
}

TEST_CASE("attention: scores that all lie far below zero") {
    for (const Index T : {1, 5, 30}) {
        AttentionProblem problem({T, 3, 1, 64, 100});
        for (float& key : problem.keys.flat()) key = key < 0 ? -key : key;
        for (float& query : problem.q.flat()) query = query < 0 ? 30 * query : -30 * query;
        problem.answer();
        for (const AttentionRung& rung : attention_rungs()) {
            if (!rung.accepts(T, 3)) continue;
            CAPTURE(std::string(rung.name));
            CHECK(problem.holds(rung, 0));
        }
    }
}

TEST_CASE("attention: which rung a step takes") {
    // Rows are tokens times the heads of a group; tiles are what the last token sees.
    const auto name = [](Index rows, Index tiles) {
        return std::string(suited_attention(rows, tiles).name);
    };
    for (const Index rows : {1, 3, 16}) {
        CHECK(name(rows, 1) == "async");
        CHECK(name(rows, 2) == "vector");
        CHECK(name(rows, 128) == "vector");
    }
    for (const Index rows : {17, 64, 400})
        for (const Index tiles : {1, 2, 128}) CHECK(name(rows, tiles) == "async");
}

TEST_CASE("attention: the cache takes the rung that suits the step, or the one it is told") {
    const KvShape shape{.layers = 1, .heads = 6, .kv_heads = 2, .head_dim = 64};
    const auto kernels = [&](CudaCache& cache, Index T) {
        const DeviceRows rows(T, 6 * 64, random_tensor({T, 6 * 64}, 1).flat()), out(T, 6 * 64);
        ThreadPool pool(1);
        std::vector<simt::LaunchRecord> records;
        const simt::Use use({simt::Mode::raw, simt::Order::forward, 1, nullptr, &records});
        cache.begin(T);
        cache.append(0, rows.heads(6).slice(1, 0, 2), rows.heads(6).slice(1, 2, 4));
        cache.attend(0, rows.heads(6), out.heads(6), pool);
        cache.commit();
        std::string names;
        for (const simt::LaunchRecord& launch : records) names += launch.kernel + " ";
        return names;
    };
    CudaCache cache(shape, 256);
    CHECK(kernels(cache, 40) == "append_rows attention_async_64 ");
    CHECK(kernels(cache, 1) == "append_rows attention_async_64 ");
    CHECK(kernels(cache, 23) == "append_rows attention_async_64 ");  // 64 slots, one tile
    CHECK(kernels(cache, 1) == "append_rows attention_vector combine_vector ");
    CHECK(kernels(cache, 5) == "append_rows attention_vector combine_vector ");
    CHECK(kernels(cache, 6) == "append_rows attention_async_64 ");  // 18 rows
    CudaCache told(shape, 256, &rung_of("fused"));
    CHECK(kernels(told, 70) == "append_rows attention_fused ");
    CHECK(kernels(told, 1) == "append_rows attention_fused ");
    CudaCache narrow(shape, 256, &rung_of("split"));
    CHECK(kernels(narrow, 70) == "append_rows attention_async_64 ");  // split takes no 210 rows
}

TEST_SUITE_END();
