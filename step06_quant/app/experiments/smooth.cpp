// smooth.cpp - chapter 6, experiment O9: matrix products of bytes, by alpha and by threshold,
// on the model as it is and with one channel made 20 times larger.
#include <cstdio>
#include <list>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/quant/smooth.hpp>

#include "smooth_clock.hpp"
#include "trial.hpp"

namespace kvlab::app {

namespace {

struct SmoothFlags {
    TrialFlags trial;
    std::vector<double> alphas = {0, 0.25, 0.5, 0.75, 1};
    std::vector<double> thresholds = {6, 3};
    Index channel = 7;
    float factor = 20;
    bool head = false, powers_of_two = false, inner = false, clock = false;
    SmoothClockFlags clocks;
};

// The variants of one half of the table; engines have to outlive their models.
class SmoothTable {
public:
    SmoothTable(const SmoothFlags& flags, Trial& trial) : flags_(flags), trial_(trial) {}

    // Everything, on the model as it is (factor 1) or with the injected channel.
    void run(float factor) {
        EditedWeights injected(trial_.opened.file);
        if (factor != 1) inject_outlier(injected, flags_.channel, factor);
        const WeightSource& base = injected;
        const CpuOptions cpu{trial_.opened.engine->pool().threads(), trial_.opened.level};
        const Calibration seen = calibrate(base, *trial_.calibration, {}, cpu);
        add("float", nullptr, nullptr, factor, base, make_cpu_engine(cpu));
        add("w8a8", nullptr, nullptr, factor, base, bytewise(cpu, 0));
        for (const double threshold : flags_.thresholds)
            add("w8a8", nullptr, threshold, factor, base,
                bytewise(cpu, static_cast<float>(threshold)));
        for (const double alpha : flags_.alphas) {
            EditedWeights smoothed(base);
            smooth(smoothed, seen, {alpha, flags_.powers_of_two, flags_.inner});
            add("w8a8", alpha, nullptr, factor, smoothed, bytewise(cpu, 0));
        }
        trial_.print_head(labels_.front());
        trial_.run(variants_, labels_);
        count_outliers();
    }

    // Of the inputs that each threshold was asked about, the share that stayed floats.
    const Json& outlier_shares() const { return outlier_shares_; }

private:
    std::unique_ptr<Engine> bytewise(const CpuOptions& cpu, float threshold) const {
        return make_int8_engine(cpu, {flags_.head, threshold});
    }

    void add(const char* products,
             const Json& alpha,
             const Json& threshold,
             float factor,
             const WeightSource& weights,
             std::unique_ptr<Engine> engine) {
        engines_.push_back(std::move(engine));
        Engine& own = *engines_.back();
        variants_.push_back({products, load_model(weights, own), &own, {}, 0});
        labels_.push_back(Json{{"channel", static_cast<double>(factor)},
                               {"products", products},
                               {"alpha", alpha},
                               {"threshold", threshold}});
    }

    void count_outliers() {
        for (std::size_t v = 0; v < variants_.size(); ++v) {
            if (labels_[v]["threshold"].is_null()) continue;
            const Int8Counts counts = int8_counts(*variants_[v].engine);
            Json share = labels_[v];
            share["inputs"] = counts.inputs;
            share["outliers"] = counts.outliers;
            share["share"] =
                static_cast<double>(counts.outliers) / static_cast<double>(counts.inputs);
            std::printf("  at or above %s: %s of the inputs\n",
                        format_number(share["threshold"].get<double>()).c_str(),
                        format_number(share["share"].get<double>()).c_str());
            outlier_shares_.push_back(std::move(share));
        }
    }

    const SmoothFlags& flags_;
    Trial& trial_;
    std::list<std::unique_ptr<Engine>> engines_;
    std::vector<Variant> variants_;
    std::vector<Json> labels_;
    Json outlier_shares_;
};

int run_smooth(const SmoothFlags& flags) {
    if (flags.clock)
        return run_smooth_clock(flags.trial.opened, flags.clocks, flags.trial.json);
    Trial trial(flags.trial);
    const Index width = trial.opened.model->config.dim;
    check(flags.channel < width, "--channel ", flags.channel, " is outside of a width of ",
          width);
    std::printf("%s, %s: %td windows of %td tokens, calibrated on %td others\n",
                trial.opened.model->config.name.c_str(), trial.opened.engine->name().c_str(),
                trial.text.count(), trial.text.window(), trial.calibration->count());
    Json shares;
    for (const float factor : {1.0f, flags.factor}) {
        SmoothTable table(flags, trial);
        table.run(factor);
        for (const Json& share : table.outlier_shares()) shares.push_back(share);
        std::printf("\n");
    }
    std::printf(
        "  The model itself: %.4f bits per byte. KL in bits, from the model itself. same: the\n"
        "  same most likely next token. channel: what one channel behind the norms is\n"
        "  multiplied by. float: its products are floats. alpha: how much of the channels'\n"
        "  size moves into the weights. threshold: from where on an input stays a float.\n",
        trial.plain_bits_per_byte());
    trial.print_notes();
    if (flags.trial.json) {
        Json report = trial.report("step06_quant smooth");
        report["head"] = flags.head;
        report["inner"] = flags.inner;
        report["powers_of_two"] = flags.powers_of_two;
        report["outlier_shares"] = shares;
        write_json(flags.trial.json, report);
    }
    std::cout << "RESULT rows=" << trial.rows().size() << std::endl;
    return cli::kHolds;
}

void add_smooth_flags(CLI::App& app, SmoothFlags& flags) {
    add_trial_flags(app, flags.trial);
    app.add_option("--alpha", flags.alphas, "a list from 0 to 1")
        ->delimiter(',')
        ->check(cli::number_between(0, 1))
        ->capture_default_str();
    app.add_option("--threshold", flags.thresholds, "outliers stay floats from here; a list")
        ->delimiter(',')
        ->check(cli::number_between(1e-6, 1e6))
        ->capture_default_str();
    cli::add_count(app, "--channel", flags.channel, {0, 1 << 20},
                   "which channel is made larger");
    app.add_option("--factor", flags.factor, "how much")
        ->check(cli::number_between(1e-6, 1e6))
        ->capture_default_str();
    app.add_flag("--head", flags.head, "the last matrix in bytes, too");
    app.add_flag("--inner", flags.inner, "smooth the inputs of out and down, too");
    app.add_flag("--powers-of-two", flags.powers_of_two, "scales that change no bit");
    app.add_flag("--clock", flags.clock, "instead of the tables: tokens per second");
    add_smooth_clock_flags(app, flags.clocks);
}

const cli::Subcommand kSmooth{
    {.place = 70,
     .name = "smooth",
     .text = "products of bytes: SmoothQuant by alpha, outliers by threshold, speed"},
    add_smooth_flags,
    run_smooth};

}  // namespace

}  // namespace kvlab::app
