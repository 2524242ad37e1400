// compare.cpp - chapter 5: all policies on the same text and the same questions.
#include <cstdio>
#include <filesystem>
#include <map>

#include <kvlab/attention/texts.hpp>
#include <kvlab/policies/policy_quality.hpp>
#include <kvlab/tensor/report.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

struct CompareFlags {
    OpenOptions opened = cli::open_options();
    PolicyOptions policy = with_budget(64);
    std::vector<std::string> names;  // empty: all
    std::string set;                 // if not empty, instead of names
    std::string text = cli::default_text("heldout.txt");
    std::string cases = cli::default_text("recall_cases.jsonl");
    Index window = 512, prompt = 256, tokens = 4096, recall = 20;
    std::shared_ptr<OutputFile> json;
};

using Recall = std::map<Index, double>;  // share of right answers by distance

Recall ask(OpenedModel& opened, const Contender& one, const std::vector<RecallCase>& cases) {
    const MakePolicy make = maker_of(opened, one.policy, one.options);
    std::map<Index, std::pair<Index, Index>> tallies;  // right, asked
    for (const RecallCase& recall : cases) {
        auto& tally = tallies[recall.distance];
        tally.first += recalls(opened.decoder, make, recall, opened.tokenizer->bos()) ? 1 : 0;
        ++tally.second;
    }
    Recall shares;
    for (const auto& tally : tallies)
        shares[tally.first] =
            static_cast<double>(tally.second.first) / static_cast<double>(tally.second.second);
    return shares;
}

void print_header(const Recall& recall, int width) {
    std::printf("  %-*s %15s %9s %6s %7s %9s %7s %9s %9s", width, "policy", "kept, at end",
                "bytes", "share", "factor", "bits/byte", "same", "mean KL", "KL 99 %");
    if (!recall.empty()) std::printf("   recall at");
    for (const auto& one : recall) std::printf(" %4td", one.first);
    std::printf("\n");
}

void print_row(const PolicyQuality& quality,
               const Recall& recall,
               const std::string& label,
               int width,
               Index full_bytes,
               Index bytes) {
    const double share =
        static_cast<double>(quality.bytes.logical) / static_cast<double>(full_bytes);
    char kept[32];
    std::snprintf(kept, sizeof kept, "%.1f, %.1f", quality.kept_behind_prompt,
                  quality.kept_at_end);
    std::printf("  %-*s %15s %9td %6.3f %7.2f %9.4f %6.2f%% %9s %9s", width, label.c_str(),
                kept, quality.bytes.logical, share, 1 / share,
                quality.bits / static_cast<double>(bytes), 100 * quality.agreement(),
                format_number(quality.mean_kl()).c_str(),
                format_number(quality.kl_quantile(0.99)).c_str());
    if (!recall.empty()) std::printf("            ");
    for (const auto& one : recall) std::printf(" %4.2f", one.second);
    std::printf("\n");
}

Json to_json(const PolicyQuality& quality,
             const Recall& recall,
             const std::string& label,
             Index bytes) {
    const PolicyEntry& entry = find_policy(quality.policy);
    Json json{{"policy", label},
              {"paper", entry.paper},
              {"kept_behind_prompt", quality.kept_behind_prompt},
              {"kept_at_end", quality.kept_at_end},
              {"bytes_held", quality.bytes.logical},
              {"bytes_allocated", quality.bytes.allocated},
              {"bits_per_byte", quality.bits / static_cast<double>(bytes)},
              {"agreement", quality.agreement()},
              {"mean_kl", quality.mean_kl()},
              {"kl_99", quality.kl_quantile(0.99)},
              {"max_kl", quality.max_kl()}};
    for (const auto& one : recall) json["recall"][std::to_string(one.first)] = one.second;
    return json;
}

// Rows with the same options share the run with everything kept.
PolicyReport measure(OpenedModel& opened,
                     const CompareFlags& flags,
                     const TextWindows& windows,
                     const std::vector<Contender>& all) {
    PolicyReport report;
    const auto run = [&](std::span<const std::string> names, const PolicyOptions& options) {
        PolicyReport part = measure_policies(opened.model, *opened.engine, windows, names,
                                             options, flags.prompt, opened.level);
        part.policies.insert(part.policies.begin(),
                             std::make_move_iterator(report.policies.begin()),
                             std::make_move_iterator(report.policies.end()));
        report = std::move(part);
    };
    if (flags.set.empty()) {
        std::vector<std::string> names;
        for (const Contender& one : all) names.push_back(one.policy);
        run(names, flags.policy);
    } else {
        for (const Contender& one : all) run(std::span(&one.policy, 1), one.options);
    }
    return report;
}

