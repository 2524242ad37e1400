// Decoding over a long cache, where several threads share the tiles of one token.
#include <doctest/doctest.h>

#include <kvlab/attention/attention.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/random.hpp>

#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step02");

TEST_CASE("2.1 attention: one token over a long cache has the same bits with any threads") {
    ThreadPool one(1), two(2), three(3);
    for (const Index heads : {6, 7})  // groups of 6 rows, and of 7: more than a kernel takes
        for (const Index past : {511, 512, 513, 575, 576, 1000}) {
            CAPTURE(heads);
            CAPTURE(past);
            const Index D = 20, S = past + 1;
            const Tensor q = random_tensor({1, 2 * heads, D}, 4, 3.0f);
            const Tensor k = random_tensor({S, 2, D}, 5), v = random_tensor({S, 2, D}, 6);
            KvTiles tiles(S, 2, D);
            tiles.write(0, k.view(), v.view());
            Tensor expected({1, 2 * heads, D});
            attend_tiles(SimdLevel::portable, one, q.view(), tiles, past, expected.view());
            for (const SimdLevel level : supported_simd_levels())
                for (ThreadPool* pool : {&one, &two, &three}) {
                    Tensor out({1, 2 * heads, D});
                    attend_tiles(level, *pool, q.view(), tiles, past, out.view());
                    REQUIRE(compare_bits(out.flat(), expected.flat()).differ == 0);
                }
        }
}

TEST_SUITE_END();
