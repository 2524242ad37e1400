// Step 6: what calibration sees. Mistakes in mind: the input of a neighbouring product, sums
// that depend on the pieces, a recorder that changes a bit, the last window alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/quant/calibration.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

CalibrationOptions everything() {
    CalibrationOptions options;
    options.gram = options.inputs = [](const std::string&) { return true; };
    options.head = true;
    return options;
}

// Keeps the rows of one operator of layer 1, as the decoder shows them.
struct Watch final : Observer {
    explicit Watch(Op wanted) : op(wanted) {}

    void on(Op seen,
            Index layer,
            const View<const float>& rows,
            std::span<const Index>) override {
        if (seen != op || layer != 1) return;
        for (Index r = 0; r < rows.dim(0); ++r)
            for (Index k = 0; k < rows.dim(1); ++k) values.push_back(rows(r, k));
    }

    Op op;
    std::vector<float> values;
};

}  // namespace

TEST_CASE("calibration: each product's input is the operator's output before it") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 61);
    const std::vector<Token> tokens = random_tokens(101, config.vocab, 62);
    const TextWindows text(tokens, 0, 50);
    const Calibration seen = calibrate(*weights, text, everything());
    const std::pair<Op, const char*> places[] = {{Op::attention_norm, "blk.1.attn_k.weight"},
                                                 {Op::attention, "blk.1.attn_output.weight"},
                                                 {Op::ffn_norm, "blk.1.ffn_up.weight"},
                                                 {Op::ffn_hidden, "blk.1.ffn_down.weight"}};
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(*weights, *engine), *engine);
    WholeSequence store(decoder.kv_shape(), 50);
    for (const auto& place : places) {
        CAPTURE(place.second);
        Watch watch(place.first);
        decoder.set_observer(&watch);
        for (Index w = 0; w < text.count(); ++w) decoder.forward(store, text.input(w));
        decoder.set_observer(nullptr);
        const InputStatistics& input = seen.of(place.second);
        CHECK(input.rows == 100);
        CHECK(input.inputs == watch.values);
    }
    CHECK(&seen.of("blk.1.attn_q.weight") == &seen.of("blk.1.attn_v.weight"));
    CHECK(&seen.of("blk.1.attn_q.weight") != &seen.of("blk.0.attn_q.weight"));
    CHECK(seen.of("output.weight").rows == 100);
    CHECK_THROWS_WITH_AS(seen.of("blk.1.attn_x.weight"), doctest::Contains("attn_x"), Error);
}

TEST_CASE("calibration: the figures are those of the rows") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 61);
    const TextWindows text(random_tokens(81, config.vocab, 63), 0, 40);
    const Calibration seen = calibrate(*weights, text, everything());
    const InputStatistics& input = seen.of("blk.0.ffn_down.weight");
    const Index K = input.channels, R = input.rows;
    REQUIRE(K == config.ffn);
    for (Index i = 0; i < K; ++i) {
        float largest = 0.0f;
        double sum = 0;
        std::vector<double> products(usize(K), 0.0);
        for (Index r = 0; r < R; ++r) {
            const float* const row = input.inputs.data() + r * K;
            largest = std::max(largest, std::fabs(row[i]));
            sum += static_cast<double>(std::fabs(row[i]));
            for (Index j = 0; j < K; ++j)
                at(products, j) += static_cast<double>(row[i]) * static_cast<double>(row[j]);
        }
        CHECK(at(input.max_abs, i) == largest);
        CHECK(input.mean_abs(i) == sum / static_cast<double>(R));
        for (Index j = 0; j < K; ++j) REQUIRE(at(input.gram, i * K + j) == at(products, j));
    }
}

TEST_CASE("calibration: recording changes no bit and pieces change no figure") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 61);
    const std::vector<Token> tokens = random_tokens(60, config.vocab, 64);
    const auto run = [&](Engine& engine, Index piece) {
        Decoder decoder(load_model(*weights, engine), engine);
        KvCache cache(decoder.kv_shape(), 60);
        std::vector<float> logits;
        for (Index begin = 0; begin < 60; begin += piece) {
            const auto rows = decoder.forward(
                cache, std::span(tokens).subspan(usize(begin), usize(piece)), LogitsOf::all);
            logits.insert(logits.end(), rows.flat().begin(), rows.flat().end());
        }
        return logits;
    };
    Calibration whole, pieces;
    const auto plain = make_cpu_engine(),
               first = make_recording_engine(make_cpu_engine(), whole, everything()),
               second = make_recording_engine(make_cpu_engine({3}), pieces, everything());
    Calibration unused;  // of a model that is loaded, and reads nothing
    const auto idle = make_recording_engine(make_cpu_engine(), unused, everything());
    load_model(*weights, *idle);
    CHECK_FALSE(unused.all().empty());
    CHECK_THROWS_WITH_AS(unused.of("blk.0.attn_q.weight"),
                         "calibration: no product with blk.0.attn_q.weight was seen", Error);
    CHECK_THROWS_WITH_AS(unused.of("blk.9.attn_q.weight"),
                         "calibration: no product with blk.9.attn_q.weight was seen", Error);
    const std::vector<float> expected = run(*plain, 60);
    CHECK(run(*first, 60) == expected);
    CHECK(run(*second, 12) == expected);
    for (std::size_t i = 0; i < whole.all().size(); ++i) {
        const InputStatistics &a = *whole.all()[i], &b = *pieces.all()[i];
        CAPTURE(a.tensors[0]);
        CHECK(a.max_abs == b.max_abs);
        CHECK(a.sum_abs == b.sum_abs);
        CHECK(a.gram == b.gram);
        CHECK(a.inputs == b.inputs);
    }
}

TEST_CASE("calibration: what is not asked for is not kept") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 61);
    CalibrationOptions options;
    options.gram = [](const std::string& tensor) { return tensor == "blk.1.attn_k.weight"; };
    const TextWindows text(random_tokens(41, config.vocab, 63), 0, 40);
    const Calibration seen = calibrate(*weights, text, options);
    CHECK(seen.of("blk.1.attn_q.weight").gram.size() == 72 * 72);  // it shares k's input
    CHECK(seen.of("blk.0.attn_k.weight").gram.empty());
    CHECK(seen.of("blk.1.attn_k.weight").inputs.empty());
    CHECK(seen.of("output.weight").rows == 1);
}
