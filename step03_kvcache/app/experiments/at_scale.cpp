// at_scale.cpp - chapter 3, experiments D3 and D6: cache and weights of models that do not fit
// here, by closed form.
#include "at_scale.hpp"

#include <cstdio>
#include <iterator>
#include <utility>

#include <kvlab/kvcache/closed_forms.hpp>

namespace kvlab::app {

namespace {

constexpr Index kGB = Index{1} << 30;

double in_gb(Index bytes) {
    return static_cast<double>(bytes) / static_cast<double>(kGB);
}

// D3 and D6: 32 layers, width 4096, FP16. 14 GB of weights are decimal; ours is 2^30 bytes.
void memory_at_7b(Json& report) {
    constexpr Index kWeights = Index{7'000'000'000} * 2;
    const CacheShape shapes[] = {{32, 32, 128}, {32, 8, 128}, {32, 1, 128}};
    const char* names[] = {"MHA", "GQA", "MQA"};
    std::printf(
        "\nA 7B model in FP16: weights %.2f GB (14 decimal ones), %td bytes of cache a token\n",
        static_cast<double>(kWeights) / static_cast<double>(kGB), shapes[0].per_token());
    std::printf("  %8s %6s", "context", "batch");
    for (const char* name : names) std::printf(" %7s, GB", name);
    std::printf(" %15s %14s\n", "MHA and weights", "MHA : weights");
    for (const auto& [context, batch] : {std::pair<Index, Index>{4096, 1},
                                         {32768, 1},
                                         {131072, 1},
                                         {4096, 8},
                                         {4096, 16},
                                         {4096, 32},
                                         {8192, 32}}) {
        std::printf("  %8td %6td", context, batch);
        for (const CacheShape& shape : shapes)
            std::printf(" %11.3f", static_cast<double>(shape.total(context, batch)) /
                                       static_cast<double>(kGB));
        const Index cache = shapes[0].total(context, batch);
        std::printf(" %15.2f %14.3f\n",
                    static_cast<double>(cache + kWeights + kGB) / static_cast<double>(kGB),
                    static_cast<double>(cache) / static_cast<double>(kWeights));
        report["memory_at_7b"].push_back({{"context", context},
                                          {"batch", batch},
                                          {"mha_bytes", cache},
                                          {"gqa_bytes", shapes[1].total(context, batch)},
                                          {"mqa_bytes", shapes[2].total(context, batch)},
                                          {"weight_bytes", kWeights}});
    }
    std::printf(
        "  (the sum counts 1 GB of activations.) The cache is as large as the weights at a "
        "context of\n ");
    for (std::size_t i = 0; i < std::size(shapes); ++i) {
        const Index crossover = shapes[i].crossover(kWeights);
        std::printf(" %s %td", names[i], crossover);
        report["crossover"].push_back({{"heads", names[i]}, {"context", crossover}});
    }
    std::printf(" tokens, or that divided by the batch.\n");
}

// Where the cache outgrows the weights, for shapes that readers know. Both in FP16.
void crossovers_by_model(Json& report) {
    struct Known {
        const char* name;
        Index parameters;
        CacheShape shape;
    };

    const Known models[] = {
        {"SmolLM2-135M, 3 of 9 heads", 134'515'008, {30, 3, 64}},
        {"1.1B, 4 of 32 heads", 1'100'048'384, {22, 4, 64}},
        {"7B by name, 32 of 32 heads", 7'000'000'000, {32, 32, 128}},
        {"Llama-2-7B, 32 of 32 heads", 6'738'415'616, {32, 32, 128}},
        {"8B, 8 of 32 heads", 8'030'261'248, {32, 8, 128}},
        {"13B, 40 of 40 heads", 13'015'864'320, {40, 40, 128}},
        {"70B, 8 of 64 heads", 68'976'648'192, {80, 8, 128}},
    };
    std::printf("\n  %-28s %11s %12s %18s\n", "model, KV heads", "weights, GB", "bytes/token",
                "cache = weights at");
    for (const Known& model : models) {
        const Index weights = model.parameters * 2, context = model.shape.crossover(weights);
        std::printf("  %-28s %11.2f %12td %11td tokens\n", model.name, in_gb(weights),
                    model.shape.per_token(), context);
        report["crossover_by_model"].push_back({{"model", model.name},
                                                {"weight_bytes", weights},
                                                {"bytes_per_token", model.shape.per_token()},
                                                {"context", context}});
    }
}

}  // namespace

void print_memory_at_scale(Json& report) {
    memory_at_7b(report);
    crossovers_by_model(report);
}

}  // namespace kvlab::app
