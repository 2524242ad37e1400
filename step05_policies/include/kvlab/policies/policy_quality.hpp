// policy_quality.hpp - chapter 5: what forgetting costs.
//
// A prompt goes in whole, and is evicted behind; then the text goes on token by token, as it
// does when a model writes. Only what comes after the prompt is scored: before, nothing is
// missing yet. Every row is compared with the one of the same text with everything kept.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <kvlab/attention/score.hpp>
#include <kvlab/kvcache/quality.hpp>
#include <kvlab/policies/registry.hpp>
#include <kvlab/policies/retention.hpp>

namespace kvlab {

// One row of a table: a policy with its options, and what the table calls it.
struct Contender {
    std::string label, policy;
    PolicyOptions options;
};

// Against the run with everything kept.
struct PolicyQuality : Shift {
    Contender contender;
    double kept_behind_prompt = 0;  // tokens per layer and KV head
    double kept_at_end = 0;
    KvBytes bytes;        // at the end, of one window
    Retention retention;  // only where it was asked for
};

struct PolicyReport {
    Index positions = 0;                  // scored
    double full_bits = 0;                 // with everything kept, for the same tokens
    Index full_bytes = 0;                 // of one window's keys and values, floats alone
    std::vector<PolicyQuality> policies;  // in the order of the contenders
};

// Each window is read once with everything kept, for all contenders; then these go through it
// side by side, as the sequences of one batch, so that the weights are read once for all of
// them. A row's bits do not depend on its neighbours (decoder.hpp), so neither does a figure.
//
// Throws Error unless 1 <= prompt < window <= the context, and for an unknown policy. With
// `retention` every position is also judged by the full run's attention, which takes
// memory for it.
PolicyReport measure_policies(const std::shared_ptr<const Model>& model,
                              Engine& engine,
                              const TextWindows& text,
                              std::span<const Contender> contenders,
                              Index prompt,
                              SimdLevel level = default_simd_level(),
                              bool retention = false);

// Right answers of a recall case whose question is outside of what is evicted: the text up to
// the last `question` tokens before the answer goes in whole, those one by one. `make_store`
// gets the tokens of the text and of the part that goes in whole.
using MakeForText =
    std::function<std::unique_ptr<KvStore>(std::span<const Token> text, Index prompt)>;
bool recalls(Decoder& decoder,
             const MakeForText& make_store,
             const RecallCase& recall,
             Token bos,
             Index question = 3);

}  // namespace kvlab
