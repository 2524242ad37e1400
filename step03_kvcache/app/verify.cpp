// verify.cpp - chapter 3, experiment D1: the same texts with and without the cache, bit by bit.
#include <cstdio>
#include <filesystem>

#include <kvlab/kvcache/verify.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/weights/model_path.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

// Prompts of exactly 1, 5 and 8 tokens, cut from a text that every tokenizer here can write;
// the batch of three has unequal lengths.
std::vector<std::vector<Token>> default_prompts(const Session& session) {
    const std::vector<Token> text =
        session.encode("In the beginning God created the heaven and the earth.");
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

bool verify_model(const std::string& name, const VerifyFlags& flags, Json& report) {
    SessionOptions options = flags.session;
    options.model = name;
    options.on_note = cli::print_note;
    Session session(options);
    std::vector<std::vector<Token>> prompts;
    for (const std::string& prompt : flags.prompts) prompts.push_back(session.encode(prompt));
    if (prompts.empty()) prompts = default_prompts(session);
    VerifyOptions verify_options;
    verify_options.steps = flags.steps;
    verify_options.sampling = flags.sampling;
    verify_options.level = session.level;
    std::printf("%s (%s): prompts of", session.model->config.name.c_str(),
                session.engine->name().c_str());
    for (const auto& prompt : prompts) std::printf(" %zu", prompt.size());
    std::printf(" tokens in one batch, %td steps\n", flags.steps);
    std::cout.flush();

    const VerifyReport result = verify(session.decoder, prompts, verify_options);
    print_line("logits of the steps", result.logits);
    print_line("logits of the prompts, fed in pieces", result.prompt);
    print_line("keys and values in the cache", result.cache);
    std::printf("  %-40s %td of %td tokens differ\n", "generated text", result.tokens_differ,
                result.tokens);
    if (!result.first_difference.empty())
        std::printf("  first difference: %s\n", result.first_difference.c_str());
    std::printf("  checksums: steps %s, prompts %s, cache %s\n", result.run_sum.hex().c_str(),
                result.prompt_sum.hex().c_str(), result.cache_sum.hex().c_str());
    std::cout << "  " << result.all().differ << " of " << result.all().count
              << " floats differ; bit-identical: " << cli::verdict(result.identical()) << "\n\n"
              << std::flush;

    Json entry;
    entry["model"] = session.model->config.name;
    entry["engine"] = session.engine->name();
    entry["steps"] = to_json(result.logits);
    entry["prompts"] = to_json(result.prompt);
    entry["cache"] = to_json(result.cache);
    entry["tokens"] = result.tokens;
    entry["tokens_differ"] = result.tokens_differ;
    entry["max_abs_by_step"] = result.max_abs_by_step;
    entry["checksums"] = {{"steps", result.run_sum.hex()},
                          {"prompts", result.prompt_sum.hex()},
                          {"cache", result.cache_sum.hex()}};
    report["models"].push_back(entry);
    return result.identical();
}

}  // namespace

std::vector<std::string> present_models(const std::vector<std::string>& names,
                                        const std::filesystem::path& source_weights) {
    std::vector<std::string> present;
    for (const std::string& name : names) {
        try {
            find_model(name, source_weights);
            present.push_back(name);
        } catch (const Error&) {
            std::printf("%s: not here, skipped\n", name.c_str());
        }
    }
    return present;
}

int run_verify(const VerifyFlags& flags) {
    const std::vector<std::string> models =
        flags.models.empty() ? present_models({"tiny", "deep", "SmolLM2-135M-Instruct-Q4_1"},
                                              flags.session.source_weights)
                             : flags.models;
    check(!models.empty(), "verify: no model to run; see weights/README.md");
    Json report = new_report("step03_kvcache verify", flags.sampling.seed);
    bool identical = true;
    for (const std::string& name : models)
        identical = verify_model(name, flags, report) && identical;
    report["identical"] = identical;
    if (!flags.json.empty()) write_json(flags.json, report);
    std::cout << "RESULT models=" << models.size()
              << " identical=" << (identical ? "yes" : "no") << std::endl;
    return identical ? cli::kHolds : cli::kFails;
}

}  // namespace kvlab::app
