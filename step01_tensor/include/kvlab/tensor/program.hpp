// program.hpp - chapter 1: the habits that all programs of the book share: exit codes, how
// failures are told, flags that count, and files that are written.
//
// Header only, and included by programs alone: the libraries do not need CLI11.
#pragma once

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include <kvlab/tensor/output_file.hpp>

namespace kvlab::cli {

// The exit codes of all programs.
inline constexpr int kHolds = 0, kFails = 1, kUsage = 2;

// Throws Error unless everything that was printed has arrived: a full disk or a closed stream
// must not look like success.
inline void finish_standard_output() {
    std::cout.flush();
    const bool flushed = std::fflush(stdout) == 0;
    const int reason = flushed ? 0 : errno;
    if (std::cout && flushed && std::ferror(stdout) == 0) return;
    throw Error(concat("standard output: cannot write",
                       reason != 0 ? concat(": ", std::strerror(reason)) : std::string()));
}

// Parses, runs `body` and turns what happens into an exit code. Every failure is one line. A
// program that is interrupted leaves no unfinished file behind.
template <class Body>
int run(CLI::App& app, int argc, char** argv, Body&& body) {
    remove_unfinished_files_on_signals();
    try {
        int code = kHolds;
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError& error) {  // --help is one, too
            code = app.exit(error) == 0 ? kHolds : kUsage;
            finish_standard_output();
            return code;
        }
        code = body();
        finish_standard_output();
        return code;
    } catch (const std::exception& error) {
        std::cout.flush();
        std::cerr << app.get_name() << ": " << error.what() << std::endl;
        return kFails;
    }
}

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

// `file`, opened as soon as the flag is read: a path that cannot be written fails before the
// run, with exit code 1. Null where the flag is not given.
inline CLI::Option* add_output_flag(CLI::App& app,
                                    const std::string& name,
                                    std::shared_ptr<OutputFile>& file,
                                    const std::string& text) {
    const auto open = [&file](const std::string& path) {
        file = std::make_shared<OutputFile>(path);
    };
    const auto is_name = CLI::Validator(
        [](const std::string& path) {
            if (path.empty()) return std::string("expected the name of a file");
            if (path == "-") return std::string("standard output is /dev/stdout");
            return std::string();
        },
        "FILE");
    return app.add_option_function<std::string>(name, open, text)->check(is_name);
}

inline CLI::Option* add_json_flag(CLI::App& app, std::shared_ptr<OutputFile>& file) {
    return add_output_flag(app, "--json", file, "also write the figures to this file");
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

}  // namespace kvlab::cli
