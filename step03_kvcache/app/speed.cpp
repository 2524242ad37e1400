// speed.cpp - chapter 3: how many tokens a second, prompt and generation, on this machine.
//
// What is timed is the forward pass and the choice of the most likely token, nothing else: no
// text, no checksum. Other engines can be asked for exactly that, on the same file and tokens.
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>

#include <kvlab/tensor/report.hpp>

#include "app.hpp"
#include "speed_passes.hpp"

namespace kvlab::app {

namespace {

// What a token reads of the weights: all of them, save a table of which it takes one row.
Index bytes_per_token(const Model& model) {
    return model.weight_bytes() - (model.head ? model.embedding->bytes() : 0) -
           (model.positions ? model.positions->bytes() : 0);
}

// The same as the file holds it, before any engine lays it out: a measure for all engines.
Index file_bytes_per_token(const GgufFile& file) {
    const bool tied = file.find("output.weight") == nullptr;
    Index bytes = 0;
    for (const TensorInfo& info : file.tensors())
        if (info.name != "position_embd.weight" && (tied || info.name != "token_embd.weight"))
            bytes += std::ssize(info.bytes);
    return bytes;
}

// One kind of pass: its rates, in a table's line and in the report.
struct Measured {
    std::string what;
    Index tokens = 0, cache_bytes = 0;  // of one pass
    std::vector<double> rates;          // tokens per second, one a round
    std::vector<Token> chosen;          // by the last pass; by its first sequence

    Quartiles rate() const { return quartiles(rates); }

    Json json() const {
        Json json;
        json["tokens_per_pass"] = tokens;
        json["cache_bytes"] = cache_bytes;
        json["tokens_per_second"] = to_json(rate());
        json["rounds"] = rates;
        json["chosen"] = chosen;
        return json;
    }
};

void print(std::FILE* out, const Measured& m) {
    const Quartiles q = m.rate();
    std::fprintf(out, "  %-40s %10s %10s %10s\n", m.what.c_str(),
                 format_number(q.median).c_str(), format_number(q.low).c_str(),
                 format_number(q.high).c_str());
}

// Everything the command holds while the rounds go on.
class Speed {
public:
    Speed(const SpeedFlags& flags, std::FILE* out) : flags_(flags), out_(out) {
        const Stopwatch watch;
        opened_ = std::make_unique<OpenedModel>(flags.opened);
        load_seconds_ = watch.seconds();
        check_lengths();
        KvCache cache(opened_->decoder.kv_shape(), 1, opened_->level);
        const Token token = 0;
        opened_->decoder.forward(cache, {&token, 1});
        first_token_seconds_ = watch.seconds();
        if (flags.prefill > 0) prefill_.emplace(*opened_, flags);
        if (flags.tokens > 0)
            decode_.emplace(*opened_, flags.context, flags.tokens,
                            plain_caches(*opened_, flags));
    }

    void run() {
        const Model& model = *opened_->model;
        std::fprintf(out_, "%s, %s\n", model.config.name.c_str(),
                     opened_->engine->name().c_str());
        for (Index i = 0; i < flags_.warm_up; ++i) round(nullptr, nullptr);
        Measured prompt = describe_prefill(), text = describe_decode();
        if (flags_.wait) say("READY");
        std::string line;
        for (Index i = 0; i < flags_.rounds; ++i) {
            if (flags_.wait && !std::getline(std::cin, line)) break;
            round(&prompt, &text);
            if (flags_.wait) say("ROUND");
        }
        check(!prompt.rates.empty() || !text.rates.empty(), "speed: no round was asked for");
        finish(prompt, text);
    }

private:
    void check_lengths() const {
        const Config& config = opened_->model->config;
        cli::check_fits("--prefill", flags_.prefill, config);
        cli::check_fits("--context and --tokens", flags_.context + flags_.tokens, config);
    }

    void say(const char* what) {
        std::fprintf(out_, "%s\n", what);
        std::fflush(out_);
    }

    // A round measures each kind once; a warm-up forgets what it measured.
    void round(Measured* prompt, Measured* text) {
        if (prefill_) {
            const double rate = round_rate(*prefill_, flags_.seconds);
            if (prompt != nullptr) prompt->rates.push_back(rate);
        }
        if (decode_) {
            const double rate = round_rate(*decode_, flags_.seconds);
            if (text != nullptr) text->rates.push_back(rate);
        }
    }

    Measured describe_prefill() const {
        Measured m;
        if (!prefill_) return m;
        m.what = concat("prompt of ", flags_.prefill, flags_.all_logits ? ", all logits" : "");
        m.tokens = prefill_->tokens();
        m.cache_bytes = prefill_->cache_bytes();
        return m;
    }

