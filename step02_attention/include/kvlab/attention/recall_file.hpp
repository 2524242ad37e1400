// recall_file.hpp - chapter 2: the cases of weights/recall_cases.jsonl, one object in each
// line.
//
// Header only, and included by programs alone: the libraries do not need a JSON parser.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include <kvlab/attention/score.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab {

// Throws Error, with the number of the line, for a file that holds something else.
inline std::vector<RecallCase> read_recall_cases(const std::string& path) {
    std::ifstream file(path);
    check(file.good(), path, ": cannot be read");
    std::vector<RecallCase> cases;
    std::string line;
    for (Index number = 1; std::getline(file, line); ++number) {
        const Json json = Json::parse(line, nullptr, false);
        check(json.is_object() && json.contains("kind") && json.contains("text") &&
                  json.contains("answer"),
              path, ": line ", number,
              ": expected an object with kind, distance, text and answer");
        cases.push_back({json["kind"], json["distance"], json["text"],
                         json["answer"].get<std::vector<Index>>()});
    }
    return cases;
}

}  // namespace kvlab
