// count.cpp - chapter 3, experiment D2: the work of a generation, counted while it is done and
// predicted by closed form, with the cache and without; and what that means for a 7B model.
#include <cstdio>
#include <memory>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/counters.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/subject.hpp>
#include <kvlab/tensor/memory.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct CountFlags {
    OpenOptions opened = cli::open_options();
    Index prompt = 60, steps = 100;
    std::shared_ptr<OutputFile> json;
};

// The whole run in counters, and the blocks of memory that tensors took after the first step.
struct CountedRun {
    Work work;
    Index blocks = 0;
};

CountedRun count_run(Subject& subject, const CountFlags& flags, bool cached) {
    Counters counters(subject.model());
    Decoder decoder(subject.model(), subject.engine());  // with buffers of its own
    decoder.set_observer(&counters);
    const Index capacity = flags.prompt + flags.steps;
    std::unique_ptr<KvStore> store;
    if (cached)
        store = std::make_unique<KvCache>(decoder.kv_shape(), capacity, subject.level());
    else
        store = std::make_unique<WholeSequence>(decoder.kv_shape(), capacity, subject.level());
    Generator generator(decoder);
    generator.add(*store, subject.random_text(flags.prompt), flags.steps);
    generator.step();
    const Index before = memory_use().blocks;
    generator.run();
    return {counters.work(), memory_use().blocks - before};
}

// What the closed forms say. Weights that are not floats are as large as the file says, so
// their bytes are those of the matrices that were loaded.
Work predict_run(const Subject& subject, const CountFlags& flags, bool cached) {
    Work work = CostModel(subject.config()).generate(flags.prompt, flags.steps, cached);
    work.weight_bytes = work.steps * subject.step_weight_bytes();
    return work;
}

Json to_json(const Work& work) {
    Json json;
    for (const auto& [name, value] : work_lines(work)) json[name] = value;
    return json;
}

void print_table(const CountedRun& cached, const CountedRun& uncached) {
    const auto with = work_lines(cached.work), without = work_lines(uncached.work);
    std::printf("  %-32s %18s %18s %9s\n", "counted", "with the cache", "without", "ratio");
    for (std::size_t i = 0; i < with.size(); ++i)
        std::printf(
            "  %-32s %18td %18td %8.2fx\n", with[i].first.c_str(), with[i].second,
            without[i].second,
            static_cast<double>(without[i].second) / static_cast<double>(with[i].second));
    std::printf("  %-32s %18td %18td\n", "blocks allocated after the prompt", cached.blocks,
                uncached.blocks);
}

// The figures that every text about the cache quotes, exact.
void work_at_7b(Json& report) {
    constexpr Index P = 512, n = 4096, L = 32, d = 4096, heads = 32, head_dim = 128;
    report["at_7b"] = {{"prompt", P}, {"steps", n}};
    std::printf(
        "\nA 7B model (32 layers, width 4096), a prompt of 512 tokens and 4096 more:\n");
    for (const LastToken last : {LastToken::fed, LastToken::not_fed}) {
        const Index without = tokens_processed(P, n, false, last),
                    with = tokens_processed(P, n, true, last);
        const double ratio = static_cast<double>(without) / static_cast<double>(with);
        const char* what = last == LastToken::fed ? "every token fed" : "the last one not fed";
        std::printf("  %-22s %td tokens pass without the cache, %td with it: %.1fx\n", what,
                    without, with, ratio);
        report["tokens_processed"].push_back({{"last_token_fed", last == LastToken::fed},
                                              {"without", without},
                                              {"with", with},
                                              {"ratio", ratio}});
    }
    for (const Index kv_heads : {32, 8, 1}) {
        const Index one = projection_flops(L, d, heads, kv_heads, head_dim);
        std::printf(
            "  projections, %2td KV heads: %.4g FLOP a token; %.4g without, %.4g with\n",
            kv_heads, static_cast<double>(one),
            static_cast<double>(one * tokens_processed(P, n, false)),
            static_cast<double>(one * tokens_processed(P, n, true)));
        report["projection_flops_per_token"].push_back(
            {{"kv_heads", kv_heads}, {"flops", one}});
    }
}

int run_count(const CountFlags& flags) {
    Subject subject(flags.opened);
    cli::check_fits("--prompt and --steps", flags.prompt + flags.steps - 1, subject.config());
    std::printf("%s, %s: %td tokens after a prompt of %td\n", subject.config().name.c_str(),
                subject.engine_name().c_str(), flags.steps, flags.prompt);
    std::fflush(stdout);
    Json report = new_report("step03_kvcache count", 42);
    report["model"] = subject.config().name;
    report["prompt"] = flags.prompt;
    report["steps"] = flags.steps;
    bool equal = true;
    CountedRun counted[2];
    for (const bool cached : {true, false}) {
        CountedRun& run = counted[cached ? 0 : 1];
        run = count_run(subject, flags, cached);
        const Work& work = run.work;
        const Work predicted = predict_run(subject, flags, cached);
        equal = equal && work == predicted;
        report[cached ? "cached" : "uncached"] = {{"counted", to_json(work)},
                                                  {"predicted", to_json(predicted)},
                                                  {"blocks_after_the_prompt", run.blocks}};
    }
    print_table(counted[0], counted[1]);
    std::cout << "  counted = predicted, as whole numbers: " << cli::verdict(equal)
              << std::endl;
    work_at_7b(report);
    report["equal"] = equal;
    write_json(flags.json, report);
    std::cout << "\nRESULT equal=" << (equal ? "yes" : "no")
              << " flops_with=" << counted[0].work.flops.total()
              << " flops_without=" << counted[1].work.flops.total() << std::endl;
    return equal ? cli::kHolds : cli::kFails;
}

void add_count_flags(CLI::App& app, CountFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_count(app, "--prompt", flags.prompt, 1, "tokens of the prompt");
    cli::add_count(app, "-n,--steps", flags.steps, 1, "tokens to generate");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kCount{
    {.place = 40,
     .name = "count",
     .text = "the work with and without the cache: counted, predicted, compared"},
    add_count_flags,
    run_count};

}  // namespace

}  // namespace kvlab::app
