// work.hpp - chapter 3: what a decoder has to do for its tokens, in whole numbers: once as
// closed forms, once as counts, so that == can compare them.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/attention/cost.hpp>

namespace kvlab {

struct Work {
    Flops flops;
    Index steps = 0;           // forward passes
    Index kv_projections = 0;  // (layer, token) pairs whose key and value were computed
    Index weight_bytes = 0;    // of the matrices, as they lie in memory, once per step
    Index cache_read = 0;      // bytes of keys and values, each once per step
    Index cache_written = 0;
    Index activation_bytes = 0;  // written by the operators that an Observer sees

    // All that crosses the border between memory and processor if nothing stays in between:
    // activations are written once and read once.
    Index bytes() const {
        return weight_bytes + cache_read + cache_written + 2 * activation_bytes;
    }

    Work& operator+=(const Work& other);
    bool operator==(const Work&) const = default;
};

// The numbers of a Work by name, for tables and reports.
std::vector<std::pair<std::string, Index>> work_lines(const Work& work);

// One sequence's part of a step: T tokens behind `past`, logits for `rows` of them.
struct StepShape {
    Index past, T, rows = 1;
};

// The closed forms, for a configuration with float weights and a float cache.
class CostModel {
public:
    explicit CostModel(const Config& config) : config_(config) {}

    // One step of a batch: the sequences share one passage of the weights, and nothing else.
    Work step(std::span<const StepShape> batch) const;

    Work step(const StepShape& sequence) const { return step({&sequence, 1}); }

    // A prompt of P tokens in one step, then n - 1 more steps: the last token that is generated
    // is never fed. With a cache a step feeds one token, without one the whole text.
    Work generate(Index P, Index n, bool cached) const;

    // One forward pass's matrices as PackedMatrix holds them: outputs in panels of 64.
    Index weight_bytes() const;

    // Keys and values of one token: 2 L Hkv D floats.
    Index cache_bytes_per_token() const;

private:
    Config config_;
};

}  // namespace kvlab
