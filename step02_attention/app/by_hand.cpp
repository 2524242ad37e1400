// by_hand.cpp - chapter 2: the examples that the chapter works out on paper, by the code that
// it teaches. Numbers are small, so that a pencil can follow.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/cost.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/tensor/worked_examples.hpp>
#include <kvlab/weights/bpe_tokenizer.hpp>

namespace kvlab::app {

namespace {

double wide(float x) {
    return static_cast<double>(x);
}

Tensor matrix(const Shape& shape, std::initializer_list<float> numbers) {
    Tensor t(shape);
    std::copy(numbers.begin(), numbers.end(), t.flat().begin());
    return t;
}

Tensor product(const Tensor& x, const Tensor& w) {
    Tensor y({x.dim(0), w.dim(0)});
    matmul_plain(x.view(), w.view(), y.view());
    return y;
}

void print_pair(const char* name, const View<const float>& pair) {
    std::printf("  %s (%6.3f, %6.3f)", name, wide(pair(0)), wide(pair(1)));
}

// A text as bytes; and a word by three merges.
void show_tokens() {
    std::printf("  \"In the\" as bytes:");
    for (const char letter : std::string("In the")) std::printf(" %d", letter);
    TokenizerData data;
    data.model = "gpt2";
    data.tokens = {"l", "o", "w", "e", "r", "lo", "low", "er"};
    data.merges = {"l o", "lo w", "e r"};
    const BpeTokenizer tokenizer(data);
    std::printf("\n  \"lower\" by byte pairs:\n");
    for (const std::vector<Token>& step : tokenizer.merge_steps("lower")) {
        std::string pieces, numbers;
        for (const Token token : step) {
            pieces += std::string(tokenizer.piece(token)) + " ";
            numbers += concat(" ", token);
        }
        std::printf("    %-12s tokens%s\n", pieces.c_str(), numbers.c_str());
    }
}

// The two tokens of the chapter's drawing, as one head of two numbers sees them.
struct TwoTokens {
    Tensor x = matrix({2, 2}, {1, 0, 1, 1});
    Tensor q = product(x, matrix({2, 2}, {1, 1, 0, 1})),
           k = product(x, matrix({2, 2}, {0, 1, 1, 0})),
           v = product(x, matrix({2, 2}, {4, -4, 0, 4})),
           wo = matrix({2, 2}, {0.5f, 0, 0, 0.5f});
};

// Token 1's look at both: the products, what softmax_weights() makes of them, and the shares.
struct Look {
    explicit Look(TwoTokens& two) {
        for (Index s = 0; s < 2; ++s) dots[s] = dot(&two.q(1, 0), &two.k(s, 0), 2);
        const float scale = log2e_over(std::sqrt(2.0));
        for (float& number : two.q.flat()) number = number * scale;
        for (Index s = 0; s < 2; ++s) scores[s] = dot(&two.q(1, 0), &two.k(s, 0), 2);
        total = softmax_weights(scores, weights);
    }

    double divided(Index s) const { return wide(dots[s]) / std::sqrt(2.0); }

