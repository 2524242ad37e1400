// command_line.hpp - chapter 2: the flags and habits that the programs of all chapters share.
//
// Header only, and included by programs alone: the libraries do not need CLI11.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <kvlab/attention/opened_model.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/tensor/subcommand.hpp>
#include <kvlab/weights/input_file.hpp>
#include <kvlab/weights/model_path.hpp>
#include <kvlab/weights/unicode.hpp>

namespace kvlab::cli {

// More than 0, and at most 1.
inline CLI::Validator share_of_all() {
    return CLI::Validator(
        [](const std::string& text) {
            float share = 0;
            const bool inside =
                CLI::detail::lexical_cast(text, share) && share > 0 && share <= 1;
            return inside ? std::string()
                          : concat("expected more than 0 and at most 1, found ", text);
        },
        "FLOAT in (0 - 1]");
}

// The source's folder weights/, as CMake tells each program of the book.
#ifdef KVLAB_SOURCE_WEIGHTS
inline const std::filesystem::path kSourceWeights = KVLAB_SOURCE_WEIGHTS;
#else
inline const std::filesystem::path kSourceWeights;  // another program: nowhere
#endif

// A committed text as the default of a flag: where it is, or its name if it is nowhere, which
// is what the error will then say.
inline std::string default_text(const std::string& name) {
    try {
        return find_text(name, kSourceWeights).string();
    } catch (const Error&) {
        return name;
    }
}

// Looks a text up as find_text() does; what is nowhere is wrong usage.
inline CLI::Validator text_file() {
    return CLI::Validator(
        [](std::string& name) {
            try {
                name = find_text(name, kSourceWeights).string();
                return std::string();
            } catch (const Error& error) {
                return std::string(error.what());
            }
        },
        "FILE");
}

// What a user should know of a model's file.
inline void print_note(const std::string& note) {
    std::cerr << "note: " << printable(note) << std::endl;
}

// What every flag of a model begins with: files of the source are found, and notes printed.
inline OpenOptions open_options(const std::string& model = "tiny") {
    OpenOptions options;
    options.model = model;
    options.source_weights = kSourceWeights;
    options.on_note = print_note;
    return options;
}

// Of models that the program names in another way.
inline void add_engine_flags(CLI::App& app, OpenOptions& options) {
    add_count(app, "--threads", options.threads, {0, 256},
              "threads; 0: chosen by the model's size");
    app.add_option("--simd", options.simd, "portable, avx2 or avx512; default: the best here");
}

inline void add_model_flags(CLI::App& app, OpenOptions& options) {
    app.add_option("-m,--model", options.model,
                   "GGUF file, or a name: tiny, deep, SmolLM2-135M-Instruct-Q4_1")
        ->capture_default_str();
    add_engine_flags(app, options);
}

inline void add_sampling_flags(CLI::App& app, SamplingOptions& options) {
    app.add_option("-t,--temperature", options.temperature, "0: always the most likely token")
        ->check(CLI::Validator(
            [](const std::string& text) {
                double t = 0;  // 1e-60 is no 0, as it would be in a float
                constexpr auto kLeast = static_cast<double>(Sampler::kLeastTemperature);
                if (CLI::detail::lexical_cast(text, t) && (t == 0 || (t >= kLeast && t <= 100)))
                    return std::string();
                return concat("expected 0, or ", kLeast, " to 100, found ", text);
            },
            "FLOAT in {0} or [2^-20 - 100]"))
        ->capture_default_str();
    add_count(app, "--top-k", options.top_k, 0, "only the k most likely; 0: all");
    app.add_option("--top-p", options.top_p,
                   "only the most likely with this mass together; 1: all")
        ->check(share_of_all())
        ->capture_default_str();
    app.add_option("-s,--seed", options.seed, "of the sampling")->capture_default_str();
}

// A whole file, for a text to score. Throws Error when it is a folder or cannot be read.
inline std::vector<std::uint8_t> read_bytes(const std::string& path) {
    std::ifstream file = open_input(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Everything that standard input brings, for `-p -`.
inline std::string read_standard_input() {
    std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    // std::cin takes an error of the stream below it for the end.
    check(std::ferror(stdin) == 0, "standard input: cannot be read");
    return text;
}

// Throws Error if the tokens that these options ask for do not fit the model's context.
inline void check_fits(const std::string& options, Index tokens, const Config& config) {
    check(tokens <= config.context, options, ": ", tokens, " tokens, the model's context is ",
          config.context);
}

// A prompt from a file or from standard input, without the end of its last line: editors and
// `echo` put one there that nobody means.
inline std::string without_last_newline(std::string text) {
    if (text.ends_with('\n')) text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
    return text;
}

struct PromptOptions {
    CLI::Option *text, *file;
};

// -p TEXT, -p - (standard input) and -f FILE. With a vector each may be repeated, and each is
// one prompt more; with a string only one of them may be given.
template <class Prompt>
PromptOptions add_prompt_flags(CLI::App& app, Prompt& prompt, const std::string& text) {
    constexpr bool kOne = std::is_same_v<Prompt, std::string>;
    const auto take = [&prompt](std::string one) {
        if constexpr (kOne)
            prompt = std::move(one);
        else
            prompt.push_back(std::move(one));
    };
    const auto take_text = [take](const Prompt& given) {
        const auto one = [&](const std::string& from) {
            take(from == "-" ? without_last_newline(read_standard_input()) : from);
        };
        if constexpr (kOne)
            one(given);
        else
            std::for_each(given.begin(), given.end(), one);
    };
    const auto take_file = [take](const Prompt& given) {
        const auto one = [&](const std::string& path) {
            const std::vector<std::uint8_t> bytes = read_bytes(path);
            take(without_last_newline({bytes.begin(), bytes.end()}));
        };
        if constexpr (kOne)
            one(given);
        else
            std::for_each(given.begin(), given.end(), one);
    };
    PromptOptions options{};
    options.text =
        app.add_option_function<Prompt>("-p,--prompt", take_text, text + "; -: standard input");
    options.file = app.add_option_function<Prompt>("-f,--file", take_file,
                                                   "the same from a file, without the end of "
                                                   "its last line");
    options.file->check(CLI::ExistingFile);
    if constexpr (kOne) {
        options.file->excludes(options.text);
        if (!prompt.empty()) options.text->default_str(prompt);
    }
    return options;
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
