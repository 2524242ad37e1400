// registry.hpp - chapter 8: every mixer by its name. A mixer is one file in src/mixers/,
// NAME.cpp, which ends with mixers_of_NAME(): what it is called, which tensors it has and how
// it is made from them. CMake finds the file and lists that function; no other file names it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <kvlab/architectures/mixer.hpp>
#include <kvlab/attention/tensor_loader.hpp>

namespace kvlab {

// One layer of a file, as its keys describe it.
struct MixerPlan {
    const Metadata& metadata;
    const Config& config;
    Index layer;

    // The file's number "kvlab.`key`". Throws Error unless it is there, from `least` to `most`.
    Index number(const char* key, Index least, Index most) const;
};

// A tensor of a layer, and how a test draws it: a matrix normal, with standard deviation
// 1 / sqrt(depth), a vector between two numbers.
struct MixerTensor {
    const char* name;  // "attn_q", without "blk.N." and ".weight"
    Shape shape;
    float low = 0.9f, high = 1.1f;  // of a vector, and of a matrix that is no product's
    bool between = false;           // draw it between the two although it is a matrix
};

struct MixerEntry {
    Index place;        // in tables and lists, which are sorted by it
    const char* name;   // as the file's kvlab.mixers has it
    const char* idea;   // in a few words
    const char* paper;  // authors, year
    std::vector<MixerTensor> (*tensors)(const MixerPlan&);
    // `prefix` is "blk.N.".
    std::unique_ptr<Mixer> (*load)(const MixerPlan&, TensorLoader&, const std::string& prefix);
    std::span<const char* const> keys = {};  // its numbers, without "kvlab."
    bool readable = false;                   // its state is a KvState: other layers may read it
};

// By place.
std::span<const MixerEntry> all_mixers();

// Throws Error, listing all names, for another one.
const MixerEntry& find_mixer(const std::string& name);

}  // namespace kvlab