    Measured describe_decode() const {
        Measured m;
        if (!decode_) return m;
        m.what = concat(flags_.tokens, " tokens after ", flags_.context);
        if (flags_.batch > 1) m.what += concat(", ", flags_.batch, " sequences");
        m.tokens = decode_->tokens();
        m.cache_bytes = decode_->cache_bytes();
        return m;
    }

    void finish(Measured& prompt, Measured& text);

    const SpeedFlags& flags_;
    std::FILE* out_;
    std::unique_ptr<OpenedModel> opened_;
    std::optional<PrefillPass> prefill_;
    std::optional<DecodePass> decode_;
    double load_seconds_ = 0, first_token_seconds_ = 0;
};

void Speed::finish(Measured& prompt, Measured& text) {
    const Model& model = *opened_->model;
    const Index peak = resident_peak_bytes();
    Json report = new_report("step03_kvcache speed", 0);
    report["model"] = model.config.name;
    report["engine"] = opened_->engine->name();
    report["threads"] = opened_->engine->pool().threads();
    report["load_seconds"] = load_seconds_;
    report["first_token_seconds"] = first_token_seconds_;
    report["weight_bytes"] = model.weight_bytes();
    report["bytes_per_token"] = bytes_per_token(model);
    report["file_bytes"] = opened_->file.file_bytes();
    report["file_bytes_per_token"] = file_bytes_per_token(opened_->file);
    report["peak_memory_bytes"] = peak;
    std::fprintf(out_, "  %-40s %10s %10s %10s\n", "tokens per second", "median", "quarter",
                 "3 quarters");
    std::string result;
    if (!prompt.rates.empty()) {
        prompt.chosen = prefill_->chosen();
        print(out_, prompt);
        report["prefill"] = prompt.json();
        result += concat(" prefill_tokens_per_second=", format_number(prompt.rate().median, 4));
    }
    if (!text.rates.empty()) {
        text.chosen = decode_->chosen();
        print(out_, text);
        report["decode"] = text.json();
        result += concat(" decode_tokens_per_second=", format_number(text.rate().median, 4));
    }
    const auto megabytes = [](Index bytes) { return static_cast<double>(bytes) / 1e6; };
    std::fprintf(out_,
                 "  loaded in %.3f s, first token after %.3f s\n"
                 "  weights %.1f MB (file %.1f MB), caches %.1f MB, peak memory %.1f MB\n",
                 load_seconds_, first_token_seconds_, megabytes(model.weight_bytes()),
                 megabytes(opened_->file.file_bytes()),
                 megabytes(prompt.cache_bytes + text.cache_bytes), megabytes(peak));
    write_json(flags_.json, report);
    if (flags_.json_on_standard_output) std::cout << report.dump(2) << '\n';
    std::fprintf(out_, "RESULT%s load_seconds=%s peak_memory_bytes=%td\n", result.c_str(),
                 format_number(load_seconds_).c_str(), peak);
    std::fflush(out_);
}

int run_speed(const SpeedFlags& flags) {
    // With the report on standard output, what people read goes to the other stream.
    Speed(flags, flags.json_on_standard_output ? stderr : stdout).run();
    return cli::kHolds;
}

void add_speed_flags(CLI::App& app, SpeedFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_count(app, "--prefill", flags.prefill, 0,
                   "tokens of the prompt, fed in one step; 0: none");
    app.add_flag("--all-logits", flags.all_logits,
                 "of the prompt, instead of its last token's alone");
    cli::add_count(app, "--context", flags.context, 0,
                   "tokens that each sequence has before it generates");
    cli::add_count(app, "--tokens", flags.tokens, 0,
                   "tokens that each sequence generates; 0: none");
    cli::add_count(app, "--batch", flags.batch, {1, 256}, "sequences that generate at once");
    cli::add_count(app, "--rounds", flags.rounds, 1,
                   "measurements, of which the median is shown");
    cli::add_count(app, "--warm-up", flags.warm_up, 0, "rounds before them that do not count");
    app.add_option("--seconds", flags.seconds,
                   "a round repeats what it measures for at least so long")
        ->check(cli::number_between(0, 3600))
        ->capture_default_str();
    app.add_flag("--wait", flags.wait,
                 "say READY, then a round for each line of standard input, then say ROUND: to "
                 "take turns with another program");
    app.add_option_function<std::string>(
        "--json",
        [&flags](const std::string& path) {
            flags.json_on_standard_output = path == "-";
            if (path != "-") flags.json = std::make_shared<OutputFile>(path);
        },
        "also write the figures to this file; -: to standard output, and the table to "
        "standard error");
    app.callback([&flags] {
        if (flags.prefill == 0 && flags.tokens == 0)
            throw CLI::ValidationError("--prefill 0 and --tokens 0", "nothing to measure");
    });
}

const cli::Subcommand kSpeed{
    {.place = 20,
     .name = "speed",
     .text = "tokens per second of a prompt and of generation: forward pass and argmax"},
    add_speed_flags,
    run_speed};

}  // namespace

}  // namespace kvlab::app
