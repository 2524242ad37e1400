#include "weight_formats.hpp"

#include <regex>

namespace kvlab::app {

WeightFormat weight_format(const std::string& name) {
    if (const auto type = tensor_type_from_name(name))
        return {name, make_type_codec(*type), "", {}};
    if (name == "int8-row") return {name, make_int8_row_codec(), "", {}};
    if (name == "nf4" || name == "nf4-twice")
        return {name, make_nf4_codec(name == "nf4-twice"), "", {}};
    static const std::regex grouped("(rtn|gptq|awq)([2-8])-g([1-9][0-9]{0,5})(-noclip)?");
    std::smatch parts;
    check(
        std::regex_match(name, parts, grouped) && (!parts[4].matched || parts[1] == "awq"),
        "weight format \"", name,
        "\": expected a type such as q4_0, or int8-row, nf4, nf4-twice, rtn4-g32, gptq4-g32, ",
        "awq4-g32, awq4-g32-noclip");
    CalibratedOptions options;
    options.bits = std::stoi(parts[2]);
    options.group = std::stol(parts[3]);
    options.clip = !parts[4].matched;
    return {name, make_rtn_codec(options.bits, options.group),
            parts[1] == "rtn" ? "" : parts[1].str(), options};
}

std::vector<std::string> default_weight_formats(bool calibrated) {
    std::vector<std::string> names;
    for (const TensorType type : kTensorTypes) {
        std::string name = type_name(type);
        for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        names.push_back(name);
    }
    for (const char* name : {"int8-row", "nf4", "nf4-twice"}) names.emplace_back(name);
    for (const char* grid : {"4-g32", "4-g64", "4-g128", "3-g32"})
        for (const char* method : {"rtn", "gptq", "awq"})
            if (calibrated || std::string(method) == "rtn")
                names.push_back(std::string(method) + grid);
    return names;
}

QuantizedWeights in_format(const WeightSource& base,
                           const WeightFormat& format,
                           const TextWindows& text) {
    if (format.method == "gptq") return gptq_weights(base, text, format.options);
    if (format.method == "awq") return awq_weights(base, text, format.options);
    return quantize_weights(base, *format.codec);
}

}  // namespace kvlab::app
