// Step 6: keys and values of low rank. Mistakes in mind: a factorisation that is none,
// whitening that does not whiten, latents of rotated keys, a slot's scale used for its
// neighbour, pieces, forks and truncation.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/latent_plan.hpp>

#include "models.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

std::vector<double> random_doubles(Index n, std::uint64_t seed) {
    const std::vector<float> values = normals(n, seed);
    return {values.begin(), values.end()};
}

// Calibrated on one text, run on another.
struct LowRank {
    Config config = small_config();
    std::unique_ptr<WeightSource> weights = make_synthetic(config, 80);
    std::unique_ptr<Engine> engine = make_cpu_engine({2});
    std::shared_ptr<const Model> model = load_model(*weights, *engine);
    Calibration seen = calibrate(
        *weights, {random_tokens(201, config.vocab, 81), 0, 100}, low_rank_calibration());
    Bases plain = find_bases(*weights), whitened = find_bases(*weights, &seen);
    std::vector<Token> tokens = random_tokens(150, config.vocab, 82);
    Index N = config.kv_heads * config.head_dim;

    std::unique_ptr<KvStore> cache(Index keys,
                                   Index values,
                                   Format format = &formats::f32,
                                   SimdLevel level = default_simd_level()) const {
        const auto L = usize(config.layers);
        const LatentRanks ranks{std::vector<Index>(L, keys), std::vector<Index>(L, values)};
        return make_latent_cache(std::make_shared<LatentPlan>(model, whitened, ranks, format),
                                 200, level);
    }

    std::vector<float> run(KvStore& store, Index piece = 150) const {
        Decoder decoder(model, *engine);
        std::vector<float> logits;
        for (Index begin = store.next_position(); begin < 150; begin += piece) {
            const Index count = std::min(piece, 150 - begin);
            const auto rows = decoder.forward(
                store, std::span(tokens).subspan(usize(begin), usize(count)), LogitsOf::all);
            logits.insert(logits.end(), rows.flat().begin(), rows.flat().end());
        }
        return logits;
    }
};

double farthest(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    double most = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        most = std::max(most, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    return most;
}

}  // namespace

TEST_CASE("low rank: the factors are those of the matrix") {
    for (const auto& size : {std::pair<Index, Index>{1, 5}, {6, 6}, {12, 40}, {20, 7}}) {
        const Index R = size.first, C = size.second;
        CAPTURE(R);
        const std::vector<double> a = random_doubles(R * C, 83);
        const LeftSvd svd = left_svd(a, R, C);
        for (Index i = 0; i < R; ++i)
            for (Index j = 0; j < R; ++j) {
                double dot = 0;  // U orthonormal
                for (Index n = 0; n < R; ++n)
                    dot += at(svd.u, n * R + i) * at(svd.u, n * R + j);
                CHECK(std::fabs(dot - (i == j ? 1.0 : 0.0)) < 1e-12);
            }
        for (Index j = 0; j < R; ++j) {
            double square = 0;  // |ut_j A| is the singular value
            for (Index c = 0; c < C; ++c) {
                double sum = 0;
                for (Index n = 0; n < R; ++n) sum += at(svd.u, n * R + j) * at(a, n * C + c);
                square += sum * sum;
            }
            CHECK(std::fabs(std::sqrt(square) - at(svd.values, j)) < 1e-12 * svd.values[0]);
            if (j > 0) CHECK(at(svd.values, j) <= at(svd.values, j - 1));
            if (j >= C) CHECK(at(svd.values, j) < 1e-12 * svd.values[0]);
        }
    }
}

TEST_CASE("low rank: the triangle gives the matrix back") {
    const Index n = 9;
    const std::vector<double> x = random_doubles(30 * n, 84);
    std::vector<double> gram(usize(n * n), 0.0);
    for (Index r = 0; r < 30; ++r)
        for (Index i = 0; i < n; ++i)
            for (Index j = 0; j < n; ++j)
                at(gram, i * n + j) += at(x, r * n + i) * at(x, r * n + j);
    const std::vector<double> lower = cholesky(gram, n, 0);
    for (Index i = 0; i < n; ++i)
        for (Index j = 0; j < n; ++j) {
            double sum = 0;
            for (Index k = 0; k < n; ++k) sum += at(lower, i * n + k) * at(lower, j * n + k);
            CHECK(std::fabs(sum - at(gram, i * n + j)) < 1e-12 * 30);
            if (j > i) CHECK(at(lower, i * n + j) == 0.0);
        }
    const std::vector<double> ones(4, 1.0), minus = {1, 2, 2, 1};
    CHECK(cholesky(ones, 2, 1e-9)[3] > 0);  // of rank 1, until it is damped
    CHECK_THROWS_WITH_AS(cholesky(minus, 2, 1e-9), doctest::Contains("definite"), Error);
}

