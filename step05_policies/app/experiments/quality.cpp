// quality.cpp - chapter 5: what forgetting costs by budget, from a half to a sixteenth of the
// text: at equal tokens, and at equal bytes.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include <kvlab/attention/texts.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/policy_quality.hpp>
#include <kvlab/tensor/report.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

struct QualityFlags {
    OpenOptions opened = cli::open_options();
    PolicyOptions policy;
    std::vector<std::string> names;
    std::string text = cli::default_text("heldout.txt");
    std::vector<Index> parts = {2, 4, 8, 16};
    Index window = 512, prompt = 256, tokens = 4096, seeds = 3;
    bool no_bytes = false;
    std::shared_ptr<OutputFile> json;
};

// One policy at one budget; of what is random, one measurement for each seed.
struct QualityRow {
    std::string policy;
    Index budget = 0;  // 0: it has none
    std::vector<PolicyQuality> seeds;
};

// The budget given, and what a small one has no room for made smaller.
PolicyOptions fitted(PolicyOptions options, Index budget) {
    options.ratio = 0;
    options.budget = budget;
    options.window = std::min(options.window, std::max<Index>(1, budget / 2));
    options.sinks = std::min(options.sinks, budget / 2);
    if (options.recent > budget) options.recent = -1;
    return options;
}

struct QualityRun {
    const QualityFlags& flags;
    OpenedModel& opened;
    const TextWindows& windows;
    Index bytes;  // scored
    double full_bits = 0;
    bool full_is_full = true;

    PolicyQuality measure(const std::string& name, const PolicyOptions& options) {
        const std::vector<std::string> names = {name};
        PolicyReport report = measure_policies(opened.model, *opened.engine, windows, names,
                                               options, flags.prompt, opened.level, true);
        full_bits = report.full_bits;
        PolicyQuality& quality = report.policies.front();
        if (name == kFull)
            full_is_full = full_is_full && quality.bits == full_bits &&
                           quality.kl_quantile(1.0) == 0 && quality.retention.mean_mass() == 1;
        return std::move(quality);
    }

    QualityRow row(const std::string& name, Index budget, PolicyOptions options) {
        QualityRow one{name, budget, {}};
        for (Index s = 0; s < (find_policy(name).draws ? flags.seeds : 1); ++s) {
            one.seeds.push_back(measure(name, options));
            ++options.seed;
        }
        return one;
    }
};

// The mean over the seeds, and how far apart they lie.
template <class Of>
std::pair<double, double> mean_and_spread(const QualityRow& row, Of&& of) {
    double sum = 0, low = HUGE_VAL, high = -HUGE_VAL;
    for (const PolicyQuality& quality : row.seeds) {
        const double one = of(quality);
        sum += one;
        low = std::min(low, one);
        high = std::max(high, one);
    }
    return {sum / static_cast<double>(row.seeds.size()), high - low};
}

Json row_json(const QualityRow& row, Index bytes) {
    Json json{{"policy", row.policy}, {"budget", row.budget}, {"seeds", row.seeds.size()}};
    const auto put = [&](const char* name, auto&& of) {
        const auto both = mean_and_spread(row, of);
        json[name] = both.first;
        json[std::string(name) + "_spread"] = both.second;
    };
    put("bits_per_byte",
        [&](const PolicyQuality& q) { return q.bits / static_cast<double>(bytes); });
    put("mean_kl", [](const PolicyQuality& q) { return q.mean_kl(); });
    put("kl_99", [](const PolicyQuality& q) { return q.kl_quantile(0.99); });
    put("max_kl", [](const PolicyQuality& q) { return q.max_kl(); });
    put("agreement", [](const PolicyQuality& q) { return q.agreement(); });
    put("retained_mass", [](const PolicyQuality& q) { return q.retention.mean_mass(); });
    put("oracle_overlap", [](const PolicyQuality& q) { return q.retention.mean_overlap(); });
    put("kept_at_end", [](const PolicyQuality& q) { return q.kept_at_end; });
    json["bytes_held"] = row.seeds.front().bytes.logical;
    return json;
}

void print_quality(const Json& row) {
    const auto number = [&](const char* key) { return row[key].get<double>(); };
    const auto text = [&](const char* key) { return format_number(number(key)); };
    std::string bits = concat(format_number(number("bits_per_byte"), 4));
    if (row["seeds"].get<Index>() > 1)
        bits += concat(" +", format_number(number("bits_per_byte_spread"), 2));
    std::printf("  %-17s %6td %7.1f %9td %-14s %9s %8s %8s %7.2f%% %6.3f %8.3f\n",
                row["policy"].get<std::string>().c_str(), row["budget"].get<Index>(),
                number("kept_at_end"), row["bytes_held"].get<Index>(), bits.c_str(),
                text("mean_kl").c_str(), text("kl_99").c_str(), text("max_kl").c_str(),
                100 * number("agreement"), number("retained_mass"), number("oracle_overlap"));
    std::fflush(stdout);
}

void print_quality_head() {
    std::printf("  %-17s %6s %7s %9s %-14s %9s %8s %8s %8s %6s %8s\n", "policy", "budget",
                "at end", "bytes", "bits/byte", "mean KL", "KL 99 %", "max KL", "same", "mass",
                "overlap");
}

