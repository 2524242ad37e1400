// mutant_oracles - how much weaker checks see of a wrong cache. tests/tools/mutants.py builds
// it with each mutant applied; in the right program every check must say "same".
//
// The job: a prompt of 8 tokens, 30 more chosen greedily, one at a time, with a cache. It runs
// on two models of the tiny shape: `sharp`, our synthetic weights, and `flat`, what a fresh
// GPT-2 has (every matrix and embedding with standard deviation 0.02, norms 1). Checks:
//   text       the 30 tokens, compared with those of the plain loops
//   tolerance  the logits, compared with the plain loops to 1e-2, absolute
//   equality   cached = uncached in the SAME program, every bit of every logit
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
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
        const auto row = logits.flat().last(static_cast<std::size_t>(plain.config().vocab));
        run.logits.insert(run.logits.end(), row.begin(), row.end());
        text.push_back(static_cast<Token>(argmax(row)));
        run.tokens.push_back(text.back());
    }
    return run;
}

const char* verdict(const std::function<bool()>& same) {
    try {
        return same() ? "same" : "differs";
    } catch (const std::exception&) {
        return "throws";
    }
}

void check_model(const char* name, const WeightSource& source) {
    const auto prompt = test::random_tokens(kPrompt, 256, 3);
    const Run plain = generate_plain(PlainDecoder(source), prompt);
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(source, *engine), *engine);
    const auto cached = [&] {
        KvCache cache(decoder.kv_shape(), 64);
        return generate(decoder, cache, prompt);
    };
    std::printf("%s text %s\n", name, verdict([&] { return cached().tokens == plain.tokens; }));
    std::printf("%s tolerance %s\n", name, verdict([&] {
                    const Run run = cached();
                    if (run.logits.size() != plain.logits.size()) return false;
                    double worst = 0;
                    for (std::size_t i = 0; i < run.logits.size(); ++i)
                        worst =
                            std::fmax(worst, std::fabs(static_cast<double>(run.logits[i]) -
                                                       static_cast<double>(plain.logits[i])));
                    return worst <= 1e-2;
                }));
    std::printf("%s equality %s\n", name, verdict([&] {
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