TEST_CASE("low rank: the error is the energy left out and whitening makes it least") {
    const LowRank s;
    for (const char* const side : {"attn_k", "attn_v"}) {
        const std::string name = concat("blk.1.", side, ".weight");
        const Tensor w = to_f32(s.weights->tensor(name));
        const std::vector<double>& gram = s.seen.of(name).gram;
        const bool keys = side[5] == 'k';
        const Basis &plain = (keys ? s.plain.keys : s.plain.values)[1],
                    &whitened = (keys ? s.whitened.keys : s.whitened.values)[1];
        std::vector<double> identity(gram.size(), 0.0);
        for (Index i = 0; i < s.config.dim; ++i) at(identity, i * s.config.dim + i) = 1;
        const auto error = [&w](const Basis& basis, Index rank, const std::vector<double>& of) {
            return output_errors(basis, w, of)[usize(rank)];
        };
        for (const Index rank : {1, 8, 20, 31}) {
            CAPTURE(rank);
            // I35: the square of the error is the sum of the squares left out.
            CHECK(std::fabs(error(plain, rank, identity) - std::sqrt(1 - energy(plain, rank))) <
                  1e-6);
            CHECK(std::fabs(error(whitened, rank, gram) -
                            std::sqrt(1 - energy(whitened, rank))) < 1e-4);
            // I36
            CHECK(error(whitened, rank, gram) < error(plain, rank, gram) * (1 + 1e-6));
        }
        CHECK(error(whitened, 8, gram) < 0.999 * error(plain, 8, gram));
        CHECK(error(plain, s.N, gram) < 1e-6);
    }
}

TEST_CASE("low rank: latents of full rank are the float cache") {
    const LowRank s;
    KvCache full({s.config.layers, s.config.heads, s.config.kv_heads, s.config.head_dim}, 200);
    const std::vector<float> expected = s.run(full);
    const double difference = farthest(s.run(*s.cache(s.N, s.N)), expected);
    CHECK(difference < 3e-5);  // two more products, rounded; measured 1.5e-6
    CHECK(difference > 0);     // bit-equal latents would be a fake
    CHECK(farthest(s.run(*s.cache(8, s.N)), expected) > 1e-2);
    CHECK(farthest(s.run(*s.cache(s.N, 8)), expected) > 1e-2);
    const double bytes = farthest(s.run(*s.cache(s.N, s.N, &formats::int8)), expected);
    CHECK(bytes > difference);
    CHECK(bytes < 1.0);
}

TEST_CASE("low rank: a cache of latents is a model whose matrices have that rank") {
    const LowRank s;
    const Index rank = 12;
    EditedWeights edited(*s.weights);
    for (Index l = 0; l < s.config.layers; ++l)
        for (const bool keys : {true, false}) {
            const std::string name = concat("blk.", l, keys ? ".attn_k" : ".attn_v", ".weight");
            const Basis& basis = (keys ? s.whitened.keys : s.whitened.values)[usize(l)];
            const Tensor w = to_f32(s.weights->tensor(name));
            Tensor low(w.shape());
            for (Index n = 0; n < s.N; ++n)
                for (Index k = 0; k < s.config.dim; ++k) {
                    double sum = 0;
                    for (Index j = 0; j < rank; ++j)
                        for (Index m = 0; m < s.N; ++m)
                            sum += at(basis.u, n * s.N + j) * at(basis.u, m * s.N + j) *
                                   static_cast<double>(w(m, k));
                    low(n, k) = static_cast<float>(sum);
                }
            edited.replace(name, std::move(low));
        }
    const auto model = load_model(edited, *s.engine);
    Decoder decoder(model, *s.engine);
    WholeSequence store(decoder.kv_shape(), 150);
    const auto rows = decoder.forward(store, s.tokens, LogitsOf::all);
    CHECK(farthest(s.run(*s.cache(rank, rank)), {rows.flat().begin(), rows.flat().end()}) <
          3e-5);  // measured 1.7e-6
}

