// by_hand_choice.cpp - chapter 8: a latent of two numbers, hashes of two numbers and an indexer
// with keys of two numbers, small enough for paper.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include <kvlab/architectures/latent.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "by_hand.hpp"

namespace kvlab::app {

namespace {

Tensor paper_matrix(Index rows, Index columns, const std::vector<float>& numbers) {
    Tensor matrix({rows, columns});
    std::ranges::copy(numbers, matrix.flat().begin());
    return matrix;
}

void print_numbers(std::span<const float> numbers, const char* format) {
    for (const float x : numbers) std::printf(format, wide(x));
}

struct PaperToken {
    char name;
    float u[2];
};

constexpr PaperToken kHashed6[] = {{'A', {6, 5}},  {'B', {-6, 7}},  {'C', {3, 5}},
                                   {'D', {-5, 1}}, {'E', {-4, -6}}, {'F', {5, 6}}};
// Two hashes R [2, 2]: the second one turns by 45 degrees.
constexpr float kHash[2][2][2] = {{{1, 0}, {0, 1}}, {{1, -1}, {1, 1}}};

// y = u R, and the place of the largest of y and -y.
int hashed(const float* u, int round, float* both) {
    for (int e = 0; e < 2; ++e) {
        both[e] = dot(u, 1, &kHash[round][0][e], 2, 2);
        both[2 + e] = -both[e];
    }
    return static_cast<int>(argmax(std::span<const float>(both, 4)));
}

}  // namespace

void show_latent() {
    const Tensor k_up = paper_matrix(4, 2, {1, 0, 0, 1, 1, 1, 1, -1}),
                 v_up = paper_matrix(4, 2, {1, 0, 0, 1, 1, 1, 0, 2}),
                 c = paper_matrix(2, 2, {2, 1, 0, 3}), k_r = paper_matrix(2, 2, {1, 0, 0, 1});
    const Tensor q = paper_matrix(1, 6, {1, 2, 0, 1, 1, 0});
    float query[2];
    for (Index i = 0; i < 2; ++i) query[i] = dot(q.data(), 1, &k_up(0, i), 2, 4);
    std::printf("  K^T q =");
    print_numbers(query, " %g");
    std::printf("\n");
    for (Index t = 0; t < 2; ++t) {
        std::vector<float> key;
        for (Index i = 0; i < 4; ++i) key.push_back(dot(&k_up(i, 0), &c(t, 0), 2));
        const float turned = dot(q.data() + 4, &k_r(t, 0), 2),
                    of_key = dot(q.data(), key.data(), 4), of_latent = dot(query, &c(t, 0), 2);
        std::printf("  token %td: c =", t + 1);
        print_numbers(c.view()[t].flat(), " %g");
        std::printf("  K c =");
        print_numbers(key, " %g");
        std::printf("  expanded: %g + %g = %g  absorbed: %g + %g = %g\n", wide(of_key),
                    wide(turned), wide(of_key + turned), wide(of_latent), wide(turned),
                    wide(of_latent + turned));
    }
    const LatentHead head{k_up.view(), v_up.view()};
    Tensor out({4});
    for (const auto& [name, attend] :
         {std::pair("expanded", &attend_expanded), {"absorbed", &attend_absorbed}}) {
        attend(head, q.view()[0], c.view(), k_r.view(), out.view());
        std::printf("  %s, out:", name);
        print_numbers(out.flat(), " %.9g");
        std::printf("\n");
    }
}

void show_buckets() {
    std::printf("         u       y in round 1             y in round 2\n");
    std::vector<std::vector<int>> buckets;
    for (const PaperToken& token : kHashed6) {
        std::printf("  %c  %3g %3g", token.name, wide(token.u[0]), wide(token.u[1]));
        auto& of_token = buckets.emplace_back();
        for (const int round : {0, 1}) {
            float both[4];
            of_token.push_back(hashed(token.u, round, both));
            std::printf("   %4g %4g  bucket %d", wide(both[0]), wide(both[1]), of_token.back());
        }
        std::printf("\n");
    }
    const std::vector<int>& own = buckets.back();
    for (const std::size_t rounds : {1, 2}) {
        std::printf("  F sees after %zu round%s:", rounds, rounds > 1 ? "s" : "");
        for (std::size_t s = 0; s + 1 < buckets.size(); ++s)
            for (std::size_t round = 0; round < rounds; ++round)
                if (buckets[s][round] == own[round]) {
                    std::printf(" %c", kHashed6[s].name);
                    break;
                }
        std::printf("\n");
    }
}

void show_indexer() {
    constexpr float kKeys[7][2] = {{1, 0}, {-1, 2}, {0, 1}, {2, -1}, {-1, -1}, {0, 2}, {-2, 1}},
                    kQueries[2][2] = {{1, 0}, {0, 1}}, kWeights[2] = {2, 1};
    constexpr std::size_t kTopK = 3;
    float fits[7][2], scores[7];
    for (std::size_t s = 0; s < 7; ++s) {
        scores[s] = 0;
        for (std::size_t j = 0; j < 2; ++j) {
            fits[s][j] = std::max(0.0f, dot(kQueries[j], kKeys[s], 2));
            scores[s] = std::fma(kWeights[j], fits[s][j], scores[s]);
        }
    }
    std::vector<std::size_t> order(7);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(
        order, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    order.resize(kTopK);
    std::ranges::sort(order);
    std::printf("  token   key     fits   score\n");
    for (std::size_t s = 0; s < 7; ++s)
        std::printf("  %5zu   %2g %2g   %g  %g   %g*%g + %g*%g = %g%s\n", s, wide(kKeys[s][0]),
                    wide(kKeys[s][1]), wide(fits[s][0]), wide(fits[s][1]), wide(kWeights[0]),
                    wide(fits[s][0]), wide(kWeights[1]), wide(fits[s][1]), wide(scores[s]),
                    std::ranges::binary_search(order, s) ? "   seen" : "");
    std::printf("  seen:");
    for (const std::size_t s : order) std::printf(" %zu", s);
    std::printf("\n");
}

}  // namespace kvlab::app
