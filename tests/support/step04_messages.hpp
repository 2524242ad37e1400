// step04_messages.hpp - what the tests of refusals in more than one file need.
#pragma once

#include <kvlab/tensor/tensor.hpp>

namespace kvlab::test {

// Heads [R, heads, D] that lie `apart` floats apart, and the numbers of one `step`.
inline View<float> loose(const View<float>& heads, Index apart, Index step = 1) {
    return {heads.data(), heads.shape(), {heads.stride(0), apart, step, 0}};
}

}  // namespace kvlab::test
