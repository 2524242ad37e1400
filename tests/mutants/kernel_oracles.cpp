// mutant_kernel_oracles - what one way of launching sees of a wrong kernel.
// tests/tools/mutants.py builds it with each mutant of step 4 applied and asks for
//   raw        optimised kernels, threads and blocks in order of their numbers
//   shuffled   the same, threads and blocks in another order
//   checked    kernels whose every access is judged, in order of their numbers
// The job is the same each time: every rung of every ladder on a few small shapes, and a small
// decoder whose cache is forked, and whole tokens. Everything is compared with the CPU, every
// bit. One line:
//   same | differs | throws | reports KIND at FILE:LINE
// A report goes before a difference. In the right program all three must say "same".
#include <cstdio>
#include <cstring>
#include <exception>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/cuda_engine.hpp>
#include <kvlab/cuda/device_sampler.hpp>
#include <kvlab/cuda/token_pass.hpp>
#include <kvlab/kvcache/kv_cache.hpp>

#include "kernel_problems.hpp"
#include "models.hpp"

using namespace kvlab;

namespace {

// More inputs than the split kernel takes at a time, sizes around 64, a quantised format; each
// with a bias. And sums that are -0.
bool linear_holds() {
    const test::LinearProblem problems[] = {{TensorType::f32, 1, 576, 64, 1},
                                            {TensorType::f32, 3, 200, 65, 2},
                                            {TensorType::q4_1, 18, 96, 66, 3}};
    const test::LinearProblem zeros = test::negative_zeros(130);
    bool same = true;
    for (const LinearRung& rung : linear_rungs()) {
        for (const test::LinearProblem& problem : problems)
            same = problem.holds(rung, 0, test::normals(problem.expected.dim(1), 4)) && same;
        same = zeros.holds(rung, 0) && same;
    }
    return same;
}

bool norms_hold() {
    constexpr Index R = 3, C = 130;
    const std::vector<float> x = test::normals(R * C, 3, 4.0f), weight = test::normals(C, 4);
    Tensor expected({R, C});
    for (Index r = 0; r < R; ++r)
        rms_norm(&at(x, r * C), weight.data(), 1e-5f, C, &expected(r, 0));
    const DeviceArray<float> w(std::span<const float>(weight), "weight");
    bool same = true;
    for (const NormRung& rung : norm_rungs()) {
        const test::DeviceRows in(R, C, x), out(R, C);
        rung.run({in.view(), w.get(), 1e-5f, out.view()});
        same = out.untouched() && test::is_equal(out.values(), expected.flat()) && same;
    }
    return same;
}

// One token and several, whole tiles and begun ones, up to five of them, a head wider than 64.
bool attention_holds() {
    const test::AttentionProblem problems[] = {test::AttentionProblem({1, 4, 2, 16, 63}),
                                               test::AttentionProblem({3, 3, 1, 22, 61}),
                                               test::AttentionProblem({2, 4, 2, 72, 180}),
                                               test::AttentionProblem({1, 4, 2, 16, 300}, 4)};
    bool same = true;
    for (const test::AttentionProblem& problem : problems)
        for (const AttentionRung& rung : attention_rungs())
            same = problem.holds(rung, 0) && same;
    return same;
}

// An argmax of four equal values, and a token drawn.
bool tokens_hold() {
    std::vector<float> logits = test::normals(500, 5, 3.0f);
    const DeviceArray<float> even(std::span<const float>(logits), "logits");
    const SamplingOptions warm{1.0f, 0, 1.0f, 77};
    bool same = DeviceSampler(warm).sample(even.get(), 500) == Sampler(warm).sample(logits);
    for (const std::size_t at : {77u, 200u, 333u, 499u}) logits[at] = 50.0f;
    const DeviceArray<float> tied(std::span<const float>(logits), "logits");
    for (const ArgmaxRung& rung : argmax_rungs())
        same = rung.run({tied.get(), 500}) == argmax(logits) && same;
    return same;
}

// Logits of a prompt of 5 tokens, and of another token in its cache and in a fork of it.
template <class Cache>
std::vector<float> forked_logits(const WeightSource& source, Engine& engine) {
    Decoder decoder(load_model(source, engine), engine);
    Cache cache(decoder.kv_shape(), 16);
    const auto prompt = test::random_tokens(5, decoder.config().vocab, 1);
    std::vector<float> logits;
    const auto feed = [&](KvStore& store, std::span<const Token> tokens) {
        const auto rows = decoder.forward(store, tokens, LogitsOf::all).flat();
        logits.insert(logits.end(), rows.begin(), rows.end());
    };
    feed(cache, prompt);
    const std::unique_ptr<KvStore> fork = cache.fork();
    feed(cache, std::span(prompt).last(1));
    feed(*fork, std::span(prompt).first(1));
    return logits;
}

bool decoder_holds() {
    bool same = true;
    for (const Config& config : {test::tiny_config(), test::small_gpt2()}) {
        const auto source = make_synthetic(config, 42);
        same = test::is_equal(forked_logits<CudaCache>(*source, *make_cuda_engine()),
                              forked_logits<KvCache>(*source, *make_cpu_engine())) &&
               same;
    }
    return same;
}

// Two tokens after a tile of others and one more, by every way to launch them.
bool passes_hold() {
    const auto source = make_synthetic(test::tiny_config(), 42);
    const auto prompt = test::random_tokens(66, 256, 1),
               begin = test::random_tokens(65, 256, 1);
    std::vector<Token> expected;
    {
        const auto engine = make_cpu_engine();
        Decoder decoder(load_model(*source, *engine), *engine);
        KvCache cache(decoder.kv_shape(), 70);
        Generator generator(decoder);
        generator.add(cache, prompt, 2);
        generator.run();
        expected.assign(generator.generated(0).begin(), generator.generated(0).end());
    }
    const auto engine = make_cuda_engine();
    const auto model = load_model(*source, *engine);
    Decoder decoder(model, *engine);
    CudaCache cache(decoder.kv_shape(), 70);
    decoder.forward(cache, begin);
    bool same = true;
    for (const TokenRung& rung : token_rungs()) {
        if (rung.launch == nullptr) continue;
        same = cache.token_pass(*model, rung).greedy(prompt.back(), 2) == expected && same;
        cache.truncate(65);
    }
    return same;
}

// All jobs, also behind one that fails: a report further on is worth more than a difference.
void say_what_is_seen() {
    bool same = true, threw = false;
    for (bool (*const holds)() :
         {linear_holds, norms_hold, attention_holds, tokens_hold, decoder_holds, passes_hold}) {
        try {
            same = holds() && same;
        } catch (const simt::Fault& fault) {
            std::printf("reports %s at %s:%d\n", simt::fault_name(fault.kind).c_str(),
                        fault.place.file.c_str(), fault.place.line);
            return;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            threw = true;
        }
    }
    std::puts(threw ? "throws" : same ? "same" : "differs");
}

}  // namespace

int main(int argc, char** argv) {
    const char* const way = argc == 2 ? argv[1] : "";
    simt::Options options;
    if (std::strcmp(way, "shuffled") == 0) {
        options.order = simt::Order::shuffled;
    } else if (std::strcmp(way, "checked") == 0) {
        options.mode = simt::Mode::checked;
    } else if (std::strcmp(way, "raw") != 0) {
        std::fputs("mutant_kernel_oracles: expected raw, shuffled or checked\n", stderr);
        return 2;
    }
    const simt::Use use(options);
    say_what_is_seen();
}
