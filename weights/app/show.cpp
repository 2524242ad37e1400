// show.cpp - what is in a GGUF file: metadata, tensors and their bytes.
#include <algorithm>
#include <iostream>
#include <map>
#include <string>

#include <kvlab/tensor/subcommand.hpp>
#include <kvlab/tensor/text.hpp>

#include "open_model.hpp"

namespace kvlab::app {

namespace {

struct ShowFlags {
    std::string model = "tiny.gguf";
};

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
            bytes += std::ssize(info.bytes);
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

int run_show(const ShowFlags& flags) {
    const GgufFile file = open_model(flags.model);
    std::cout << printable(file.name()) << "\n  GGUF version " << file.version()
              << ", alignment " << file.alignment() << ", " << file.file_bytes() << " bytes\n";
    show_metadata(file);
    show_tensors(file);
    return cli::kHolds;
}

void add_show_flags(CLI::App& app, ShowFlags& flags) {
    app.add_option("model", flags.model, "The GGUF file")->required();
}

const cli::Subcommand kShow{{.place = 10,
                             .name = "show",
                             .text = "Prints metadata, tensors and their bytes",
                             .by_default = true},
                            add_show_flags,
                            run_show};

}  // namespace

}  // namespace kvlab::app
