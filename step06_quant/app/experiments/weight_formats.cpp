#include "weight_formats.hpp"

#include <regex>

namespace kvlab::app {

namespace {

// "nf4-head" becomes "nf4".
Rounded take_head(std::string& name) {
    static const std::string kEnd = "-head";
    if (name.size() < kEnd.size() || name.substr(name.size() - kEnd.size()) != kEnd)
        return Rounded::layers;
    name.resize(name.size() - kEnd.size());
    return Rounded::all;
}

}  // namespace

WeightFormat weight_format(const std::string& name) {
    if (const auto type = tensor_type_from_name(name))
        return {name, make_type_codec(*type), "", {}, Rounded::all};
    std::string of_layers = name;
    const Rounded which = take_head(of_layers);
    if (of_layers == "int8-row") return {name, make_int8_row_codec(), "", {}, which};
    if (of_layers == "nf4" || of_layers == "nf4-twice")
        return {name, make_nf4_codec(of_layers == "nf4-twice"), "", {}, which};
    static const std::regex grouped("(rtn|gptq|awq)([2-8])-g([1-9][0-9]{0,5})(-noclip)?");
    std::smatch parts;
    check(
        std::regex_match(of_layers, parts, grouped) && (!parts[4].matched || parts[1] == "awq"),
        "weight format \"", name,
        "\": expected a type such as q4_0, or int8-row, nf4, nf4-twice, rtn4-g32, ",
        "gptq4-g32, awq4-g32, awq4-g32-noclip, with -head or without");
    CalibratedOptions options;
    options.which = which;
    options.bits = std::stoi(parts[2]);
    options.group = std::stol(parts[3]);
    options.clip = !parts[4].matched;
    return {name, make_rtn_codec(options.bits, options.group),
            parts[1] == "rtn" ? "" : parts[1].str(), options, which};
}

std::vector<std::string> default_weight_formats(bool calibrated) {
    std::vector<std::string> names;
    for (const TensorType type : kTensorTypes) {
        std::string name = type_name(type);
        for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        names.push_back(name);
    }
    for (const char* name : {"int8-row", "nf4", "nf4-head", "nf4-twice"})
        names.emplace_back(name);
    for (const char* grid : {"4-g32", "4-g32-head", "4-g64", "4-g128", "3-g32", "3-g32-head"})
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
    return quantize_weights(base, *format.codec, format.which);
}

}  // namespace kvlab::app
