// quality.cpp - chapter 5: what forgetting costs by budget, from a half to a sixteenth of the
// text: at equal tokens, and at equal bytes.
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/texts.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/policies/policy_bytes.hpp>

#include "measured.hpp"

namespace kvlab::app {

namespace {

struct QualityFlags {
    OpenOptions opened = cli::open_options();
    PolicyOptions policy;
    std::vector<std::string> names;
    std::vector<Index> parts = {2, 4, 8, 16};
    TextFlags text;
    bool no_bytes = false;
    std::shared_ptr<OutputFile> json;
};

// One table: every policy with as many tokens, or with as many bytes.
struct Block {
    Index part = 0, budget = 0, room = 0;  // room: bytes that a window of the budget holds
    bool equal_bytes = false;
    std::vector<Contender> rows;
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

Json quality_json(const MeasuredRow& row, const MeasuredRow* baseline, Index bytes) {
    Json json = row_json(row, baseline);
    json["budget"] = row.contender.options.budget;
    json["bits_per_byte"] =
        row.mean([&](const PolicyQuality& q) { return q.bits / static_cast<double>(bytes); });
    json["retained_mass"] =
        row.mean([](const PolicyQuality& q) { return q.retention.mean_mass(); });
    json["oracle_overlap"] =
        row.mean([](const PolicyQuality& q) { return q.retention.mean_overlap(); });
    return json;
}

void print_quality(const MeasuredRow& row,
                   const MeasuredRow* baseline,
                   int width,
                   const Json& json) {
    const auto number = [&](const char* key) { return json[key].get<double>(); };
    const auto text = [&](const char* key) { return format_number(number(key)); };
    const Spread kl = spread_of(row.of_windows(&WindowShift::mean_kl));
    std::printf("  %-*s %6td %7.1f %9td %9s %s %8s %8s %8s %7.2f%% %6.3f %8.3f\n", width,
                row.contender.label.c_str(), row.contender.options.budget,
                number("kept_at_end"), row.seeds.front().bytes.logical,
                format_number(number("bits_per_byte"), 4).c_str(),
                right_aligned(format_spread(kl), kSpreadWidth).c_str(),
                below(row, baseline).c_str(), text("kl_99").c_str(), text("max_kl").c_str(),
                100 * number("agreement"), number("retained_mass"), number("oracle_overlap"));
}

void print_quality_head(int width) {
    std::printf("  %-*s %6s %7s %9s %9s %s %8s %8s %8s %8s %6s %8s\n", width, "policy",
                "budget", "at end", "bytes", "bits/byte",
                right_aligned("mean KL", kSpreadWidth).c_str(), "below", "KL 99 %", "max KL",
                "same", "mass", "overlap");
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

// The tables of one budget: at equal tokens, then at equal bytes.
void add_blocks(const QualityFlags& flags,
                const std::vector<std::string>& names,
                const KvShape& shape,
                Index part,
                std::vector<Block>& blocks) {
    const Index budget = std::max<Index>(1, flags.text.window / part);
    const PolicyOptions options = fitted(flags.policy, budget);
    const Index prompt = flags.text.prompt, window = flags.text.window;
    const Index room = policy_bytes("window", options, shape, prompt, window);
    Block tokens{part, budget, room, false, {}}, bytes{part, budget, room, true, {}};
    for (const std::string& name : names) {
        tokens.rows.push_back({name, name, options});
        const Index own = budget_for_bytes(name, options, shape, prompt, window, room);
        if (own > 0) bytes.rows.push_back({name, name, fitted(options, own)});
    }
    blocks.push_back(std::move(tokens));
    if (!flags.no_bytes) blocks.push_back(std::move(bytes));
}

// Prints a block's rows and returns them for the report.
Json print_block(const Block& block,
                 std::span<const MeasuredRow> rows,
                 const std::string& baseline_label,
                 Index bytes) {
    std::printf("\nbudget: 1/%td of the text, %td %s\n", block.part,
                block.equal_bytes ? block.room : block.budget,
                block.equal_bytes ? "bytes at the end, as a window of it holds" : "tokens");
    const int width = label_width(block.rows);
    print_quality_head(width);
    const MeasuredRow* const baseline = find_row(rows, baseline_label);
    Json json;
    for (const MeasuredRow& row : rows) {
        json.push_back(quality_json(row, baseline, bytes));
        print_quality(row, baseline, width, json.back());
    }
    std::fflush(stdout);
    return json;
}

// Whether the rows of the policy that keeps everything show no difference at all.
bool is_full(std::span<const MeasuredRow> rows, double full_bits) {
    return std::ranges::all_of(rows, [&](const MeasuredRow& row) {
        const PolicyQuality& quality = row.seeds.front();
        return row.contender.policy != kFull ||
               (quality.bits == full_bits && quality.max_kl() == 0 &&
                quality.retention.mean_mass() == 1);
    });
}

int run_quality(const QualityFlags& flags) {
    OpenedModel opened(flags.opened);
    const TextFlags& text = flags.text;
    const TextWindows windows = windows_of(opened, text.texts, text.window, text.tokens);
    const Index bytes = bytes_behind_prompt(*opened.tokenizer, windows, text.prompt);
    Json json = new_report("step05_policies quality", flags.policy.seed);
    json["model"] = opened.model->config.name;
    json["text"] = names_of_files(text.texts);
    json["window"] = text.window;
    json["prompt"] = text.prompt;
    json["windows"] = windows.count();
    json["baseline"] = text.baseline;
    std::printf("%s, %s: %s, %td windows of %td tokens, of which %td go in whole\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(),
                names_of_files(text.texts).c_str(), windows.count(), text.window, text.prompt);
    print_sinks(opened, windows, json);
    std::fflush(stdout);
    std::vector<Block> blocks;
    std::vector<Contender> all;
    for (const Index part : flags.parts)
        add_blocks(flags, chosen_policies(flags.names, opened), opened.decoder.kv_shape(), part,
                   blocks);
    for (const Block& block : blocks)
        all.insert(all.end(), block.rows.begin(), block.rows.end());
    const MeasuredTable table =
        measure_rows(opened, windows, all, text.prompt, text.seeds, true);
    std::span<const MeasuredRow> left = table.rows;
    for (const Block& block : blocks) {
        if (!block.equal_bytes)
            json["budgets"].push_back(
                {{"part", block.part}, {"budget", block.budget}, {"window_bytes", block.room}});
        json["budgets"].back()[block.equal_bytes ? "equal_bytes" : "equal_tokens"] =
            print_block(block, left.first(block.rows.size()), text.baseline, bytes);
        left = left.subspan(block.rows.size());
    }
    const double full = table.report.full_bits / static_cast<double>(bytes);
    json["full_bits_per_byte"] = full;
    std::printf(
        "\n  everything kept: %.4f bits per byte. KL in bits: mean and standard deviation of "
        "the windows.\n  below: in how many windows it is below that of %s. same: the same "
        "most "
        "likely next token.\n  mass: of the full run's attention, on what is kept. overlap: "
        "with as many tokens as later queries\n  look at most (Jaccard). What is random: the "
        "mean of %td seeds. Not at equal bytes: what no budget\n  brings there (once evicted, "
        "a "
        "text still grows).\n",
        full, text.baseline.c_str(), text.seeds);
    write_json(flags.json, json);
    const bool full_is_full = is_full(table.rows, table.report.full_bits);
    std::cout << "RESULT rows=" << table.rows.size()
              << " full_is_full=" << (full_is_full ? "yes" : "no") << std::endl;
    return full_is_full ? cli::kHolds : cli::kFails;
}

void add_quality_flags(CLI::App& app, QualityFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    add_policy_flags(app, flags.policy);
    app.add_option("--policy", flags.names, "these alone, a list; default: all")
        ->delimiter(',')
        ->check(CLI::IsMember(names_of_policies()));
    cli::add_count(app, "--parts", flags.parts, {1, 1 << 16},
                   "budgets: 2 is half of the window; a list");
    add_text_flags(app, flags.text);
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
