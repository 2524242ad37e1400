// report.hpp - chapter 1: what an experiment measured, as one JSON file for tools to read.
//
// Header only, and not included by any other header of the library: only a program that writes
// reports needs nlohmann-json.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/output_file.hpp>

namespace kvlab {

using Json = nlohmann::ordered_json;  // keeps the order in which the keys were added

inline constexpr int kReportSchema = 1;

// The head that every report shares. There is no date in it: the same run gives the same file,
// up to the times that it measured.
inline Json new_report(const std::string& experiment, std::uint64_t seed) {
    Json report;
    report["schema"] = kReportSchema;
    report["experiment"] = experiment;
    report["compiler"] = compiler_name();
    report["flags"] = compiler_flags();
    report["processor"] = processor_name();
    if (counting_clock()) report["clock"] = "counting";
    report["seed"] = seed;
    return report;
}

inline Json to_json(const Quartiles& q) {
    Json json;
    json["smallest"] = q.smallest;
    json["low"] = q.low;
    json["median"] = q.median;
    json["high"] = q.high;
    json["largest"] = q.largest;
    json["samples"] = q.count;
    return json;
}

// Writes the report and commits the file. Nothing for no file: --json was not given.
inline void write_json(const std::shared_ptr<OutputFile>& file, const Json& json) {
    if (!file) return;
    // A text that a model wrote may end inside of a character.
    file->write(json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n');
    file->commit();
}

}  // namespace kvlab
