// reconstruction.hpp - chapter 5: what a model looks at while it repeats its prompt. What it
// needs to write the prompt down again is what the cache has to hold, whatever will be asked:
// KVzip (policies/kvzip.cpp).
#pragma once

#include <span>
#include <vector>

#include <kvlab/attention/decoder.hpp>

namespace kvlab {

// The passes of KVzip (Kim et al. 2025, section 3.2): the prompt is run with everything kept;
// then it is fed once more, behind itself, in chunks that each follow the prompt alone, as if
// the model had written them. Nothing of the text behind the prompt is used.
class Reconstruction {
public:
    static constexpr Index kChunk = 2048;  // tokens, as in the paper
    static constexpr Index kLead = 8;      // last tokens of the chunk before, fed first

    // Chunks are of `chunk` tokens, or, with a shorter lead, of as many as the model's context
    // has room for behind the prompt: near its end they are few, and the passes many. Throws
    // Error for an empty prompt, and for one that leaves no room for two tokens.
    Reconstruction(Decoder& decoder, std::span<const Token> prompt, Index chunk = kChunk);

    // The largest share of its attention that a query gave to `position` while its chunk was
    // repeated, over the query heads of the group. Throws Error outside of the prompt.
    float share(Index layer, Index kv_head, Index position) const;

    Index prompt() const { return length_; }

    // What it cost, beside the prompt itself: chunks, and the tokens of all of them.
    Index passes() const { return passes_; }

    Index tokens() const { return tokens_; }

private:
    class Recorder;

    Index length_, kv_heads_, passes_ = 0, tokens_ = 0;
    Index begin_ = 0, end_ = 0;               // the chunk that is being repeated
    std::vector<std::vector<float>> shares_;  // [L * Hkv] of [n]
};

}  // namespace kvlab
