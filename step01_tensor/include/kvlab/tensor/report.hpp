// report.hpp - chapter 1: what an experiment measured, as one JSON file for tools to read.
//
// Header only, and not included by any other header of the library: only a program that writes
// reports needs nlohmann-json.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/measure.hpp>

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
    report["seed"] = seed;
    return report;
}

inline Json to_json(const Quartiles& q) {
    Json json;
    json["best"] = q.best;
    json["low"] = q.low;
    json["median"] = q.median;
    json["high"] = q.high;
    json["samples"] = q.count;
    return json;
}

// Writes the file under a temporary name and renames it when it is complete, so that a full
// disk or an interruption never leaves half a report. Throws Error, and leaves an older file as
// it was, when that fails.
inline void write_json(const std::string& path, const Json& json) {
    const std::string temporary = path + ".part";
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    const bool opened = file.is_open();
    file << json.dump(2) << '\n';
    file.close();
    if (opened && !file.fail() && std::rename(temporary.c_str(), path.c_str()) == 0) return;
    const int reason = errno;
    if (opened) std::remove(temporary.c_str());
    throw Error(concat(path, ": cannot write the report: ", std::strerror(reason)));
}

}  // namespace kvlab
