// device_sampler.hpp - chapter 4: a token from logits that stay on the device.
#pragma once

#include <kvlab/cuda/ladders.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/sampling.hpp>

namespace kvlab {

// Draws the tokens that chapter 1's Sampler draws from the same logits: greedy, or with a
// temperature. One per sequence.
class DeviceSampler {
public:
    // Throws Error for options that Sampler refuses, and for top_k and top_p, which need a
    // sorted list: those are left to the host.
    explicit DeviceSampler(const SamplingOptions& options);

    // logits [count] in device memory, finite. Only the token comes back to the host.
    Index sample(const float* logits, Index count);

private:
    SamplingOptions options_;
    const ArgmaxRung& largest_;
    Rng rng_;
    Scratch weights_;
    DeviceArray<int> token_;
};

}  // namespace kvlab
