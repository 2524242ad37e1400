// verify.cpp - chapter 3, experiment D1: the same texts with and without the cache, bit by bit,
// and the same checksums as those that are committed.
#include <cstdio>
#include <filesystem>
#include <optional>

#include <kvlab/kvcache/verify.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/weights/model_path.hpp>

#include "app.hpp"
#include "committed.hpp"

namespace kvlab::app {

namespace {

struct VerifyFlags {
    OpenOptions opened = cli::open_options();
    SamplingOptions sampling;
    std::vector<std::string> models;   // empty: all that are there
    std::vector<std::string> prompts;  // empty: the default three
    Index steps = 24;
    std::shared_ptr<OutputFile> json;
};

// Prompts of exactly 1, 5 and 8 tokens, cut from a text that every tokenizer here can write;
// the batch of three has unequal lengths.
std::vector<std::vector<Token>> default_prompts(const OpenedModel& opened) {
    const std::vector<Token> text =
        opened.encode("In the beginning God created the heaven and the earth.");
    std::vector<std::vector<Token>> prompts;
    for (const std::size_t length : {1u, 5u, 8u})
        prompts.emplace_back(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
    return prompts;
}

void print_line(const char* what, const Difference& d) {
    std::printf("  %-40s %td of %td floats differ", what, d.differ, d.count);
    if (d.differ > 0)
        std::printf(", at most %llu ulp, %.3g", static_cast<unsigned long long>(d.max_ulp),
                    d.max_abs);
    std::printf("\n");
}

Json to_json(const Difference& d) {
    return {{"floats", d.count},
            {"differ", d.differ},
            {"max_ulp", d.max_ulp},
            {"max_abs", d.max_abs}};
}

VerifySums sums_of(const VerifyReport& result) {
    return {result.run_sum.hex(), result.prompt_sum.hex(), result.cache_sum.hex()};
}

// Empty: there is no committed value to compare with.
using AsCommitted = std::optional<bool>;

// Prints whether the checksums are the committed ones.
AsCommitted compare_with_committed(const VerifyFlags& flags,
                                   const std::string& file,
                                   const VerifySums& found) {
    const bool default_run = flags.prompts.empty() && flags.steps == VerifyFlags{}.steps &&
                             flags.sampling.temperature == 0.0f;
    const VerifySums* const expected = default_run ? committed_sums(file) : nullptr;
    std::cout << "  as committed: ";
    if (!expected) {
        std::cout << "not compared, no value is committed for "
                  << (default_run ? "this file" : "other than the default options") << "\n";
        return {};
    }
    std::cout << cli::verdict(found == *expected);
    if (found != *expected)
        std::cout << ", expected steps " << expected->steps << ", prompts " << expected->prompts
                  << ", cache " << expected->cache;
    std::cout << "\n";
    return found == *expected;
}

void print_result(const VerifyReport& result, const VerifySums& sums) {
    print_line("logits of the steps", result.logits);
    print_line("logits of the prompts, fed in pieces", result.prompt);
    print_line("keys and values in the cache", result.cache);
    std::printf("  %-40s %td of %td tokens differ\n", "generated text", result.tokens_differ,
                result.tokens);
    if (!result.first_difference.empty())
        std::printf("  first difference: %s\n", result.first_difference.c_str());
    std::printf("  checksums: steps %s, prompts %s, cache %s\n", sums.steps.c_str(),
                sums.prompts.c_str(), sums.cache.c_str());
    std::cout << "  " << result.all().differ << " of " << result.all().count
              << " floats differ; bit-identical: " << cli::verdict(result.identical()) << "\n"
              << std::flush;
}

Json to_json(const VerifyReport& result, const VerifySums& sums) {
    return {{"steps", to_json(result.logits)},
            {"prompts", to_json(result.prompt)},
            {"cache", to_json(result.cache)},
            {"tokens", result.tokens},
            {"tokens_differ", result.tokens_differ},
            {"max_abs_by_step", result.max_abs_by_step},
            {"checksums",
             {{"steps", sums.steps}, {"prompts", sums.prompts}, {"cache", sums.cache}}}};
}

struct Verdict {
    bool identical = true;
    AsCommitted as_committed;
};

Verdict verify_model(const std::string& name, const VerifyFlags& flags, Json& report) {
    OpenOptions options = flags.opened;
    options.model = name;
    OpenedModel opened(options);
    std::vector<std::vector<Token>> prompts;
    for (const std::string& prompt : flags.prompts) prompts.push_back(opened.encode(prompt));
    if (prompts.empty()) prompts = default_prompts(opened);
    VerifyOptions verify_options;
    verify_options.steps = flags.steps;
    verify_options.sampling = flags.sampling;
    verify_options.level = opened.level;
    std::printf("%s (%s): prompts of", opened.model->config.name.c_str(),
                opened.engine->name().c_str());
    for (const auto& prompt : prompts) std::printf(" %zu", prompt.size());
    std::printf(" tokens in one batch, %td steps\n", flags.steps);
    std::cout.flush();

    const VerifyReport result = verify(opened.decoder, prompts, verify_options);
    const VerifySums sums = sums_of(result);
    print_result(result, sums);
    const AsCommitted as_committed = compare_with_committed(flags, opened.model->source, sums);
    std::cout << "\n" << std::flush;

    Json entry = to_json(result, sums);
    entry["model"] = opened.model->config.name;
    entry["engine"] = opened.engine->name();
    entry["as_committed"] = as_committed ? Json(*as_committed) : Json();
    report["models"].push_back(entry);
    return {result.identical(), as_committed};
}

int run_verify(const VerifyFlags& flags) {
    const std::vector<std::string> models =
        flags.models.empty() ? present_models({"tiny", "deep", "SmolLM2-135M-Instruct-Q4_1"})
                             : flags.models;
    check(!models.empty(), "verify: no model to run; see weights/README.md");
    Json report = new_report("step03_kvcache verify", flags.sampling.seed);
    Index compared = 0;
    bool identical = true, as_committed = true;
    for (const std::string& name : models) {
        const Verdict verdict = verify_model(name, flags, report);
        identical = identical && verdict.identical;
        as_committed = as_committed && verdict.as_committed.value_or(true);
        compared += verdict.as_committed ? 1 : 0;
    }
    report["identical"] = identical;
    report["as_committed"] = compared > 0 ? Json(as_committed) : Json();
    report["compared_with_committed"] = compared;
    write_json(flags.json, report);
    std::cout << "RESULT models=" << models.size()
              << " identical=" << (identical ? "yes" : "no")
              << " compared_with_committed=" << compared << " as_committed="
              << (compared == 0  ? "not_compared"
                  : as_committed ? "yes"
                                 : "no")
              << std::endl;
    return identical && as_committed ? cli::kHolds : cli::kFails;
}

void add_verify_flags(CLI::App& app, VerifyFlags& flags) {
    app.add_option("-m,--model", flags.models,
                   "GGUF file or name, may be repeated; default: every model that is there");
    cli::add_engine_flags(app, flags.opened);
    cli::add_sampling_flags(app, flags.sampling);
    cli::add_prompt_flags(
        app, flags.prompts,
        "a prompt of the batch, may be repeated; default: prompts of 1, 5 and 8 tokens");
    cli::add_count(app, "-n,--steps", flags.steps, 1, "tokens to generate per prompt");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kVerify{
    {.place = 30,
     .name = "verify",
     .text = "cached = uncached: tokens, every logit, the cache's contents",
     .by_default = true},
    add_verify_flags,
    run_verify};

}  // namespace

}  // namespace kvlab::app
