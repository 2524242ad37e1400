#include "trial.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

#include <kvlab/kvcache/kv_cache.hpp>

namespace kvlab::app {

namespace {

// The windows to judge by.
TextWindows windows_to_judge(const OpenedModel& opened, const TrialFlags& flags) {
    cli::check_fits("--window", flags.window, opened.model->config);
    return windows_of(opened, flags.text, flags.window, flags.tokens);
}

// The windows of the file behind its first `skip` tokens; none if nothing is calibrated.
std::optional<TextWindows> windows_behind(const OpenedModel& opened,
                                          const TrialFlags& flags,
                                          Index skip) {
    if (flags.calibration == 0) return std::nullopt;
    std::vector<Token> tokens = tokens_of_file(*opened.tokenizer, flags.text);
    check(skip + flags.window < std::ssize(tokens), flags.text, ": ", tokens.size(),
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
    app.add_option("--text", flags.text, "text to judge by, then to calibrate on")
        ->transform(cli::text_file());
    app.add_option("--cases", flags.cases, "recall cases of a byte model")
        ->transform(cli::text_file());
    cli::add_count(app, "--window", flags.window, 2, "tokens of a text");
    cli::add_count(app, "--tokens", flags.tokens, 1,
                   "of the text to judge by, at most, in whole windows");
    if (flags.calibration > 0)
        cli::add_count(app, "--calibration", flags.calibration, 1,
                       "tokens to calibrate on, as above");
    cli::add_count(app, "--recall", flags.recall, 0, "recall cases for each distance");
    cli::add_json_flag(app, flags.json);
}

Trial::Trial(const TrialFlags& flags)
    : opened(flags.opened),
      text(windows_to_judge(opened, flags)),
      calibration(windows_behind(opened, flags, text.count() * flags.window + 1)),
      bytes(bytes_behind_prompt(*opened.tokenizer, text, 0)),
      cases_(recall_cases(opened, flags.cases, flags.recall)) {}

void Trial::run(std::span<const Variant> variants, std::span<const Json> labels) {
    Judgement judged = judge(opened.model, *opened.engine, text, variants, opened.level);
    plain_bits_ = judged.plain_bits;
    for (std::size_t v = 0; v < variants.size(); ++v) {
        TrialRow row{labels[v], std::move(judged.variants[v])};
        Decoder decoder(variants[v].model, *variants[v].engine);
        for (const RecallCase& recall : cases_) {
            const Index room = std::ssize(recall.text) + 1;
            const auto store = variants[v].make_store
                                   ? variants[v].make_store(room)
                                   : std::make_unique<KvCache>(decoder.kv_shape(), room);
            row.right += right_answers(decoder, *store, recall, opened.tokenizer->bos());
            row.asked += std::ssize(recall.answers);
        }
        print(row);
        rows_.push_back(std::move(row));
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
    std::printf(" %10s %9s %9s %9s %8s%s%s\n", "bits/byte", "mean KL", "KL 99 %", "max KL",
                "same", score_from > 0 ? "  KL after" : "", cases_.empty() ? "" : "   recall");
}

void Trial::print(const TrialRow& row) const {
    std::printf(" ");
    std::size_t column = 0;
    for (const auto& label : row.labels.items())
        std::printf(" %-*s", widths_[column++], label_text(label.value()).c_str());
    std::printf(" %10.4f %9s %9s %9s %7.2f%%", row.shift.bits / static_cast<double>(bytes),
                format_number(row.shift.mean_kl()).c_str(),
                format_number(row.shift.kl_quantile(0.99)).c_str(),
                format_number(row.shift.max_kl()).c_str(), 100 * row.shift.agreement());
    if (score_from > 0) {
        const Json after = mean_kl_after(row.shift);
        std::printf(" %9s", after.is_null() ? "-" : format_number(after.get<double>()).c_str());
    }
    if (row.asked > 0)
        std::printf("  %6.2f%%",
                    100 * static_cast<double>(row.right) / static_cast<double>(row.asked));
    std::printf("\n");
    std::fflush(stdout);
}

void Trial::print_source() const {
    const TensorType type = type_of_source(opened.file);
    if (is_quantized(type))
        std::printf("  The file is in %s: everything here is relative to its %s values.\n",
                    type_name(type), type_name(type));
}

// Windows come one after the other, and so do their positions. Null without any.
Json Trial::mean_kl_after(const Shift& shift) const {
    const Index window = text.window();
    if (score_from >= window) return nullptr;
    double sum = 0;
    for (Index i = 0; i < std::ssize(shift.kl); ++i)
        if (i % window >= score_from) sum += at(shift.kl, i);
    return sum / static_cast<double>(text.count() * (window - score_from));
}

Json Trial::row_json(const TrialRow& row) const {
    Json json = row.labels;
    json["bits_per_byte"] = row.shift.bits / static_cast<double>(bytes);
    json["mean_kl"] = row.shift.mean_kl();
    json["kl_99"] = row.shift.kl_quantile(0.99);
    json["max_kl"] = row.shift.max_kl();
    json["agreement"] = row.shift.agreement();
    if (score_from > 0) json["mean_kl_after"] = mean_kl_after(row.shift);
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
    json["window"] = text.window();
    json["windows"] = text.count();
    if (calibration) json["calibration_windows"] = calibration->count();
    json["bytes"] = bytes;
    if (score_from > 0) json["score_from"] = score_from;
    json["plain_bits_per_byte"] = plain_bits_per_byte();
    for (const TrialRow& row : rows_) json["rows"].push_back(row_json(row));
    return json;
}

}  // namespace kvlab::app
