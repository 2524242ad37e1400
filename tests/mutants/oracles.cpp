// mutant_oracles - how much weaker checks see of a wrong cache. tests/tools/mutants.py builds
// it with each mutant applied; in the right program every check must say "same".
//
// The job: a prompt of 8 tokens, 30 more chosen greedily, one at a time, with a cache. It runs
// on two models of the tiny shape: `sharp`, our synthetic weights, and `flat`, what a fresh
// GPT-2 has (every matrix and embedding with standard deviation 0.02, norms 1). Checks:
//   text              the 30 tokens, compared with those of the plain loops
//   1e-2, 1e-3, 1e-5  the 30 rows of logits, compared with the plain loops, absolute
//   bits              the same rows, every bit
//   itself            cached = uncached in the SAME program, every bit of every logit
// A further line gives the largest |difference| of the logits from the plain loops.
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/plain_decoder.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "models.hpp"

using namespace kvlab;

namespace {

// The synthetic weights, rescaled to what training starts from.
class FlatWeights final : public WeightSource {
public:
    explicit FlatWeights(const WeightSource& sharp) : metadata_(sharp.metadata()) {
        for (const TensorInfo& info : sharp.tensors()) {
            Tensor& values = storage_.emplace_back(to_f32(info));
            double squares = 0;
            for (const float x : values.flat())
                squares += static_cast<double>(x) * static_cast<double>(x);
            const double deviation = std::sqrt(squares / static_cast<double>(values.size()));
            const auto factor = static_cast<float>(0.02 / deviation);
            for (float& x : values.flat()) x = info.shape.rank() == 1 ? 1.0f : x * factor;
            tensors_.push_back({info.name, TensorType::f32, info.shape,
                                std::as_bytes(std::span<const float>(values.flat()))});
        }
    }

    const std::string& name() const override { return name_; }

    const Metadata& metadata() const override { return metadata_; }

    std::span<const TensorInfo> tensors() const override { return tensors_; }

    const TensorInfo* find(std::string_view tensor_name) const override {
        for (const TensorInfo& info : tensors_)
            if (info.name == tensor_name) return &info;
        return nullptr;
    }

private:
    std::string name_ = "flat weights";
    Metadata metadata_;
    std::vector<Tensor> storage_;  // moving a Tensor does not move its numbers
    std::vector<TensorInfo> tensors_;
};

struct Run {
    std::vector<Token> tokens;
    std::vector<float> logits;  // one row per generated token
};

constexpr Index kPrompt = 8, kSteps = 30;

Run generate(Decoder& decoder, KvStore& store, std::span<const Token> prompt) {
    Run run;
    Generator generator(decoder);
    generator.add(store, prompt, kSteps);
    generator.set_on_token([&](Index, Token token, const View<const float>& logits) {
        run.tokens.push_back(token);
        const auto row = logits.flat();
        run.logits.insert(run.logits.end(), row.begin(), row.end());
    });
    generator.run();
    return run;
}

Run generate_plain(const PlainDecoder& plain, std::span<const Token> prompt) {
    Run run;
    std::vector<Token> text(prompt.begin(), prompt.end());
    for (Index step = 0; step < kSteps; ++step) {
        const Tensor logits = plain.forward(text);
        const auto row = logits.flat().last(usize(plain.config().vocab));
        run.logits.insert(run.logits.end(), row.begin(), row.end());
        text.push_back(static_cast<Token>(argmax(row)));
        run.tokens.push_back(text.back());
    }
    return run;
}

// The rows of logits after the prompt and behind each token of `text` but the last, one row
// per step. Both sides are fed the same tokens, so a row differs because of the bug, and not
// because another token was chosen before.
std::vector<float> forced_logits(Decoder& decoder,
                                 KvStore& store,
                                 std::span<const Token> prompt,
                                 std::span<const Token> text) {
    std::vector<float> logits;
    const auto feed = [&](std::span<const Token> tokens) {
        const auto row = decoder.forward(store, tokens).flat();
        logits.insert(logits.end(), row.begin(), row.end());
    };
    feed(prompt);
    for (std::size_t i = 0; i + 1 < text.size(); ++i) feed(text.subspan(i, 1));
    return logits;
}

// Nothing if the wrong program refuses to go on.
template <class Compare>
auto attempt(Compare&& compare) -> std::optional<decltype(compare())> {
    try {
        return compare();
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

void print(const char* model, const char* check, std::optional<bool> same) {
    std::printf("%s %s %s\n", model, check, !same ? "throws" : *same ? "same" : "differs");
}

// Without a difference the program refused to go on; then there is no largest one either.
void print_logits(const char* model, const std::optional<Difference>& from_plain) {
    const auto within = [&](const char* check, double tolerance) {
        print(model, check,
              from_plain ? std::optional(from_plain->max_abs <= tolerance) : std::nullopt);
    };
    within("1e-2", 1e-2);
    within("1e-3", 1e-3);
    within("1e-5", 1e-5);
    print(model, "bits", from_plain ? std::optional(from_plain->differ == 0) : std::nullopt);
    if (from_plain) std::printf("%s largest %.3g\n", model, from_plain->max_abs);
}

void check_model(const char* name, const WeightSource& source) {
    const auto prompt = test::random_tokens(kPrompt, 256, 3);
    const Run plain = generate_plain(PlainDecoder(source), prompt);
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(source, *engine), *engine);
    const auto new_cache = [&] { return KvCache(decoder.kv_shape(), 64); };
    const auto cached = [&] {
        KvCache cache = new_cache();
        return generate(decoder, cache, prompt);
    };
    print(name, "text", attempt([&] { return cached().tokens == plain.tokens; }));
    print_logits(name, attempt([&] {
                     KvCache cache = new_cache();
                     return compare_bits(forced_logits(decoder, cache, prompt, plain.tokens),
                                         plain.logits);
                 }));
    print(name, "itself", attempt([&] {
              WholeSequence whole(decoder.kv_shape(), 64);
              const Run a = cached(), b = generate(decoder, whole, prompt);
              return a.logits.size() == b.logits.size() &&
                     compare_bits(a.logits, b.logits).differ == 0;
          }));
}

}  // namespace

int main() {
    const auto sharp = make_synthetic(test::tiny_config(), 42);
    check_model("sharp", *sharp);
    check_model("flat", FlatWeights(*sharp));
}
