// step04_messages.hpp - what the tests of refusals in more than one file need.
#pragma once

#include <doctest/doctest.h>
#include <algorithm>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/model.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/cuda_engine.hpp>
#include <kvlab/cuda/device_sampler.hpp>
#include "device_support.hpp"
#include "kernel_problems.hpp"
#include "models.hpp"

namespace kvlab::test {

// Heads [R, heads, D] that lie `apart` floats apart, and the numbers of one `step`.
inline View<float> loose(const View<float>& heads, Index apart, Index step = 1) {
    return {heads.data(), heads.shape(), {heads.stride(0), apart, step, 0}};
}

}  // namespace kvlab::test
