// Heads that share keys and values: which of these mixers is which, and what each costs.
#include <doctest/doctest.h>

#include "edited_source.hpp"
#include "mixer_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// A drawn model's source under other names of mixers and another number of KV heads.
EditedSource renamed(const WeightSource& source, const char* mixer, Index kv_heads) {
    Metadata metadata = source.metadata();
    const std::size_t layers = metadata.get_strings("kvlab.mixers").size();
    metadata.set("kvlab.mixers", MetaArray(std::vector<std::string>(layers, mixer)));
    metadata.set("kvlab.attention.head_count_kv", static_cast<std::uint32_t>(kv_heads));
    return {source, std::move(metadata), [](const std::string&) { return true; }};
}

std::vector<float> heads_logits(const WeightSource& source) {
    const auto engine = make_cpu_engine({.threads = 1});
    MixedDecoder decoder(load_mixed_model(source, *engine), *engine);
    const auto store = decoder.make_store();
    const auto logits = decoder.forward(*store, drawn_text(150, 71), LogitsOf::all).flat();
    return {logits.begin(), logits.end()};
}

// The sizes of the models that are trained: 64 wide, 4 heads of 16 numbers.
DrawnModel full_sized(const std::vector<std::string>& mixers, Index kv_heads) {
    static const std::vector<std::pair<std::string, Index>> numbers = {
        {"stride", 16}, {"dilation", 8}, {"block", 16},      {"random_blocks", 2},
        {"rounds", 4},  {"top_k", 64},   {"kv_rank", 24},    {"rope_rank", 8},
        {"inner", 128}, {"conv", 4},     {"state_size", 16}, {"dt_rank", 4},
        {"window", 64}};
    DrawnModel model = drawn_model(mixers);
    model.config.dim = 64;
    model.config.head_dim = model.config.rope_dim = 16;
    model.config.kv_heads = kv_heads;
    for (auto& [key, value] : model.keys)
        for (const auto& [name, number] : numbers)
            if (key == name) value = number;
    const auto is = [&](const char* mixer) { return mixers[0] == mixer; };
    for (auto& [key, value] : model.keys)
        if (key == "window" && (is("dilated") || is("bigbird")))
            value = is("dilated") ? 32 : 48;
    return model;
}

}  // namespace

TEST_CASE("heads: multi-query attention is grouped attention with one KV head") {
    const auto mqa = drawn_model({"mqa", "mqa"}).draw();
    CHECK(heads_logits(renamed(*mqa, "gqa", 1)) == heads_logits(*mqa));
    const auto mha = drawn_model({"mha", "mha"}).draw();
    CHECK(heads_logits(renamed(*mha, "gqa", 4)) == heads_logits(*mha));
    CHECK(heads_logits(*mha) != heads_logits(*mqa));
}

TEST_CASE("heads: shared keys and values are the same ones for every head, in every bit") {
    for (const auto& one : {std::pair<std::string, Index>{"mqa", 1}, {"gqa", 2}}) {
        const std::string& mixer = one.first;
        const Index kv_heads = one.second;
        CAPTURE(mixer);
        const auto shared = drawn_model({mixer, mixer}).draw();
        EditedSource repeated = renamed(*shared, "mha", 4);
        for (const char* name : {"attn_k", "attn_v"})
            for (const Index layer : {Index{0}, Index{1}}) {
                const std::string tensor = concat("blk.", layer, ".", name, ".weight");
                const Tensor few = to_f32(shared->tensor(tensor));
                Tensor all({4 * 8, 32});
                for (Index row = 0; row < 4 * 8; ++row)
                    for (Index i = 0; i < 32; ++i)
                        all(row, i) = few(row / 8 * kv_heads / 4 * 8 + row % 8, i);
                repeated.set(tensor, std::move(all));
            }
        CHECK(heads_logits(repeated) == heads_logits(*shared));
    }
}

TEST_CASE("heads: a name that does not fit the number of KV heads is refused") {
    const auto source = drawn_model({"gqa", "gqa"}).draw();
    CHECK_THROWS_WITH_AS(heads_logits(renamed(*source, "mha", 2)),
                         "drawn model: layer 0 is 'mha', which has 4 KV heads, but "
                         "kvlab.attention.head_count_kv is 2",
                         Error);
    CHECK_THROWS_WITH_AS(heads_logits(renamed(*source, "mqa", 2)),
                         "drawn model: layer 0 is 'mqa', which has 1 KV heads, but "
                         "kvlab.attention.head_count_kv is 2",
                         Error);
}

// The chapter's table, with its numbers written out: H = 4, D = 16, 32-bit floats.
TEST_CASE("heads: bytes of all mixers are those of the chapter's table") {
    struct Row {
        std::vector<std::string> mixers;
        Index kv_heads;
        Index floats_64, floats_512;  // of all layers, for so many tokens
    };

    const std::vector<Row> table = {
        {{"mha"}, 4, 2 * 64 * 64, 2 * 512 * 64},
        {{"gqa"}, 2, 2 * 64 * 32, 2 * 512 * 32},
        {{"mqa"}, 1, 2 * 64 * 16, 2 * 512 * 16},
        {{"mla"}, 4, 64 * 32, 512 * 32},
        {{"local"}, 2, 2 * 64 * 32, 2 * 64 * 32},
        {{"strided"}, 2, 2 * 64 * 32, 2 * 512 * 32},
        {{"dilated"}, 2, 2 * (32 + 64) * 16, 2 * (32 + 249) * 16},
        {{"bigbird"}, 2, 2 * 64 * 32, 2 * 512 * 32},
        {{"lsh"}, 4, 64 * 4 * (32 + 4), 512 * 4 * (32 + 4)},
        {{"indexed"}, 2, 64 * (64 + 8), 512 * (64 + 8)},
        {{"linear"}, 4, 1088, 1088},
        {{"delta"}, 4, 1600, 1600},
        {{"s4d"}, 2, 2048, 2048},
        {{"mamba"}, 2, 2432, 2432},
        {{"rwkv"}, 2, 256, 256},
        {{"gqa", "shared", "gqa", "shared"}, 2, 2 * 64 * 64, 2 * 512 * 64},
        {{"local", "local", "gqa", "shared"}, 2, 3 * 64 * 64, (2 * 64 + 512) * 64},
        {{"mamba", "mamba", "gqa", "mamba"}, 2, 3 * 2432 + 64 * 64, 3 * 2432 + 512 * 64},
        {{"mamba", "local", "mamba", "local"}, 2, 2 * (2432 + 64 * 64), 2 * (2432 + 64 * 64)},
    };
    std::vector<std::string> seen;
    for (const Row& row : table) {
        CAPTURE(layer_names(row.mixers));
        const DrawnMixers subject(full_sized(row.mixers, row.kv_heads));
        CHECK(subject.decoder.mixed_model().state_bytes(64) == 4 * row.floats_64);
        CHECK(subject.decoder.mixed_model().state_bytes(512) == 4 * row.floats_512);
        seen.insert(seen.end(), row.mixers.begin(), row.mixers.end());
    }
    for (const MixerEntry& entry : all_mixers())
        CHECK(std::ranges::find(seen, std::string(entry.name)) != seen.end());
}
