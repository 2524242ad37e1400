// bytes.cpp - chapter 8, experiment O10: what a text leaves behind, by its length: the closed
// forms of all models of the chapter, and of attention with fewer KV heads at full size.
#include <cstdio>

#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/tensor/report.hpp>

#include "models.hpp"

namespace kvlab::app {

namespace {

struct BytesFlags {
    std::string folder;
    std::vector<Index> lengths = {64, 512, 2048, 8192, 65536};
    std::shared_ptr<OutputFile> json;
};

// Where a trained model is there, it has to agree with the drawn one.
bool as_trained(const BytesFlags& flags, const MixedShape& shape, const MixedModel& drawn) {
    if (find_mixer_file(flags.folder, shape.name).empty()) return true;
    const auto opened = open_mixers(flags.folder, shape.name, {});
    for (const Index length : flags.lengths)
        if (opened->decoder.mixed_model().state_bytes(length) != drawn.state_bytes(length))
            return false;
    return true;
}

bool print_forms(const BytesFlags& flags, Json& json) {
    std::printf("  %-12s %-24s", "bytes after", "tokens");
    for (const Index length : flags.lengths) std::printf(" %11td", length);
    std::printf("\n");
    bool equal = true;
    for (const MixedShape& shape : all_shapes()) {
        const OpenedMixers opened(shape.name, *draw_shape(shape), {});
        const MixedModel& model = opened.decoder.mixed_model();
        const bool one = as_trained(flags, shape, model);
        equal = equal && one;
        std::printf("  %-12s %-24s", shape.name.c_str(), kinds_of_layers(model.names).c_str());
        Json row{{"model", shape.name}, {"mixers", model.names}};
        for (const Index length : flags.lengths) {
            std::printf(" %11td", model.state_bytes(length));
            row["bytes"].push_back(model.state_bytes(length));
        }
        std::printf("%s\n", one ? "" : "  NOT those of the trained model");
        json["models"].push_back(row);
    }
    return equal;
}

// 32 layers, 32 query heads of 128 numbers in 16 bits, 8192 tokens.
void print_full_size(Json& json) {
    constexpr Index kLayers = 32, kHeadDim = 128, kTokens = 8192;
    std::printf("\n  %td layers, heads of %td numbers of 16 bits, %td tokens:\n", kLayers,
                kHeadDim, kTokens);
    for (const Index kv_heads : {Index{32}, Index{8}, Index{1}}) {
        const Index bytes = CacheShape{kLayers, kv_heads, kHeadDim}.total(kTokens);
        const double gib = static_cast<double>(bytes) / (1 << 30);
        std::printf("  %-12s %2td KV heads %14td bytes %8.3f GiB\n",
                    kv_heads == 32  ? "MHA"
                    : kv_heads == 1 ? "MQA"
                                    : "GQA",
                    kv_heads, bytes, gib);
        json["full_size"].push_back({{"kv_heads", kv_heads}, {"bytes", bytes}, {"gib", gib}});
    }
}

int run_bytes(const BytesFlags& flags) {
    Json json = new_report("step08_architectures bytes", 0);
    json["lengths"] = flags.lengths;
    const bool equal = print_forms(flags, json);
    print_full_size(json);
    write_json(flags.json, json);
    std::cout << "RESULT models=" << all_shapes().size()
              << " as_trained=" << (equal ? "yes" : "no") << std::endl;
    return equal ? cli::kHolds : cli::kFails;
}

void add_bytes_flags(CLI::App& app, BytesFlags& flags) {
    add_folder_flag(app, flags.folder);
    cli::add_count(app, "--lengths", flags.lengths, {1, 1 << 24}, "tokens, a list");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kBytes{
    {.place = 50, .name = "bytes", .text = "what a text leaves behind, in closed form"},
    add_bytes_flags,
    run_bytes};

}  // namespace

}  // namespace kvlab::app
