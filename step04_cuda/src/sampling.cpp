#include <array>

#include <kvlab/cuda/device_sampler.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "kernels/kernels.cuh"
#include "launch_sizes.hpp"

namespace kvlab {

namespace {

constexpr std::array<int, 1> kAlone = {1};
constexpr std::array<int, 4> kTrees = {1024, 1, 32, 256};

Index best_of(const DeviceArray<int>& best) {
    return best.to_host()[0];
}

Index run_naive_argmax(const ArgmaxCall& call) {
    check(call.count > 0, "argmax: no values");
    check(block_of(call.block, kAlone) == 1, "argmax: this kernel wants one thread");
    const DeviceArray<int> best(1, "best");
    launch(argmax_naive, 1, 1, 0, call.values, to_int(call.count), best.get());
    return best_of(best);
}

Index run_tree_argmax(const ArgmaxCall& call) {
    check(call.count > 0, "argmax: no values");
    const unsigned block = block_of(call.block, kTrees);
    check((block & (block - 1)) == 0,
          "argmax: this kernel wants a power of two of threads, found ", block);
    const DeviceArray<int> best(1, "best");
    launch(argmax_tree, 1, block, 0, call.values, to_int(call.count), best.get());
    return best_of(best);
}

constexpr ArgmaxRung kArgmaxRungs[] = {
    {{"naive", "one thread", kAlone}, run_naive_argmax},
    {{"tree", "a block of threads, by halves", kTrees}, run_tree_argmax},
};

}  // namespace

std::span<const ArgmaxRung> argmax_rungs() {
    return kArgmaxRungs;
}

DeviceSampler::DeviceSampler(const SamplingOptions& options)
    : options_(options), rng_(options.seed), token_(1, "token") {
    const Sampler same(options);  // refuses what it refuses
    check(options.top_k == 0 && options.top_p == 1,
          "device sampler: top-k and top-p need a sorted list, which is left to the host");
}

Index DeviceSampler::sample(const float* logits, Index count) {
    check(count > 0, "device sampler: no logits");
    if (options_.temperature == 0) return argmax_rungs().back().run({logits, count});
    const float scale = log2e_over(static_cast<double>(options_.temperature));
    launch(sample_token, 1, 1024, 0, logits, to_int(count), scale, rng_.uniform(),
           weights_.floats(count), token_.get());
    return best_of(token_);
}

}  // namespace kvlab
