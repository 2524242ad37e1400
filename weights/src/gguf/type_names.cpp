#include "type_names.hpp"

#include <iterator>

#include <kvlab/tensor/tensor_type.hpp>

namespace kvlab::gguf {

namespace {

// enum ggml_type, by number; null where it has no name any more.
constexpr const char* kNames[] = {
    "F32",      "F16",      "Q4_0",    "Q4_1",  "Q4_2",   "Q4_3",  "Q5_0",  "Q5_1",
    "Q8_0",     "Q8_1",     "Q2_K",    "Q3_K",  "Q4_K",   "Q5_K",  "Q6_K",  "Q8_K",
    "IQ2_XXS",  "IQ2_XS",   "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS",
    "I8",       "I16",      "I32",     "I64",   "F64",    "IQ1_M", "BF16",  "Q4_0_4_4",
    "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",   "TQ2_0", nullptr,  nullptr, nullptr, "MXFP4",
};

}  // namespace

std::string numbered_type(std::uint32_t number) {
    const char* name = number < std::size(kNames) ? kNames[number] : nullptr;
    return concat(name != nullptr ? name : "unknown", " (", number, ")");
}

std::string supported_types() {
    std::string text;
    for (std::size_t i = 0; i < std::size(kTensorTypes); ++i)
        text += concat(i == 0                             ? ""
                       : i + 1 == std::size(kTensorTypes) ? " or "
                                                          : ", ",
                       numbered_type(static_cast<std::uint32_t>(kTensorTypes[i])));
    return text;
}

}  // namespace kvlab::gguf
