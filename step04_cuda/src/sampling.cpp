#include <kvlab/cuda/device_sampler.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "kernels/arguments.hpp"
#include "launch_sizes.hpp"

namespace kvlab {

DeviceSampler::DeviceSampler(const SamplingOptions& options)
    : options_(options),
      largest_(find_rung(argmax_rungs(), "blocks")),
      rng_(options.seed),
      token_(1, "token") {
    const Sampler same(options);  // refuses what it refuses
    check(options.top_k == 0 && options.top_p == 1,
          "device sampler: top-k and top-p need a sorted list, which is left to the host");
}

Index DeviceSampler::sample(const float* logits, Index count) {
    check(count > 0, "device sampler: no logits");
    if (options_.temperature == 0) return largest_.run({logits, count, 0, &weights_});
    const float scale = log2e_over(static_cast<double>(options_.temperature));
    kernels::launch_sample(
        {logits, weights_.floats(count), token_.get(), scale, rng_.uniform(), to_int(count)});
    return token_.to_host()[0];
}

}  // namespace kvlab