std::vector<Contender> compared(const CompareFlags& flags, const OpenedModel& opened) {
    std::vector<Contender> all =
        contenders(flags.set, chosen_policies(flags.names, opened), flags.policy);
    if (!flags.set.empty())
        std::erase_if(all, [&](const Contender& one) {
            return !find_policy(one.policy).runs(opened.model->config);
        });
    return all;
}

void print_budget(const CompareFlags& flags) {
    if (!flags.set.empty())
        std::printf("set: %s", flags.set.c_str());
    else if (flags.policy.ratio > 0)
        std::printf("budget: %g of the tokens seen for each layer and KV head",
                    flags.policy.ratio);
    else
        std::printf("budget: %td tokens for each layer and KV head", flags.policy.budget);
}

int run_compare(const CompareFlags& flags) {
    OpenedModel opened(flags.opened);
    const std::vector<Contender> all = compared(flags, opened);
    const TextWindows windows = windows_of(opened, flags.text, flags.window, flags.tokens);
    const std::vector<RecallCase> cases = recall_cases(opened, flags.cases, flags.recall);
    const std::string text = std::filesystem::path(flags.text).filename().string();
    std::printf("%s, %s: %s, %td windows of %td tokens, of which %td go in whole\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(), text.c_str(),
                windows.count(), flags.window, flags.prompt);
    const PolicyReport report = measure(opened, flags, windows, all);
    const Index bytes = bytes_behind_prompt(*opened.tokenizer, windows, flags.prompt);
    print_budget(flags);
    std::printf("; everything kept: %.4f bits per byte, %td bytes\n\n",
                report.full_bits / static_cast<double>(bytes), report.full_bytes);

    Json json = new_report("step05_policies compare", flags.policy.seed);
    json["model"] = opened.model->config.name;
    json["engine"] = opened.engine->name();
    json["text"] = text;
    json["windows"] = windows.count();
    json["window"] = flags.window;
    json["prompt"] = flags.prompt;
    json["budget"] = flags.policy.budget;
    json["ratio"] = flags.policy.ratio;
    json["set"] = flags.set;
    json["full_bits_per_byte"] = report.full_bits / static_cast<double>(bytes);
    json["full_bytes"] = report.full_bytes;
    bool full_is_full = true;
    const int width = label_width(all);
    for (std::size_t i = 0; i < all.size(); ++i) {
        const PolicyQuality& quality = report.policies[i];
        const Recall recall = ask(opened, all[i], cases);
        if (i == 0) print_header(recall, width);
        print_row(quality, recall, all[i].label, width, report.full_bytes, bytes);
        std::fflush(stdout);
        json["policies"].push_back(to_json(quality, recall, all[i].label, bytes));
        if (quality.policy == kFull)
            full_is_full = quality.bits == report.full_bits && quality.max_kl() == 0 &&
                           quality.agree == quality.positions;
    }
    std::printf(
        "\n  share, factor: bytes held at the end, positions and scores included, of the "
        "full cache's keys\n  and values, and the other way round. same: the same most "
        "likely next token. KL in bits.\n");
    write_json(flags.json, json);
    std::cout << "RESULT policies=" << all.size() << " positions=" << report.positions
              << " full_is_full=" << (full_is_full ? "yes" : "no") << std::endl;
    return full_is_full ? cli::kHolds : cli::kFails;
}

void add_compare_flags(CLI::App& app, CompareFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    add_policy_flags(app, flags.policy);
    add_choice(app, flags.names, flags.set);
    app.add_option("--text", flags.text, "text to run")->transform(cli::text_file());
    app.add_option("--cases", flags.cases, "recall cases of a byte model")
        ->transform(cli::text_file());
    cli::add_count(app, "--window", flags.window, 2, "tokens of a text");
    cli::add_count(app, "--prompt", flags.prompt, 1,
                   "of these, that go in whole; the others are scored");
    cli::add_count(app, "--tokens", flags.tokens, 1, "of the text, at most, in whole windows");
    cli::add_count(app, "--recall", flags.recall, 0, "recall cases for each distance");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kCompare{
    {.place = 10,
     .name = "compare",
     .text = "every policy on one text: bytes held, bits per byte, KL, recall",
     .by_default = true},
    add_compare_flags,
    run_compare};

}  // namespace

}  // namespace kvlab::app
