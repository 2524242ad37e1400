#include "shapes.hpp"

#include <algorithm>

#include <kvlab/architectures/draw_model.hpp>
#include <kvlab/architectures/registry.hpp>

namespace kvlab::app {

namespace {

std::vector<MixedShape> list_shapes() {
    const auto two = [](const char* mixer, Index kv_heads = 2, Index window = 64) {
        return MixedShape{mixer, {mixer, mixer}, kv_heads, window};
    };
    return {
        two("mha", 4),
        two("gqa"),
        two("mqa", 1),
        two("mla", 4),
        two("local"),
        two("strided"),
        two("dilated", 2, 32),
        two("bigbird", 2, 48),
        two("lsh", 4),
        two("indexed"),
        two("linear", 4),
        two("delta", 4),
        two("s4d"),
        two("mamba"),
        two("rwkv"),
        {.name = "gqa4", .mixers = {"gqa", "gqa", "gqa", "gqa"}},
        {.name = "cla", .mixers = {"gqa", "shared", "gqa", "shared"}, .kv_layer = {0, 0, 2, 2}},
        {.name = "yoco",
         .mixers = {"local", "local", "gqa", "shared"},
         .kv_layer = {0, 1, 2, 2}},
        {.name = "alternating", .mixers = {"local", "gqa", "local", "gqa"}},
        {.name = "jamba", .mixers = {"mamba", "mamba", "gqa", "mamba"}},
        {.name = "samba", .mixers = {"mamba", "local", "mamba", "local"}},
    };
}

// The value of a mixer's key in the models that were trained.
Index trained_number(const MixedShape& shape, const std::string& key) {
    static const std::vector<std::pair<std::string, Index>> numbers = {
        {"stride", 16}, {"dilation", 8}, {"block", 16},      {"random_blocks", 2},
        {"rounds", 4},  {"top_k", 64},   {"kv_rank", 24},    {"rope_rank", 8},
        {"inner", 128}, {"conv", 4},     {"state_size", 16}, {"dt_rank", 4}};
    if (key == "window") return shape.window;
    for (const auto& [name, number] : numbers)
        if (name == key) return number;
    throw Error(concat("shape ", shape.name, ": no number for kvlab.", key));
}

}  // namespace

std::span<const MixedShape> all_shapes() {
    static const std::vector<MixedShape> shapes = list_shapes();
    return shapes;
}

const MixedShape* find_shape_of(const std::string& name) {
    const auto all = all_shapes();
    const auto found = std::ranges::find(all, name, &MixedShape::name);
    return found == all.end() ? nullptr : &*found;
}

std::unique_ptr<WeightSource> draw_shape(const MixedShape& shape) {
    Config config;  // its defaults are the frame that all of these models share
    config.name = concat("kvlab-", shape.name, ", drawn weights");
    config.layers = std::ssize(shape.mixers);
    config.kv_heads = shape.kv_heads;
    std::vector<std::pair<std::string, Index>> keys;
    for (const std::string& mixer : shape.mixers)
        for (const std::string key : find_mixer(mixer).keys) {
            const auto same = [&](const auto& entry) { return entry.first == key; };
            if (key != "kv_layer" && std::ranges::none_of(keys, same))
                keys.emplace_back(key, trained_number(shape, key));
        }
    return draw_mixed_model(config, shape.mixers, keys, 42, shape.kv_layer);
}

}  // namespace kvlab::app
