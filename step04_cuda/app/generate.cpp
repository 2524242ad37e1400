// generate.cpp - chapter 4: text from the kernels: chapter 3's, to the last bit.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/ladders.hpp>
#include <kvlab/cuda/simt.hpp>
#include <kvlab/cuda/token_pass.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>

#include "on_gpu.hpp"

namespace kvlab::app {

namespace {

struct GenerateFlags {
    OpenOptions opened = cli::open_options();
    SamplingOptions sampling;
    std::string prompt = "The meaning of life is";
    Index steps = 128;
    Index batch = 1;
    std::string linear, norm, attention, token;  // rungs; empty: what suits
    std::string device = "auto";                 // or executor, gpu
    bool checked = false, compare = false, ignore_end = false;
    std::shared_ptr<OutputFile> json;
};

struct Generated {
    std::vector<Token> first;  // tokens of the first sequence
    Index tokens = 0;          // of all
    std::string checksum;
    double seconds = 0;
    KvBytes bytes;
};

// Seconds of a prompt and a token that nobody sees: a GPU's driver compiles each kernel when it
// is first launched, which is not what a token takes.
double warm_up(OpenedModel& opened,
               const std::vector<Token>& prompt,
               const KernelChoice& choice) {
    Stopwatch watch;
    CudaCache cache(opened.decoder.kv_shape(), std::ssize(prompt) + 1, choice.attention);
    opened.decoder.forward(cache, prompt);
    if (std::ssize(prompt) < opened.model->config.context)
        opened.decoder.forward(cache, std::span(prompt).first(1));
    return watch.seconds();
}

// `make_store(capacity)` gives a sequence its cache.
template <class MakeStore>
Generated generate_text(OpenedModel& opened,
                        const std::vector<Token>& prompt,
                        const GenerateFlags& flags,
                        MakeStore make_store) {
    const Index P = static_cast<Index>(prompt.size());
    const Index capacity = std::min(opened.model->config.context, P + flags.steps);
    cli::check_fits("the prompt", P, opened.model->config);
    std::vector<std::unique_ptr<KvStore>> stores;
    Generator generator(opened.decoder);
    for (Index i = 0; i < flags.batch; ++i) {
        stores.push_back(make_store(capacity));
        SamplingOptions sampling = flags.sampling;
        sampling.seed += static_cast<std::uint64_t>(i);
        generator.add(*stores.back(), prompt, flags.steps, sampling);
    }
    if (!flags.ignore_end)
        generator.set_is_end([&](Token token) { return opened.tokenizer->is_end(token); });
    cli::TextStream text(*opened.tokenizer);
    generator.set_on_token([&](Index sequence, Token token, View<const float>) {
        if (sequence == 0) text.push(token);
    });
    std::cout << flags.prompt << std::flush;
    Generated run;
    Stopwatch watch;
    generator.run();
    run.seconds = watch.seconds();
    text.finish();
    for (Index i = 0; i < flags.batch; ++i) {
        run.tokens += static_cast<Index>(generator.generated(i).size());
        run.bytes.logical += at(stores, i)->bytes().logical;
        run.bytes.allocated += at(stores, i)->bytes().allocated;
    }
    const auto first = generator.generated(0);
    run.first.assign(first.begin(), first.end());
    run.checksum = generator.checksum().hex();
    return run;
}

KernelChoice choice_of(const GenerateFlags& flags) {
    KernelChoice choice;
    if (!flags.linear.empty()) choice.linear = &find_rung(linear_rungs(), flags.linear);
    if (!flags.norm.empty()) choice.norm = &find_rung(norm_rungs(), flags.norm);
    if (!flags.attention.empty())
        choice.attention = &find_rung(attention_rungs(), flags.attention);
    if (!flags.token.empty()) choice.token = &find_rung(token_rungs(), flags.token);
    return choice;
}

// Prints why there is no GPU if one was looked for.
void choose_device(const GenerateFlags& flags) {
    if (flags.device == "gpu") select_device(Device::gpu);
    if (flags.device != "auto" || flags.checked) return;
    const std::string why = why_no_gpu();
    if (why.empty())
        select_device(Device::gpu);
    else
        std::cout << "GPU: " << why << "\n";
}

void print_run(const Generated& run) {
    std::printf(
        "  %td tokens in %.2f s\n  cache: %td bytes held, %td allocated\n"
        "  checksum of all logits %s\n",
        run.tokens, run.seconds, run.bytes.logical, run.bytes.allocated, run.checksum.c_str());
}

int run_generate(const GenerateFlags& flags) {
    check(!(flags.checked && flags.device == "gpu"),
          "--checked is the executor's; not with --device gpu");
    const KernelChoice choice = choice_of(flags);
    choose_device(flags);
    simt::Options options;
    if (flags.checked) options.mode = simt::Mode::checked;
    const simt::Use use(options);
    OpenOptions on_kernels = flags.opened;
    on_kernels.make_engine = [choice] { return make_cuda_engine(choice); };
    OpenedModel opened(on_kernels);
    EncodeReport losses;
    const std::vector<Token> prompt = opened.encode(flags.prompt, &losses);
    cli::warn_about_losses(losses);
    check(!prompt.empty(), "the prompt is empty");
    std::printf("%s, %s%s\n\n", opened.model->config.name.c_str(),
                opened.engine->name().c_str(), flags.checked ? ", every access checked" : "");
    cli::check_fits("the prompt", std::ssize(prompt), opened.model->config);
    Json warm_up_seconds;  // null under the executor, which compiles nothing
    if (selected_device() == Device::gpu) {
        warm_up_seconds = warm_up(opened, prompt, choice);
        std::printf("  warm-up, in which the driver compiles: %.2f s\n\n",
                    warm_up_seconds.get<double>());
    }
    const Generated run = generate_text(opened, prompt, flags, [&](Index capacity) {
        return std::make_unique<CudaCache>(opened.decoder.kv_shape(), capacity,
                                           choice.attention);
    });
    print_run(run);
    Json report = new_report("step04_cuda generate", flags.sampling.seed);
    report["model"] = opened.model->config.name;
    report["engine"] = opened.engine->name();
    report["tokens"] = run.first;
    report["checksum"] = run.checksum;
    report["warm_up_seconds"] = warm_up_seconds;
    report["seconds"] = run.seconds;
    report["cache_bytes_held"] = run.bytes.logical;
    report["cache_bytes_allocated"] = run.bytes.allocated;
    bool identical = true;
    if (flags.compare) {
        OpenedModel cpu(flags.opened);
        std::printf("\n%s\n\n", cpu.engine->name().c_str());
        const Generated same = generate_text(cpu, prompt, flags, [&](Index capacity) {
            return std::make_unique<KvCache>(cpu.decoder.kv_shape(), capacity, cpu.level);
        });
        print_run(same);
        identical = same.checksum == run.checksum && same.first == run.first;
        std::cout << "\nbit-identical: " << cli::verdict(identical) << '\n';
        report["identical"] = identical;
    }
    write_json(flags.json, report);
    std::cout << "RESULT tokens=" << run.first.size() << " checksum=" << run.checksum
              << (flags.compare ? identical ? " identical=yes" : " identical=no" : "")
              << std::endl;
    return identical ? cli::kHolds : cli::kFails;
}

void add_generate_flags(CLI::App& app, GenerateFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_sampling_flags(app, flags.sampling);
    cli::add_prompt_flags(app, flags.prompt, "text to go on with");
    cli::add_count(app, "-n,--steps", flags.steps, 0, "tokens to generate at most");
    cli::add_count(app, "--batch", flags.batch, {1, 256},
                   "as many sequences at once, with seeds s, s+1, ...");
    const auto kernel = [&app](const char* name, std::string& value, const char* what,
                               auto rungs) {
        std::vector<std::string> names;
        for (const auto& rung : rungs) names.push_back(rung.name);
        app.add_option(name, value, concat("kernel of ", what, "; default: what suits"))
            ->check(CLI::IsMember(names));
    };
    kernel("--linear", flags.linear, "the products", linear_rungs());
    kernel("--norm", flags.norm, "the norms", norm_rungs());
    kernel("--attention", flags.attention, "attention", attention_rungs());
    kernel("--token", flags.token, "a whole token", token_rungs());
    app.add_option("--device", flags.device, "auto: the GPU if there is one, else the executor")
        ->check(CLI::IsMember(std::vector<std::string>{"auto", "executor", "gpu"}))
        ->capture_default_str();
    app.add_flag("--checked", flags.checked, "under the executor, every access checked: slow");
    app.add_flag("--compare", flags.compare, "then on the CPU engine, and compare every bit");
    app.add_flag("--ignore-end", flags.ignore_end, "go on after the model's end of text");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kGenerate{
    {.place = 30, .name = "generate", .text = "go on with a prompt: chapter 3's bits"},
    add_generate_flags,
    run_generate};

}  // namespace

}  // namespace kvlab::app
