// lowrank.cpp - chapter 6, experiment O8: keys and values of low rank, as a cache of latents.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/quant/latent_plan.hpp>

#include "trial.hpp"

namespace kvlab::app {

namespace {

struct LowRankFlags {
    TrialFlags trial;
    std::vector<double> shares = {1, 0.75, 0.5, 0.375, 0.25};
};

// One layer's and one side's curves by rank.
struct Curve {
    Index layer;
    bool keys;
    std::vector<double> plain_energy, whitened_energy;  // [N + 1] of W, of W L
    std::vector<double> plain_error, whitened_error;    // [N + 1] of W X
};

// The smallest rank whose energy is at least this.
Index rank_for(const std::vector<double>& energies, double share) {
    return std::lower_bound(energies.begin(), energies.end(), share - 1e-12) - energies.begin();
}

class LowRankTable {
public:
    LowRankTable(const LowRankFlags& flags, Trial& trial)
        : flags_(flags),
          trial_(trial),
          seen_(calibrate(trial.opened.file,
                          *trial.calibration,
                          low_rank_calibration(),
                          {trial.opened.engine->pool().threads(), trial.opened.level})),
          plain_(find_bases(trial.opened.file)),
          whitened_(find_bases(trial.opened.file, &seen_)),
          N_(plain_.keys[0].size) {}

    void curves() {
        for (std::size_t l = 0; l < plain_.keys.size(); ++l)
            for (const bool keys : {true, false}) {
                const std::string name =
                    concat("blk.", l, keys ? ".attn_k" : ".attn_v", ".weight");
                const Tensor w = to_f32(trial_.opened.file.tensor(name));
                const std::vector<double>& gram = seen_.of(name).gram;
                const Basis &plain = (keys ? plain_.keys : plain_.values)[l],
                            &whitened = (keys ? whitened_.keys : whitened_.values)[l];
                Curve curve{static_cast<Index>(l), keys, {}, {}, {}, {}};
                for (Index rank = 0; rank <= N_; ++rank) {
                    curve.plain_energy.push_back(energy(plain, rank));
                    curve.whitened_energy.push_back(energy(whitened, rank));
                }
                curve.plain_error = output_errors(plain, w, gram);
                curve.whitened_error = output_errors(whitened, w, gram);
                curves_.push_back(std::move(curve));
            }
        print_energies();
        print_errors();
    }

    void quality() {
        const Index eighth = std::max<Index>(1, N_ / 8);
        for (const double share : flags_.shares) {
            const Index rank = std::max<Index>(1, std::lround(share * static_cast<double>(N_)));
            add("plain", even(rank), even(rank), &formats::f32);
            add("whitened", even(rank), even(rank), &formats::f32);
            add("whitened", even(rank), even(rank), &formats::int8);
            if (rank == N_) continue;
            const Index step = std::min({rank - 1, N_ - rank, 2 * eighth});
            const std::vector<Index> rising =
                progressive_ranks(whitened_, rank - step, rank + step);
            add("whitened", rising, rising, &formats::f32);
            add("whitened", even(rank), even(N_), &formats::f32);
            add("whitened", even(N_), even(rank), &formats::f32);
        }
        trial_.print_head(labels_.front());
        trial_.run(variants_, labels_);
    }

    Json curves_json() const {
        Json all;
        for (const Curve& curve : curves_)
            all.push_back(Json{{"layer", curve.layer},
                               {"side", curve.keys ? "keys" : "values"},
                               {"plain_energy", curve.plain_energy},
                               {"whitened_energy", curve.whitened_energy},
                               {"plain_error", curve.plain_error},
                               {"whitened_error", curve.whitened_error}});
        return all;
    }

    Index size() const { return N_; }

private:
    std::vector<Index> even(Index rank) const {
        return std::vector<Index>(plain_.keys.size(), rank);
    }

    static std::string ranks_text(const std::vector<Index>& ranks) {
        const auto ends = std::minmax_element(ranks.begin(), ranks.end());
        return *ends.first == *ends.second ? concat(*ends.first)
                                           : concat(*ends.first, "-", *ends.second);
    }

