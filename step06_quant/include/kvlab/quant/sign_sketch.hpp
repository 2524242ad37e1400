// sign_sketch.hpp - chapter 6: TurboQuant's second stage (Zandieh et al. 2025, section 3.2,
// their "prod" variant): one bit for each number of what the first stage leaves of a key.
//
// ANCHOR: sketch
//   y  = T x                                  T: a random turn (hadamard.hpp)
//   y' = d * level[q]                         first stage: w - 1 bits, levels of Lloyd and Max
//   r  = y - y',  e = |r|                     what it leaves
//   b  = sign(S r)                            second stage: 1 bit; S [D, D] of N(0, 1)
//
//   <q, x>  is about  <T q, y'> + e sqrt(pi / 2) / D * <S T q, b>
// ANCHOR_END: sketch
//
// Levels lie nearer to 0 than what they stand for, so that <T q, y'> alone is too small in the
// mean (1 bit: 0.64 of it). The mean of the whole line over all S is <q, x>, and its variance
// at most pi / (2 D) (e |q|)^2 (the same paper, lemma 4): right in the mean, and noisier.
//
// The line is linear in q. So a key is read as y' + e sqrt(pi / 2) / D * S^T b, and attention
// need not know of it. Values have no such product: they get all w bits in the first stage.
//
// S is drawn once for all rows of a cache and belongs to no token, so no token's bytes hold it.
// Three things are not the paper's: all channels have the same bits, while its 2.5 and 3.5 bits
// give some channels one more; levels are those of N(0, 1) and not of the exact law of a
// coordinate of D, which is near; and S's numbers are near normal (random.hpp), so that the
// mean is off by up to 0.4 % of r where all of r is in one channel.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <kvlab/kvcache/kv_format.hpp>

namespace kvlab {

struct CodedRow;

class SignSketch {
public:
    SignSketch() = default;  // of no numbers
    SignSketch(Index head_dim, std::uint64_t seed);

    // Behind the first stage of a row [D]: the signs (1: negative) into the highest bits of its
    // codes, e into m[0].
    void encode(Format format, std::span<const float> row, CodedRow& coded) const;

    // What the second stage adds to each number of a row, `stride` apart; nothing if e is 0.
    void add(Format format, const std::uint8_t* codes, float e, float* row, Index stride) const;
    // The same for one number.
    float part(Format format, const std::uint8_t* codes, float e, Index i) const;

    Index head_dim() const { return head_dim_; }

private:
    float times(float e) const { return e * per_length_; }

    Index head_dim_ = 0;
    float per_length_ = 0;        // sqrt(pi / 2) / D
    std::vector<float> numbers_;  // S [D, D]
};

}  // namespace kvlab
