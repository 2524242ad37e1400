// api_fields.hpp - chapter 7: the fields of a JSON object, taken out one by one by name and
// type. What is left at the end was not known.
#pragma once

#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <kvlab/serving/server_request.hpp>

namespace kvlab::api {

// In a tree of its keys: one that keeps their order looks through all of them for each new one,
// and a client decides how many there are.
using Json = nlohmann::json;

// The whole of a text as JSON. Throws ApiError, also for what is nested deeply.
Json parse_json(std::string_view body);

// 400, with the field's name in front of the message.
[[noreturn]] void refuse(const std::string& field, const std::string& message);

// A value as a message shows it: on one line, and not all of a long one. A list and an object
// are not shown.
std::string shown(const Json& value);

// Of one object, whose place in the body is `path` ("" for the body itself).
class Fields {
public:
    // Throws ApiError unless it is an object.
    Fields(const Json& object, std::string path);

    // Each of these takes the field: null where it is missing or null; ApiError for another
    // type or a value outside of the range, ends included.
    std::optional<bool> boolean(const std::string& name);
    std::optional<Index> integer(const std::string& name, Index least, Index most);
    std::optional<double> number(const std::string& name, double least, double most);
    std::optional<std::string> string(const std::string& name);
    const Json* any(const std::string& name);

    // Takes fields that change nothing, as long as each has null or one of the given values.
    void neutral(const std::string& name, std::initializer_list<Json> values);

    // Takes a field that changes nothing, whatever it says.
    void ignored(const std::string& name) { taken_.insert(name); }

    // Throws ApiError for a field that nobody has taken.
    void finish() const;

    std::string name_of(const std::string& field) const;

private:
    const Json& object_;
    std::string path_;
    std::set<std::string> taken_;
};

}  // namespace kvlab::api
