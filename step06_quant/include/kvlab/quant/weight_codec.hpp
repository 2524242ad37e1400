// weight_codec.hpp - chapter 6: ways to write a weight matrix [N, K] in few bytes.
//
//   types of files    Q8_0, Q4_0, Q4_1, Q4_K ...: a kernel multiplies with the codes themselves
//   INT8 per row      [ N scales f32 | N x K codes, one byte each ]             x = s * q
//   RTN, w bits       per row: [ scale f16, zero f16 ] of each group of g numbers, then the
//                     row's codes of w bits, the first lowest                   x = s * (q - z)
//   NF4               [ largest magnitude a of each 64 numbers, f32 | codes, the FIRST of two
//                     in the HIGH half ]                                        x = a *
//                     level[q]
//   NF4, scales twice [ mean f32 | a step f32 per 256 blocks | a byte per block | codes ]
//
// Bytes are made and read back for real, so that nothing has to be believed about their number.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/tensor_type.hpp>

namespace kvlab {

class WeightCodec {
public:
    virtual ~WeightCodec() = default;

    virtual std::string name() const = 0;

    // Whether a matrix with K columns can be written.
    virtual bool takes(Index K) const = 0;
    virtual Index bytes(Index N, Index K) const = 0;

    // bytes(N, K) bytes. Throws Error for a matrix that is not taken, and for a number that is
    // not finite or too large.
    virtual std::vector<std::byte> encode(const View<const float>& w) const = 0;  // [N, K]
    // The numbers that a model computes with. Throws Error unless the bytes are exactly those.
    virtual void decode(std::span<const std::byte> bytes,
                        const View<float>& w) const = 0;  // [N, K], contiguous

    // The type of a file that these bytes are; nothing if no kernel reads them.
    virtual std::optional<TensorType> type() const { return std::nullopt; }
};

std::unique_ptr<WeightCodec> make_type_codec(TensorType type);

std::unique_ptr<WeightCodec> make_int8_row_codec();

// bits 2 to 8, groups of g columns; the last group of a row may be shorter.
std::unique_ptr<WeightCodec> make_rtn_codec(int bits, Index group);

// Blocks of 64 numbers that run on over the ends of rows, as in the original. `twice`: the
// magnitudes become bytes around their mean, in equal steps. bitsandbytes has a table of
// unequal ones there (its "dynamic" map, finer around 0), so that its bytes are as many as
// these and mean other magnitudes.
std::unique_ptr<WeightCodec> make_nf4_codec(bool twice);

// Asymmetric round-to-nearest: 2^bits numbers a step apart, one of which is 0.
struct Grid {
    float scale =
        0;         // a number that f16 can hold; 0 where nothing else fits: all numbers are 0
    int zero = 0;  // the code of 0
    int top = 0;   // the largest code

    int code(float x) const;

    float value(int q) const { return scale * static_cast<float>(q - zero); }

    float nearest(float x) const { return value(code(x)); }
};

// For numbers from `least` to `most`; the range is widened to hold 0. Throws Error for a step
// beyond f16.
Grid grid_of(float least, float most, int bits);

}  // namespace kvlab
