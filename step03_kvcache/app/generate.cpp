// generate.cpp - chapter 3: text with the cache, without it, or both side by side.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <set>

#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>

#include "generate.hpp"
#include "trace.hpp"

namespace kvlab::app {

namespace {

constexpr const char* kDefaultPrompt = "The meaning of life is";

// What one run of the whole batch produced and took.
struct Run {
    std::vector<std::vector<Token>> texts;  // generated tokens by sequence
    Checksum checksum;
    double prefill_seconds = 0, decode_seconds = 0;  // up to the first token; all after it
    Index decoded = 0;                               // tokens after each sequence's first
    KvBytes bytes;
    std::vector<std::string> finish;  // why each sequence ended

    Index tokens() const {
        Index count = 0;
        for (const auto& text : texts) count += static_cast<Index>(text.size());
        return count;
    }

    double tokens_per_second() const {
        return decode_seconds > 0 ? static_cast<double>(decoded) / decode_seconds : 0;
    }
};

using MakeStore = std::function<std::unique_ptr<KvStore>(Index capacity)>;

Run generate(OpenedModel& opened,
             const std::vector<Token>& prompt,
             const GenerateFlags& flags,
             const MakeStore& make_store,
             TraceWriter* trace) {
    const Index P = static_cast<Index>(prompt.size());
    const Index capacity = std::min(opened.model->config.context, P + flags.steps);
    cli::check_fits("the prompt", P, opened.model->config);
    Run run;
    std::vector<std::unique_ptr<KvStore>> stores;
    Generator generator(opened.decoder);
    Stopwatch watch;
    for (Index i = 0; i < flags.batch; ++i) {
        stores.push_back(make_store(capacity));
        // All but the prompt's last token in pieces; the generator feeds what is left.
        if (flags.chunk > 0 && P > flags.chunk && stores.back()->remembers() &&
            trace == nullptr)
            prefill(opened.decoder, *stores.back(), std::span(prompt).first(prompt.size() - 1),
                    flags.chunk);
        SamplingOptions sampling = flags.sampling;
        sampling.seed += static_cast<std::uint64_t>(i);
        generator.add(*stores.back(), prompt, flags.steps, sampling);
    }
    if (!flags.ignore_end)
        generator.set_is_end([&](Token token) { return opened.tokenizer->is_end(token); });
    cli::TextStream text(*opened.tokenizer);
    Stopwatch step_watch;
    generator.set_on_token([&](Index sequence, Token token, View<const float>) {
        if (sequence == 0) text.push(token);
        if (trace == nullptr) return;
        trace->end_step(token, std::string(opened.tokenizer->piece(token)),
                        stores[0]->bytes().logical, step_watch.seconds());
        step_watch.restart();
    });
    opened.decoder.set_observer(trace);
    if (!generator.step()) check(flags.steps == 0, "nothing was generated");
    run.prefill_seconds = watch.seconds();
    watch.restart();
    generator.run();
    run.decode_seconds = watch.seconds();
    opened.decoder.set_observer(nullptr);
    text.finish();
    for (Index i = 0; i < flags.batch; ++i) {
        const auto tokens = generator.generated(i);
        run.texts.emplace_back(tokens.begin(), tokens.end());
        run.finish.emplace_back(finish_name(generator.finish(i)));
        run.decoded += std::max<Index>(0, static_cast<Index>(tokens.size()) - 1);
        const KvBytes bytes = stores[usize(i)]->bytes();
        run.bytes.logical += bytes.logical;
        run.bytes.allocated += bytes.allocated;
    }
    run.checksum = generator.checksum();
    return run;
}

void print_run(const Run& run, Index prompt, bool cached) {
    if (run.texts.size() > 1)
        std::printf("  (the first of %zu sequences; the figures are for all)\n",
                    run.texts.size());
    std::string finish = run.finish.front();
    if (std::set(run.finish.begin(), run.finish.end()).size() > 1)
        for (std::size_t i = 1; i < run.finish.size(); ++i) finish += ", " + run.finish[i];
    std::printf("  %td tokens (%s), %.1f tokens/s; prompt of %td tokens in %.3f s\n",
                run.tokens(), finish.c_str(), run.tokens_per_second(), prompt,
                run.prefill_seconds);
    if (cached)
        std::printf("  cache: %td bytes held, %td allocated\n", run.bytes.logical,
                    run.bytes.allocated);
    std::printf("  checksum of all logits %s\n", run.checksum.hex().c_str());
}

Json to_json(const Run& run) {
    Json json;
    json["tokens"] = run.texts;
    json["finish"] = run.finish;
    json["checksum"] = run.checksum.hex();
    json["prefill_seconds"] = run.prefill_seconds;
    json["decode_seconds"] = run.decode_seconds;
    json["tokens_per_second"] = run.tokens_per_second();
    json["cache_bytes_held"] = run.bytes.logical;
    json["cache_bytes_allocated"] = run.bytes.allocated;
    return json;
}

// The recorder of --trace, or null.
std::unique_ptr<TraceWriter> open_trace(const OpenedModel& opened,
                                        std::span<const Token> prompt,
                                        const GenerateFlags& flags) {
    if (!flags.trace) return nullptr;
    std::vector<std::pair<std::string, std::string>> runs;
    if (!flags.no_cache) runs.emplace_back("cached", "f32");
    if (flags.no_cache || flags.compare) runs.emplace_back("uncached", "none");
    return std::make_unique<TraceWriter>(flags.trace, opened, prompt, runs);
}

// The first pass of a program pays for what it does once: the memory of all buffers, the first
// angles, weights that no cache of the processor holds yet. Of two runs that are compared, it
// should be neither.
void warm_up(OpenedModel& opened, const std::vector<Token>& prompt) {
    cli::check_fits("the prompt", std::ssize(prompt), opened.model->config);
    WholeSequence store(opened.decoder.kv_shape(), std::ssize(prompt), opened.level);
    opened.decoder.forward(store, prompt);
}

int run_generate(const GenerateFlags& flags) {
    if (flags.chat) return run_chat(flags);
    OpenedModel opened(flags.opened);
    const std::string prompt_text = flags.prompt_given ? flags.prompt : kDefaultPrompt;
    EncodeReport losses;
    const std::vector<Token> prompt = opened.encode(prompt_text, &losses);
    cli::warn_about_losses(losses);
    check(!prompt.empty(), "the prompt is empty");
    std::printf("%s, %s\n", opened.model->config.name.c_str(), opened.engine->name().c_str());

    const MakeStore with_cache = [&](Index capacity) {
        return std::make_unique<KvCache>(opened.decoder.kv_shape(), capacity, opened.level);
    };
    const MakeStore without_cache = [&](Index capacity) {
        return std::make_unique<WholeSequence>(opened.decoder.kv_shape(), capacity,
                                               opened.level);
    };
    Json report = new_report("step03_kvcache generate", flags.sampling.seed);
    report["model"] = opened.model->config.name;
    report["engine"] = opened.engine->name();
    const std::unique_ptr<TraceWriter> trace = open_trace(opened, prompt, flags);
    const auto one = [&](bool cached) {
        if (trace) trace->start(cached ? "cached" : "uncached");
        std::cout << (cached ? "\nwith the cache\n" : "\nwithout a cache\n") << prompt_text
                  << std::flush;
        Run run =
            generate(opened, prompt, flags, cached ? with_cache : without_cache, trace.get());
        print_run(run, static_cast<Index>(prompt.size()), cached);
        report[cached ? "cached" : "uncached"] = to_json(run);
        return run;
    };
    if (flags.compare) warm_up(opened, prompt);
    const Run first = one(!flags.no_cache);
    bool identical = true;
    std::string more;
    if (flags.compare) {
        const Run second = one(false);
        identical =
            first.texts == second.texts && first.checksum.value() == second.checksum.value();
        const double ratio = (second.prefill_seconds + second.decode_seconds) /
                             (first.prefill_seconds + first.decode_seconds);
        std::printf("\nthe cache is %.1f times faster in all\n", ratio);
        std::cout << "bit-identical: " << cli::verdict(identical) << '\n';
        report["identical"] = identical;
        more = concat(" uncached_tokens_per_second=", second.tokens_per_second(),
                      " ratio=", ratio, " identical=", identical ? "yes" : "no");
    }
    if (trace) trace->finish();
    write_json(flags.json, report);
    std::cout << "RESULT tokens=" << first.tokens()
              << " tokens_per_second=" << first.tokens_per_second()
              << " checksum=" << first.checksum.hex() << more << std::endl;
    return identical ? cli::kHolds : cli::kFails;
}

void add_generate_flags(CLI::App& app, GenerateFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_sampling_flags(app, flags.sampling);
    cli::add_prompt_flags(app, flags.prompt,
                          "text to go on with (with --chat: what the user says)");
    cli::add_count(app, "-n,--steps", flags.steps, 0, "tokens to generate at most");
    cli::add_count(app, "--batch", flags.batch, {1, 256},
                   "as many sequences at once, with seeds s, s+1, ...");
    cli::add_count(app, "--chunk", flags.chunk, 0,
                   "feed the prompt in pieces of this many tokens; 0: whole");
    app.add_flag("--no-cache", flags.no_cache, "run the whole text again for every token");
    app.add_flag("--compare", flags.compare,
                 "with the cache, then without, and compare every bit")
        ->excludes("--no-cache");
    app.add_flag("--ignore-end", flags.ignore_end, "go on after the model's end of text");
    CLI::Option* const chat =
        app.add_flag("--chat", flags.chat,
                     "talk to the model in its chat format; without -p: read lines")
            ->excludes("--batch")
            ->excludes("--compare")
            ->excludes("--no-cache")
            ->excludes("--ignore-end");
    app.add_option("--system", flags.system,
                   "with --chat: the message before the first; default: the model's own")
        ->needs(chat);
    cli::add_json_flag(app, flags.json);
    cli::add_output_flag(
        app, "--trace", flags.trace,
        "record every number of the run in this file, for diverge and viewer.py")
        ->excludes("--chat")
        ->excludes("--batch");
    app.callback([&app, &flags] {
        flags.prompt_given = app.count("--prompt") > 0 || app.count("--file") > 0;
        flags.system_given = app.count("--system") > 0;
    });
}

const cli::Subcommand kGenerate{
    {.place = 10, .name = "generate", .text = "go on with a prompt, or chat"},
    add_generate_flags,
    run_generate};

}  // namespace

}  // namespace kvlab::app
