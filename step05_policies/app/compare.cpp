// compare.cpp - chapter 5: all policies on the same text and the same questions.
#include <cstdio>
#include <map>

#include <kvlab/attention/texts.hpp>

#include "measured.hpp"

namespace kvlab::app {

namespace {

struct CompareFlags {
    OpenOptions opened = cli::open_options();
    PolicyOptions policy = with_budget(64);
    std::vector<std::string> names;  // empty: all
    std::string set;                 // if not empty, instead of names
    std::string cases = cli::default_text("recall_cases.jsonl");
    TextFlags text;
    Index recall = 20;
    std::shared_ptr<OutputFile> json;
};

using Recall = std::map<Index, double>;  // share of right answers by distance

// Each case is asked once of every seed.
Recall ask(OpenedModel& opened, const MeasuredRow& row, const std::vector<RecallCase>& cases) {
    std::map<Index, std::pair<Index, Index>> tallies;  // right, asked
    for (const PolicyQuality& seed : row.seeds) {
        const Contender& one = seed.contender;
        const MakePolicy make = maker_of(opened, one.policy, one.options);
        for (const RecallCase& recall : cases) {
            auto& tally = tallies[recall.distance];
            tally.first +=
                recalls(opened.decoder, make, recall, opened.tokenizer->bos()) ? 1 : 0;
            ++tally.second;
        }
    }
    Recall shares;
    for (const auto& tally : tallies)
        shares[tally.first] =
            static_cast<double>(tally.second.first) / static_cast<double>(tally.second.second);
    return shares;
}

void print_header(const Recall& recall, int width) {
    std::printf("  %-*s %15s %9s %6s %7s %9s %7s %s %8s %8s", width, "policy", "kept, at end",
                "bytes", "share", "factor", "bits/byte", "same",
                right_aligned("mean KL", kSpreadWidth).c_str(), "below", "KL 99 %");
    if (!recall.empty()) std::printf("   recall at");
    for (const auto& one : recall) std::printf(" %4td", one.first);
    std::printf("\n");
}

void print_row(const MeasuredRow& row,
               const MeasuredRow* baseline,
               const Recall& recall,
               int width,
               const Json& json) {
    const auto number = [&](const char* key) { return json[key].get<double>(); };
    const double share = number("share_of_full");
    char kept[32];
    std::snprintf(kept, sizeof kept, "%.1f, %.1f", number("kept_behind_prompt"),
                  number("kept_at_end"));
    const Spread kl = spread_of(row.of_windows(&WindowShift::mean_kl));
    std::printf("  %-*s %15s %9td %6.3f %7.2f %9.4f %6.2f%% %s %8s %8s", width,
                row.contender.label.c_str(), kept, row.seeds.front().bytes.logical, share,
                1 / share, number("bits_per_byte"), 100 * number("agreement"),
                right_aligned(format_spread(kl), kSpreadWidth).c_str(),
                below(row, baseline).c_str(), format_number(number("kl_99")).c_str());
    if (!recall.empty()) std::printf("            ");
    for (const auto& one : recall) std::printf(" %4.2f", one.second);
    std::printf("\n");
    std::fflush(stdout);
}

Json compare_json(const MeasuredRow& row,
                  const MeasuredRow* baseline,
                  const Recall& recall,
                  Index full_bytes,
                  Index bytes) {
    Json json = row_json(row, baseline);
    json["paper"] = find_policy(row.contender.policy).paper;
    json["kept_behind_prompt"] =
        row.mean([](const PolicyQuality& q) { return q.kept_behind_prompt; });
    json["bytes_allocated"] = row.seeds.front().bytes.allocated;
    json["share_of_full"] =
        static_cast<double>(row.seeds.front().bytes.logical) / static_cast<double>(full_bytes);
    json["bits_per_byte"] =
        row.mean([&](const PolicyQuality& q) { return q.bits / static_cast<double>(bytes); });
    for (const auto& one : recall) json["recall"][std::to_string(one.first)] = one.second;
    return json;
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

// The head of the report, and the lines above the table.
Json begin_compare(const CompareFlags& flags,
                   const OpenedModel& opened,
                   const TextWindows& windows) {
    const TextFlags& text = flags.text;
    std::printf("%s, %s: %s, %td windows of %td tokens, of which %td go in whole\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(),
                names_of_files(text.texts).c_str(), windows.count(), text.window, text.prompt);
    std::fflush(stdout);
    Json json = new_report("step05_policies compare", flags.policy.seed);
    json["model"] = opened.model->config.name;
    json["engine"] = opened.engine->name();
    json["text"] = names_of_files(text.texts);
    json["windows"] = windows.count();
    json["window"] = text.window;
    json["prompt"] = text.prompt;
    json["baseline"] = text.baseline;
    json["budget"] = flags.policy.budget;
    json["ratio"] = flags.policy.ratio;
    json["set"] = flags.set;
    return json;
}

int run_compare(const CompareFlags& flags) {
    OpenedModel opened(flags.opened);
    const TextFlags& text = flags.text;
    const std::vector<Contender> all = compared(flags, opened);
    const TextWindows windows = windows_of(opened, text.texts, text.window, text.tokens);
    const std::vector<RecallCase> cases = recall_cases(opened, flags.cases, flags.recall);
    const Index bytes = bytes_behind_prompt(*opened.tokenizer, windows, text.prompt);
    Json json = begin_compare(flags, opened, windows);
    const MeasuredTable table =
        measure_rows(opened, windows, all, text.prompt, text.seeds, false);
    const PolicyReport& report = table.report;
    json["full_bits_per_byte"] = report.full_bits / static_cast<double>(bytes);
    json["full_bytes"] = report.full_bytes;
    print_budget(flags);
    std::printf("; everything kept: %.4f bits per byte, %td bytes\n\n",
                report.full_bits / static_cast<double>(bytes), report.full_bytes);
    const MeasuredRow* const baseline = find_row(table.rows, text.baseline);
    const int width = label_width(all);
    bool full_is_full = true;
    for (const MeasuredRow& row : table.rows) {
        const Recall recall = ask(opened, row, cases);
        if (&row == &table.rows.front()) print_header(recall, width);
        json["policies"].push_back(
            compare_json(row, baseline, recall, report.full_bytes, bytes));
        print_row(row, baseline, recall, width, json["policies"].back());
        const PolicyQuality& quality = row.seeds.front();
        if (row.contender.policy == kFull)
            full_is_full = quality.bits == report.full_bits && quality.max_kl() == 0 &&
                           quality.agree == quality.positions;
    }
    std::printf(
        "\n  share, factor: bytes held at the end, positions and scores included, of the "
        "full cache's keys\n  and values, and the other way round. same: the same most "
        "likely next token. KL in bits: mean\n  and standard deviation of the windows. below: "
        "in how many windows it is below that of %s.\n  What is random: the mean of %td "
        "seeds.\n",
        text.baseline.c_str(), text.seeds);
    write_json(flags.json, json);
    std::cout << "RESULT policies=" << all.size() << " positions=" << report.positions
              << " full_is_full=" << (full_is_full ? "yes" : "no") << std::endl;
    return full_is_full ? cli::kHolds : cli::kFails;
}

void add_compare_flags(CLI::App& app, CompareFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    add_policy_flags(app, flags.policy);
    add_choice(app, flags.names, flags.set);
    add_text_flags(app, flags.text);
    app.add_option("--cases", flags.cases, "recall cases of a byte model")
        ->transform(cli::text_file());
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
