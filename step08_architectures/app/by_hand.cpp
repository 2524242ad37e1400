// by_hand.cpp - chapter 8: the examples that the chapter works out on paper, by the code that
// it teaches. Here: what each memory holds, who sees whom by a pattern, and going back.
#include "by_hand.hpp"

#include <cstdio>

#include <kvlab/architectures/draw_model.hpp>
#include <kvlab/architectures/pattern.hpp>
#include <kvlab/architectures/recurrent.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/subject.hpp>
#include <kvlab/tensor/worked_examples.hpp>

#include "models.hpp"

namespace kvlab::app {

namespace {

// Floats of all layers of each model: what is there once, what a token adds, what there is.
void show_memory() {
    std::printf(
        "  model        layers  before a token  token 1000 adds  after 512  after 8192\n");
    for (const MixedShape& shape : all_shapes()) {
        const OpenedMixers opened(shape.name, *draw_shape(shape), {});
        const auto floats = [&](Index tokens) {
            return opened.decoder.mixed_model().state_bytes(tokens) / Index{sizeof(float)};
        };
        std::printf("  %-12s %6td %14td %16td %10td %11td\n", shape.name.c_str(),
                    std::ssize(shape.mixers), floats(0), floats(1000) - floats(999),
                    floats(512), floats(8192));
    }
}

// 32 query heads of 128 numbers of 16 bits, in 32 layers.
void show_heads() {
    std::printf("       KV heads  bytes a token  after 8192\n");
    for (const auto& [name, kv_heads] :
         {std::pair("MHA", Index{32}), {"GQA", Index{8}}, {"MQA", Index{1}}}) {
        const CacheShape shape{32, kv_heads, 128};
        std::printf("  %s  %8td  %13td  %9.3f GB\n", name, kv_heads, shape.total(1),
                    static_cast<double>(shape.total(8192)) / (1 << 30));
    }
}

using PaperKeys = std::vector<std::pair<std::string, Index>>;

// A model of one layer with this pattern.
std::shared_ptr<const MixedModel> paper_model(Engine& engine,
                                              const char* mixer,
                                              const PaperKeys& keys) {
    Config config;
    config.layers = 1;
    return load_mixed_model(*draw_mixed_model(config, {mixer}, keys, 42), engine);
}

// #: seen. +: kept for a later token. '.': may be forgotten.
char pattern_mark(const Pattern& pattern, Index head, Index t, Index s) {
    if (pattern.sees(head, t, s)) return '#';
    const auto last = pattern.last_reader(head, s);
    return !last || *last >= t ? '+' : '.';
}

void show_patterns() {
    struct Grid {
        const char* title;
        const char* mixer;
        PaperKeys keys;
        Index head = 0;
    };

    constexpr Index kPaperTokens = 16;
    const Grid grids[] = {
        {"local", "local", {{"window", 4}}},
        {"strided", "strided", {{"stride", 4}}},
        {"dilated, head 0", "dilated", {{"window", 3}, {"dilation", 3}}},
        {"dilated, head 1", "dilated", {{"window", 3}, {"dilation", 3}}, 1},
        {"bigbird", "bigbird", {{"block", 2}, {"window", 4}, {"random_blocks", 1}}}};
    const auto engine = make_cpu_engine({.threads = 1});
    std::vector<std::shared_ptr<const MixedModel>> models;
    std::string head(10, ' ');
    for (const Grid& grid : grids) {
        models.push_back(paper_model(*engine, grid.mixer, grid.keys));
        head.append(usize(10 + 18 * std::ssize(models) - 16 - std::ssize(head)), ' ');
        head += grid.title;
    }
    std::printf("%s\n", head.c_str());
    for (Index t = 0; t < kPaperTokens; ++t) {
        std::string line = concat("  token ", t < 10 ? " " : "", t);
        for (std::size_t g = 0; g < models.size(); ++g) {
            const auto& mixer = dynamic_cast<const PatternAttention&>(*models[g]->mixers[0]);
            std::string marks;
            for (Index s = 0; s <= t; ++s)
                marks += pattern_mark(mixer.pattern(), grids[g].head, t, s);
            if (g + 1 < models.size()) marks.resize(usize(kPaperTokens), ' ');
            line += concat("  ", marks);
        }
        std::printf("%s\n", line.c_str());
    }
}

bool can_go_back(const KvStore& store, Index to) {
    try {
        store.fork()->truncate(to);
        return true;
    } catch (const Error&) {
        return false;
    }
}

// A text of 200 tokens, with copies for going back by 100.
void show_snapshots() {
    constexpr Index kTokens = 200, kRewind = 100, kBack = 150;
    OpenedMixers opened("linear", *draw_shape(*find_shape_of("linear")), {});
    MixedDecoder& decoder = opened.decoder;
    const std::vector<Token> text = random_text(256, kTokens);
    const auto run = [&](MixedStore& store, Index first, Index end) {
        const auto tokens = std::span(text).subspan(usize(first), usize(end - first));
        const auto logits = decoder.forward(store, tokens, LogitsOf::all).flat();
        return std::vector<float>(logits.begin(), logits.end());
    };
    const auto plain = opened.make_store(kTokens), kept = opened.make_store(kTokens, kRewind);
    run(*plain, 0, kTokens);
    run(*kept, 0, kBack);
    const std::vector<float> before = run(*kept, kBack, kTokens);
    const auto& mixer = dynamic_cast<const RecurrentMixer&>(*decoder.mixed_model().mixers[0]);
    const Index copies = (kept->bytes().allocated - plain->bytes().allocated) /
                         (std::ssize(decoder.mixed_model().mixers) * mixer.rewind_bytes(1));
    std::printf("  %td tokens, rewind %td: %td copies\n", kTokens, kRewind, copies);
    Index furthest = 1;
    while (!can_go_back(*kept, furthest)) ++furthest;
    std::printf("  the furthest that it goes back: %td\n", furthest);
    std::printf("  without copies, back to %td: %s\n", kBack,
                can_go_back(*plain, kBack) ? "yes" : "no");
    kept->truncate(kBack);
    std::printf("  back to %td, and on with the same tokens: %s\n", kBack,
                run(*kept, kBack, kTokens) == before ? "the same bits" : "OTHER BITS");
}

const cli::Subcommand kByHand = cli::worked_examples(60,
                                                     {{"memory", show_memory},
                                                      {"heads", show_heads},
                                                      {"latent", show_latent},
                                                      {"patterns", show_patterns},
                                                      {"buckets", show_buckets},
                                                      {"indexer", show_indexer},
                                                      {"linear", show_linear},
                                                      {"delta", show_delta},
                                                      {"gates", show_gates},
                                                      {"scan", show_scan},
                                                      {"snapshots", show_snapshots}});

}  // namespace

}  // namespace kvlab::app
