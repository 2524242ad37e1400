// trial.hpp - chapter 6: what the tables of several subcommands share: a text to judge by,
// another to calibrate on, and the line that a variant gets.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <kvlab/attention/texts.hpp>
#include <kvlab/kvcache/judge.hpp>
#include <kvlab/kvcache/spread.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

struct TrialFlags {
    OpenOptions opened = cli::open_options();
    std::vector<std::string> texts = {cli::default_text("heldout.txt")};
    std::string cases = cli::default_text("recall_cases.jsonl");
    Index window = 512, tokens = 4096, recall = 20;
    Index calibration = 4096;  // 0: nothing is calibrated, so the text may end with its windows
    std::string baseline;      // what the first column says of the row to compare with
    std::shared_ptr<OutputFile> json;
};

void add_trial_flags(CLI::App& app, TrialFlags& flags);

// One variant in the table: its name in columns, then what the judge and the questions say.
struct TrialRow {
    Json labels;  // what the experiment varies, in the order of the columns
    Shift shift;
    Index right = 0, asked = 0;  // recall answers
};

class Trial {
public:
    explicit Trial(const TrialFlags& flags);

    OpenedModel opened;
    TextWindows text;                        // to be judged by: the beginnings of the files
    std::optional<TextWindows> calibration;  // to calibrate on: of the first file, after those
    Index bytes;                             // of `text`
    Index score_from = 0;  // positions of a window from here on are judged by themselves, too

    // Judges the variants, asks each the recall cases, and prints and keeps their rows. Those
    // after the baseline's row are compared with it, window by window.
    void run(std::span<const Variant> variants, std::span<const Json> labels);

    // The header line: column names of the labels, with their widths from the first row's.
    // Before run().
    void print_head(const Json& labels);
    // After the table: what its columns of windows mean, and so if the file's own numbers are
    // rounded ones.
    void print_notes() const;

    double plain_bits_per_byte() const { return plain_bits_ / static_cast<double>(bytes); }

    const std::vector<TrialRow>& rows() const { return rows_; }

    // The head of a report, and its rows.
    Json report(const std::string& experiment) const;

private:
    void ask(const Variant& variant, TrialRow& row);
    const TrialRow* baseline() const;
    void print(const TrialRow& row) const;
    Json row_json(const TrialRow& row) const;
    std::vector<double> window_kl_after(const Shift& shift) const;

    TrialFlags flags_;

    std::vector<RecallCase> cases_;
    std::vector<TrialRow> rows_;
    std::vector<int> widths_;  // of the labels' columns
    double plain_bits_ = 0;
};

}  // namespace kvlab::app
