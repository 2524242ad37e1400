// token.hpp - a token is an index into the vocabulary.
#pragma once

#include <cstdint>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

using Token = std::int32_t;

}  // namespace kvlab
