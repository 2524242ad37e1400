// token.hpp - a token is an index into the vocabulary.
#pragma once

#include <cstdint>

namespace kvlab {

using Token = std::int32_t;

}  // namespace kvlab
