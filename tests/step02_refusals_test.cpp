// Nothing in a model file is silently left out: what this decoder does not compute is refused
// by name, and what changes nothing is taken.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include <kvlab/attention/architecture.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/plain_decoder.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/gguf_writer.hpp>

#include "models.hpp"
#include "sample_source.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// What loading says, by both ways, which must agree.
std::string refusal(const WeightSource& source) {
    auto engine = make_cpu_engine();
    const std::string one = error_of([&] { load_model(source, *engine); });
    CHECK(one == error_of([&] { PlainDecoder plain(source); }));
    return one;
}

}  // namespace

TEST_SUITE_BEGIN("step02");

TEST_CASE("model file: a tensor that is not read is refused by name") {
    const auto with = [](const std::string& name, const std::string& like) {
        return refusal(Sample(small_config()).add(name, like));
    };
    const auto left_out = [](const std::string& name, const std::string& what) {
        return "m.gguf: tensor '" + name +
               "': expected only the tensors of a llama model, found this one, which would be "
               "left out" +
               what;
    };
    for (const std::string of : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_up"})
        CHECK(with("blk.1." + of + ".bias", "output_norm.weight") ==
              left_out("blk.1." + of + ".bias", ": biases (not supported)"));
    CHECK(with("rope_freqs.weight", "output_norm.weight") ==
          left_out("rope_freqs.weight", ": scaled RoPE (not supported)"));
    CHECK(with("blk.0.attn_q_norm.weight", "output_norm.weight") ==
          left_out("blk.0.attn_q_norm.weight", ": norms of queries (not supported)"));
    CHECK(with("blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate.weight") ==
          left_out("blk.0.ffn_gate_inp.weight", ": a mixture of experts (not supported)"));
    CHECK(with("blk.0.ffn_up_exps.weight", "blk.0.ffn_up.weight") ==
          left_out("blk.0.ffn_up_exps.weight", ": a mixture of experts (not supported)"));
    CHECK(with("position_embd.weight", "token_embd.weight") ==
          left_out("position_embd.weight", ""));
    // Names that look like those of the table.
    for (const std::string name :
         {"blk.0.output.weight", "attn_q.weight", "blk.00.attn_q.weight",
          "blk.0.attn_q.weight2", "blk..attn_q.weight", "blk.x.attn_q.weight",
          "blk.-1.attn_q.weight", "Output.weight", "blk.99999999999999999999.attn_q.weight"})
        CHECK(with(name, "blk.0.attn_q.weight") == left_out(name, ""));
    CHECK(with("blk.2.attn_q.weight", "blk.0.attn_q.weight") ==
          "m.gguf: tensor 'blk.2.attn_q.weight': expected layers 0 to 1 (llama.block_count), "
          "found layer 2");
    CHECK(with("blk.2.evil\u202e", "blk.0.attn_q.weight").find("'blk.2.evil\\u{202e}'") !=
          std::string::npos);
    CHECK(refusal(Sample(small_gpt2()).add("blk.0.attn_q.weight", "blk.0.attn_output.weight"))
              .starts_with("m.gguf: tensor 'blk.0.attn_q.weight': expected only the tensors of "
                           "a gpt2 model"));
}

TEST_CASE("model file: every required tensor is asked for before anything is loaded") {
    for (const Config& config : {small_config(), small_gpt2()}) {
        const ArchitectureTraits& traits = traits_of(config.architecture);
        for (const TensorTrait& trait : traits.tensors) {
            if (!trait.required) continue;
            const std::string name = (trait.in_layer ? "blk.1." : "") + std::string(trait.name);
            Sample sample(config);
            sample.drop(name);
            CHECK(refusal(sample) ==
                  "m.gguf: tensor '" + name + "': expected in the file, found no such tensor");
            CHECK(sample.released.empty());
        }
    }
}

TEST_CASE("model file: the tables list what the loaders read and nothing else") {
    Config of_both[] = {small_config(), small_config(), small_gpt2(), small_gpt2()};
    for (std::size_t i = 0; i < 4; ++i) of_both[i].tied_output = i % 2 == 0;
    for (const Config& config : of_both) {
        const Sample sample(config);
        std::map<std::string, int> once;
        for (const TensorInfo& info : sample.tensors()) once[info.name] = 1;
        CHECK(once.count("output.weight") == (config.tied_output ? 0 : 1));
        auto engine = make_cpu_engine();
        CHECK(load_model(sample, *engine)->config.tied_output == config.tied_output);
        CHECK(sample.released == once);
        sample.released.clear();
        PlainDecoder plain(sample);
        CHECK(sample.released == once);
        for (const TensorTrait& trait : traits_of(config.architecture).tensors)
            if (trait.required)
                CHECK(once.count((trait.in_layer ? "blk.0." : "") + std::string(trait.name)) ==
                      1);
    }
}

TEST_CASE("model file: a key that would change the answer is refused with its value") {
    const auto with = [](const std::string& key, MetaValue value) {
        return refusal(Sample(small_config()).set("llama." + key, std::move(value)));
    };
    CHECK(with("rope.scale_linear", 2.0f) ==
          "m.gguf: key 'llama.rope.scale_linear': expected 1, found f32 2: scaled RoPE (not "
          "supported)");
    CHECK(
        with("attention.sliding_window", 64u) ==
        "m.gguf: key 'llama.attention.sliding_window': expected 0 or the whole context, found "
        "u32 64: sliding-window attention (not supported)");
    CHECK(with("logit_scale", 0.5f) ==
          "m.gguf: key 'llama.logit_scale': expected 1, found f32 0.5: scaled logits (not "
          "supported)");
    CHECK(
        with("expert_count", 8u) ==
        "m.gguf: key 'llama.expert_count': expected 0, found u32 8: a mixture of experts (not "
        "supported)");
    CHECK(with("rope.scaling.type", std::string("yarn\x1b")) ==
          "m.gguf: key 'llama.rope.scaling.type': expected 'none', or 'linear' with factor 1, "
          "found string 'yarn\\x1b': scaled RoPE (not supported)");
    CHECK(with("attention.value_length", 32u) ==
          "m.gguf: key 'llama.attention.value_length': expected the width of a key, found u32 "
          "32: values of another width than keys (not supported)");
    CHECK(
        with("vocab_size", 95u).find("expected the rows of token_embd.weight, found u32 95") !=
        std::string::npos);
    CHECK(with("new_idea\u009b", std::string("x")) ==
          "m.gguf: key 'llama.new_idea\\u{009b}': expected only keys that kvlab understands, "
          "found this one, which would be left out: string 'x'");
    for (const char* key :
         {"expert_used_count", "attention.clamp_kqv", "attention.max_alibi_bias",
          "attn_logit_softcapping", "final_logit_softcapping", "attention.scale",
          "embedding_scale", "residual_scale", "rope.scaling.factor",
          "rope.scaling.attn_factor"}) {
        CAPTURE(key);
        CHECK(with(key, 3.0f).find("(not supported)") != std::string::npos);
        CHECK(with(key, std::string("3")).find("(not supported)") != std::string::npos);
    }
    CHECK(with("attention.causal", false).find("attention to later tokens") !=
          std::string::npos);
    // A factor without a type is one of linear scaling.
    CHECK(refusal(Sample(small_config())
                      .set("llama.rope.scaling.type", std::string("linear"))
                      .set("llama.rope.scaling.factor", 4.0f))
              .find("'llama.rope.scaling.factor': expected 1, found f32 4") !=
          std::string::npos);
    CHECK(refusal(Sample(small_gpt2()).set("gpt2.attention.head_count_kv", 1u))
              .find("shared KV heads") != std::string::npos);
    CHECK(refusal(Sample(small_gpt2()).set("gpt2.rope.freq_base", 1e4f))
              .find("'gpt2.rope.freq_base'") != std::string::npos);
}

TEST_CASE("model file: a value that switches something off changes nothing") {
    const std::uint64_t plain = logits_of(Sample(small_config()));
    const std::vector<std::pair<std::string, MetaValue>> off = {
        {"rope.scaling.type", std::string("none")},
        {"rope.scaling.type", std::string("linear")},
        {"rope.scaling.factor", 1.0f},
        {"rope.scaling.factor", 0.0f},
        {"rope.scaling.attn_factor", 1.0f},
        {"rope.scaling.original_context_length", 400u},
        {"rope.scaling.finetuned", true},
        {"rope.scale_linear", 1.0f},
        {"attention.sliding_window", 0u},
        {"attention.sliding_window", 400u},
        {"attention.causal", true},
        {"attention.value_length", std::uint64_t{16}},
        {"logit_scale", 1.0f},
        {"embedding_scale", 1.0f},
        {"residual_scale", 0.0f},
        {"expert_count", 0u},
        {"expert_used_count", 0u},
        {"use_parallel_residual", false},
        {"tensor_data_layout", std::string("Meta AI original pth")},
        {"vocab_size", 96u},
    };
    for (const auto& [key, value] : off) {
        const auto& which = key;  // clang 14 captures no binding
        CAPTURE(which);
        CHECK(logits_of(Sample(small_config()).set("llama." + key, value)) == plain);
    }
    CHECK(logits_of(Sample(small_config())
                        .set("llama.rope.scaling.type", std::string("none"))
                        .set("llama.rope.scaling.factor", 4.0f)) == plain);
    // Keys of others are not the model's business.
    CHECK(logits_of(Sample(small_config())
                        .set("general.license", std::string("mit"))
                        .set("quantize.imatrix.file", std::string("x"))
                        .set("llama2.expert_count", 8u)) == plain);
    CHECK(logits_of(Sample(small_gpt2()).set("gpt2.attention.head_count_kv", 3u)) ==
          logits_of(Sample(small_gpt2())));
}

TEST_CASE("model file: another architecture is refused with what it is") {
    CHECK(refusal(Sample(small_config()).set("general.architecture", std::string("qwen2\n"))) ==
          "m.gguf: general.architecture: expected llama or gpt2, found 'qwen2\\x0a'");
    CHECK(
        refusal(Sample(small_config())
                    .set("general.architecture", std::string("qwen3moe"))
                    .set("qwen3moe.expert_count", 128u)) ==
        "m.gguf: general.architecture: expected llama or gpt2, found 'qwen3moe', a mixture of "
        "experts");
    CHECK(refusal(Sample(small_config())
                      .set("general.architecture", std::string("qwen2"))
                      .set("qwen2.expert_count", 0u)) ==
          "m.gguf: general.architecture: expected llama or gpt2, found 'qwen2'");
}

TEST_CASE("model file: the name of a model is shown without what a terminal obeys") {
    auto engine = make_cpu_engine();
    CHECK(load_model(Sample(small_config()).set("general.name", std::string("a\u009b\x1b[2J")),
                     *engine)
              ->config.name == "a\\u{009b}\\x1b[2J");
}

TEST_CASE("model file: numbers at their borders") {
    const auto with = [](const std::string& key, MetaValue value) {
        return refusal(Sample(small_config()).set("llama." + key, std::move(value)));
    };
    CHECK(with("rope.dimension_count", 16u) == "no error");
    CHECK(with("rope.dimension_count", 2u) == "no error");
    for (const std::uint32_t width : {0u, 1u, 15u, 17u, 18u, 1u << 31})
        CHECK(
            with("rope.dimension_count", width) ==
            concat("m.gguf: rope dimension: expected an even number up to 16, found ", width));
    CHECK(with("rope.freq_base", 1.0f).find("rope base") != std::string::npos);
    CHECK(with("rope.freq_base", std::nanf("")).find("rope base") != std::string::npos);
    CHECK(with("context_length", 1u << 24) == "no error");
    CHECK(with("context_length", (1u << 24) + 1).find("context: expected 1 to 16777216") !=
          std::string::npos);
    CHECK(with("context_length", 0u).find("context: expected 1 to") != std::string::npos);
    CHECK(with("block_count", 0u).find("layers: expected 1 to") != std::string::npos);
    CHECK(with("block_count", 1u).find("found layer 1") != std::string::npos);
    CHECK(with("block_count", 3u).find("tensor 'blk.2.attn_norm.weight'") != std::string::npos);
    CHECK(with("attention.head_count", 0u).find("head_count") != std::string::npos);
    CHECK(with("attention.head_count_kv", 0u).find("KV heads: expected 1 to") !=
          std::string::npos);
    CHECK(with("attention.head_count_kv", 3u).find("evenly") != std::string::npos);
    CHECK(refusal(Sample(small_config())
                      .set("llama.attention.key_length", 257u)
                      .set("llama.attention.value_length", 257u))
              .find("head_dim: expected 1 to 256") != std::string::npos);
    CHECK(with("attention.layer_norm_rms_epsilon", 0.0f).find("norm epsilon") !=
          std::string::npos);
    CHECK(with("attention.layer_norm_rms_epsilon", std::nanf("")).find("norm epsilon") !=
          std::string::npos);
}

TEST_CASE("model file: memory follows the tokens and not the declared context") {
    Sample sample(small_config());
    const std::uint64_t plain = logits_of(sample);
    sample.set("llama.context_length", 1u << 24);
    CHECK(logits_of(sample) == plain);
    auto engine = make_cpu_engine();
    const auto model = load_model(sample, *engine);
    CHECK(model->rope.positions() == 1 << 24);
    CHECK(model->rope.bytes() == 0);
    Decoder decoder(model, *engine);
    WholeSequence store(decoder.kv_shape(), 8);
    decoder.forward(store, std::vector<Token>{1, 2, 3});
    CHECK(model->rope.bytes() == RopeTable::kBlock * 16 * Index{sizeof(float)});
}

TEST_CASE("model file: cut short while it is loaded is an error") {
    const Folder folder;
    const auto path = folder / "m.gguf";
    GgufWriter writer;
    const Sample sample(tiny_config());
    for (const auto& entry : sample.metadata().entries())
        writer.metadata().set(entry.key, entry.value);
    for (const TensorInfo& info : sample.tensors())
        writer.add(info.name, info.type, info.shape, info.bytes);
    writer.write(path);
    const auto size = std::filesystem::file_size(path);
    for (const std::uintmax_t cut : {size / 2, size - 1}) {
        writer.write(path);
        const GgufFile file = GgufFile::open(path);
        for (const TensorInfo& info : file.tensors()) file.release(info);
        std::filesystem::resize_file(path, cut);
        CHECK(refusal(file) == concat(path.string(), ": expected ", size,
                                      " bytes, as when it was opened, found ", cut,
                                      ": the file was cut short while it was read"));
    }
}

TEST_SUITE_END();
