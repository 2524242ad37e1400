// models.hpp - chapter 8: the trained models on the command line, and one that is opened.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/architectures/mixed_decoder.hpp>
#include <kvlab/attention/command_line.hpp>

#include "shapes.hpp"

namespace kvlab::app {

struct EngineFlags {
    Index threads = 1;  // these models run from the processor's cache: more would wait
    std::string simd;   // "": the best level, or $KVLAB_SIMD
};

struct ModelsFlags {
    std::string folder;              // "": mixers/ of the folders of find_model()
    std::vector<std::string> names;  // empty: all that are there
    EngineFlags engine;
};

void add_mixer_engine_flags(CLI::App& app, EngineFlags& flags);
void add_folder_flag(CLI::App& app, std::string& folder);
// --models, --mixer and the engine's.
void add_models_flags(CLI::App& app, ModelsFlags& flags);

// The file of a trained model; empty if it is not there.
std::filesystem::path find_mixer_file(const std::string& folder, const std::string& name);

// The same. Throws Error for one that is not there.
std::filesystem::path mixer_file(const std::string& folder, const std::string& name);

// A model with mixers, ready to run. It stays where it is: its decoder refers to its engine.
struct OpenedMixers {
    // `context`, unless 0, replaces the file's. Throws Error as load_mixed_model() does.
    OpenedMixers(std::string name,
                 const WeightSource& source,
                 const EngineFlags& flags,
                 Index context = 0);

    std::unique_ptr<MixedStore> make_store(Index capacity, Index rewind = 0) const;

    // What goes in before a text.
    Token bos() const { return tokenizer->bos(); }

    std::string name;
    SimdLevel level;
    std::unique_ptr<const Tokenizer> tokenizer;  // null for drawn weights
    std::unique_ptr<Engine> engine;
    MixedDecoder decoder;
};

// Opens a trained model's file.
std::unique_ptr<OpenedMixers> open_mixers(const std::string& folder,
                                          const std::string& name,
                                          const EngineFlags& flags,
                                          Index context = 0);

struct MixersFound {
    std::vector<std::unique_ptr<OpenedMixers>> models;
    std::vector<std::string> missing;  // known ones that are not there, if none was named
};

// All that the flags ask for. Prints what is missing. Throws Error if no model is there, for a
// named one that is not, and for one that is named twice.
MixersFound open_all_mixers(const ModelsFlags& flags, Index context = 0);

// Throws Error, which names it, for the first name that stands there twice.
void check_named_once(const std::vector<std::string>& names);

// A line for those that are left out; nothing if there is none.
void print_missing(const std::vector<std::string>& missing);

// "mamba" for a model of one kind, "3 mamba, 1 gqa" for a hybrid.
std::string kinds_of_layers(const std::vector<std::string>& mixers);

}  // namespace kvlab::app
