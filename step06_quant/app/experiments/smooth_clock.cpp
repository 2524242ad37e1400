#include "smooth_clock.hpp"

#include <cstdio>

#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

// One model on one engine, and its times: a prompt in one step, then tokens one by one.
class Clocked {
public:
    Clocked(std::string name,
            const WeightSource& weights,
            std::unique_ptr<Engine> engine,
            const SmoothClockFlags& flags)
        : name_(std::move(name)),
          engine_(std::move(engine)),
          decoder_(load_model(weights, *engine_), *engine_),
          cache_(decoder_.kv_shape(), flags.prompt + flags.steps),
          steps_(flags.steps) {
        // Which tokens is all the same to the clock.
        for (Index i = 0; i < flags.prompt; ++i)
            text_.push_back(static_cast<Token>((7919 * i + 1) % decoder_.config().vocab));
    }

    void round(bool counts) {
        cache_.reset();
        const double start = now();
        decoder_.forward(cache_, text_);
        const double middle = now();
        for (Index i = 0; i < steps_; ++i) decoder_.forward(cache_, {text_.data(), 1});
        const double prompt = static_cast<double>(text_.size()) / (middle - start);
        const double tokens = static_cast<double>(steps_) / (now() - middle);
        if (!counts) return;
        prompt_rates_.push_back(prompt);
        token_rates_.push_back(tokens);
    }

    double prompt_rate() const { return quartiles(prompt_rates_).median; }

    void print(const Clocked& first) const {
        const Quartiles prompt = quartiles(prompt_rates_), tokens = quartiles(token_rates_);
        std::printf("  %-14s %8.1f %8.1f %8.1f %6.2f   %8.1f %6.2f   %7.1f MB\n", name_.c_str(),
                    prompt.median, prompt.low, prompt.high, prompt.median / first.prompt_rate(),
                    tokens.median, tokens.median / quartiles(first.token_rates_).median,
                    static_cast<double>(decoder_.model().weight_bytes()) / 1e6);
    }

    Json json() const {
        return Json{{"products", name_},
                    {"engine", engine_->name()},
                    {"weight_bytes", decoder_.model().weight_bytes()},
                    {"prompt_tokens_per_second", prompt_rates_},
                    {"tokens_per_second", token_rates_}};
    }

private:
    // One thread's own time is what it used, whatever else the machine did; of several threads
    // only the wall clock knows.
    double now() const {
        return engine_->pool().threads() == 1 ? thread_cpu_seconds() : wall_.seconds();
    }

    Stopwatch wall_;
    std::string name_;
    std::unique_ptr<Engine> engine_;
    Decoder decoder_;
    KvCache cache_;
    Index steps_;
    std::vector<Token> text_;
    std::vector<double> prompt_rates_, token_rates_;  // one per round
};

}  // namespace

void add_smooth_clock_flags(CLI::App& app, SmoothClockFlags& flags) {
    cli::add_count(app, "--prompt", flags.prompt, {1, 1 << 20},
                   "--clock: tokens that go in whole");
    cli::add_count(app, "--steps", flags.steps, {1, 1 << 20},
                   "--clock: tokens behind them, one by one");
    cli::add_count(app, "--rounds", flags.rounds, {1, 1 << 10},
                   "--clock: each measures everything once");
}

int run_smooth_clock(const OpenOptions& options,
                     const SmoothClockFlags& flags,
                     const std::shared_ptr<OutputFile>& json) {
    const OpenedModel opened(options);
    const CpuOptions cpu{opened.engine->pool().threads(), opened.level};
    cli::check_fits("--prompt and --steps", flags.prompt + flags.steps, opened.model->config);
    EditedWeights floats(opened.file);
    for (const TensorInfo& info : opened.file.tensors())
        floats.replace(info.name, to_f32(info));
    std::vector<std::unique_ptr<Clocked>> all;
    const auto add = [&](const char* name, const WeightSource& weights,
                         std::unique_ptr<Engine> engine) {
        all.push_back(std::make_unique<Clocked>(name, weights, std::move(engine), flags));
    };
    add("F32", floats, make_cpu_engine(cpu));
    add("as in the file", opened.file, make_cpu_engine(cpu));
    add("W8A8", opened.file, make_int8_engine(cpu));
    add("W8A8 and head", opened.file, make_int8_engine(cpu, {true, 0}));
    // In alternation: what else the machine does meets all of them.
    for (Index i = 0; i <= flags.rounds; ++i)
        for (const auto& one : all) one->round(i > 0);
    std::printf("%s, %s: a prompt of %td, then %td tokens; %td rounds, %s\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(), flags.prompt,
                flags.steps, flags.rounds, cpu.threads == 1 ? "processor time" : "wall clock");
    std::printf("  %-14s %8s %8s %8s %6s   %8s %6s   %s\n", "tokens/s", "prompt", "quarter",
                "3 quart.", "times", "decoding", "times", "weights");
    for (const auto& one : all) one->print(*all.front());
    if (json) {
        Json report = new_report("step06_quant smooth --clock", 0);
        report["model"] = opened.model->config.name;
        report["prompt"] = flags.prompt;
        report["steps"] = flags.steps;
        for (const auto& one : all) report["rows"].push_back(one->json());
        write_json(json, report);
    }
    std::cout << "RESULT prefill_times_f32="
              << format_number(all[2]->prompt_rate() / all[0]->prompt_rate()) << std::endl;
    return cli::kHolds;
}

}  // namespace kvlab::app
