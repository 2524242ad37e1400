// opened model.hpp - chapter 2: a model file, opened and ready to run: what every
// program begins with.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/tokenizer.hpp>

namespace kvlab {

struct OpenOptions {
    std::string model = "tiny";  // a path, or a name that find_model() knows
    Index threads = 0;           // 0: one if the file is below 16 MiB, else the machine's
    std::string simd;            // "": the best level, or $KVLAB_SIMD
    std::filesystem::path source_weights;  // the source tree's weights/, may be empty
    std::function<std::unique_ptr<Engine>()> make_engine;  // null: the CPU engine
    // Told what a user should know of the file, a sentence each; null: nobody.
    std::function<void(const std::string& note)> on_note;
};

// Keeps the file mapped, since the tokenizer and the configuration come from it. Of one thread:
// others make a Decoder and an Engine of their own on its model, and may use file, tokenizer
// and encode(), which only read.
struct OpenedModel {
    // Throws Error for a file that cannot be found, read or run.
    explicit OpenedModel(const OpenOptions& options);

    // The tokens of a prompt, with BOS where the model wants one. Adds to *report
    // what was lost.
    std::vector<Token> encode(const std::string& text, EncodeReport* report = nullptr) const;

    SimdLevel level;
    GgufFile file;
    std::unique_ptr<const Tokenizer> tokenizer;
    std::unique_ptr<Engine> engine;
    std::shared_ptr<const Model> model;
    Decoder decoder;
};

// The table that describes a model: "layers  2" and so on, one line each.
std::string describe_model(const Model& model);

}  // namespace kvlab
