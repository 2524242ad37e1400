// tokens.cpp - chapter 4: whole tokens and whole prompts: tokens a second, launches a token,
// and the share of the read kernel that the weights and the cache are read with. Before a model
// is timed, a text of it is compared with the CPU's, every bit of every logit.
#include <algorithm>
#include <cstdio>
#include <map>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/token_pass.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/subject.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "models.hpp"

namespace kvlab::app {

namespace {

using Caches = std::vector<std::unique_ptr<KvStore>>;

constexpr Index kChunk = 512;     // tokens of a prompt at a time
constexpr Index kMostSteps = 32;  // of one measurement
constexpr Index kAtOnce = 4;      // tokens that a pass computes before the host sees them
constexpr Index kRoom = (kMostSteps + 2) * kAtOnce;  // for what a measurement appends

// Computes tokens of some sequences, and waits until they are known.
struct Tokens {
    Index at_once;  // of each sequence, by one call
    std::function<void()> call;
};

// The decoder does one operator after another, and the host chooses each token.
Tokens separate(Decoder& decoder, const Caches& caches) {
    struct State {
        std::vector<Token> tokens;
        std::vector<SequenceStep> steps;
    };

    const auto state = std::make_shared<State>();
    state->tokens.assign(caches.size(), 5);
    for (std::size_t i = 0; i < caches.size(); ++i)
        state->steps.push_back({caches[i].get(), {&state->tokens[i], 1}, LogitsOf::last});
    return {1, [&decoder, state] {
                const View<const float> logits = decoder.forward(state->steps);
                for (Index i = 0; i < logits.dim(0); ++i)
                    at(state->tokens, i) = static_cast<Token>(argmax(logits[i].flat()));
            }};
}

// A pass of one sequence.
Tokens in_one_pass(const Model& model, CudaCache& cache, const TokenRung& rung) {
    const auto token = std::make_shared<Token>(5);
    return {kAtOnce, [&model, &cache, &rung, token] {
                *token = cache.token_pass(model, rung).greedy(*token, kAtOnce).back();
            }};
}

// A model on the device.
struct Loaded {
    std::string name;
    std::unique_ptr<Engine> engine;
    Decoder decoder;

    Loaded(const std::string& called, const WeightSource& source)
        : name(called),
          engine(make_cuda_engine({.token = &find_rung(token_rungs(), "separate")})),
          decoder(load_model(source, *engine), *engine) {}

