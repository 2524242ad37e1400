// score.cpp - chapter 2: bits per byte, recall by distance and the mass on position 0 of
// a byte model.
#include <algorithm>
#include <cstdio>
#include <map>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/recall_file.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct ScoreFlags {
    OpenOptions opened = cli::open_options();
    std::string text = cli::default_text("heldout.txt");
    std::string cases = cli::default_text("recall_cases.jsonl");
    Index windows = 0;  // of the text; 0: all
    std::shared_ptr<OutputFile> json;
};

constexpr Index kSinkWindows = 16, kWindow = 512, kSinkFrom = 64;

struct Tally {
    Index right = 0, asked = 0;

    double share() const { return static_cast<double>(right) / static_cast<double>(asked); }
};

// Mean over the first windows of a text, as many as it has, at most kSinkWindows.
std::vector<double> sink_of_windows(OpenedModel& opened,
                                    const MakeStore& make_store,
                                    std::span<const std::uint8_t> text) {
    const Index windows = std::min(kSinkWindows, std::ssize(text) / kWindow);
    std::vector<double> mass(usize(opened.model->config.layers));
    for (Index w = 0; w < windows; ++w) {
        std::vector<Token> input = {opened.tokenizer->bos()};
        for (Index i = 0; i + 1 < kWindow; ++i) input.push_back(at(text, w * kWindow + i));
        const auto store = make_store(kWindow);
        const std::vector<double> one = sink_mass(opened.decoder, *store, input, kSinkFrom);
        for (std::size_t l = 0; l < mass.size(); ++l)
            mass[l] += one[l] / static_cast<double>(windows);
    }
    return mass;
}

int run_score(const ScoreFlags& flags) {
    OpenedModel opened(flags.opened);
    Decoder& decoder = opened.decoder;
    const Token bos = opened.tokenizer->bos();
    check(decoder.config().vocab == 256 && bos != kNoToken, opened.file.name(),
          ": not a byte model with a BOS");
    const MakeStore make_store = [&](Index capacity) {
        return std::make_unique<WholeSequence>(decoder.kv_shape(), capacity, opened.level);
    };
    Json report = new_report("step02_attention score", 0);
    report["model"] = opened.model->config.name;
    std::cout << std::filesystem::path(opened.file.name()).filename().string() << ", "
              << opened.engine->name() << "\n";

    const std::vector<std::uint8_t> text = cli::read_bytes(flags.text);
    const BitsPerByte bits =
        bits_per_byte(decoder, make_store, text, bos, kWindow, flags.windows);
    std::printf("\n  %.5f bits per byte over %td bytes in %td windows of %td\n\n", bits.bits,
                bits.bytes, bits.windows, kWindow);
    report["bits_per_byte"] = bits.bits;

    std::map<std::pair<std::string, Index>, Tally> tallies;
    for (const RecallCase& recall : read_recall_cases(flags.cases)) {
        const auto store = make_store(std::ssize(recall.text));
        Tally& tally = tallies[{recall.kind, recall.distance}];
        tally.right += right_answers(decoder, *store, recall, bos);
        tally.asked += std::ssize(recall.answers);
    }
    std::printf("  %-10s  %8s  %8s  %s\n", "task", "distance", "answers", "right");
    double sum = 0, worst = 1;
    Index distances = 0;
    for (const auto& [key, tally] : tallies) {
        std::printf("  %-10s  %8td  %8td  %.4f\n", key.first.c_str(), key.second, tally.asked,
                    tally.share());
        report["accuracy"][key.first][std::to_string(key.second)] = tally.share();
        if (key.first == "recall")
            sum += tally.share(), worst = std::min(worst, tally.share()), ++distances;
    }
    const double mean = distances > 0 ? sum / static_cast<double>(distances) : 0;
    report["recall_mean"] = mean;

    const std::vector<double> mass = sink_of_windows(opened, make_store, text);
    std::printf("\n  attention on position 0 by layer (even attention: 0.0046):");
    for (const double m : mass) std::printf(" %.6f", m);
    report["sink_mass"] = mass;
    std::printf("\n");
    write_json(flags.json, report);
    std::cout << "RESULT bits_per_byte=" << bits.bits << " recall_mean=" << mean
              << " recall_worst=" << worst << std::endl;
    return cli::kHolds;
}

void add_score_flags(CLI::App& app, ScoreFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--text", flags.text, "text to score")->transform(cli::text_file());
    app.add_option("--cases", flags.cases, "recall cases, one JSON object per line")
        ->transform(cli::text_file());
    cli::add_count(app, "--windows", flags.windows, 0, "of the text, at most; 0: all");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kScore{
    {.place = 10, .name = "score", .text = "bits per byte, recall by distance, attention sink"},
    add_score_flags,
    run_score};

}  // namespace

}  // namespace kvlab::app
