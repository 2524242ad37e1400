// compare.cpp - chapter 8: every trained model on the same text and the same questions: what
// a text leaves behind in it, what a token costs and what is recalled.
#include <algorithm>
#include <cstdio>
#include <map>

#include <kvlab/attention/recall_file.hpp>
#include <kvlab/attention/score.hpp>

#include "laws.hpp"
#include "token_time.hpp"

namespace kvlab::app {

namespace {

struct CompareFlags {
    ModelsFlags models;
    std::string text = cli::default_text("heldout.txt");
    std::string cases = cli::default_text("recall_cases.jsonl");
    Index windows = 16, recall = 20, law = 200;
    TimeFlags time;
    bool quick = false;
    std::shared_ptr<OutputFile> json;
};

constexpr Index kWindow = 512, kShort = 512, kLong = 8192;

struct CompareTally {
    Index right = 0, asked = 0;

    double share() const {
        return asked == 0 ? 0 : static_cast<double>(right) / static_cast<double>(asked);
    }
};

struct CompareRow {
    LawsHeld laws;
    BitsPerByte bits;
    std::map<Index, CompareTally> recall;  // by distance

    // Over the distances.
    double mean_recall() const {
        double sum = 0;
        for (const auto& one : recall) sum += one.second.share();
        return recall.empty() ? 0 : sum / static_cast<double>(recall.size());
    }
};

// The first `most` cases of each distance.
std::vector<RecallCase> first_cases(const std::string& file, Index most) {
    std::vector<RecallCase> cases;
    if (most == 0) return cases;
    std::map<Index, Index> taken;
    for (RecallCase& recall : read_recall_cases(file))
        if (recall.kind == "recall" && taken[recall.distance]++ < most)
            cases.push_back(std::move(recall));
    return cases;
}

CompareRow judge_model(OpenedMixers& opened,
                       const CompareFlags& flags,
                       std::span<const std::uint8_t> text,
                       const std::vector<RecallCase>& cases) {
    CompareRow row;
    row.laws =
        check_laws(opened, flags.models.folder, text_for_laws(opened, flags.text, flags.law),
                   {.backs = {1, flags.law / 2}, .forks = {flags.law / 2}});
    const MakeStore make_store = [&](Index capacity) { return opened.make_store(capacity); };
    row.bits =
        bits_per_byte(opened.decoder, make_store, text, opened.bos(), kWindow, flags.windows);
    for (const RecallCase& recall : cases) {
        const auto store = opened.make_store(std::ssize(recall.text));
        CompareTally& tally = row.recall[recall.distance];
        tally.right += right_answers(opened.decoder, *store, recall, opened.bos());
        tally.asked += std::ssize(recall.answers);
    }
    return row;
}

void print_compare_header() {
    std::printf("\n  %-12s %-24s %10s %10s %5s %9s %8s %10s %8s %22s\n", "model", "layers",
                "bytes, 512", "bytes, 8192", "form", "ms/token", "of gqa's", "bits/byte",
                "recall", "floats differ");
}

void print_compare_row(const OpenedMixers& opened,
                       const CompareRow& row,
                       const TimedText& timed,
                       double to_gqa) {
    const MixedModel& model = opened.decoder.mixed_model();
    const Difference all = row.laws.all();
    const bool form = row.laws.bytes_measured == row.laws.bytes_form && bytes_as_form(timed);
    std::printf("  %-12s %-24s %10td %11td %5s %9.4f %8s %10.4f %8s %22s\n",
                opened.name.c_str(), kinds_of_layers(model.names).c_str(),
                model.state_bytes(kShort), model.state_bytes(kLong), form ? "yes" : "NO",
                quartiles(timed.seconds).median * 1e3,
                to_gqa > 0 ? format_number(to_gqa, 3).c_str() : "", row.bits.bits,
                row.recall.empty() ? "" : format_number(row.mean_recall(), 4).c_str(),
                concat(all.differ, " of ", all.count).c_str());
}

Json compare_row_json(const OpenedMixers& opened,
                      const CompareRow& row,
                      const TimedText& timed,
                      double to_gqa) {
    const MixedModel& model = opened.decoder.mixed_model();
    Json json{{"model", opened.name},
              {"mixers", model.names},
              {"bytes_512", model.state_bytes(kShort)},
              {"bytes_8192", model.state_bytes(kLong)},
              {"bytes_512_measured", timed.bytes.logical},
              {"ms_per_token", quartiles(timed.seconds).median * 1e3},
              {"bits_per_byte", row.bits.bits},
              {"laws", laws_json(row.laws)}};
    if (to_gqa > 0) json["time_of_gqa"] = to_gqa;
    if (!row.recall.empty()) json["recall_mean"] = row.mean_recall();
    for (const auto& one : row.recall)
        json["recall"][std::to_string(one.first)] = one.second.share();
    return json;
}

void print_recall(const std::vector<std::unique_ptr<OpenedMixers>>& models,
                  const std::vector<CompareRow>& rows) {
    if (rows.front().recall.empty()) return;
    std::printf("\n  %-12s recall by distance\n  %-12s", "", "model");
    for (const auto& one : rows.front().recall) std::printf(" %5td", one.first);
    std::printf("\n");
    for (std::size_t m = 0; m < rows.size(); ++m) {
        std::printf("  %-12s", models[m]->name.c_str());
        for (const auto& one : rows[m].recall) std::printf(" %5.2f", one.second.share());
        std::printf("\n");
    }
}

const TimedText* find_gqa(const std::vector<TimedText>& timed) {
    for (const TimedText& text : timed)
        if (text.opened->name == "gqa") return &text;
    return nullptr;
}

int run_compare(const CompareFlags& given) {
    CompareFlags flags = given;
    if (flags.quick) {
        flags.windows = flags.windows == 1 ? 1 : 2;
        flags.recall = std::min<Index>(flags.recall, 2);
        flags.law = std::min<Index>(flags.law, 100);
        flags.time = {.tokens = 8, .rounds = 1, .warm_up = 1};
    }
    const MixersFound found = open_all_mixers(flags.models, kWindow + flags.time.added());
    const auto& models = found.models;
    const std::vector<std::uint8_t> text = cli::read_bytes(flags.text);
    const std::vector<RecallCase> cases = first_cases(flags.cases, flags.recall);
    std::vector<CompareRow> rows;
    for (const auto& opened : models) rows.push_back(judge_model(*opened, flags, text, cases));
    const std::vector<TimedText> timed = time_texts(models, kShort, flags.time);
    const TimedText* const gqa = find_gqa(timed);

    std::printf("%zu models, %s; %td windows of %td bytes, %zu recall cases\n", models.size(),
                models[0]->engine->name().c_str(), rows[0].bits.windows, kWindow, cases.size());
    Json json = new_report("step08_architectures compare", 0);
    json["engine"] = models[0]->engine->name();
    json["threads"] = flags.models.engine.threads;
    json["windows"] = rows[0].bits.windows;
    json["recall_cases"] = cases.size();
    json["missing"] = found.missing;
    print_compare_header();
    bool hold = true;
    Difference all;
    for (std::size_t m = 0; m < models.size(); ++m) {
        const double to_gqa = gqa != nullptr ? time_ratio(timed[m], *gqa) : 0;
        print_compare_row(*models[m], rows[m], timed[m], to_gqa);
        json["models"].push_back(compare_row_json(*models[m], rows[m], timed[m], to_gqa));
        hold = hold && rows[m].laws.hold() && bytes_as_form(timed[m]);
        all.merge(rows[m].laws.all());
    }
    print_recall(models, rows);
    std::printf(
        "\n  bytes: what a text of so many tokens leaves behind, by the closed form; form: "
        "that "
        "is what\n  texts of %td and of %td tokens held. ms/token: at the end of a text of %td "
        "tokens, the median of\n  %td rounds in which all models take turns. floats "
        "differ: of logits, token by token, in\n  steps, after going back and in a fork, "
        "against the whole text at once.\n",
        flags.law, kShort, kShort, flags.time.rounds);
    write_json(flags.json, json);
    std::cout << "RESULT models=" << models.size() << " floats=" << all.count
              << " differ=" << all.differ << " laws=" << (hold ? "yes" : "no") << std::endl;
    return hold ? cli::kHolds : cli::kFails;
}

void add_compare_flags(CLI::App& app, CompareFlags& flags) {
    add_models_flags(app, flags.models);
    app.add_option("--text", flags.text, "text to score")->transform(cli::text_file());
    app.add_option("--cases", flags.cases, "recall cases, one JSON object per line")
        ->transform(cli::text_file());
    cli::add_count(app, "--windows", flags.windows, 0, "of the text, at most; 0: all");
    cli::add_count(app, "--recall", flags.recall, 0, "recall cases for each distance");
    cli::add_count(app, "--law", flags.law, {2, kWindow}, "tokens of the text for the laws");
    cli::add_count(app, "--tokens", flags.time.tokens, 1, "tokens of a timed round");
    cli::add_count(app, "--rounds", flags.time.rounds, 1, "that are timed");
    app.add_flag("--quick", flags.quick,
                 "few windows, cases and rounds: a look, no measurement");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kCompare{
    {.place = 10,
     .name = "compare",
     .text = "every trained model: bytes, time, bits per byte, recall, and the laws",
     .by_default = true},
    add_compare_flags,
    run_compare};

}  // namespace

}  // namespace kvlab::app
