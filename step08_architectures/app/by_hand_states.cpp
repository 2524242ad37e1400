// by_hand_states.cpp - chapter 8: states of two by two numbers, and one that fades, token by
// token, by the kernels that the mixers use.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <kvlab/architectures/chunked_sum.hpp>
#include <kvlab/architectures/state_kernels.hpp>
#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/simd_level.hpp>

#include "by_hand.hpp"

namespace kvlab::app {

namespace {

using Pair = std::vector<float>;

const StateKernels& hand_kernels() {
    return state_kernels(default_simd_level());
}

// "4 1", without trailing zeros.
std::string in_words(std::span<const float> numbers) {
    std::string words;
    for (const float x : numbers) {
        char text[32];
        std::snprintf(text, sizeof text, "%g", wide(x));
        words += concat(words.empty() ? "" : " ", text);
    }
    return words;
}

// The two rows of a matrix.
std::string two_rows(std::span<const float> S) {
    return concat(in_words(S.first(2)), " | ", in_words(S.subspan(2)));
}

Pair asked_with(const Pair& q, const Pair& S) {
    Pair y(2);
    hand_kernels().ask(q.data(), S.data(), 2, 2, y.data());
    return y;
}

}  // namespace

void show_linear() {
    const StateKernels& run = hand_kernels();
    const std::vector<Pair> keys = {{3, 0}, {0, 3}}, values = {{1, 0}, {0, 1}};
    std::vector<Pair> features;
    Pair S(4, 0.0f), z(2, 0.0f);
    std::printf("  token   f(k)   v      S            z\n");
    for (std::size_t t = 0; t < keys.size(); ++t) {
        Pair& f = features.emplace_back(2);
        run.feature(keys[t].data(), 2, f.data());
        run.add_outer(f.data(), values[t].data(), 2, 2, S.data());
        run.add(z.data(), f.data(), 2, z.data());
        std::printf("  %5zu   %-5s  %-5s  %-11s  %s\n", t + 1, in_words(f).c_str(),
                    in_words(values[t]).c_str(), two_rows(S).c_str(), in_words(z).c_str());
    }
    for (std::size_t q = 0; q < keys.size(); ++q) {
        const Pair above = asked_with(features[q], S);
        const float below = dot(features[q].data(), z.data(), 2);
        const Pair out = {above[0] / below, above[1] / below};
        std::vector<float> scores, weights(2);
        for (const Pair& k : keys)
            scores.push_back(dot(keys[q].data(), k.data(), 2) * log2e_over(std::sqrt(2.0)));
        const float total = softmax_weights(scores, weights);
        std::printf("  asked with key %zu: %s over %g = %s;  softmax attention: %.3f %.3f\n",
                    q + 1, in_words(above).c_str(), wide(below), in_words(out).c_str(),
                    wide(weights[0] / total), wide(weights[1] / total));
    }
}

void show_delta() {
    struct Kind {
        bool subtracts;
        float gate;
        Pair S = Pair(4, 0.0f);
    };

    const StateKernels& run = hand_kernels();
    const std::vector<Pair> keys = {{1, 0}, {0, 1}, {1, 0}}, values = {{2, 1}, {0, 3}, {4, 5}};
    std::vector<Kind> kinds = {{false, 1}, {true, 1}, {true, 0.5f}};
    std::printf("  token  key  value  a sum            delta rule       with a gate of 0.5\n");
    for (std::size_t t = 0; t < keys.size(); ++t) {
        std::printf("  %5zu  %s  %-5s", t + 1, in_words(keys[t]).c_str(),
                    in_words(values[t]).c_str());
        for (Kind& kind : kinds) {
            run.fade(kind.gate, 2, 2, kind.S.data());
            Pair d = values[t];
            if (kind.subtracts) {
                const Pair known = asked_with(keys[t], kind.S);
                for (const std::size_t j : {0, 1}) d[j] = d[j] - known[j];
            }
            run.add_outer(keys[t].data(), d.data(), 2, 2, kind.S.data());
            std::printf(&kind == &kinds.back() ? "  %s\n" : "  %-15s",
                        two_rows(kind.S).c_str());
        }
    }
    for (const Pair& q : {keys[0], keys[1]}) {
        std::printf("  asked with %-6s", in_words(q).c_str());
        for (const Kind& kind : kinds)
            std::printf(&kind == &kinds.back() ? "  %s\n" : "  %-15s",
                        in_words(asked_with(q, kind.S)).c_str());
    }
}

void show_gates() {
    const StateKernels& run = hand_kernels();
    const std::string text = "k=7;..9.";
    const std::vector<float> input = {1, 1, 7, 1, 1, 1, 9, 1};
    constexpr float kPace = 0.3f, kFade = -1, kOne = 1, kNone = 0;
    float chosen = 0, same = 0;
    std::printf("         the token decides               one pace, dt 0.3\n");
    std::printf("  token    u     dt   kept  written   state    kept  written   state\n");
    for (std::size_t t = 0; t < text.size(); ++t) {
        const float u = input[t], dt = u > 1 ? 1.0f : 0.01f;
        std::printf("  %c  %3g   %4g", text[t], wide(u), wide(dt));
        for (float* state : {&chosen, &same}) {
            const float pace = state == &chosen ? dt : kPace, shrinks = -pace;
            float kept = 0, y = 0;
            run.exponential(&shrinks, 1, &kept);
            run.select(&kFade, &kNone, &pace, &u, &kOne, &kOne, 1, 1, state, &y);
            std::printf("  %s%.3f  %7.2f  %6.3f", state == &chosen ? "" : " ", wide(kept),
                        wide(pace * u), wide(y));
        }
        std::printf("\n");
    }
}

// s = 0.8 s + 1, four times.
void show_scan() {
    const std::vector<float> decay(4, 0.8f), input(4, 1.0f);
    std::vector<float> states(4);
    for (const auto& [how, chunk] :
         {std::pair("in token order", Index{4}), {"in chunks of 2", Index{2}}}) {
        chunked_sum(decay, input, chunk, states);
        std::string line = concat("  ", how, "   ");
        for (const float state : states) {
            char text[32];
            std::snprintf(text, sizeof text, "%-10.9g ", wide(state));
            line += text;
        }
        std::printf("%s\n", line.substr(0, line.find_last_not_of(' ') + 1).c_str());
    }
}

}  // namespace kvlab::app
