// command_line.hpp - chapter 2: the flags and habits that the programs of all chapters share.
//
// Header only, and included by programs alone: the libraries do not need CLI11.
#pragma once

#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <kvlab/attention/session.hpp>
#include <kvlab/tensor/program.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/weights/unicode.hpp>

namespace kvlab::cli {

inline void add_model_flags(CLI::App& app, SessionOptions& options) {
    app.add_option("-m,--model", options.model,
                   "GGUF file, or a name: tiny, deep, SmolLM2-135M-Instruct-Q4_1")
        ->capture_default_str();
    app.add_option("--threads", options.threads, "threads; 0: chosen by the model's size")
        ->check(CLI::Range(0, 256))
        ->capture_default_str();
    app.add_option("--simd", options.simd, "portable, avx2 or avx512; default: the best here");
}

inline void add_sampling_flags(CLI::App& app, SamplingOptions& options) {
    app.add_option("-t,--temperature", options.temperature, "0: always the most likely token")
        ->check(number_between(0, 100))
        ->capture_default_str();
    app.add_option("--top-k", options.top_k, "only the k most likely; 0: all")
        ->check(CLI::Range(0, 1 << 24))
        ->capture_default_str();
    app.add_option("--top-p", options.top_p,
                   "only the most likely with this mass together; 1: all")
        ->check(number_between(0, 1))
        ->capture_default_str();
    app.add_option("-s,--seed", options.seed, "of the sampling")->capture_default_str();
}

// A whole file, for a text to score. Throws Error when it cannot be read.
inline std::vector<std::uint8_t> read_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    check(file.good(), path, ": cannot be read");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Says aloud what of a text the vocabulary could not write.
inline void warn_about_losses(const EncodeReport& report) {
    if (report.dropped_bytes > 0)
        std::cerr << "note: " << report.dropped_bytes
                  << " bytes of the prompt have no token and were left out\n";
    if (report.invalid_bytes > 0)
        std::cerr << "note: " << report.invalid_bytes
                  << " bytes of the prompt are not UTF-8; U+FFFD stands for them\n";
}

// Prints tokens as text while they come, never half a character.
class TextStream {
public:
    explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

    void push(Token token) {
        if (!tokenizer_.is_end(token))
            std::cout << utf8_.push(tokenizer_.piece(token)) << std::flush;
    }

    void finish() { std::cout << utf8_.finish() << std::endl; }

private:
    const Tokenizer& tokenizer_;
    Utf8Stream utf8_;
};

}  // namespace kvlab::cli
