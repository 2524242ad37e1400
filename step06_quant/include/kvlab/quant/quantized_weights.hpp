// quantized_weights.hpp - chapter 6: a model's matrices in another format.
//
// Tensors of rank 1 stay as they are. A matrix that the format does not take (its rows are no
// whole number of blocks) becomes F32, as in a converted file, and is listed.
//
// A converted file has all of its matrices in the new type. The methods of papers round the
// linear layers inside of the decoder's layers alone: the GPTQ, AWQ and LLM.int8 papers and
// bitsandbytes (NF4) leave the token table and the head, which are one matrix in many models,
// as they are. So which matrices are rounded is said with every call, and only runs that say
// the same can be compared.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/score.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/weight_codec.hpp>

namespace kvlab {

enum class Rounded {
    layers,  // the matrices of the layers: the token table and the head stay as they are
    all      // these, too
};

struct QuantizedWeights {
    std::unique_ptr<EditedWeights> weights;
    Index numbers = 0;              // of all matrices
    Index bytes = 0;                // that these take, what is not rounded as it is stored
    std::vector<std::string> kept;  // matrices in F32, since the format does not take them

    double bits_per_weight() const {
        return 8.0 * static_cast<double>(bytes) / static_cast<double>(numbers);
    }
};

// Every number is encoded to bytes and decoded again; where a kernel reads the bytes, the model
// gets them as they are. `base` must outlive the result.
QuantizedWeights quantize_weights(const WeightSource& base,
                                  const WeightCodec& codec,
                                  Rounded which = Rounded::all);

// The formats of make_rtn_codec, chosen by what the model does with a text.
struct CalibratedOptions {
    int bits = 4;
    Index group = 32;
    double damping = 0.01;            // GPTQ: of the mean of H's diagonal
    bool clip = true;                 // AWQ: search for the range of each group
    Rounded which = Rounded::layers;  // all: those outside of the layers to nearest
};

// GPTQ (Frantar et al. 2023), layer by layer: each is calibrated with all that comes before it
// already quantised. Columns go in their order in the matrix: the authors' later "act-order",
// largest inputs first, is not done.
QuantizedWeights gptq_weights(const WeightSource& base,
                              const TextWindows& text,
                              const CalibratedOptions& options = {});

// AWQ (Lin et al. 2024), calibrated on the model as it is. Per input of products, the power of
// the mean magnitude by which channels are scaled up before rounding and down behind it;
// attn_output stays unscaled where queries share keys: nothing before it could take its scales.
// The power is the one with the least error of the products of that input; the authors' code
// compares what leaves the whole attention or feed-forward block. Then clipped_round()'s
// search, but for queries and keys, as the authors have it: there the error of one matrix says
// little about that of their products.
QuantizedWeights awq_weights(const WeightSource& base,
                             const TextWindows& text,
                             const CalibratedOptions& options = {});

}  // namespace kvlab
