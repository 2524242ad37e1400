// weights.cpp - chapter 6, experiment O6: weights in every format: bytes, time, quality.
#include <cstdio>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/quant/smooth.hpp>

#include "trial.hpp"
#include "weight_formats.hpp"

namespace kvlab::app {

namespace {

// Above this, methods that calibrate have to be asked for.
constexpr Index kLargeModel = Index{16} << 20;

struct WeightsFlags {
    TrialFlags trial;
    std::vector<std::string> formats;  // empty: the default ones
    Index channel = 7, steps = 64, rounds = 5;
    float factor = 1;
};

// The median time of a token, each computed from one new token and a growing cache.
double token_ms(const Model& model, Decoder& decoder, Index steps, Index rounds) {
    KvCache cache(decoder.kv_shape(), steps);
    std::vector<double> times;
    for (Index round = 0; round <= rounds; ++round) {
        cache.reset();
        Stopwatch watch;
        for (Index i = 0; i < steps; ++i) {
            const auto token = static_cast<Token>((7919 * i + 1) % model.config.vocab);
            decoder.forward(cache, {&token, 1});
        }
        if (round > 0)  // the first one warms up
            times.push_back(1000 * watch.seconds() / static_cast<double>(steps));
    }
    return quartiles(times).median;
}

// One format: its row, and the matrices that it does not take.
void run_format(const WeightsFlags& flags,
                const std::string& name,
                const WeightSource& base,
                Trial& trial,
                Json& kept) {
    const WeightFormat format = weight_format(name);
    const QuantizedWeights quantized = in_format(base, format, *trial.calibration);
    Engine& engine = *trial.opened.engine;
    const std::shared_ptr<const Model> model = load_model(*quantized.weights, engine);
    Json label{{"format", name},
               {"of", format.which == Rounded::all ? "all" : "layers"},
               {"bits", quantized.bits_per_weight()},
               {"bytes", quantized.bytes},
               {"in F32", quantized.kept.size()},
               {"ms/token", nullptr}};
    if (format.method.empty() && format.codec->type()) {
        Decoder decoder(model, engine);
        label["ms/token"] = token_ms(*model, decoder, flags.steps, flags.rounds);
    }
    if (trial.rows().empty()) trial.print_head(label);
    const Variant variant{name, model, &engine, {}, 0};
    trial.run(std::span(&variant, 1), std::span(&label, 1));
    if (!quantized.kept.empty()) kept[name] = quantized.kept;
}

// The same list of matrices is printed once, with all formats that leave it.
void print_kept(const Json& kept, const WeightSource& source) {
    std::map<std::string, std::string> by_list;
    for (const auto& [format, names] : kept.items()) {
        std::string& formats = by_list[names.dump()];
        formats += (formats.empty() ? "" : ", ") + format;
    }
    for (const auto& [list, formats] : by_list) {
        const auto names = Json::parse(list).get<std::vector<std::string>>();
        std::printf("  in F32, not in %s: %zu matrices whose rows are no whole blocks:",
                    formats.c_str(), names.size());
        for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 4); ++i)
            std::printf(" %s %s", names[i].c_str(),
                        source.tensor(names[i]).shape.to_string().c_str());
        std::printf(names.size() > 4 ? " ...\n" : "\n");
    }
}

int run_weights(const WeightsFlags& flags) {
    for (const std::string& name : flags.formats) weight_format(name);  // before any work
    Trial trial(flags.trial);
    const OpenedModel& opened = trial.opened;
    cli::check_fits("--steps", flags.steps, opened.model->config);
    EditedWeights base(opened.file);
    if (flags.factor != 1) inject_outlier(base, flags.channel, flags.factor);
    const std::vector<std::string> formats =
        flags.formats.empty() ? default_weight_formats(opened.file.file_bytes() <= kLargeModel)
                              : flags.formats;
    std::printf("%s, %s: %td windows of %td tokens, calibrated on %td others\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(),
                trial.text.count(), trial.text.window(), trial.calibration->count());
    Json kept = Json::object();
    for (const std::string& name : formats) run_format(flags, name, base, trial, kept);
    print_kept(kept, opened.file);
    trial.print_notes();
    std::printf(
        "  The model itself: %.4f bits per byte. of: all matrices are in the format, or those "
        "of\n"
        "  the layers, while the token table and the head stay as they are in the file; rows\n"
        "  that differ here are no comparison. bits: per number of any matrix, scales and "
        "what\n"
        "  stays as it is included. bytes: of all matrices. ms/token: one token at a time, "
        "where\n"
        "  a kernel multiplies with the codes. KL in bits, from the model itself.\n",
        trial.plain_bits_per_byte());
    if (flags.trial.json) {
        Json report = trial.report("step06_quant weights");
        report["kept_f32"] = kept;
        report["factor"] = static_cast<double>(flags.factor);
        write_json(flags.trial.json, report);
    }
    std::cout << "RESULT rows=" << trial.rows().size() << std::endl;
    return cli::kHolds;
}

void add_weights_flags(CLI::App& app, WeightsFlags& flags) {
    flags.trial.baseline = "rtn4-g32";
    add_trial_flags(app, flags.trial);
    app.add_option(
           "--formats", flags.formats,
           "a list such as q4_0,nf4,rtn4-g32,gptq4-g32,awq4-g32-head; default: all, but "
           "those that calibrate only for models below 16 MiB")
        ->delimiter(',')
        ->check(CLI::Validator(
            [](const std::string& name) {
                try {
                    weight_format(name);
                } catch (const Error& error) {
                    return std::string(error.what());
                }
                return std::string();
            },
            ""));
    cli::add_count(app, "--steps", flags.steps, {1, 1 << 20},
                   "tokens that a time is measured over");
    cli::add_count(app, "--rounds", flags.rounds, {1, 1 << 20}, "how often; the median counts");
    cli::add_count(app, "--channel", flags.channel, {0, 1 << 20},
                   "which channel --factor makes larger");
    app.add_option("--factor", flags.factor, "makes one channel of every norm so much larger")
        ->check(cli::number_between(1e-6, 1e6))
        ->capture_default_str();
}

const cli::Subcommand kWeights{
    {.place = 60,
     .name = "weights",
     .text = "weights in every format: bits, bytes, time of a token, quality"},
    add_weights_flags,
    run_weights};

}  // namespace

}  // namespace kvlab::app
