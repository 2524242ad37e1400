// regime_tables.cpp - chapter 3: what `regimes` prints and reports.
#include "regime_tables.hpp"

#include <cstdio>

namespace kvlab::app {

namespace {

void print_roof(const Roofs& roofs) {
    const Roof best = roofs.best(), median = roofs.median();
    std::printf(
        "  roof: %s GFLOP/s of fma, %s GB/s read: ridge at %s FLOP per byte\n"
        "  (the best of %td rounds; their medians %s and %s)\n\n",
        format_number(best.peak).c_str(), format_number(best.bandwidth).c_str(),
        format_number(best.ridge()).c_str(), roofs.rounds(), format_number(median.peak).c_str(),
        format_number(median.bandwidth).c_str());
}

void print_points(const RegimesPlan& plan, const Roof& roof) {
    std::printf("  %-8s %6s %6s %8s %10s %9s %9s %9s %9s %9s %9s\n", "phase", "tokens", "batch",
                "context", "FLOP/byte", "ms", "best, ms", "tokens/s", "GFLOP/s", "of roof",
                "bound by");
    for (const auto* table : {&plan.prefill, &plan.decode})
        for (const std::size_t i : *table) {
            const StepPoint& p = plan.points[i];
            std::printf("  %-8s %6td %6td %8td %10s %9s %9s %9s %9s %8.1f%% %9s\n",
                        table == &plan.prefill ? "prefill" : "decode", p.T, p.batch, p.past,
                        format_number(p.intensity()).c_str(),
                        format_number(p.median_seconds() * 1e3).c_str(),
                        format_number(quartiles(p.seconds).smallest * 1e3).c_str(),
                        format_number(p.tokens_per_second()).c_str(),
                        format_number(p.gflops()).c_str(), 100 * p.share_of_roof(roof),
                        p.memory_bound(roof) ? "memory" : "compute");
        }
    std::printf(
        "  Rates and shares are those of the median.\n"
        "  Bytes: the weights once, keys and values read and written, activations written and "
        "read once\n  though they may never leave the processor's caches. The roof is main "
        "memory's: a model "
        "that fits\n  the caches can be above it.\n");
}

// The line of batch 1 meets the plateau at plateau / rate(1), which is ridge / intensity(1)
// times the ratio of the two shares: all differences from the prediction are in there.
void print_turn(const RegimesPlan& plan, const Roof& roof, const Turn& turn) {
    const StepPoint &one = plan.points[plan.decode.front()], &best = plan.points[turn.best];
    const double of_peak = best.gflops() / roof.peak;
    const double of_bandwidth = one.bytes() * 1e-9 / one.median_seconds() / roof.bandwidth;
    std::printf(
        "\n  After %td tokens, decode turns compute-bound at a batch of\n"
        "    %s by prediction: the smallest whose intensity reaches the ridge\n"
        "    %td by measurement: the best rate over that of batch 1, %s / %s\n"
        "  They differ because the plateau has %.0f %% of the peak and batch 1 %.0f %% of the "
        "bandwidth:\n"
        "  %s / %s FLOP/byte * %.2f / %.2f = %.1f; and because the prediction also counts what "
        "each\n  sequence brings along, its cache and activations, which a straight line from "
        "batch 1 leaves out.\n",
        one.past, turn_name(turn.predicted).c_str(), turn.measured,
        format_number(best.tokens_per_second()).c_str(),
        format_number(one.tokens_per_second()).c_str(), 100 * of_peak, 100 * of_bandwidth,
        format_number(roof.ridge()).c_str(), format_number(one.intensity()).c_str(), of_peak,
        of_bandwidth, roof.ridge() / one.intensity() * of_peak / of_bandwidth);
    if (turn.best == plan.decode.back())
        std::printf(
            "  The largest batch was the fastest: the plateau may be higher (--batch).\n");
}

double tokens_limit(const StepPoint& point, const Roof& roof) {
    return roof.bandwidth * 1e9 / point.bytes();
}

void print_contexts(const RegimesPlan& plan, const Roof& roof) {
    if (plan.contexts.empty()) return;
    std::printf("\n  %8s %15s %9s %9s %9s %20s\n", "context", "bytes per token", "tokens/s",
                "limit", "of limit", "turns at a batch of");
    for (const std::size_t i : plan.contexts) {
        const StepPoint& p = plan.points[i];
        const double limit = tokens_limit(p, roof);
        std::printf("  %8td %15td %9s %9s %8.1f%% %20s\n", p.past, p.counted.bytes(),
                    format_number(p.tokens_per_second()).c_str(), format_number(limit).c_str(),
                    100 * p.tokens_per_second() / limit,
                    turn_name(predict_turn(p.predicted, roof.ridge())).c_str());
    }
    std::printf(
        "  The limit is bandwidth / bytes per token. A long context brings more bytes than a "
        "batch can\n  share: where it says none, decode stays memory-bound at every batch.\n");
}

Json turn_json(Index batch) {
    return batch == 0 ? Json(nullptr) : Json(batch);
}

}  // namespace

Turn find_turn(const RegimesPlan& plan, const Roof& roof) {
    Turn turn;
    const StepPoint& one = plan.points[plan.decode.front()];
    turn.predicted = predict_turn(one.predicted, roof.ridge());
    turn.best = plan.decode.front();
    for (const std::size_t i : plan.decode)
        if (plan.points[i].tokens_per_second() > plan.points[turn.best].tokens_per_second())
            turn.best = i;
    turn.measured = static_cast<Index>(
        std::ceil(plan.points[turn.best].tokens_per_second() / one.tokens_per_second()));
    return turn;
}

std::string turn_name(Index batch) {
    return batch == 0 ? "none" : concat(batch);
}

void print_regimes(const RegimesPlan& plan, const Roofs& roofs, const Turn& turn) {
    const Roof roof = roofs.best();
    print_roof(roofs);
    print_points(plan, roof);
    print_turn(plan, roof, turn);
    print_contexts(plan, roof);
}

Json regimes_report(const Subject& subject,
                    const RegimesPlan& plan,
                    const Roofs& roofs,
                    const Turn& turn) {
    const Roof roof = roofs.best(), median = roofs.median();
    Json report = new_report("step03_kvcache regimes", 42);
    report["model"] = subject.config().name;
    report["engine"] = subject.engine_name();
    report["peak_gflops"] = roof.peak;
    report["bandwidth_gb_s"] = roof.bandwidth;
    report["ridge"] = roof.ridge();
    report["medians"] = {{"peak_gflops", median.peak}, {"bandwidth_gb_s", median.bandwidth}};
    report["points"] = Json::array();
    for (const auto* table : {&plan.prefill, &plan.decode})
        for (const std::size_t i : *table) {
            const StepPoint& p = plan.points[i];
            report["points"].push_back(
                {{"phase", table == &plan.prefill ? "prefill" : "decode"},
                 {"tokens", p.T},
                 {"batch", p.batch},
                 {"context", p.past},
                 {"flops", p.counted.flops.total()},
                 {"bytes", p.counted.bytes()},
                 {"seconds", kvlab::to_json(quartiles(p.seconds))},
                 {"intensity", p.intensity()},
                 {"gflops", p.gflops()},
                 {"share_of_roof", p.share_of_roof(roof)},
                 {"verdict", p.memory_bound(roof) ? "memory" : "compute"}});
        }
    report["turns_at"] = {{"predicted", turn_json(turn.predicted)},
                          {"measured", turn.measured}};
    report["contexts"] = Json::array();
    for (const std::size_t i : plan.contexts) {
        const StepPoint& p = plan.points[i];
        report["contexts"].push_back(
            {{"context", p.past},
             {"tokens_per_second", p.tokens_per_second()},
             {"limit", tokens_limit(p, roof)},
             {"turns_at", turn_json(predict_turn(p.predicted, roof.ridge()))}});
    }
    return report;
}

}  // namespace kvlab::app
