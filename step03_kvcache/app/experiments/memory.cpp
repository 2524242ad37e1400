// memory.cpp - chapter 3, experiments L4, D3 and D6: what the cache holds by formula, by its
// own account and by the allocator's; and where it outgrows the weights of a 7B model.
#include <cstdio>
#include <memory>
#include <vector>

#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/kvcache/subject.hpp>
#include <kvlab/tensor/report.hpp>

#include "app.hpp"
#include "at_scale.hpp"

namespace kvlab::app {

namespace {

constexpr Index kMB = Index{1} << 20;

struct MemoryFlags {
    OpenOptions opened = cli::open_options("distilgpt2");
    Index prompt = 4;
    std::vector<Index> steps = {32, 64, 128, 256};
    std::string cache = "f32";
    std::shared_ptr<OutputFile> json;
};

double in_mb(Index bytes) {
    return static_cast<double>(bytes) / static_cast<double>(kMB);
}

// One length: the cache after it, and the most that was allocated besides the weights.
struct Line {
    Index steps = 0, rows = 0;  // rows: tokens held when the last token has been generated
    Index formula = 0;          // of those rows
    KvBytes cache;              // the store's own account
    Index counted = 0;          // by the allocator, of the store alone
    Index peak_with = 0, peak_without = 0;
    Index activations_with = 0, activations_without = 0;
};

// Peak of everything but the weights while `work` runs with a new decoder, whose activations
// grow as far as this run needs and no farther.
template <class Work>
Index peak_of(Subject& subject, Index& activations, Work&& work) {
    const Index before = memory_use().bytes;
    reset_memory_peak();
    Decoder decoder(subject.model(), subject.engine());
    work(decoder);
    activations = decoder.activation_bytes();
    return memory_use().peak - before;
}

Line measure(Subject& subject, const MemoryFlags& flags, Index steps) {
    const KvShape shape = subject.decoder().kv_shape();
    const Format format = find_kv_format(kv_formats(), flags.cache);
    const std::vector<Token> prompt = subject.random_text(flags.prompt);
    Line line;
    line.steps = steps;
    line.rows = flags.prompt + steps - 1;  // the last token is never fed
    line.peak_with = peak_of(subject, line.activations_with, [&](Decoder& decoder) {
        const Index before = memory_use().bytes;
        const auto store = make_cache(format, shape, line.rows, subject.level());
        line.counted = memory_use().bytes - before;
        Generator generator(decoder);
        generator.add(*store, prompt, steps);
        generator.run();
        line.cache = store->bytes();
    });
    // Without a cache the last step is the longest: it alone sets the peak.
    line.peak_without = peak_of(subject, line.activations_without, [&](Decoder& decoder) {
        WholeSequence store(shape, line.rows, subject.level());
        decoder.forward(store, subject.random_text(line.rows));
    });
    line.formula = format->token_bytes(shape) * line.rows;
    return line;
}

void print_lines(const std::vector<Line>& lines, Index prompt) {
    std::printf("  %6s %6s %14s %14s %11s %14s %16s\n", "tokens", "rows", "formula, bytes",
                "held, bytes", "difference", "allocated", "as P + n rows");
    for (const Line& line : lines) {
        const auto percent = [&](Index found, Index expected) {
            return 100.0 * static_cast<double>(found - expected) /
                   static_cast<double>(expected);
        };
        const Index one_more = line.formula / line.rows * (prompt + line.steps);
        std::printf("  %6td %6td %14td %14td %10.2f%% %14td %+15.2f%%\n", line.steps, line.rows,
                    line.formula, line.cache.logical, percent(line.cache.logical, line.formula),
                    line.cache.allocated, percent(line.cache.logical, one_more));
    }
    std::printf("\n  %6s %14s %14s %20s %20s\n", "tokens", "peak with, MB", "without, MB",
                "activations with, MB", "without, MB");
    for (const Line& line : lines)
        std::printf("  %6td %14.2f %14.2f %20.2f %20.2f\n", line.steps, in_mb(line.peak_with),
                    in_mb(line.peak_without), in_mb(line.activations_with),
                    in_mb(line.activations_without));
}

Json to_json(const Line& line) {
    return {{"steps", line.steps},
            {"rows", line.rows},
            {"formula", line.formula},
            {"logical", line.cache.logical},
            {"allocated", line.cache.allocated},
            {"counted_by_allocator", line.counted},
            {"peak_with", line.peak_with},
            {"peak_without", line.peak_without},
            {"activations_with", line.activations_with},
            {"activations_without", line.activations_without}};
}

int run_memory(const MemoryFlags& flags) {
    Subject subject(flags.opened);
    for (const Index steps : flags.steps)
        cli::check_fits("--prompt and --steps", flags.prompt + steps - 1, subject.config());
    std::printf("%s", describe_model(*subject.model()).c_str());
    std::printf("\nA prompt of %td, cache in %s; weights %.2f MB\n", flags.prompt,
                flags.cache.c_str(), in_mb(subject.model()->weight_bytes()));
    std::vector<Line> lines;
    bool exact = true;
    for (const Index steps : flags.steps) {
        lines.push_back(measure(subject, flags, steps));
        const Line& line = lines.back();
        exact =
            exact && line.cache.logical == line.formula && line.counted == line.cache.allocated;
    }
    print_lines(lines, flags.prompt);
    std::printf(
        "  The last token that is generated is never fed: a text of P + n tokens holds P + n - "
        "1 rows.\n");
    // Not the same from run to run, so not among the figures.
    std::fprintf(stderr, "the process: at most %.2f MB resident, code and file included\n",
                 in_mb(resident_peak_bytes()));
    std::cout << "  formula = bytes held, allocated = counted by the allocator: "
              << cli::verdict(exact) << std::endl;
    Json report = new_report("step03_kvcache memory", 42);
    report["model"] = subject.config().name;
    report["prompt"] = flags.prompt;
    report["cache"] = flags.cache;
    report["weight_bytes"] = subject.model()->weight_bytes();
    for (const Line& line : lines) report["lengths"].push_back(to_json(line));
    print_memory_at_scale(report);
    report["exact"] = exact;
    write_json(flags.json, report);
    std::cout << "\nRESULT exact=" << (exact ? "yes" : "no") << " rows=" << lines.back().rows
              << " bytes=" << lines.back().cache.logical << std::endl;
    return exact ? cli::kHolds : cli::kFails;
}

void add_memory_flags(CLI::App& app, MemoryFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_count(app, "--prompt", flags.prompt, 1, "tokens of the prompt");
    cli::add_count(app, "-n,--steps", flags.steps, 1, "tokens to generate, a list");
    app.add_option("--cache", flags.cache, "f32, f16 or int8")
        ->check(CLI::IsMember(format_names(kv_formats())))
        ->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kMemory{{.place = 50,
                               .name = "memory",
                               .text = "bytes of the cache: formula, held, allocated, peak"},
                              add_memory_flags,
                              run_memory};

}  // namespace

}  // namespace kvlab::app
