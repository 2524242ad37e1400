#include "measured.hpp"

namespace kvlab::app {

std::vector<double> MeasuredRow::of_windows(double (WindowShift::*figure)() const) const {
    std::vector<double> means(seeds.front().windows.size(), 0.0);
    for (const PolicyQuality& quality : seeds) {
        const std::vector<double> one = quality.of_windows(figure);
        for (std::size_t w = 0; w < means.size(); ++w) means[w] += one[w];
    }
    for (double& mean : means) mean /= static_cast<double>(seeds.size());
    return means;
}

std::vector<double> MeasuredRow::kl_of_seeds() const {
    std::vector<double> means;
    for (const PolicyQuality& quality : seeds) means.push_back(quality.mean_kl());
    return means;
}

MeasuredTable measure_rows(OpenedModel& opened,
                           const TextWindows& windows,
                           const std::vector<Contender>& contenders,
                           Index prompt,
                           Index seeds,
                           bool retention) {
    std::vector<Contender> runs;
    const auto times = [seeds](const Contender& one) {
        return find_policy(one.policy).draws ? seeds : 1;
    };
    for (Contender one : contenders)
        for (Index s = 0; s < times(one); ++s) {
            runs.push_back(one);
            ++one.options.seed;
        }
    MeasuredTable table;
    table.report = measure_policies(opened.model, *opened.engine, windows, runs, prompt,
                                    opened.level, retention);
    auto next = table.report.policies.begin();
    for (const Contender& one : contenders) {
        MeasuredRow row{one, {}};
        for (Index s = 0; s < times(one); ++s) row.seeds.push_back(std::move(*next++));
        table.rows.push_back(std::move(row));
    }
    table.report.policies.clear();
    return table;
}

const MeasuredRow* find_row(std::span<const MeasuredRow> rows, const std::string& label) {
    for (const MeasuredRow& row : rows)
        if (row.contender.label == label) return &row;
    return nullptr;
}

std::string below(const MeasuredRow& row, const MeasuredRow* baseline) {
    if (baseline == nullptr || baseline == &row) return "";
    const Paired pairs = paired(row.of_windows(&WindowShift::mean_kl),
                                baseline->of_windows(&WindowShift::mean_kl));
    return concat(pairs.lower, " of ", pairs.difference.count);
}

Json row_json(const MeasuredRow& row, const MeasuredRow* baseline) {
    const std::vector<double> kl = row.of_windows(&WindowShift::mean_kl);
    Json json{{"policy", row.contender.label}, {"seeds", row.seeds.size()}};
    json["mean_kl"] = row.mean([](const PolicyQuality& q) { return q.mean_kl(); });
    json["mean_kl_deviation"] = spread_of(kl).deviation;
    json["kl_99"] = row.mean([](const PolicyQuality& q) { return q.kl_quantile(0.99); });
    json["max_kl"] = row.mean([](const PolicyQuality& q) { return q.max_kl(); });
    json["agreement"] = row.mean([](const PolicyQuality& q) { return q.agreement(); });
    json["kept_at_end"] = row.mean([](const PolicyQuality& q) { return q.kept_at_end; });
    json["bytes_held"] = row.seeds.front().bytes.logical;
    json["window_kl"] = kl;
    json["window_agreement"] = row.of_windows(&WindowShift::agreement);
    if (row.seeds.size() > 1) json["seed_kl"] = row.kl_of_seeds();
    if (baseline != nullptr && baseline != &row) {
        const Paired pairs = paired(kl, baseline->of_windows(&WindowShift::mean_kl));
        json["kl_against_baseline"] = pairs.difference.mean;
        json["kl_against_baseline_deviation"] = pairs.difference.deviation;
        json["windows_below_baseline"] = pairs.lower;
    }
    return json;
}

}  // namespace kvlab::app
