// weight_formats.hpp - chapter 6: formats of weights by name, as the flags say them.
#pragma once

#include <string>
#include <vector>

#include <kvlab/quant/quantized_weights.hpp>

namespace kvlab::app {

// "q4_0", "int8-row", "nf4", "nf4-twice", "rtn4-g32", "gptq4-g128", "awq3-g64" ...;
// "awq3-g64-noclip": without the search for the ranges of groups.
//
// A type is that of a whole file. All others leave the token table and the head as they are,
// as their authors do; "nf4-head", "gptq4-g128-head", "awq3-g64-noclip-head": these are
// rounded, too, to nearest.
struct WeightFormat {
    std::string name;
    std::unique_ptr<WeightCodec> codec;  // how the numbers are written
    std::string method;                  // "gptq" or "awq": they choose the codec's numbers
    CalibratedOptions options;           // for those
    Rounded which = Rounded::all;
};

// Throws Error for a name that is none.
WeightFormat weight_format(const std::string& name);

// What `weights` shows: with groups of 32 and NF4 both forms of the head. Methods that
// calibrate only if asked: they take time on a large model.
std::vector<std::string> default_weight_formats(bool calibrated);

// `text` is for methods that calibrate.
QuantizedWeights in_format(const WeightSource& base,
                           const WeightFormat& format,
                           const TextWindows& text);

}  // namespace kvlab::app
