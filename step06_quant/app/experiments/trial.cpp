#include "trial.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

#include <kvlab/kvcache/kv_cache.hpp>

namespace kvlab::app {

namespace {

constexpr Index kSpreadWidth = 17;  // characters of a mean with its deviation

// The windows to judge by.
TextWindows windows_to_judge(const OpenedModel& opened, const TrialFlags& flags) {
    cli::check_fits("--window", flags.window, opened.model->config);
    return windows_of(opened, flags.texts, flags.window, flags.tokens);
}

// The windows of the first file after its first `skip` tokens; none if nothing is calibrated.
std::optional<TextWindows> windows_behind(const OpenedModel& opened,
                                          const TrialFlags& flags,
                                          Index skip) {
    if (flags.calibration == 0) return std::nullopt;
    const std::string& file = flags.texts.front();
    std::vector<Token> tokens = tokens_of_file(*opened.tokenizer, file);
    check(skip + flags.window < std::ssize(tokens), file, ": ", tokens.size(),
          " tokens hold no window of ", flags.window, " to calibrate on behind the ", skip,
          " to judge by");
    tokens.erase(tokens.begin(), tokens.begin() + skip);
    return TextWindows(tokens, first_token(*opened.tokenizer), flags.window,
                       std::max<Index>(1, flags.calibration / flags.window));
}

// The type that most numbers of the file's matrices have.
TensorType type_of_source(const WeightSource& source) {
    std::map<TensorType, Index> numbers;
    for (const TensorInfo& info : source.tensors())
        if (info.shape.rank() > 1) numbers[info.type] += info.shape.size();
    return std::max_element(numbers.begin(), numbers.end(),
                            [](const auto& a, const auto& b) { return a.second < b.second; })
        ->first;
}

}  // namespace

void add_trial_flags(CLI::App& app, TrialFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--text", flags.texts,
                   "texts to judge by, a list; the first also to calibrate on, further on")
        ->delimiter(',')
        ->transform(cli::text_file());
    app.add_option("--cases", flags.cases, "recall cases of a byte model")
        ->transform(cli::text_file());
    cli::add_count(app, "--window", flags.window, 2, "tokens of a text");
    cli::add_count(app, "--tokens", flags.tokens, 1,
                   "of the texts to judge by, about, in whole windows");
    if (flags.calibration > 0)
        cli::add_count(app, "--calibration", flags.calibration, 1,
                       "tokens to calibrate on, as above");
    cli::add_count(app, "--recall", flags.recall, 0, "recall cases for each distance");
    app.add_option(
           "--baseline", flags.baseline,
           "the row with this in its first column: those after it are compared with it, "
           "window by window")
        ->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

Trial::Trial(const TrialFlags& flags)
    : opened(flags.opened),
      text(windows_to_judge(opened, flags)),
      calibration(windows_behind(opened, flags, text.count() * flags.window + 1)),
      bytes(bytes_behind_prompt(*opened.tokenizer, text, 0)),
      flags_(flags),
      cases_(recall_cases(opened, flags.cases, flags.recall)) {}

void Trial::run(std::span<const Variant> variants, std::span<const Json> labels) {
    Judgement judged = judge(opened.model, *opened.engine, text, variants, opened.level);
    plain_bits_ = judged.plain_bits;
    for (std::size_t v = 0; v < variants.size(); ++v) {
        TrialRow row{labels[v], std::move(judged.variants[v])};
        ask(variants[v], row);
        print(row);
        rows_.push_back(std::move(row));
    }
}

void Trial::ask(const Variant& variant, TrialRow& row) {
    Decoder decoder(variant.model, *variant.engine);
    for (const RecallCase& recall : cases_) {
        const Index room = std::ssize(recall.text) + 1;
        const auto store = variant.make_store
                               ? variant.make_store(room)
                               : std::make_unique<KvCache>(decoder.kv_shape(), room);
        row.right += right_answers(decoder, *store, recall, opened.tokenizer->bos());
        row.asked += std::ssize(recall.answers);
    }
}

namespace {

std::string label_text(const Json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_integer()) return std::to_string(value.get<Index>());
    return value.is_null() ? "-" : format_number(value.get<double>(), 4);
}

}  // namespace

void Trial::print_head(const Json& labels) {
    widths_.clear();
    std::printf(" ");
    for (const auto& label : labels.items()) {
        widths_.push_back(
            static_cast<int>(std::max<std::size_t>(10, label_text(label.value()).size())));
        std::printf(" %-*s", widths_.back(), label.key().c_str());
    }
    std::printf(" %10s %s%s %9s %9s %8s%s%s\n", "bits/byte",
                right_aligned("mean KL", kSpreadWidth).c_str(),
                flags_.baseline.empty() ? "" : "    below", "KL 99 %", "max KL", "same",
                score_from > 0 ? "          KL after" : "", cases_.empty() ? "" : "   recall");
}

