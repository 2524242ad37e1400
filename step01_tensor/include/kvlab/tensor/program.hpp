// program.hpp - chapter 1: the habits that all programs of the book share: exit codes, how
// failures are told, flags that count, and files that are written.
//
// Header only, and included by programs alone: the libraries do not need CLI11.
#pragma once

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/tensor/output_file.hpp>
#include <kvlab/tensor/sizes.hpp>
#include <kvlab/tensor/text.hpp>

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

// "" for a number as people write it: digits, one sign where there may be one, a point and an
// exponent for a fraction. CLI11 also takes 010 for 8, 0x10 for 16, and for 2^64 - 1 both -1
// and all that is larger.
inline std::string plain_number(const std::string& text, bool sign, bool fraction) {
    const auto digits = [&](std::size_t at) {
        return std::min(text.find_first_not_of("0123456789", at), text.size());
    };
    const std::size_t begin = sign && text.starts_with('-') ? 1 : 0;
    std::size_t end = digits(begin);
    bool plain = end > begin && (end == begin + 1 || text[begin] != '0');
    if (fraction) {
        const std::size_t whole = end - begin;
        plain = whole == 0 || plain;
        if (end < text.size() && text[end] == '.') {
            const std::size_t point = end++;
            end = digits(end);
            plain = plain && whole + (end - point - 1) > 0;
        } else {
            plain = plain && whole > 0;
        }
        if (plain && end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
            end += end + 1 < text.size() && (text[end + 1] == '-' || text[end + 1] == '+');
            plain = digits(end + 1) > end + 1;
            end = digits(end + 1);
        }
    }
    std::uint64_t most = 0;
    const bool fits = fraction || sign ||
                      std::from_chars(text.data(), text.data() + end, most).ec == std::errc();
    if (plain && end == text.size() && fits) return {};
    return concat("expected a",
                  fraction ? ""
                  : sign   ? " whole"
                           : " whole, not negative,",
                  " number in decimal, found '", text, "'");
}

// What every flag of every subcommand keeps to:
//   - It takes one value; a list has commas in it, or the flag is repeated. Otherwise CLI11
//     takes "[a,b]" for two values, and what follows "[]" for values, too, flags or not.
//   - Numbers are decimal.
inline void keep_to_the_letter(CLI::App& app) {
    for (CLI::Option* option : app.get_options()) {
        option->allow_extra_args(false);
        const std::string type = option->get_type_name();
        const bool fraction = type.starts_with("FLOAT");
        const bool sign = fraction || type.starts_with("INT");
        if (!sign && !type.starts_with("UINT")) continue;
        const auto check = [=](const std::string& text) {
            return plain_number(text, sign, fraction);
        };
        option->check(CLI::Validator(check, ""));
    }
    for (CLI::App* sub : app.get_subcommands({})) keep_to_the_letter(*sub);
}

// What a flag that counts takes at least and at most: 16 million tokens are more
// than any context.
struct Count {
    Index least, most;

    Count(Index from, Index to = Index{1} << 24) : least(from), most(to) {}
};

// A whole number in a range, with its default in --help.
inline CLI::Option* add_count(CLI::App& app,
                              const std::string& name,
                              Index& value,
                              Count count,
                              const std::string& text) {
    return app.add_option(name, value, text)
        ->check(CLI::Range(count.least, count.most))
        ->capture_default_str();
}

// The same for a list of them, with commas.
inline CLI::Option* add_count(CLI::App& app,
                              const std::string& name,
                              std::vector<Index>& values,
                              Count count,
                              const std::string& text) {
    return app.add_option(name, values, text)
        ->delimiter(',')
        ->check(CLI::Range(count.least, count.most))
        ->capture_default_str();
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
