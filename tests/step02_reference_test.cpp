// Step 2 against PyTorch and transformers: logits that other people's software
// computed in float64.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "close.hpp"
#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// The largest difference to tests/data/reference/<name>_logits.*, which
// weights/reference_logits.py wrote, over all prompts; and the largest logit, to see
// it in proportion.
double worst_against_reference(const std::string& name) {
    const std::string base = std::string(KVLAB_TEST_DATA) + "/reference/" + name + "_logits";
    std::ifstream file(base + ".json");
    const auto sidecar = nlohmann::json::parse(file);
    const std::vector<float> expected = read_floats(base + ".f32");
    const auto source = GgufFile::open(std::filesystem::path(KVLAB_SOURCE_DIR) /
                                       sidecar["model"].get<std::string>());
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(source, *engine), *engine);
    double worst = 0;
    REQUIRE(sidecar["prompts"].size() >= 3);
    for (const auto& prompt : sidecar["prompts"]) {
        const auto tokens = prompt["tokens"].get<std::vector<Token>>();
        WholeSequence store(decoder.kv_shape(), std::ssize(tokens));
        const auto logits = decoder.forward(store, tokens, LogitsOf::all).flat();
        const std::size_t offset = prompt["offset"], count = prompt["count"];
        REQUIRE(logits.size() == count);
        worst = std::max(worst,
                         worst_difference(logits, std::span(expected).subspan(offset, count)));
    }
    MESSAGE(
        name << ": at most " << worst << " from " << sidecar["arithmetic"].get<std::string>()
             << "; PyTorch's own float32 is " << sidecar["float32_max_abs_error"].get<double>()
             << " off; the largest logit is " << sidecar["largest_abs_logit"].get<double>());
    return worst;
}

}  // namespace

TEST_SUITE_BEGIN("step02");

// The tolerance is about ten times the error that float32 makes in any order of sums, as
// measured by PyTorch itself and printed by the case; a wrong operator is off by 0.01 and more.
TEST_CASE("reference: tiny agrees with PyTorch") {
    CHECK(worst_against_reference("tiny") <= 2e-4);
}

TEST_CASE("reference: deep agrees with PyTorch") {
    CHECK(worst_against_reference("deep") <= 2e-4);
}

TEST_CASE("reference: a random gpt2 agrees with transformers") {
    CHECK(worst_against_reference("gpt2_tiny") <= 2e-4);
}

TEST_CASE("score: surprise is the negative log of the softmax") {
    const float even[] = {1.0f, 1.0f, 1.0f, 1.0f}, sure[] = {0.0f, 200.0f};
    CHECK(surprise_bits(even, 2) == doctest::Approx(2.0).epsilon(1e-12));
    CHECK(surprise_bits(sure, 1) == doctest::Approx(0.0).epsilon(1e-12));
    CHECK(surprise_bits(sure, 0) == doctest::Approx(200.0 / 0.6931471805599453).epsilon(1e-12));
    CHECK_THROWS_AS(surprise_bits(even, 4), Error);
}

TEST_CASE("score: bits per byte of random weights is near 8 and rises for a wrong text") {
    Config config = tiny_config();
    config.context = 64;
    const auto source = make_synthetic(config, 3);
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(*source, *engine), *engine);
    const MakeStore make_store = [&](Index n) {
        return std::make_unique<WholeSequence>(decoder.kv_shape(), n);
    };
    std::vector<std::uint8_t> text(200, 'a');
    const BitsPerByte bits = bits_per_byte(decoder, make_store, text, 0, 64);
    CHECK(bits.windows == 3);
    CHECK(bits.bytes == 192);
    CHECK(bits.bits > 2.0);
    CHECK(bits_per_byte(decoder, make_store, text, 0, 64, 1).windows == 1);
    CHECK_THROWS_AS(bits_per_byte(decoder, make_store, std::span(text).first(63), 0, 64),
                    Error);
    CHECK_THROWS_AS(bits_per_byte(decoder, make_store, text, 0, 65), Error);
}

TEST_CASE("score: a recall case counts the rows before its answers") {
    const auto source = make_synthetic(tiny_config(), 3);
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(*source, *engine), *engine);
    WholeSequence store(decoder.kv_shape(), 16);
    // What the model itself predicts after BOS and "ab" is by definition the right third byte.
    const Token two[] = {0, 'a', 'b'};
    const auto next = static_cast<char>(argmax(decoder.forward(store, two).flat()));
    const RecallCase right{"recall", 1, std::string("ab") + next, {2}};
    const RecallCase wrong{"recall", 1, std::string("ab") + static_cast<char>(next ^ 1), {2}};
    CHECK(right_answers(decoder, store, right, 0) == 1);
    CHECK(right_answers(decoder, store, wrong, 0) == 0);
    CHECK_THROWS_AS(right_answers(decoder, store, {"recall", 1, "ab", {2}}, 0), Error);
}

TEST_CASE(
    "score: sink mass of the first query is one and of flat attention one over its "
    "length") {
    Config config = small_config(2, 1, 8);
    config.layers = 1;
    const auto source = make_synthetic(config, 3);
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(*source, *engine), *engine);
    WholeSequence store(decoder.kv_shape(), 40);
    const auto tokens = random_tokens(30, config.vocab, 1);
    const auto one = sink_mass(decoder, store, std::span(tokens).first(1), 0);
    CHECK(one[0] == doctest::Approx(1.0).epsilon(1e-7));
    const auto mass = sink_mass(decoder, store, tokens, 10);
    CHECK(mass[0] > 0.0);
    CHECK(mass[0] < 1.0);
    CHECK_THROWS_AS(sink_mass(decoder, store, tokens, 30), Error);
}

TEST_SUITE_END();
