// goldens.cpp - chapter 1: values that every implementation of the contract must reproduce.
#include <cmath>
#include <cstdio>
#include <iostream>
#include <vector>

#include "app.hpp"

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/gates.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/sampling.hpp>

namespace kvlab::app {

namespace {

std::string hex_float(float value) {
    char text[40];
    std::snprintf(text, sizeof text, "%a", static_cast<double>(value));
    return text;
}

std::string in_decimal(float value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
    return text;
}

class Printer {
public:
    explicit Printer(Json& json) : json_(json) {}

    void row(const std::string& what, const std::string& value) {
        std::cout << "  " << pad(what, 44) << value << "\n";
        json_[what] = value;
    }

    void row(const std::string& what, float value) { row(what, hex_float(value)); }

private:
    Json& json_;
};

void functions(Printer& out) {
    for (float t : {0.5f, -0.5f, 1.0f / 3.0f, 10.7f, -126.4f, -126.6f, 127.4f, 127.6f})
        out.row(concat("exp2(", in_decimal(t), ")"), exp2(t));
    for (float x : {1.0f, -1.0f, 5.0f}) out.row(concat("silu(", in_decimal(x), ")"), silu(x));
    for (float x : {1.0f, -1.0f, 5.0f}) out.row(concat("gelu(", in_decimal(x), ")"), gelu(x));
}

void sums(Printer& out) {
    const Tensor a = random_matrix(1, 130, 1), b = random_matrix(1, 130, 2);
    for (Index n : {63, 64, 65, 128, 129, 130})
        out.row(concat("dot(a, b), first ", n, " terms"), dot(a.data(), b.data(), n));
    std::vector<float> y(130);
    rms_norm(a.data(), b.data(), 1e-5f, 130, y.data());
    out.row("checksum of rms_norm(a, weight b, eps 1e-5)", hex64(checksum(y)));
    layer_norm(a.data(), b.data(), a.data(), 1e-5f, 130, y.data());
    out.row("checksum of layer_norm(a, weight b, bias a)", hex64(checksum(y)));
}

void softmax_row(Printer& out) {
    const std::vector<float> scores = {0.5f, 1.5f, -2.25f, 3.0f, 2.5f};
    std::vector<float> weights(scores.size());
    const float total = softmax_weights(scores, weights);
    for (std::size_t i = 0; i < scores.size(); ++i)
        out.row(concat("softmax weight of score ", in_decimal(scores[i])), weights[i]);
    out.row("their sum", total);
}

void tables(Printer& out) {
    for (const auto& [positions, dim, base] :
         {std::tuple<Index, Index, double>{1024, 16, 10000.0}, {8192, 64, 100000.0}}) {
        const RopeTable table(positions, dim, base);
        Checksum sum;
        for (Index p = 0; p < positions; ++p) {
            sum.add({table.cos(p), usize(dim / 2)});
            sum.add({table.sin(p), usize(dim / 2)});
        }
        out.row(concat("rope table, ", positions, " x ", dim, ", base ", base), sum.hex());
    }
}

void random_numbers(Printer& out) {
    Rng rng(42, 54);
    std::string words;
    for (int i = 0; i < 4; ++i) words += concat(i ? " " : "", hex64(rng.next()).substr(8));
    out.row("Rng(42, 54).next() four times", words);
    out.row("checksum of Rng(42).normal() 1000 times",
            hex64(checksum(random_matrix(1, 1000, 42).flat())));
    const Tensor logits = random_matrix(1, 50, 7);
    for (const auto& [temperature, k, p] : {std::tuple<float, Index, float>{0.0f, 0, 1.0f},
                                            {1.0f, 0, 1.0f},
                                            {1.0f, 5, 1.0f},
                                            {0.8f, 0, 0.9f}}) {
        Sampler sampler({.temperature = temperature, .top_k = k, .top_p = p, .seed = 3});
        std::string tokens;
        for (int i = 0; i < 8; ++i)
            tokens += concat(i ? " " : "", sampler.sample(logits.flat()));
        out.row(concat("tokens, temperature ", temperature, ", top-k ", k, ", top-p ", p),
                tokens);
    }
}

void gates(Printer& out) {
    for (float x : {1.0f, -1.0f, -20.5f})
        out.row(concat("exponential(", in_decimal(x), ")"), exponential(x));
    for (float x : {1.0f, -1.0f, 5.0f})
        out.row(concat("sigmoid(", in_decimal(x), ")"), sigmoid(x));
    for (float x : {0.0f, 1.0f, -1.0f, 20.5f, -20.5f})
        out.row(concat("softplus(", in_decimal(x), ")"), softplus(x));
}

// Two recurrences over the numbers of a, which start from zeros and take one after the other.
void recurrences(Printer& out) {
    const Tensor a = random_matrix(1, 130, 1), b = random_matrix(1, 130, 2);
    std::vector<float> states, mixed;
    float state = 0.0f, tail[3] = {};
    for (Index t = 0; t < 130; ++t) {
        const float u = a.data()[t], decay = exponential(-softplus(b.data()[t]));
        states.push_back(state = std::fma(decay, state, u));
        float y = 0.0f;
        for (int j = 0; j < 3; ++j) y = std::fma(b.data()[j], tail[j], y);
        mixed.push_back(std::fma(b.data()[3], u, y));
        tail[0] = tail[1];
        tail[1] = tail[2];
        tail[2] = u;
    }
    out.row("s = fma(decay, s, a), last of 130", state);
    out.row("checksum of all 130 of them", hex64(checksum(states)));
    out.row("checksum of a convolved with b[0..3]", hex64(checksum(mixed)));
}

// Of all values below, in their order as JSON sorts them. The chapter prints it, and
// tests/tools/contract_by_the_book.py finds it from the chapter's text alone.
constexpr const char* kCommitted = "774ee0bb102d2772";

bool run_goldens(const PartFlags&, Json& report, std::string& result) {
    std::cout << "Golden values: a and b are Rng(1).normal() and Rng(2).normal(), 130 each\n";
    Json& part = report["goldens"];
    Printer out(part);
    functions(out);
    sums(out);
    softmax_row(out);
    tables(out);
    random_numbers(out);
    gates(out);
    recurrences(out);
    Checksum all;
    for (const auto& entry : part.items())
        for (char c : entry.value().get<std::string>())
            all.add_bits(static_cast<unsigned char>(c));
    const bool as_committed = all.hex() == kCommitted;
    std::cout << "  all of them as committed: " << verdict(as_committed)
              << (as_committed ? "" : concat(", expected checksum ", kCommitted)) << "\n\n";
    report["goldens_checksum"] = all.hex();
    report["goldens_as_committed"] = as_committed;
    result += concat(" goldens=", all.hex());
    return as_committed;
}

const Part kGoldens{{.place = 20,
                     .name = "goldens",
                     .text = "the golden values of chapter 1 (exact on every machine)"},
                    run_goldens};

}  // namespace

}  // namespace kvlab::app
