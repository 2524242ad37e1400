#include "api_fields.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <kvlab/tensor/text.hpp>

#include "../shallow_json.hpp"

namespace kvlab::api {

Json parse_json(std::string_view body) {
    try {
        return parse_shallow<Json>(body, true);
    } catch (const Error& error) {
        throw ApiError(400, "invalid_json", "", concat("the body is ", error.what()));
    } catch (const Json::exception& error) {
        // What stands behind nlohmann's own prefix "[json.exception...] " is for people.
        const std::string_view what = error.what();
        const std::size_t prefix = what.find("] ");
        const std::string_view reason =
            prefix == std::string_view::npos ? what : what.substr(prefix + 2);
        throw ApiError(400, "invalid_json", "",
                       concat("the body is not JSON: ", quote(reason, 200)));
    }
}

void refuse(const std::string& field, const std::string& message) {
    throw ApiError(400, "invalid_value", field, concat(field, ": ", message));
}

std::string shown(const Json& value) {
    if (value.is_array()) return "a list";
    if (value.is_object()) return "an object";
    return quote(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object.is_object())
        refuse(path_.empty() ? "body" : path_,
               concat("expected an object, found ", shown(object)));
}

std::string Fields::name_of(const std::string& field) const {
    return path_.empty() ? field : concat(path_, ".", field);
}

const Json* Fields::any(const std::string& name) {
    taken_.insert(name);
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<bool> Fields::boolean(const std::string& name) {
    const Json* const value = any(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_boolean())
        refuse(name_of(name), concat("expected true or false, found ", shown(*value)));
    return value->get<bool>();
}

std::optional<Index> Fields::integer(const std::string& name, Index least, Index most) {
    const Json* const value = any(name);
    if (value == nullptr) return std::nullopt;
    // A number above 2^63 is no Index; the others compare as they are.
    const bool fits = value->is_number_integer() &&
                      (!value->is_number_unsigned() ||
                       value->get<std::uint64_t>() <=
                           static_cast<std::uint64_t>(std::numeric_limits<Index>::max()));
    const Index number = fits ? value->get<Index>() : 0;
    if (!fits || number < least || number > most)
        refuse(name_of(name), concat("expected a whole number from ", least, " to ", most,
                                     ", found ", shown(*value)));
    return number;
}

std::optional<double> Fields::number(const std::string& name, double least, double most) {
    const Json* const value = any(name);
    if (value == nullptr) return std::nullopt;
    const double number = value->is_number() ? value->get<double>() : std::nan("");
    if (!(number >= least && number <= most))
        refuse(name_of(name), concat("expected a number from ", least, " to ", most, ", found ",
                                     shown(*value)));
    return number;
}

std::optional<std::string> Fields::string(const std::string& name) {
    const Json* const value = any(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string())
        refuse(name_of(name), concat("expected a string, found ", shown(*value)));
    return value->get<std::string>();
}

void Fields::neutral(const std::string& name, std::initializer_list<Json> values) {
    const Json* const value = any(name);
    if (value == nullptr || std::find(values.begin(), values.end(), *value) != values.end())
        return;
    throw ApiError(400, "unsupported_value", name_of(name),
                   concat(name_of(name), ": this server has no such feature; found ",
                          shown(*value), ", which would change the result"));
}

void Fields::finish() const {
    for (const auto& [name, value] : object_.items())
        if (!taken_.contains(name))
            throw ApiError(400, "unknown_field", name_of(name),
                           concat(printable(name_of(name)),
                                  ": this server does not know the field, so it cannot say "
                                  "whether it would change the result"));
}

}  // namespace kvlab::api
