// verify.hpp - chapter 3: the proof. The same texts with and without a cache, compared
// bit by bit.
#pragma once

#include <string>
#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

struct VerifyOptions {
    Index steps = 16;          // tokens to generate for each prompt
    SamplingOptions sampling;  // greedy unless set
    std::vector<Index> chunks = {1, 3, 7, 64,
                                 0};         // prompt fed in pieces of these sizes, 0: whole
    SimdLevel level = default_simd_level();  // of the stores
};

// What was compared, in floats; and the checksums of the cached run.
struct VerifyReport {
    Difference prompt;  // the prompt's rows of logits, fed in pieces, against the whole
    Difference logits;  // the rows that tokens were generated from, cached against uncached
    Difference cache;   // the cache's keys and values at the end, against those recomputed
    Index tokens = 0, tokens_differ = 0;
    std::string first_difference;  // where, in words; empty if there is none
    // [steps] The largest |cached - uncached| of each step.
    std::vector<double> max_abs_by_step;
    Checksum prompt_sum;  // the rows of logits of each prompt, fed whole
    Checksum run_sum;     // contract, rule 8
    // Of each sequence: layer by layer, position by position, keys [Hkv, D], values [Hkv, D].
    Checksum cache_sum;
    Index cache_bytes = 0;  // logical, all sequences, at the end

    Difference all() const;

    bool identical() const { return all().differ == 0 && tokens_differ == 0; }
};

// Generates from all prompts as one batch, once with KvCache and once with WholeSequence, and
// compares every logit of every step, every token, every row of the prompts and the contents of
// the cache. Throws Error for an empty list, an empty prompt, or one that leaves no room for
// the steps.
VerifyReport verify(Decoder& decoder,
                    std::span<const std::vector<Token>> prompts,
                    const VerifyOptions& options);

}  // namespace kvlab