    float dots[2], scores[2], weights[2], total;
};

// From x to what is added to x.
void show_head() {
    TwoTokens two;
    for (Index t = 0; t < 2; ++t) {
        std::printf("  token %td:", t);
        print_pair("x", std::as_const(two.x).view()[t]);
        print_pair("q", std::as_const(two.q).view()[t]);
        print_pair("k", std::as_const(two.k).view()[t]);
        print_pair("v", std::as_const(two.v).view()[t]);
        std::printf("\n");
    }
    const Look look(two);
    std::printf("  token 1 looks back:\n    key    q.k  /sqrt(2)  e to it  share\n");
    for (Index s = 0; s < 2; ++s)
        std::printf("    k%td  %6.3f  %8.3f  %7.3f  %5.3f\n", s, wide(look.dots[s]),
                    look.divided(s), std::exp(look.divided(s)),
                    wide(look.weights[s] / look.total));
    Tensor out({1, 2});
    attention_plain(std::as_const(two.q).view()[1], std::as_const(two.k).view(),
                    std::as_const(two.v).view(), out.view()[0]);
    Tensor added = product(out, two.wo);
    print_pair("out", std::as_const(out).view()[0]);
    print_pair("after wo", std::as_const(added).view()[0]);
    for (Index i = 0; i < 2; ++i) added(0, i) = two.x(1, i) + added(0, i);
    print_pair("new x", std::as_const(added).view()[0]);
    std::printf("\n");
}

// The same look by powers of two, as softmax_weights() takes it.
void show_base2() {
    TwoTokens two;
    const Look look(two);
    std::printf("  key  /sqrt(2)  base 2  whole   rest  weight  share\n");
    for (Index s = 0; s < 2; ++s) {
        const float whole = std::nearbyint(look.scores[s]);
        std::printf("  k%td   %8.3f  %6.3f  %5.0f  %5.3f  %6.3f  %5.3f\n", s, look.divided(s),
                    wide(look.scores[s]), wide(whole), wide(look.scores[s] - whole),
                    wide(look.weights[s]), wide(look.weights[s] / look.total));
    }
}

// What a third token, whose query is (2, 1), takes from the first two: in one order, or the
// other one.
Tensor taken(bool swapped, bool turned) {
    Tensor k = swapped ? matrix({2, 2}, {1, 1, 0, 1}) : matrix({2, 2}, {0, 1, 1, 1});
    const Tensor v = swapped ? matrix({2, 2}, {0, 4, 4, 0}) : matrix({2, 2}, {4, 0, 0, 4});
    Tensor q = matrix({2}, {2, 1}), out({2});
    if (turned) {
        const RopeTable table(3, 2, 10000.0);
        table.rotate(&k(0, 0), 0);
        table.rotate(&k(1, 0), 1);
        table.rotate(q.data(), 2);
    }
    for (float& number : q.flat()) number = number * log2e_over(std::sqrt(2.0));
    attention_plain(std::as_const(q).view(), std::as_const(k).view(), v.view(), out.view());
    return out;
}

// Two tokens change places, without positions and with them.
void show_order() {
    for (const bool turned : {false, true}) {
        std::printf("  %s", turned ? "with RoPE:        " : "without positions:");
        for (const bool swapped : {false, true}) {
            const Tensor out = taken(swapped, turned);
            print_pair(swapped ? " k1 first" : " k0 first", out.view());
        }
        std::printf("\n");
    }
}

// The same query and key at other places.
void show_rope() {
    const RopeTable table(512, 2, 10000.0);
    std::printf("  q at  k at  distance   q turned          k turned          score\n");
    const Index places[][2] = {{0, 0}, {1, 0}, {5, 4}, {500, 499}, {3, 0}, {5, 2}};
    for (const auto& [at_q, at_k] : places) {
        float q[] = {2, 1}, k[] = {1, 1};
        table.rotate(q, at_q);
        table.rotate(k, at_k);
        std::printf("  %4td  %4td  %8td  (%6.3f, %6.3f)  (%6.3f, %6.3f)  %.9f\n", at_q, at_k,
                    at_q - at_k, wide(q[0]), wide(q[1]), wide(k[0]), wide(k[1]),
                    wide(dot(q, k, 2)));
    }
}

// A norm of two numbers, and four gates.
void show_layer() {
    const float x[] = {3, 4}, ones[] = {1, 1};
    float y[2];
    rms_norm(x, ones, 0, 2, y);
    std::printf("  rms_norm of (3, 4): (%.3f, %.3f)\n  gate          ", wide(y[0]), wide(y[1]));
    const float gates[] = {4, 1, -1, -4}, up = 0.5f;
    for (const float gate : gates) std::printf("  %6.2f", wide(gate));
    std::printf("\n  silu(gate)    ");
    for (const float gate : gates) std::printf("  %6.2f", wide(silu(gate)));
    std::printf("\n  times up, 0.5 ");
    for (const float gate : gates) std::printf("  %6.2f", wide(silu(gate) * up));
    std::printf("\n");
}

// Three logits: what greedy takes, and what is drawn.
void show_choice() {
    const float logits[] = {1, 3, 0};
    std::printf("  logits 1, 3, 0: greedy takes token %td\n", argmax(logits));
    std::printf("  temperature   shares                 drawn with 0.05  0.5  0.97\n");
    for (const double temperature : {0.5, 1.0, 2.0}) {
        float scores[3], weights[3];
        for (std::size_t i = 0; i < 3; ++i) scores[i] = logits[i] * log2e_over(temperature);
        const float total = softmax_weights(scores, weights);
        std::printf("  %11.1f  ", temperature);
        for (const float weight : weights) std::printf(" %.3f", wide(weight / total));
        std::printf("                 %td    %td     %td\n", draw(weights, total, 1, 0.05f),
                    draw(weights, total, 1, 0.5f), draw(weights, total, 1, 0.97f));
    }
}

// The same three: how much each would surprise.
void show_surprise() {
    const float logits[] = {1, 3, 0};
    double sum = 0;
    std::printf("  logit   e^logit   share   bits\n");
    for (Token token = 0; token < 3; ++token) {
        const double logit = wide(logits[token]), bits = surprise_bits(logits, token);
        sum += std::exp(logit);
        std::printf("  %5.1f  %8.3f   %5.3f   %4.2f\n", logit, std::exp(logit),
                    std::exp2(-bits), bits);
    }
    std::printf("    sum  %8.3f, its logarithm %.2f\n", sum, log_sum_exp(logits));
}

// What a token costs the tiny model, by the length of the text.
void show_cost() {
    const Config tiny;
    std::printf(
        "  text   projections  feed-forward   attention  output   all, in operations\n");
    for (const Index T : {1, 60, 155, 512, 707}) {
        const Flops f = step_flops(tiny, 0, T);
        std::printf("  %4td  %12td  %12td  %10td  %6td  %10td\n", T, f.projections, f.ffn,
                    f.attention, f.head, f.total());
    }
}

const cli::Subcommand kByHand = cli::worked_examples(5,
                                                     {{"tokens", show_tokens},
                                                      {"head", show_head},
                                                      {"base2", show_base2},
                                                      {"order", show_order},
                                                      {"rope", show_rope},
                                                      {"layer", show_layer},
                                                      {"choice", show_choice},
                                                      {"surprise", show_surprise},
                                                      {"cost", show_cost}});

}  // namespace

}  // namespace kvlab::app