TEST_CASE("low rank: pieces forks and levels change nothing") {
    const LowRank s;
    for (const Format format : {&formats::f32, &formats::int8}) {
        const auto whole = s.cache(20, 12, format);
        const std::vector<float> expected = s.run(*whole);
        for (const Index piece : {1, 7, 64})
            CHECK(s.run(*s.cache(20, 12, format), piece) == expected);
        for (const SimdLevel level : supported_simd_levels())
            CHECK(s.run(*s.cache(20, 12, format, level)) == expected);
        const auto behind = [&](Index n) {
            return std::vector<float>(expected.begin() + n * s.config.vocab, expected.end());
        };
        const auto fork = whole->fork();
        fork->truncate(66);
        CHECK(s.run(*fork, 5) == behind(66));
        whole->truncate(3);
        CHECK(s.run(*whole) == behind(3));
    }
}

TEST_CASE("low rank: rows that are not finite are refused and leave nothing behind") {
    const LowRank s;
    const Index Hkv = s.config.kv_heads, D = s.config.head_dim;
    for (const Format format : {&formats::f32, &formats::int8}) {
        const auto cache = s.cache(20, 12, format);
        for (const float wrong :
             {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
            for (const bool in_keys : {true, false}) {
                Tensor k = random_tensor({3, Hkv, D}, 7), v = random_tensor({3, Hkv, D}, 8);
                (in_keys ? k : v)(1, 0, 2) = wrong;
                cache->begin(3);
                CHECK_THROWS_WITH_AS(cache->append(0, k.view(), v.view()),
                                     doctest::Contains("slot 1"), Error);
                cache->abandon();
            }
        CHECK(s.run(*cache) == s.run(*s.cache(20, 12, format)));
    }
}

TEST_CASE("low rank: bytes are those of the latents") {
    const LowRank s;
    const auto floats = s.cache(20, 12), bytes = s.cache(20, 12, &formats::int8);
    s.run(*floats);
    s.run(*bytes);
    CHECK(floats->bytes().logical == 150 * s.config.layers * (20 + 12) * 4);
    CHECK(floats->bytes().allocated == 256 * s.config.layers * (20 + 12) * 4);
    CHECK(bytes->bytes().logical == 150 * s.config.layers * (20 + 12 + 8));
    CHECK(bytes->bytes().allocated == 256 * s.config.layers * (20 + 12 + 8));
}

TEST_CASE("low rank: early layers get the higher ranks") {
    Bases bases;
    for (const double condition : {10.0, 10.0, 1000.0, 10.0}) {
        Basis basis;
        basis.weight_condition = condition;
        bases.keys.push_back(basis);
        bases.values.push_back(basis);
    }
    // Logarithms of the products from a layer on: 12, 10, 8, 2 times log 10.
    CHECK(progressive_ranks(bases, 10, 30) == std::vector<Index>{30, 26, 22, 10});
    CHECK(progressive_ranks(bases, 7, 7) == std::vector<Index>{7, 7, 7, 7});
    CHECK_THROWS_WITH_AS(progressive_ranks(bases, 8, 7), doctest::Contains("8 to 7"), Error);
}

TEST_CASE("low rank: refusals name what is wrong") {
    const LowRank s;
    CHECK_THROWS_WITH_AS(s.cache(s.N + 1, 1), doctest::Contains("rank 33"), Error);
    CHECK_THROWS_WITH_AS(s.cache(1, 0), doctest::Contains("rank 0"), Error);
    const auto gpt2 = make_synthetic(small_gpt2(), 1);
    CHECK_THROWS_WITH_AS(find_bases(*gpt2), doctest::Contains("gpt2"), Error);
    const Calibration without = calibrate(*s.weights, {s.tokens, 0, 50});
    CHECK_THROWS_WITH_AS(find_bases(*s.weights, &without), doctest::Contains("gram"), Error);
    const LatentRanks short_ranks{{1}, {1}};
    CHECK_THROWS_WITH_AS(LatentPlan(s.model, s.plain, short_ranks, &formats::f32),
                         doctest::Contains("layers"), Error);
    auto cache = s.cache(4, 4);
    CHECK_THROWS_WITH_AS(cache->begin(201), doctest::Contains("201"), Error);
    CHECK_THROWS_WITH_AS(cache->truncate(1), doctest::Contains("truncate"), Error);
}