    void add(const char* basis,
             const std::vector<Index>& keys,
             const std::vector<Index>& values,
             Format format) {
        const bool whitened = std::string(basis) == "whitened";
        const auto plan =
            std::make_shared<LatentPlan>(trial_.opened.model, whitened ? whitened_ : plain_,
                                         LatentRanks{keys, values}, format);
        const SimdLevel level = trial_.opened.level;
        Variant variant{basis, trial_.opened.model, trial_.opened.engine.get(), {}, 0};
        variant.make_store = [plan, level](Index capacity) {
            return make_latent_cache(plan, capacity, level);
        };
        variants_.push_back(std::move(variant));
        labels_.push_back(Json{{"basis", basis},
                               {"keys", ranks_text(keys)},
                               {"values", ranks_text(values)},
                               {"latents", format == &formats::f32 ? "f32" : "int8"},
                               {"bytes", plan->token_bytes()}});
    }

    void print_energies() const {
        std::printf("rank, of %td, that has 90 %% and 99 %% of the energy\n", N_);
        std::printf("  %-6s %14s %14s %14s %14s\n", "layer", "W_k", "W_k X", "W_v", "W_v X");
        for (std::size_t i = 0; i < curves_.size(); i += 2) {
            std::printf("  %-6td", curves_[i].layer);
            for (const Curve* curve : {&curves_[i], &curves_[i + 1]})
                for (const auto* energies : {&curve->plain_energy, &curve->whitened_energy})
                    std::printf(" %14s", concat(rank_for(*energies, 0.9), "  ",
                                                rank_for(*energies, 0.99))
                                             .c_str());
            std::printf("\n");
        }
    }

    void print_errors() const {
        std::printf("\nerror of W X by rank, mean of the layers\n");
        std::printf("  %-6s %14s %14s %14s %14s\n", "rank", "keys plain", "whitened",
                    "values plain", "whitened");
        for (const double share : flags_.shares) {
            const auto rank =
                usize(std::max<Index>(1, std::lround(share * static_cast<double>(N_))));
            double sums[4] = {};
            for (const Curve& curve : curves_) {
                sums[curve.keys ? 0 : 2] += curve.plain_error[rank];
                sums[curve.keys ? 1 : 3] += curve.whitened_error[rank];
            }
            std::printf("  %-6zu", rank);
            for (const double sum : sums)
                std::printf(" %14.4f", 2 * sum / static_cast<double>(curves_.size()));
            std::printf("\n");
        }
        std::printf("\n");
        std::fflush(stdout);
    }

    const LowRankFlags& flags_;
    Trial& trial_;
    Calibration seen_;
    Bases plain_, whitened_;
    Index N_;  // Hkv D
    std::vector<Curve> curves_;
    std::vector<Variant> variants_;
    std::vector<Json> labels_;
};

int run_lowrank(const LowRankFlags& flags) {
    Trial trial(flags.trial);
    std::printf("%s, %s: %td windows of %td tokens, calibrated on %td others\n",
                trial.opened.model->config.name.c_str(), trial.opened.engine->name().c_str(),
                trial.text.count(), trial.text.window(), trial.calibration->count());
    LowRankTable table(flags, trial);
    table.curves();
    table.quality();
    const Config& c = trial.opened.model->config;
    std::printf(
        "\n  The float cache: %.4f bits per byte, %td bytes a token. KL in bits, from it.\n"
        "  same: the same most likely next token. basis: directions of W, or of W X. keys,\n"
        "  values: directions kept, of %td; from - to: more in early layers (LoRC's rule).\n",
        trial.plain_bits_per_byte(), 2 * c.layers * table.size() * Index{sizeof(float)},
        table.size());
    trial.print_notes();
    if (flags.trial.json) {
        Json report = trial.report("step06_quant lowrank");
        report["size"] = table.size();
        report["float_bytes_per_token"] = 2 * c.layers * table.size() * Index{sizeof(float)};
        report["curves"] = table.curves_json();
        write_json(flags.trial.json, report);
    }
    std::cout << "RESULT rows=" << trial.rows().size() << std::endl;
    return cli::kHolds;
}

void add_lowrank_flags(CLI::App& app, LowRankFlags& flags) {
    add_trial_flags(app, flags.trial);
    app.add_option("--share", flags.shares, "directions kept, of all; a list")
        ->delimiter(',')
        ->check(cli::number_between(0.001, 1))
        ->capture_default_str();
}

const cli::Subcommand kLowrank{
    {.place = 80,
     .name = "lowrank",
     .text = "keys and values in fewer directions: energy, error, bytes, quality"},
    add_lowrank_flags,
    run_lowrank};

}  // namespace

}  // namespace kvlab::app
