// kvlab_weights - look into a GGUF file, convert it, or try its tokenizer.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>

#include <kvlab/tensor/program.hpp>
#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/convert.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/model_path.hpp>
#include <kvlab/weights/tokenizer.hpp>
#include "tokens.hpp"

namespace {

using namespace kvlab;

std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
}

void show_metadata(const GgufFile& file) {
    std::size_t width = 0;
    for (const auto& entry : file.metadata().entries())
        width = std::max(width, printable(entry.key).size());
    std::cout << "\nmetadata\n";
    for (const auto& entry : file.metadata().entries())
        std::cout << "  " << padded(printable(entry.key), width) << "  "
                  << describe(entry.value) << '\n';
}

void show_tensors(const GgufFile& file) {
    struct Total {
        Index tensors = 0, numbers = 0, bytes = 0;

        void add(const TensorInfo& info) {
            ++tensors;
            numbers += info.shape.size();
            bytes += static_cast<Index>(info.bytes.size());
        }
    };

    std::size_t width = 0;
    for (const TensorInfo& info : file.tensors())
        width = std::max(width, printable(info.name).size());
    std::map<std::string, Total> by_type;
    Total all;
    std::cout << "\ntensors (shape row-major, bytes)\n";
    for (const TensorInfo& info : file.tensors()) {
        std::cout << "  " << padded(printable(info.name), width) << "  "
                  << padded(type_name(info.type), 4) << "  "
                  << padded(info.shape.to_string(), 14) << "  " << info.bytes.size() << '\n';
        by_type[type_name(info.type)].add(info);
        all.add(info);
    }
    std::cout << "\nin all\n";
    for (const auto& [type, total] : by_type)
        std::cout << "  " << padded(type, 4) << "  " << total.tensors << " tensors, "
                  << total.numbers << " numbers, " << total.bytes << " bytes\n";
    std::cout << "RESULT tensors=" << all.tensors << " numbers=" << all.numbers
              << " tensor_bytes=" << all.bytes << " file_bytes=" << file.file_bytes() << '\n';
}

void show(const std::string& model) {
    const GgufFile file = GgufFile::open(find_model(model, KVLAB_SOURCE_WEIGHTS));
    std::cout << printable(file.name()) << "\n  GGUF version " << file.version()
              << ", alignment " << file.alignment() << ", " << file.file_bytes() << " bytes\n";
    show_metadata(file);
    show_tensors(file);
}

void convert_file(const std::string& in, const std::string& out, const std::string& type) {
    const GgufFile file = GgufFile::open(find_model(in, KVLAB_SOURCE_WEIGHTS));
    const TensorType target = *tensor_type_from_name(type);
    std::cout << describe_conversion(file, out, target, convert(file, out, target));
}

void show_tokens_of(const std::string& model, const ShowTokens& what) {
    const GgufFile file = GgufFile::open(find_model(model, KVLAB_SOURCE_WEIGHTS));
    for (const std::string& note : tokenizer_notes(file.metadata()))
        std::cerr << "note: " << printable(note) << '\n';
    show_tokens(file.metadata(), what);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app(
        "Looks into GGUF model files and converts them.\n"
        "Without arguments: shows the tiny model that comes with kvlab.",
        "kvlab_weights");
    app.footer(
        "A model is a path, or a name that is looked for in $KVLAB_WEIGHTS and weights/.\n"
        "Exit codes: 0 done, 1 bad data, 2 usage.");
    app.require_subcommand(0, 1);

    std::string model = "tiny.gguf", out, type;
    CLI::App* shower = app.add_subcommand("show", "Prints metadata, tensors and their bytes");
    shower->add_option("model", model, "The GGUF file")->required();
    CLI::App* converter = app.add_subcommand(
        "convert", "Writes the same model with its matrices in another type");
    converter->add_option("in", model, "The GGUF file to read")->required();
    converter->add_option("out", out, "The GGUF file to write")->required();
    converter->add_option("--type", type, "Type of the matrices")
        ->required()
        ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_k"}));

    ShowTokens tokens;
    CLI::App* tokenizer = app.add_subcommand("tokens", "Prints the tokens of a text");
    tokenizer->add_option("model", model, "The GGUF file")->required();
    tokenizer->add_option("text", tokens.text, "The text")->required();
    tokenizer->add_flag("--special", tokens.special, "Read names of control tokens as such");
    tokenizer->add_flag("--steps", tokens.steps, "Print the merges of each word");

    return cli::run(app, argc, argv, [&] {
        if (converter->parsed())
            convert_file(model, out, type);
        else if (tokenizer->parsed())
            show_tokens_of(model, tokens);
        else
            show(model);
        return cli::kHolds;
    });
}
