// future_shares.hpp - chapter 5: what attention will look at, known by having run the text
// before. No cache can know it: it is the ceiling that policies are measured against.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <kvlab/attention/decoder.hpp>

namespace kvlab {

class FutureShares {
public:
    // Runs `text` through the decoder with everything kept, in one step. Shares are means over
    // the query heads of a group. Takes 2 * L * Hkv * n * n floats for n tokens.
    FutureShares(Decoder& decoder, std::span<const Token> text);

    // What the queries at positions >= next, up to the end of the text, give to `position` in
    // all. 0 for what is beyond the text.
    float share(Index layer, Index kv_head, Index position, Index next) const;

    // What the query at `query` alone gives to the positions [0, query].
    std::span<const float> given(Index layer, Index kv_head, Index query) const;

    std::span<const Token> text() const { return text_; }

private:
    class Recorder;

    Index length_, kv_heads_;
    std::vector<Token> text_;
    std::vector<std::vector<float>> given_;  // [L * Hkv] of [n, n]: by query, then by position
    std::vector<std::vector<float>> sums_;   // the same, from a query to the end
};

}  // namespace kvlab