const TrialRow* Trial::baseline() const {
    for (const TrialRow& row : rows_)
        if (!flags_.baseline.empty() && label_text(row.labels.front()) == flags_.baseline)
            return &row;
    return nullptr;
}

namespace {

Paired against(const TrialRow& row, const TrialRow& baseline) {
    return paired(row.shift.of_windows(&WindowShift::mean_kl),
                  baseline.shift.of_windows(&WindowShift::mean_kl));
}

}  // namespace

void Trial::print(const TrialRow& row) const {
    std::printf(" ");
    std::size_t column = 0;
    for (const auto& label : row.labels.items())
        std::printf(" %-*s", widths_[column++], label_text(label.value()).c_str());
    const Spread kl = spread_of(row.shift.of_windows(&WindowShift::mean_kl));
    std::string below;
    if (const TrialRow* const other = baseline())
        below = concat(against(row, *other).lower, " of ", kl.count);
    if (!flags_.baseline.empty()) below = right_aligned(below, 9);
    std::printf(" %10.4f %s%s %9s %9s %7.2f%%", row.shift.bits / static_cast<double>(bytes),
                right_aligned(format_spread(kl), kSpreadWidth).c_str(), below.c_str(),
                format_number(row.shift.kl_quantile(0.99)).c_str(),
                format_number(row.shift.max_kl()).c_str(), 100 * row.shift.agreement());
    if (score_from > 0) {
        const std::vector<double> after = window_kl_after(row.shift);
        std::printf(" %s", right_aligned(after.empty() ? "-" : format_spread(spread_of(after)),
                                         kSpreadWidth)
                               .c_str());
    }
    if (row.asked > 0)
        std::printf("  %6.2f%%",
                    100 * static_cast<double>(row.right) / static_cast<double>(row.asked));
    std::printf("\n");
    std::fflush(stdout);
}

void Trial::print_notes() const {
    std::printf("  mean KL: of the windows, with their standard deviation.");
    if (baseline() != nullptr)
        std::printf(" below: in how many it is below that of %s.", flags_.baseline.c_str());
    std::printf("\n");
    const TensorType type = type_of_source(opened.file);
    if (is_quantized(type))
        std::printf("  The file is in %s: everything here is relative to its %s values.\n",
                    type_name(type), type_name(type));
}

// The mean KL of each window's positions from score_from on; none if no position is so late.
std::vector<double> Trial::window_kl_after(const Shift& shift) const {
    const Index window = text.window();
    std::vector<double> means;
    for (Index w = 0; score_from < window && w < text.count(); ++w) {
        double sum = 0;
        for (Index i = score_from; i < window; ++i) sum += at(shift.kl, w * window + i);
        means.push_back(sum / static_cast<double>(window - score_from));
    }
    return means;
}

Json Trial::row_json(const TrialRow& row) const {
    Json json = row.labels;
    json["bits_per_byte"] = row.shift.bits / static_cast<double>(bytes);
    json["mean_kl"] = row.shift.mean_kl();
    const std::vector<double> kl = row.shift.of_windows(&WindowShift::mean_kl);
    json["mean_kl_deviation"] = spread_of(kl).deviation;
    json["kl_99"] = row.shift.kl_quantile(0.99);
    json["max_kl"] = row.shift.max_kl();
    json["agreement"] = row.shift.agreement();
    json["window_kl"] = kl;
    json["window_agreement"] = row.shift.of_windows(&WindowShift::agreement);
    const TrialRow* const other = baseline();
    if (other != nullptr && other < &row) {
        const Paired pairs = against(row, *other);
        json["kl_against_baseline"] = pairs.difference.mean;
        json["kl_against_baseline_deviation"] = pairs.difference.deviation;
        json["windows_below_baseline"] = pairs.lower;
    }
    if (score_from > 0) {
        const std::vector<double> after = window_kl_after(row.shift);
        json["mean_kl_after"] = after.empty() ? Json(nullptr) : Json(spread_of(after).mean);
        json["window_kl_after"] = after;
    }
    if (row.asked > 0) {
        json["recall_right"] = row.right;
        json["recall_asked"] = row.asked;
    }
    return json;
}

Json Trial::report(const std::string& experiment) const {
    Json json = new_report(experiment, 0);
    json["model"] = opened.model->config.name;
    json["source_type"] = type_name(type_of_source(opened.file));
    json["text"] = names_of_files(flags_.texts);
    json["window"] = text.window();
    json["windows"] = text.count();
    if (calibration) json["calibration_windows"] = calibration->count();
    json["baseline"] = flags_.baseline;
    json["bytes"] = bytes;
    if (score_from > 0) json["score_from"] = score_from;
    json["plain_bits_per_byte"] = plain_bits_per_byte();
    for (const TrialRow& row : rows_) json["rows"].push_back(row_json(row));
    return json;
}

}  // namespace kvlab::app
