// convert.cpp - chapter 6: a model file with its matrices in another type.
#include <kvlab/attention/command_line.hpp>
#include <kvlab/weights/convert.hpp>
#include <kvlab/weights/model_path.hpp>

namespace kvlab::app {

namespace {

struct ConvertFlags {
    std::string in, out, type = "q8_0";
};

int run_convert(const ConvertFlags& flags) {
    const GgufFile file = GgufFile::open(find_model(flags.in, cli::kSourceWeights));
    const TensorType type = *tensor_type_from_name(flags.type);
    const ConvertReport report = convert(file, flags.out, type);
    std::cout << describe_conversion(file, flags.out, type, report) << std::flush;
    return cli::kHolds;
}

void add_convert_flags(CLI::App& app, ConvertFlags& flags) {
    app.add_option("in", flags.in, "GGUF file, or a name that find_model knows")->required();
    app.add_option("out", flags.out, "GGUF file to write")
        ->required()
        ->check(CLI::Validator(
            [](const std::string& path) {
                return path.empty() ? "expected the name of a file, found none" : "";
            },
            ""));
    app.add_option("--type", flags.type, "f32, f16, bf16, q8_0, q4_0, q4_1 or q4_k")
        ->check(CLI::Validator(
            [](const std::string& name) {
                return tensor_type_from_name(name) ? "" : name + " is none of the types";
            },
            ""))
        ->capture_default_str();
}

const cli::Subcommand kConvert{
    {.place = 90,
     .name = "convert",
     .text = "writes a model file whose matrices are in another type; llama.cpp runs it"},
    add_convert_flags,
    run_convert};

}  // namespace

}  // namespace kvlab::app
