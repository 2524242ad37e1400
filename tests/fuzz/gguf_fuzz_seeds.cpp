// Writes the first files of gguf_fuzz's corpus into the folder that is its argument.
#include <exception>
#include <filesystem>
#include <iostream>

#include "gguf_samples.hpp"

int main(int argc, char** argv) {
    using namespace kvlab;
    if (argc != 2) {
        std::cerr << "usage: gguf_fuzz_seeds FOLDER\n";
        return 2;
    }
    try {
        const std::filesystem::path folder = argv[1];
        std::filesystem::create_directories(folder);
        test::sample_writer().write(folder / "all_types.gguf");
        GgufWriter one;
        one.add("t", {2, 2}, std::vector<float>{1, 2, 3, 4});
        one.write(folder / "one_tensor.gguf");
        GgufWriter keys;
        keys.metadata().set("general.alignment", 64u);
        keys.metadata().set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
        keys.write(folder / "keys.gguf");
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return 0;
}
