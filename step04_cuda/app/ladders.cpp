// ladders.cpp - chapter 4: every rung of every ladder: what it moves, and that no bit changes.
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <set>
#include <sstream>
#include <tuple>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/token_pass.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/report.hpp>

#include "on_gpu.hpp"
#include "problems.hpp"

namespace kvlab::app {

namespace {

struct LadderFlags {
    std::string model = "tiny";  // the decoder that climbs
    std::shared_ptr<OutputFile> json;
    std::shared_ptr<OutputFile> launches;  // file for the launches' shapes
};

using simt::Counters;

Index conflicts(const Counters& c) {
    return c.shared_loads.conflicts() + c.shared_stores.conflicts();
}

void print_ladder(const Ladder& ladder, bool counted) {
    std::printf("\n%s: %s; every byte once: %td sectors\n", ladder.operation.c_str(),
                ladder.size.c_str(), ladder.least_sectors());
    if (counted) {
        std::printf("  %-10s %8s %9s %8s %10s %9s %9s   %s\n", "kernel", "launches", "sectors",
                    "of least", "conflicts", "barriers", "fma", "idea");
        for (const RungRun& run : ladder.runs)
            std::printf("  %-10s %8zu %9td %8.2f %10td %9td %9td   %s\n", run.name.c_str(),
                        run.launches.size(), run.sectors(),
                        static_cast<double>(run.sectors()) /
                            static_cast<double>(ladder.least_sectors()),
                        run.sum(conflicts),
                        run.sum([](const Counters& c) { return c.barriers; }),
                        run.sum([](const Counters& c) { return c.fma; }), run.idea.c_str());
    }
    std::printf("  the CPU's bits from each of them, %s: %s\n", ladder.expected.c_str(),
                cli::verdict(ladder.holds()).c_str());
}

// The model's run with one choice of kernels.
struct DecoderRun {
    std::string kernels, checksum;
};

constexpr Index kSteps = 16;

std::string generated_checksum(Decoder& decoder,
                               KvStore& store,
                               std::span<const Token> prompt) {
    Generator generator(decoder);
    generator.add(store, prompt, kSteps);
    generator.run();
    return generator.checksum().hex();
}

// The tiny model with each rung in turn. First: the CPU engine, which chapter 3 used.
std::vector<DecoderRun> run_decoders(OpenOptions options) {
    const char* const prompt = "In the beginning";
    std::vector<DecoderRun> runs;
    {
        OpenedModel opened(options);
        KvCache cache(opened.decoder.kv_shape(), 64, opened.level);
        runs.push_back(
            {"CPU engine", generated_checksum(opened.decoder, cache, opened.encode(prompt))});
    }
    const auto add = [&](const std::string& kernels, const KernelChoice& choice) {
        options.make_engine = [choice] { return make_cuda_engine(choice); };
        OpenedModel opened(options);
        CudaCache cache(opened.decoder.kv_shape(), 64, choice.attention);
        runs.push_back(
            {kernels, generated_checksum(opened.decoder, cache, opened.encode(prompt))});
    };
    add("what suits", {});
    for (const LinearRung& rung : linear_rungs())
        add(concat("linear ", rung.name), {&rung, nullptr, nullptr});
    for (const NormRung& rung : norm_rungs())
        add(concat("norm ", rung.name), {nullptr, &rung, nullptr});
    for (const AttentionRung& rung : attention_rungs())
        add(concat("attention ", rung.name), {nullptr, nullptr, &rung});
    for (const TokenRung& rung : token_rungs())
        add(concat("token ", rung.name), {.token = &rung});
    return runs;
}

// How many kernels one token takes, by each way to launch it.
std::vector<Index> token_launches(OpenOptions options) {
    std::vector<Index> counts;
    for (const TokenRung& rung : token_rungs()) {
        options.make_engine = [&rung] { return make_cuda_engine({.token = &rung}); };
        OpenedModel opened(options);
        CudaCache cache(opened.decoder.kv_shape(), 1);
        std::vector<simt::LaunchRecord> records;
        simt::Options noted;
        noted.records = &records;
        const simt::Use use(noted);
        const Token token = 1;
        opened.decoder.forward(cache, {&token, 1});
        counts.push_back(std::ssize(records));
    }
    return counts;
}

void print_token_ladder(const std::string& model, const std::vector<Index>& launches) {
    std::printf("\nA token of %s\n  %-10s %8s   %s\n", model.c_str(), "way", "kernels", "idea");
    for (std::size_t i = 0; i < launches.size(); ++i)
        std::printf("  %-10s %8td   %s\n", token_rungs()[i].name, launches[i],
                    token_rungs()[i].idea);
}

// Whether a GPU, if there is one, gives the same checksums. Its products are whole ones, so
// each is compared with the CPU's of its own size.
bool same_on_gpu(const OpenOptions& options, const std::vector<DecoderRun>& decoders) {
    if (const std::string why = why_no_gpu(); !why.empty()) {
        std::cout << "\nGPU: " << why << "\n";
        return true;
    }
    const OnGpu on_gpu;
    bool same = true;
    for (const Ladder& ladder : run_ladders()) same = same && ladder.holds();
    for (const DecoderRun& run : run_decoders(options))
        same = same && run.checksum == decoders[0].checksum;
    std::cout << "\nGPU: " << device_name() << ": "
              << (same ? "the CPU's bits from every kernel" : "OTHER BITS") << "\n";
    return same;
}

// The table that the occupancy is worked out for: each kernel with the sizes of its blocks.
void write_launches(OutputFile& file, const std::vector<simt::LaunchRecord>& launches) {
    std::set<std::tuple<std::string, Index, std::size_t>> shapes;
    for (const simt::LaunchRecord& launch : launches)
        shapes.emplace(launch.kernel, launch.threads(), launch.dynamic_shared);
    std::ostringstream text;
    text << std::left << std::setw(41) << "# kernel"
         << "threads dynamic_shared_bytes\n";
    for (const auto& shape : shapes)
        text << std::left << std::setw(40) << std::get<0>(shape) << std::right << std::setw(8)
             << std::get<1>(shape) << std::setw(21) << std::get<2>(shape) << '\n';
    file.write(text.str());
    file.commit();
}

Json ladder_json(const Ladder& ladder) {
    Json json;
    json["operation"] = ladder.operation;
    json["size"] = ladder.size;
    json["least_sectors"] = ladder.least_sectors();
    json["checksum"] = ladder.expected;
    for (const RungRun& run : ladder.runs) {
        Json rung;
        rung["name"] = run.name;
        rung["idea"] = run.idea;
        rung["checksum"] = run.checksum;
        rung["launches"] = run.launches.size();
        rung["sectors"] = run.sectors();
        rung["conflicts"] = run.sum(conflicts);
        rung["barriers"] = run.sum([](const Counters& c) { return c.barriers; });
        rung["fma"] = run.sum([](const Counters& c) { return c.fma; });
        rung["counted_by_launch"] = run.launches_json();
        json["rungs"].push_back(rung);
    }
    return json;
}

int run_ladders_command(const LadderFlags& flags) {
    const bool counted = simt::has_checked_kernels();
    std::vector<Ladder> ladders;
    {
        simt::Options options;
        options.mode = counted ? simt::Mode::checked : simt::Mode::raw;
        const simt::Use use(options);
        ladders = run_ladders();
    }
    bool holds = true;
    Json report = new_report("step04_cuda ladders", 1);
    std::cout << "Kernels from the first idea to the best, under the SIMT executor\n";
    if (!counted) std::cout << "not counted: this build has no checked kernels\n";
    for (const Ladder& ladder : ladders) {
        print_ladder(ladder, counted);
        holds = holds && ladder.holds();
        report["ladders"][ladder.key] = ladder_json(ladder);
    }
    std::vector<simt::LaunchRecord> launches;
    for (const Ladder& ladder : ladders)
        for (const RungRun& run : ladder.runs)
            launches.insert(launches.end(), run.launches.begin(), run.launches.end());
    const OpenOptions options = cli::open_options(flags.model);
    std::vector<DecoderRun> runs;
    {
        simt::Options noted;
        noted.records = &launches;
        const simt::Use use(noted);
        runs = run_decoders(options);
    }
    const std::vector<Index> of_token = token_launches(options);
    print_token_ladder(flags.model, of_token);
    for (std::size_t i = 0; i < of_token.size(); ++i)
        report["token_launches"][token_rungs()[i].name] = of_token[i];
    if (flags.launches) write_launches(*flags.launches, launches);
    bool same = true;
    for (const DecoderRun& run : runs) {
        same = same && run.checksum == runs[0].checksum;
        report["decoder"][run.kernels] = run.checksum;
    }
    std::printf("\n%s, a prompt and %td tokens, with each of %zu choices of kernels\n",
                flags.model.c_str(), kSteps, runs.size() - 1);
    if (!same)
        for (const DecoderRun& run : runs)
            std::printf("  %-20s %s\n", run.kernels.c_str(), run.checksum.c_str());
    std::printf("  the checksum of the CPU engine from each of them, %s: %s\n",
                runs[0].checksum.c_str(), cli::verdict(same).c_str());
    holds = holds && same && same_on_gpu(options, runs);
    write_json(flags.json, report);
    std::cout << "\nRESULT holds=" << (holds ? "yes" : "no") << " checksum=" << runs[0].checksum
              << std::endl;
    return holds ? cli::kHolds : cli::kFails;
}

void add_ladder_flags(CLI::App& app, LadderFlags& flags) {
    app.add_option("-m,--model", flags.model, "GGUF file or name of the decoder's model")
        ->capture_default_str();
    cli::add_output_flag(app, "--launches", flags.launches,
                         "also write the shape of every launch to this file");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kLadders{{.place = 10,
                                .name = "ladders",
                                .text = "every kernel: what it moves, and that no bit changes",
                                .by_default = true},
                               add_ladder_flags,
                               run_ladders_command};

}  // namespace

}  // namespace kvlab::app
