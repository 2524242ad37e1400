#include "measured.hpp"

#include <cmath>

#include <kvlab/weights/input_file.hpp>

namespace kvlab::app {

namespace {

constexpr const char* kExperiment = "step04_cuda bench";

Json read_json(const std::string& path) {
    std::ifstream file = open_input(path);
    // Without exceptions: a wrong file is told in one line of our own.
    Json json = Json::parse(file, nullptr, false);
    check(!json.is_discarded(), path, ": expected a report as JSON, found something else");
    return json;
}

std::string text_of(const Json& json, const char* name) {
    return json.contains(name) && json[name].is_string() ? json[name].get<std::string>()
                                                         : std::string();
}

bool has_number(const Json& json, const char* name) {
    return json.contains(name) && json[name].is_number();
}

// tools/gpu.sh leaves the report of the bench inside of its own.
Json report_of_bench(const std::string& path) {
    Json report = read_json(path);
    if (report.is_object() && text_of(report, "experiment") == "tools/gpu.sh" &&
        report.contains("bench"))
        return report.at("bench");
    return report;
}

}  // namespace

Measured::Measured(const std::string& path) {
    const Json report = report_of_bench(path);
    check(report.is_object() && text_of(report, "experiment") == kExperiment, path,
          ": expected the report of '", kExperiment, "', found ",
          report.is_object() && report.contains("experiment")
              ? concat("that of '", text_of(report, "experiment"), "'")
              : std::string("none of an experiment"));
    check(has_number(report, "schema") && report["schema"] == kReportSchema, path,
          ": expected schema ", kReportSchema, ", found ",
          report.contains("schema") ? report["schema"].dump() : std::string("none"));
    check(report.contains("measured") && report["measured"] == true, path,
          ": its times are the executor's on a CPU: they say nothing about a GPU");
    check(report.contains("rungs") && report["rungs"].is_array(), path, ": it has no rungs");
    device_ = text_of(report, "device");
    for (const Json& row : report["rungs"]) {
        const bool timed = row.is_object() && row.contains("us") && row["us"].is_object() &&
                           has_number(row["us"], "median");
        const double median = timed ? row["us"]["median"].get<double>() : 0;
        check(std::isfinite(median) && median > 0, path, ": rung '", text_of(row, "rung"),
              "' of '", text_of(row, "shape"), "': expected a positive time");
        microseconds_[{text_of(row, "op"), text_of(row, "shape"), text_of(row, "rung")}] =
            median;
    }
}

std::optional<double> Measured::microseconds(const std::string& operation,
                                             const std::string& shape,
                                             const std::string& rung) const {
    const auto found = microseconds_.find({operation, shape, rung});
    if (found == microseconds_.end()) return std::nullopt;
    return found->second;
}

}  // namespace kvlab::app
