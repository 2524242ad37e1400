// cost_lines.hpp - chapter 7: what subcommands print and report of costs and of a service.
#pragma once

#include <cstdio>

#include <kvlab/attention/opened_model.hpp>
#include <kvlab/serving/costs.hpp>
#include <kvlab/serving/latency.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

// What a token reads of an opened model: all of it, save a table of which it takes one row.
inline ServedModel served_model(const OpenedModel& opened) {
    const Model& model = *opened.model;
    ServedModel served = ServedModel::of_floats(model.config);
    served.resident_bytes = model.weight_bytes();
    served.weight_bytes = served.resident_bytes - (model.head ? model.embedding->bytes() : 0) -
                          (model.positions ? model.positions->bytes() : 0);
    return served;
}

// With one thread its processor time is all the time, and other programs do not count.
inline bool counts_cpu_time(const OpenedModel& opened) {
    return opened.engine->pool().threads() == 1;
}

inline Json to_json(const StepCost& cost) {
    return {{"seconds_per_step", cost.per_step},
            {"seconds_per_text", cost.per_text},
            {"seconds_per_weight_byte", cost.per_weight_byte},
            {"seconds_per_flop", cost.per_flop},
            {"seconds_per_cache_byte", cost.per_cache_byte},
            {"seconds_per_attention_flop", cost.per_attention_flop}};
}

inline Json to_json(const Percentiles& p) {
    return {{"p50", p.p50}, {"p95", p.p95}, {"p99", p.p99}};
}

inline Json to_json(const ServiceSummary& s) {
    return {{"requests", s.requests},
            {"tokens", s.tokens},
            {"seconds", s.seconds},
            {"tokens_per_second", s.tokens_per_second},
            {"first_token", to_json(s.first_token)},
            {"per_token", to_json(s.per_token)},
            {"in_time", s.in_time},
            {"goodput", s.goodput},
            {"in_system", s.in_system}};
}

inline void print_cost(const StepCost& cost) {
    const auto line = [](const char* what, double seconds, const char* rate, double scale) {
        std::printf("  %-28s %10s s", what, format_number(seconds).c_str());
        if (rate != nullptr && seconds > 0)
            std::printf("   %s %s", format_number(scale / seconds).c_str(), rate);
        std::printf("\n");
    };
    line("a step", cost.per_step, nullptr, 0);
    line("a text in it", cost.per_text, nullptr, 0);
    line("matrices: a byte", cost.per_weight_byte, "GB/s", 1e-9);
    line("matrices: a FLOP", cost.per_flop, "GFLOP/s", 1e-9);
    line("attention: a byte", cost.per_cache_byte, "GB/s", 1e-9);
    line("attention: a FLOP", cost.per_attention_flop, "GFLOP/s", 1e-9);
}

}  // namespace kvlab::app
