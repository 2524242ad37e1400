// recall_file.hpp - chapter 2: the cases of weights/recall_cases.jsonl, one object
// in each line.
//
// Header only, and included by programs alone: the libraries do not need a JSON parser.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include <kvlab/attention/score.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/input_file.hpp>

namespace kvlab {

// One line of the file. Every message names the file, the line and the field.
class RecallLine {
public:
    RecallLine(const std::string& line, std::string where)
        : where_(std::move(where)), json_(Json::parse(line, nullptr, false)) {
        check(json_.is_object(), where_,
              ": expected an object with kind, distance, text and answer, found ",
              found(json_));
    }

    RecallCase read() const {
        RecallCase recall;
        recall.kind = printable(text("kind"));
        recall.distance =
            index(field("distance"), "distance", std::numeric_limits<Index>::max());
        recall.text = text("text");
        const Json& answers = field("answer");
        if (!answers.is_array() || answers.empty())
            wrong("answer", "an array of places in the text, one at least", answers);
        for (const Json& answer : answers)
            recall.answers.push_back(index(answer, "answer", std::ssize(recall.text) - 1));
        return recall;
    }

private:
    static std::string found(const Json& json) {
        return json.is_discarded() ? "no JSON" : quote(json.dump(), 40);
    }

    [[noreturn]] void wrong(const char* name,
                            const std::string& expected,
                            const Json& json) const {
        throw Error(
            concat(where_, ": ", name, ": expected ", expected, ", found ", found(json)));
    }

    const Json& field(const char* name) const {
        check(json_.contains(name), where_, ": ", name,
              ": expected in the object, found no such ", "field");
        return json_.at(name);
    }

    std::string text(const char* name) const {
        const Json& json = field(name);
        if (!json.is_string() || json.get_ref<const std::string&>().empty())
            wrong(name, "a text that is not empty", json);
        return json.get<std::string>();
    }

    Index index(const Json& json, const char* name, Index most) const {
        const bool whole = json.is_number_unsigned() ||
                           (json.is_number_integer() && json.get<std::int64_t>() >= 0);
        if (!whole || json.get<std::uint64_t>() > static_cast<std::uint64_t>(most))
            wrong(name,
                  most == std::numeric_limits<Index>::max()
                      ? "a whole number from 0 on"
                      : concat("a place in the text, 0 to ", most),
                  json);
        return json.get<Index>();
    }

    std::string where_;
    Json json_;
};

// Throws Error, with the number of the line and the field, for a file that holds something
// else, and for one that holds no case.
inline std::vector<RecallCase> read_recall_cases(const std::string& path) {
    std::ifstream file = open_input(path);
    std::vector<RecallCase> cases;
    std::string line;
    for (Index number = 1; std::getline(file, line); ++number)
        cases.push_back(RecallLine(line, concat(path, ": line ", number)).read());
    check(!file.bad(), path, ": cannot be read");
    check(!cases.empty(), path, ": expected recall cases, one in a line, found none");
    return cases;
}

}  // namespace kvlab
