// Step 6: which matrices a method rounds. Mistakes in mind: a head that is rounded in silence,
// a head that is left and counted in codes, layers that look at the head.
#include <doctest/doctest.h>

#include <kvlab/attention/synthetic.hpp>
#include <kvlab/quant/quantized_weights.hpp>

#include "models.hpp"
#include "quant_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step06");

TEST_CASE("gptq and awq: as published the head stays and it alone tells the other form") {
    // Both forms of a model whose head is the token table, and of one with a head of its own:
    // the layers are calibrated without a look at it.
    for (const bool tied : {true, false}) {
        CAPTURE(tied);
        Config config = small_config();
        config.tied_output = tied;
        const auto weights = make_synthetic(config, 87);
        const TextWindows text(random_tokens(120, config.vocab, 88), kNoToken, 50);
        const auto codec = make_rtn_codec(4, 16);
        const CalibratedOptions all{4, 16, 0.01, true, Rounded::all};
        const QuantizedWeights forms[][2] = {
            {quantize_weights(*weights, *codec, Rounded::layers),
             quantize_weights(*weights, *codec)},
            {gptq_weights(*weights, text, {4, 16}), gptq_weights(*weights, text, all)},
            {awq_weights(*weights, text, {4, 16}), awq_weights(*weights, text, all)}};
        for (const auto& [layers, both] : forms) {
            Index saved = 0, outside = 0;
            for (const TensorInfo& info : weights->tensors()) {
                CAPTURE(info.name);
                const TensorInfo &one = layers.weights->tensor(info.name),
                                 &other = both.weights->tensor(info.name);
                const bool layer = info.name.rfind("blk.", 0) == 0;
                CHECK(equal_bits(to_f32(one), to_f32(other)) ==
                      (layer || info.shape.rank() < 2));
                if (layer || info.shape.rank() < 2) continue;
                ++outside;
                CHECK(one.bytes.data() == info.bytes.data());
                saved += std::ssize(info.bytes) - codec->bytes(info.shape[0], info.shape[1]);
            }
            CHECK(outside == (tied ? 1 : 2));
            CHECK(layers.numbers == both.numbers);
            CHECK(layers.bytes == both.bytes + saved);
        }
    }
}

TEST_SUITE_END();