    const Config& config() const { return decoder.config(); }
};

Json row_of(const char* op, const Loaded& model) {
    Json row;
    row["op"] = op;
    row["model"] = model.name;
    return row;
}

void add_per_second(Json& row, const std::vector<double>& wall, Index tokens) {
    const Quartiles seconds = quartiles(wall);
    row["wall_us"] = microseconds(seconds);
    row["tokens_per_s"] = static_cast<double>(tokens) / seconds.median;
}

void print_row(const Json& row) {
    const auto text = [&](const char* name) {
        const bool known = row.contains(name) && !row[name].is_null();
        return known ? format_number(row[name].get<double>(), 4) : std::string("-");
    };
    std::printf("  %-8s %-11s %7td %6td %12.1f %12s %9s %9td\n",
                row["op"].get<std::string>().c_str(), row.value("way", "-").c_str(),
                row["context"].get<Index>(), row["batch"].get<Index>(),
                row["us"]["median"].get<double>(), text("tokens_per_s").c_str(),
                text("share_of_read").c_str(), row["launches"].get<Index>());
    std::fflush(stdout);
}

// The text of a few tokens, by any engine and cache.
std::string text_checksum(Decoder& decoder, KvStore& cache, Index prompt, Index steps) {
    Generator generator(decoder);
    generator.add(cache, random_text(decoder.config().vocab, prompt), steps);
    generator.run();
    return generator.checksum().hex();
}

void compare_bits(Bench& bench, Loaded& model, const WeightSource& source) {
    const Index prompt = 5, steps = bench.small() ? 3 : 8;
    CudaCache on_device(model.decoder.kv_shape(), prompt + steps);
    const auto engine = make_cpu_engine({bench.small() ? 1 : machine_threads()});
    Decoder decoder(load_model(source, *engine), *engine);
    KvCache on_cpu(decoder.kv_shape(), prompt + steps);
    Json row = row_of("text", model);
    row["shape"] = concat("prompt ", prompt, " tokens ", steps);
    row["checksum"] = text_checksum(model.decoder, on_device, prompt, steps);
    row["cpu"] = text_checksum(decoder, on_cpu, prompt, steps);
    row["same_bits"] = row["checksum"] == row["cpu"];
    std::printf("  the CPU's bits for %td tokens after %td: %s\n", steps, prompt,
                row["same_bits"].get<bool>() ? "yes" : "NO");
    bench.add_tokens(row);
}

// A whole prompt at once.
void prefill(Bench& bench, Loaded& model) {
    const Index T = bench.small() ? 16 : std::min(kChunk, model.config().context / 2);
    const std::vector<Token> prompt = random_text(model.config().vocab, T);
    CudaCache cache(model.decoder.kv_shape(), T);
    model.decoder.forward(cache, prompt);
    std::vector<double> wall, device;
    const Index before = launch_count();
    for (Index round = 0; round < bench.rounds(0.04); ++round) {
        cache.truncate(0);
        Stopwatch clock;
        DeviceStopwatch events;
        model.decoder.forward(cache, prompt);
        device.push_back(events.seconds());
        wall.push_back(clock.seconds());
    }
    Json row = row_of("prefill", model);
    row["context"] = T;
    row["batch"] = 1;
    row["us"] = microseconds(quartiles(device));
    add_per_second(row, wall, T);
    row["launches"] = (launch_count() - before) / std::ssize(wall);
    // Two for each weight that a token meets, attention aside.
    row["gflop_per_s"] =
        bench.measured(2.0 * static_cast<double>(model.config().parameters() * T) /
                       quartiles(device).median / 1e9);
    print_row(row);
    bench.add_tokens(row);
}

// Tokens of `batch` sequences that have seen what `seen` has, by one way to launch them.
void decode(
    Bench& bench, Loaded& model, const TokenRung& way, const KvStore& seen, Index batch) {
    if (way.launch != nullptr &&
        (batch > 1 || !TokenPass::why_not(model.decoder.model()).empty()))
        return;
    Caches caches;
    for (Index i = 0; i < batch; ++i) caches.push_back(seen.fork());
    const Tokens next = way.launch == nullptr
                            ? separate(model.decoder, caches)
                            : in_one_pass(model.decoder.model(),
                                          dynamic_cast<CudaCache&>(*caches.front()), way);
    next.call();
    const Index before = launch_count();
    Stopwatch once;
    next.call();
    const Index launches = launch_count() - before;
    const Index steps =
        bench.small()
            ? 2
            : std::clamp<Index>(static_cast<Index>(0.5 / once.seconds()), 3, kMostSteps);
    std::vector<double> wall, device;
    for (Index i = 0; i < steps; ++i) {
        Stopwatch clock;
        DeviceStopwatch events;
        next.call();
        device.push_back(events.seconds() / static_cast<double>(next.at_once));
        wall.push_back(clock.seconds() / static_cast<double>(next.at_once));
    }
    Json row = row_of("decode", model);
    row["way"] = way.name;
    row["context"] = seen.next_position();
    row["batch"] = batch;
    row["us"] = microseconds(quartiles(device));
    add_per_second(row, wall, batch);
    row["tokens_at_once"] = next.at_once;
    row["launches"] = launches;
    Index bytes = step_weight_bytes(model.decoder.model());
    for (const auto& cache : caches) bytes += cache->bytes().logical;
    bench.add_rates(row, static_cast<double>(bytes), quartiles(wall).median);
    print_row(row);
    bench.add_tokens(row);
}

bool fits(const Loaded& model, const KvStore& cache, Index batch) {
    const Index memory = device_facts().memory_bytes;
    const Index needed =
        model.decoder.model().weight_bytes() + (batch + 1) * cache.bytes().allocated;
    return memory == 0 || needed < memory / 10 * 8;
}

// A cache that has seen a text; null if there was no time for that.
std::unique_ptr<CudaCache> cache_after(Bench& bench, Loaded& model, Index context, double end) {
    auto cache = std::make_unique<CudaCache>(model.decoder.kv_shape(), context + kRoom);
    const std::vector<Token> text = random_text(model.config().vocab, context);
    for (Index at = 0; at < context; at += kChunk) {
        if (bench.time_is_up(end)) return nullptr;
        model.decoder.forward(
            *cache, std::span(text).subspan(usize(at), usize(std::min(kChunk, context - at))));
    }
    return cache;
}

// Until the share `end` of the bench's time is gone. One sequence at all contexts comes first.
void decode_all(Bench& bench, Loaded& model, double end) {
    using Sizes = std::vector<Index>;
    const Sizes contexts = bench.small() ? Sizes{0, 65} : Sizes{0, 512, 2048, 8192};
    std::map<Index, std::unique_ptr<CudaCache>> seen;
    for (const Index batch : bench.small() ? Sizes{1, 4} : Sizes{1, 4, 16, 64})
        for (const Index context : contexts) {
            if (context + kRoom > model.config().context) continue;
            const std::string what =
                concat(model.name, ", decode after ", context, ", batch ", batch);
            std::unique_ptr<CudaCache>& cache = seen[context];
            if (!cache) cache = cache_after(bench, model, context, end);
            if (!cache || bench.time_is_up(end))
                bench.leave_out(what, "no time left");
            else if (!fits(model, *cache, batch))
                bench.leave_out(what, "no memory for it");
            else
                for (const TokenRung& way : token_rungs())
                    decode(bench, model, way, *cache, batch);
        }
}

}  // namespace

// Each model has its part of the time that is left.
void bench_tokens(Bench& bench) {
    const std::vector<ModelChoice> choices = chosen_models(bench);
    for (std::size_t i = 0; i < choices.size(); ++i) {
        const std::string& name = choices[i].name;
        const double gone = bench.time_gone();
        if (gone > 1) {
            bench.leave_out(name, "no time left");
            continue;
        }
        const std::unique_ptr<WeightSource> source = choices[i].open();
        Loaded model(name, *source);
        std::printf("\n%s: a step reads %td bytes of weights\n", name.c_str(),
                    step_weight_bytes(model.decoder.model()));
        std::printf("  %-8s %-11s %7s %6s %12s %12s %9s %9s\n", "", "way", "context", "batch",
                    "us", "tokens/s", "of read", "launches");
        compare_bits(bench, model, *source);
        prefill(bench, model);
        decode_all(bench, model, gone + (1 - gone) / static_cast<double>(choices.size() - i));
    }
}

}  // namespace kvlab::app
