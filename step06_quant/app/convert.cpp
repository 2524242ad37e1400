// convert.cpp - chapter 6: a model file with its matrices in another type.
#include <kvlab/weights/convert.hpp>
#include <kvlab/weights/model_path.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

struct ConvertFlags {
    std::string in, out, type = "q8_0";
};

int run_convert(const ConvertFlags& flags) {
    const GgufFile file = GgufFile::open(find_model(flags.in, KVLAB_SOURCE_WEIGHTS));
    const TensorType type = *tensor_type_from_name(flags.type);
    const ConvertReport report = convert(file, flags.out, type);
    std::cout << describe_conversion(file, flags.out, type, report) << std::flush;
    return cli::kHolds;
}

}  // namespace

Command add_convert(CLI::App& parent) {
    CLI::App* sub = parent.add_subcommand(
        "convert", "writes a model file whose matrices are in another type; llama.cpp runs it");
    const auto flags = std::make_shared<ConvertFlags>();
    sub->add_option("in", flags->in, "GGUF file, or a name that find_model knows")->required();
    sub->add_option("out", flags->out, "GGUF file to write")
        ->required()
        ->check(CLI::Validator(
            [](const std::string& path) {
                return path.empty() ? "expected the name of a file, found none" : "";
            },
            ""));
    sub->add_option("--type", flags->type, "f32, f16, bf16, q8_0, q4_0, q4_1 or q4_k")
        ->check(CLI::Validator(
            [](const std::string& name) {
                return tensor_type_from_name(name) ? "" : name + " is none of the types";
            },
            ""))
        ->capture_default_str();
    return {sub, [flags] { return run_convert(*flags); }};
}

}  // namespace kvlab::app
