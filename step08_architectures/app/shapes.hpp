// shapes.hpp - chapter 8: the shapes of the models that were trained: for each name its layers'
// mixers and their numbers. Bytes and times need no weights, so they can be had for all.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <kvlab/attention/config.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab::app {

struct MixedShape {
    std::string name;                      // of the file, without .gguf
    std::vector<std::string> mixers;       // [L]
    Index kv_heads = 2;                    // Hkv
    Index window = 64;                     // where a mixer has one
    std::vector<std::int32_t> kv_layer{};  // [L], or empty
};

// In the order of the tables.
std::span<const MixedShape> all_shapes();

// Null for a name that is none of them.
const MixedShape* find_shape_of(const std::string& name);

// A file of this shape as it would be read, its weights drawn.
std::unique_ptr<WeightSource> draw_shape(const MixedShape& shape);

}  // namespace kvlab::app