// Before anything is said about sinks: what the first token gets.
void print_sinks(OpenedModel& opened, const TextWindows& windows, Json& json) {
    WholeSequence store(opened.decoder.kv_shape(), windows.window(), opened.level);
    const std::vector<double> mass =
        sink_mass(opened.decoder, store, windows.input(0), windows.window() / 2);
    std::printf("  attention on the first token, per layer, second half of a window:");
    for (const double one : mass) std::printf(" %.3f", one);
    double even = 0;
    for (Index t = windows.window() / 2; t < windows.window(); ++t)
        even += 1 / static_cast<double>(t + 1);
    even /= static_cast<double>(windows.window() - windows.window() / 2);
    std::printf("\n  an even share would be %.4f\n", even);
    json["even_share"] = even;
    json["sink_mass"] = mass;
}

std::vector<std::string> measured_names(const QualityFlags& flags, const OpenedModel& opened) {
    return chosen_policies(flags.names, opened);
}

int run_quality(const QualityFlags& flags) {
    OpenedModel opened(flags.opened);
    const TextWindows windows = windows_of(opened, flags.text, flags.window, flags.tokens);
    QualityRun run{flags, opened, windows,
                   bytes_behind_prompt(*opened.tokenizer, windows, flags.prompt)};
    const KvShape shape = opened.decoder.kv_shape();
    Json json = new_report("step05_policies quality", flags.policy.seed);
    json["model"] = opened.model->config.name;
    json["window"] = flags.window;
    json["prompt"] = flags.prompt;
    json["windows"] = windows.count();
    std::printf("%s, %s: %td windows of %td tokens, of which %td go in whole\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(),
                windows.count(), flags.window, flags.prompt);
    print_sinks(opened, windows, json);
    Index rows = 0;
    for (const Index part : flags.parts) {
        const Index budget = std::max<Index>(1, flags.window / part);
        const PolicyOptions options = fitted(flags.policy, budget);
        const Index room = policy_bytes("window", options, shape, flags.prompt, flags.window);
        Json block{{"part", part}, {"budget", budget}, {"window_bytes", room}};
        for (const bool equal_bytes : {false, true}) {
            if (equal_bytes && flags.no_bytes) continue;
            std::printf("\nbudget: 1/%td of the text, %td %s\n", part,
                        equal_bytes ? room : budget,
                        equal_bytes ? "bytes at the end, as a window of it holds" : "tokens");
            print_quality_head();
            for (const std::string& name : measured_names(flags, opened)) {
                Index own = budget;
                if (equal_bytes) {
                    own = budget_for_bytes(name, options, shape, flags.prompt, flags.window,
                                           room);
                    if (own == 0) continue;
                }
                const QualityRow row = run.row(name, own, fitted(options, own));
                block[equal_bytes ? "equal_bytes" : "equal_tokens"].push_back(
                    row_json(row, run.bytes));
                print_quality(block[equal_bytes ? "equal_bytes" : "equal_tokens"].back());
                ++rows;
            }
        }
        json["budgets"].push_back(std::move(block));
    }
    const double full = run.full_bits / static_cast<double>(run.bytes);
    json["full_bits_per_byte"] = full;
    std::printf(
        "\n  everything kept: %.4f bits per byte. KL in bits. same: the same most likely next\n"
        "  token. mass: of the full run's attention, on what is kept. overlap: with as many\n"
        "  tokens as later queries look at most (Jaccard). + : between the seeds, high - low.\n"
        "  Not at equal bytes: what no budget brings there (once evicted, a text still "
        "grows).\n",
        full);
    write_json(flags.json, json);
    std::cout << "RESULT rows=" << rows << " full_is_full=" << (run.full_is_full ? "yes" : "no")
              << std::endl;
    return run.full_is_full ? cli::kHolds : cli::kFails;
}

void add_quality_flags(CLI::App& app, QualityFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    add_policy_flags(app, flags.policy);
    app.add_option("--policy", flags.names, "these alone, a list; default: all")
        ->delimiter(',')
        ->check(CLI::IsMember(names_of_policies()));
    app.add_option("--text", flags.text, "text to run")->transform(cli::text_file());
    cli::add_count(app, "--parts", flags.parts, {1, 1 << 16},
                   "budgets: 2 is half of the window; a list");
    cli::add_count(app, "--window", flags.window, 2, "tokens of a text");
    cli::add_count(app, "--prompt", flags.prompt, 1,
                   "of these, that go in whole; the others are scored");
    cli::add_count(app, "--tokens", flags.tokens, 1, "of the text, at most, in whole windows");
    cli::add_count(app, "--seeds", flags.seeds, 1, "measurements of what is random");
    app.add_flag("--no-bytes", flags.no_bytes, "leave out the tables at equal bytes");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kQuality{
    {.place = 50,
     .name = "quality",
     .text = "bits per byte, KL, attention kept, by budget and at equal bytes"},
    add_quality_flags,
    run_quality};

}  // namespace

}  // namespace kvlab::app
