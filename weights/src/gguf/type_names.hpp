// type_names.hpp - the tensor types of GGUF files by name, those that kvlab does not read, too:
// a refusal says what was found.
#pragma once

#include <cstdint>
#include <string>

namespace kvlab::gguf {

// "Q6_K (14)"; "unknown (99)" for a number that ggml has given to no type.
std::string numbered_type(std::uint32_t number);
// "F32 (0), F16 (1) ... or Q4_K (12)": what kvlab reads.
std::string supported_types();

}  // namespace kvlab::gguf
