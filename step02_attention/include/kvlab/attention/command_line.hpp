// command_line.hpp - chapter 2: the flags and habits that the programs of all chapters share.
//
// Header only, and included by programs alone: the libraries do not need CLI11.
#pragma once

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <kvlab/attention/session.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/weights/input_file.hpp>
#include <kvlab/weights/text.hpp>
#include <kvlab/weights/unicode.hpp>

namespace kvlab::cli {

// The exit codes of all programs.
inline constexpr int kHolds = 0, kFails = 1, kUsage = 2;

// CLI::Range lets NaN through: no comparison with it holds.
inline CLI::Validator number_between(double least, double most) {
    return CLI::Validator(
        [least, most](const std::string& text) {
            double number = 0;
            const bool inside =
                CLI::detail::lexical_cast(text, number) && number >= least && number <= most;
            return inside ? std::string()
                          : concat("Value ", text, " not in range ", least, " to ", most);
        },
        concat("FLOAT in [", least, " - ", most, "]"));
}

// What a user should know of a model's file.
inline void print_note(const std::string& note) {
    std::cerr << "note: " << printable(note) << std::endl;
}

inline void add_model_flags(CLI::App& app, SessionOptions& options) {
    options.on_note = print_note;
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

// Parses, runs `body` and turns what happens into an exit code. Every failure is one line.
template <class Body>
int run(CLI::App& app, int argc, char** argv, Body&& body) {
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kHolds : kUsage;
    }
    try {
        const int code = body();
        std::cout.flush();
        if (!std::cout) throw Error("standard output: cannot write");
        return code;
    } catch (const std::exception& error) {
        std::cout.flush();
        std::cerr << app.get_name() << ": " << printable(error.what()) << std::endl;
        return kFails;
    }
}

inline bool use_colour() {
    const char* wish = std::getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && (wish == nullptr || *wish == '\0');
}

// "yes" or "NO", coloured on a terminal.
inline std::string verdict(bool ok) {
    if (!use_colour()) return ok ? "yes" : "NO";
    return ok ? "\033[32myes\033[0m" : "\033[31mNO\033[0m";
}

// A whole file, for a text to score. Throws Error when it is a folder or cannot be read.
inline std::vector<std::uint8_t> read_bytes(const std::string& path) {
    std::ifstream file = open_input(path);
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

// Prints tokens as text while they come, never half a character, and no character that a
// terminal would obey instead of showing it.
class TextStream {
public:
    explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

    void push(Token token) {
        if (!tokenizer_.is_end(token))
            std::cout << printable(utf8_.push(tokenizer_.piece(token)), Keep::lines)
                      << std::flush;
    }

    void finish() { std::cout << utf8_.finish() << std::endl; }

private:
    const Tokenizer& tokenizer_;
    Utf8Stream utf8_;
};

}  // namespace kvlab::cli
