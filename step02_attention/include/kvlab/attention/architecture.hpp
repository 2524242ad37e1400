// architecture.hpp - chapter 2: what a model file of each family holds, as a table: its tensors
// and its keys.
//
// A tensor or a key that is left out gives a wrong answer with no sign of it. So a file may
// hold what stands in the table, and nothing else of the model's own.
#pragma once

#include <span>
#include <string_view>

#include <kvlab/attention/config.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

struct TensorTrait {
    const char* name;  // of a layer: what follows "blk.N."
    bool in_layer;
    bool required = true;
};

// What the accepted values of a key are compared with.
struct KeyContext {
    const MetaValue& value;
    const Config& config;
    const Metadata& metadata;
};

struct KeyTrait {
    const char* key;  // what follows "llama." or "gpt2."
    // Whether the value is one that changes nothing here; null: any value, since the
    // configuration reads it, or since it only describes the model.
    bool (*accepts)(const KeyContext&) = nullptr;
    const char* expected = "";  // in words: the accepted values
    const char* what = "";      // in words: what another value would ask for
};

struct ArchitectureTraits {
    Architecture architecture;
    const char* name;  // as general.architecture has it
    std::span<const TensorTrait> tensors;
    std::span<const KeyTrait> keys;  // besides those that all have
};

// All of them, in the order of enum Architecture.
std::span<const ArchitectureTraits> architectures();

const ArchitectureTraits& traits_of(Architecture architecture);

// Throws Error, naming the file, the field, what was expected and what was found, for a key of
// the architecture that is not in the table or has a value that asks for something else, for a
// tensor that is not in the table or belongs to a layer that the model does not have, and for a
// required tensor that is missing. Looks at names alone, so it costs nothing to ask first.
void check_keys(const Config& config, const Metadata& metadata);
void check_tensors(const Config& config, const WeightSource& source);

// The configuration of what is in `source`: its keys, the number of tokens and whether the head
// is tied, all checked as above. Every way to load a model begins with it.
Config read_config(const WeightSource& source);

}  // namespace kvlab
