// Step 2: how attention was shared out, for whoever wants to know. Mistakes in mind: weights of
// a tile left relative to its own maximum, rows mixed up where a piece cuts a group of heads in
// two, slots beyond the visible ones, an output that changes because somebody looks.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <mutex>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "models.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

struct Collector final : ShareReader {
    Index first = 0;
    std::map<std::pair<Index, Index>, std::vector<float>> rows;  // by token and head
    std::map<Index, std::vector<Index>> order;                   // by head: tokens as they come
    std::mutex mutex;

    Index first_token() const override { return first; }

    void read(Index token, Index head, std::span<const float> shares) override {
        const std::lock_guard lock(mutex);
        rows[{token, head}].assign(shares.begin(), shares.end());
        order[head].push_back(token);
    }
};

// The definition: weights of the whole row, times the reciprocal of their sum.
std::vector<float> plain_shares(const View<const float>& q, const View<const float>& k) {
    std::vector<float> scores, weights(usize(k.dim(0)));
    for (Index s = 0; s < k.dim(0); ++s)
        scores.push_back(dot(&q(0), 1, &k(s, 0), k.stride(1), q.dim(0)));
    const float total = softmax_weights(scores, weights);
    for (float& weight : weights) weight *= 1.0f / total;
    return weights;
}

}  // namespace

TEST_SUITE_BEGIN("step02");

TEST_CASE("shares: equal the plain loop and looking at them changes no bit") {
    struct Case {
        Index Hq, Hkv, D;
    };

    ThreadPool one(1), three(3);
    for (const Case c : {Case{4, 2, 16}, Case{8, 2, 12}, Case{7, 1, 20}, Case{3, 3, 64}})
        for (const Index past : {0, 5, 63, 64, 130, 520})
            for (const Index T : {1, 2, 7, 66}) {
                CAPTURE(c.Hq);
                CAPTURE(past);
                CAPTURE(T);
                const Index S = past + T, G = c.Hq / c.Hkv;
                // Scores of a standard deviation of 8: beyond a spread of 126 shares are
                // subnormal, and rounding twice is not rounding once.
                const float scale = 8.0f / std::sqrt(static_cast<float>(c.D));
                const Tensor q = random_tensor({T, c.Hq, c.D}, 1, scale),
                             k = random_tensor({S, c.Hkv, c.D}, 2);
                KvTiles tiles(S, c.Hkv, c.D);
                tiles.write(0, k.view(), random_tensor({S, c.Hkv, c.D}, 3).view());
                for (const SimdLevel level : supported_simd_levels())
                    for (ThreadPool* pool : {&one, &three}) {
                        Tensor out({T, c.Hq, c.D}), watched({T, c.Hq, c.D});
                        Collector collector;
                        collector.first = T / 2;
                        attend_tiles(level, *pool, q.view(), tiles, past, out.view());
                        attend_tiles(level, *pool, q.view(), tiles, past, watched.view(),
                                     &collector);
                        REQUIRE(compare_bits(out.flat(), watched.flat()).differ == 0);
                        REQUIRE(std::ssize(collector.rows) == (T - T / 2) * c.Hq);
                        for (Index t = T / 2; t < T; ++t)
                            for (Index h = 0; h < c.Hq; ++h) {
                                const auto expected = plain_shares(
                                    q.view()[t][h],
                                    k.view().slice(0, 0, past + t + 1).transposed(0, 1)[h / G]);
                                REQUIRE(collector.rows[{t, h}] == expected);
                                REQUIRE(collector.order[h][usize(t - T / 2)] == t);
                            }
                    }
            }
}

TEST_CASE("tiles: a slot copied over another is one head's key and value and no more") {
    const Tensor k = random_tensor({130, 2, 20}, 1), v = random_tensor({130, 2, 20}, 2);
    KvTiles tiles(130, 2, 20);
    tiles.write(0, k.view(), v.view());
    tiles.copy_slot(1, 129, 3);
    tiles.copy_slot(0, 2, 65);
    for (Index h = 0; h < 2; ++h)
        for (Index s = 0; s < 130; ++s) {
            const Index from = h == 1 && s == 3 ? 129 : h == 0 && s == 65 ? 2 : s;
            for (Index i = 0; i < 20; ++i) {
                REQUIRE(tiles.key(h, s, i) == k(from, h, i));
                REQUIRE(tiles.value(h, s, i) == v(from, h, i));
            }
        }
    CHECK_THROWS_AS(tiles.copy_slot(2, 0, 1), Error);
    CHECK_THROWS_AS(tiles.copy_slot(0, 192, 1), Error);
    CHECK_THROWS_AS(tiles.copy_slot(0, 0, -1), Error);
}

TEST_SUITE_END();
