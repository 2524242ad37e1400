// Step 6: SmoothQuant. Mistakes in mind: a fold that reaches the matrix and not the norm, a
// reader of the norm that is forgotten, heads that share a value but not its scale, smoothing
// that smooths nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/judge.hpp>
#include <kvlab/kvcache/quality.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/quant/smooth.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

TextWindows text_of(const Config& config, std::uint64_t seed = 70) {
    return {random_tokens(121, config.vocab, seed), 0, 40};
}

// All logits of the text's first window.
std::vector<float> logits_of(const WeightSource& weights, const TextWindows& text) {
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(weights, *engine), *engine);
    WholeSequence store(decoder.kv_shape(), text.window());
    const auto rows = decoder.forward(store, text.input(0), LogitsOf::all);
    return {rows.flat().begin(), rows.flat().end()};
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    double most = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        most = std::max(most, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    return most;
}

std::vector<SmoothOptions> all_options(const Config& config) {
    std::vector<SmoothOptions> all;
    for (const double alpha : {0.0, 0.5, 0.8, 1.0})
        for (const bool inner : {false, true})
            if (!inner || config.architecture == Architecture::llama)
                all.push_back({alpha, false, inner});
    return all;
}

// Mean KL from the float model, in bytes, after an edit.
template <class Edit>
double kl_in_bytes(const WeightSource& weights, const TextWindows& text, Edit&& edit) {
    const auto engine = make_cpu_engine();
    const auto bytes = make_int8_engine(CpuOptions{});
    EditedWeights edited(weights);
    edit(edited);
    const Variant variant{"int8", load_model(edited, *bytes), bytes.get(), {}, 0};
    return judge(load_model(weights, *engine), *engine, text, std::span(&variant, 1))
        .variants[0]
        .mean_kl();
}

}  // namespace

TEST_CASE("smooth: folding changes no product") {
    for (const Config& config : {small_config(), small_config(4, 1), small_gpt2()}) {
        const auto weights = make_synthetic(config, 71);
        const TextWindows text = text_of(config);
        const Calibration seen = calibrate(*weights, text);
        const std::vector<float> expected = logits_of(*weights, text);
        for (SmoothOptions options : all_options(config)) {
            CAPTURE(options.alpha);
            CAPTURE(options.inner);
            EditedWeights folded(*weights);
            smooth(folded, seen, options);
            // Measured: up to 1.6e-5, since every number is rounded anew.
            const double difference = largest_difference(logits_of(folded, text), expected);
            CHECK(difference <= 1e-4);
            CHECK(difference > 0);  // something was folded

            options.powers_of_two = true;
            EditedWeights exact(*weights);
            smooth(exact, seen, options);
            CHECK(logits_of(exact, text) == expected);
        }
    }
}

TEST_CASE("smooth: at the ends of alpha one side is even") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 71);
    const TextWindows text = text_of(config);
    const Calibration seen = calibrate(*weights, text);
    const char* const name = "blk.1.attn_q.weight";
    for (const bool channels : {true, false}) {
        EditedWeights folded(*weights);
        smooth(folded, seen, {channels ? 1.0 : 0.0, false, false});
        float least = HUGE_VALF, most = 0;
        const Calibration after = calibrate(folded, text);
        for (Index c = 0; c < config.dim; ++c) {
            float size = at(after.of(name).max_abs, c);
            if (!channels) {
                size = 0;
                for (const char* reader :
                     {"blk.1.attn_q.weight", "blk.1.attn_k.weight", "blk.1.attn_v.weight"}) {
                    const Tensor w = to_f32(folded.tensor(reader));
                    for (Index n = 0; n < w.dim(0); ++n)
                        size = std::max(size, std::fabs(w(n, c)));
                }
            }
            least = std::min(least, size), most = std::max(most, size);
        }
        CHECK(most <= least * 1.0001f);
        CHECK(std::fabs(most - 1.0f) < 1e-4f);
    }
}

TEST_CASE("smooth: an injected channel hurts bytes and smoothing heals it") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 72);
    const TextWindows text = text_of(config), other = text_of(config, 73);
    EditedWeights injected(*weights);
    inject_outlier(injected, 5, 20.0f);
    CHECK(largest_difference(logits_of(injected, text), logits_of(*weights, text)) <= 1e-4);
    const float before = calibrate(*weights, text).of("blk.0.ffn_up.weight").max_abs[5];
    const Calibration seen = calibrate(injected, other);
    CHECK(calibrate(injected, text).of("blk.0.ffn_up.weight").max_abs[5] > 19 * before);

    const auto nothing = [](EditedWeights&) {};
    const double plain = kl_in_bytes(*weights, text, nothing),
                 hurt = kl_in_bytes(injected, text, nothing),
                 healed =
                     kl_in_bytes(injected, text, [&](EditedWeights&w) { smooth(w, seen, {}); });
    CAPTURE(plain);
    CAPTURE(hurt);
    CAPTURE(healed);
    CHECK(hurt > 3 * plain);
    CHECK(healed < hurt / 3);
}

TEST_CASE("smooth: refusals name what is wrong") {
    const Config config = small_config(), gpt2 = small_gpt2();
    const auto weights = make_synthetic(config, 71), gpt2_weights = make_synthetic(gpt2, 71);
    const Calibration seen = calibrate(*weights, text_of(config)),
                      gpt2_seen = calibrate(*gpt2_weights, text_of(gpt2));
    EditedWeights edited(*weights), edited_gpt2(*gpt2_weights);
    CHECK_THROWS_WITH_AS(smooth(edited, seen, {1.5, false, false}), doctest::Contains("1.5"),
                         Error);
    CHECK_THROWS_WITH_AS(smooth(edited_gpt2, gpt2_seen, {0.5, false, true}),
                         doctest::Contains("gpt2"), Error);
    CHECK_THROWS_WITH_AS(smooth(edited, Calibration(), {}), doctest::Contains("blk.0"), Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 72, 20), doctest::Contains("72"), Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 0, 0), doctest::Contains("factor"), Error);
}
