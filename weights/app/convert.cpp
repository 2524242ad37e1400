// convert.cpp - the same model with its matrices in another type.
#include <iostream>
#include <string>

#include <kvlab/tensor/subcommand.hpp>
#include <kvlab/weights/convert.hpp>

#include "open_model.hpp"

namespace kvlab::app {

namespace {

struct ConvertFlags {
    std::string in, out, type;
};

int run_convert(const ConvertFlags& flags) {
    const GgufFile file = open_model(flags.in);
    const TensorType target = *tensor_type_from_name(flags.type);
    std::cout << describe_conversion(file, flags.out, target, convert(file, flags.out, target));
    return cli::kHolds;
}

void add_convert_flags(CLI::App& app, ConvertFlags& flags) {
    app.add_option("in", flags.in, "The GGUF file to read")->required();
    app.add_option("out", flags.out, "The GGUF file to write")->required();
    app.add_option("--type", flags.type, "Type of the matrices")
        ->required()
        ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_k"}));
}

const cli::Subcommand kConvert{
    {.place = 20,
     .name = "convert",
     .text = "Writes the same model with its matrices in another type"},
    add_convert_flags,
    run_convert};

}  // namespace

}  // namespace kvlab::app
