// rungs.cpp - chapter 4: the sizes at which the ladders are measured, and what is said of each
// rung: time, GB/s, its share of the yardsticks, GFLOP/s, launches, and whether it had the
// CPU's bits.
#include <cstdio>

#include "../problems.hpp"
#include "bench.hpp"

namespace kvlab::app {

namespace {

void print_head(const Problem& problem) {
    std::printf("\n%s %s: %td bytes at least\n  %-12s %10s %21s %10s %8s %8s %8s %9s %8s\n",
                problem.operation.c_str(), problem.shape.c_str(), problem.bytes, "rung", "us",
                "quartiles", "warm us", "GB/s", "of read", "of copy", "GFLOP/s", "launches");
}

void print_row(const Json& row, const CallTimes& times) {
    const std::string between = concat(format_number(times.cold.low * 1e6), " - ",
                                       format_number(times.cold.high * 1e6));
    const auto rate = [&](const char* name) {
        return row[name].is_null() ? std::string("-") : format_number(row[name].get<double>());
    };
    std::printf("  %-12s %10.2f %21s %10.2f %8s %8s %8s %9s %8td%s\n",
                row["rung"].get<std::string>().c_str(), times.cold.median * 1e6,
                between.c_str(), times.warm.median * 1e6, rate("gb_per_s").c_str(),
                rate("share_of_read").c_str(), rate("share_of_copy").c_str(),
                rate("gflop_per_s").c_str(), times.launches,
                row["same_bits"].get<bool>() ? "" : "   OTHER BITS");
    std::fflush(stdout);
}

void bench_rung(Bench& bench,
                const Problem& problem,
                const Rung& rung,
                const std::function<void()>& work,
                const std::function<std::string()>& result) {
    const CallTimes times = bench.times(work);
    Json row;
    row["op"] = problem.operation;
    row["shape"] = problem.shape;
    row["rung"] = rung.name;
    row["us"] = microseconds(times.cold);
    row["warm_us"] = microseconds(times.warm);
    row["launches"] = times.launches;
    bench.add_rates(row, static_cast<double>(problem.bytes), times.cold.median);
    row["gflop_per_s"] =
        bench.measured(2.0 * static_cast<double>(problem.fma) / times.cold.median / 1e9);
    row["checksum"] = result();
    row["same_bits"] = row["checksum"] == problem.expected;
    print_row(row, times);
    bench.add_rung(row);
}

// A problem is made when its turn has come: some take a second to make.
template <class MakeProblem>
void bench_problem(Bench& bench, const std::string& name, MakeProblem make) {
    // The rest is for whole tokens, if those are asked for, too.
    if (bench.time_is_up(bench.flags().only.empty() ? 0.6 : 1))
        return bench.leave_out(name, "no time left");
    const Problem problem = make();
    print_head(problem);
    problem.each_rung([&](const Rung& rung, const auto& work, const auto& result) {
        bench_rung(bench, problem, rung, work, result);
    });
}

void bench_linear_shape(Bench& bench, const LinearShape& shape) {
    bench_problem(bench, concat("linear ", linear_name(shape)),
                  [&] { return linear_problem(shape); });
}

// Of SmolLM2-135M: queries, keys and values; the output; gate and up; down; the vocabulary.
constexpr Index kWidth = 576;
constexpr std::pair<Index, Index> kSmolLm2[] = {
    {960, kWidth}, {kWidth, kWidth}, {3072, kWidth}, {kWidth, 1536}, {49152, kWidth}};
// Of Llama-2-7B: one matrix of attention; gate and up. To read them fills the chip.
constexpr std::pair<Index, Index> kLlama2[] = {{4096, 4096}, {22016, 4096}};
constexpr TensorType kTypes[] = {TensorType::f32, TensorType::f16, TensorType::q8_0,
                                 TensorType::q4_0, TensorType::q4_1};

}  // namespace

void bench_linear(Bench& bench) {
    if (bench.small()) {
        for (const TensorType type : kTypes) bench_linear_shape(bench, {1, 64, kWidth, type});
        return bench_linear_shape(bench, {64, 64, kWidth, TensorType::f32});
    }
    for (const auto& [N, K] : kLlama2)
        for (const TensorType type : {TensorType::f32, TensorType::f16})
            bench_linear_shape(bench, {1, N, K, type});
    for (const auto& [N, K] : kSmolLm2)
        for (const TensorType type : kTypes) bench_linear_shape(bench, {1, N, K, type});
    for (const Index R : {Index{4}, Index{16}, Index{64}, Index{512}})
        for (const TensorType type : {TensorType::f32, TensorType::q8_0})
            bench_linear_shape(bench, {R, 3072, kWidth, type});
    bench_linear_shape(bench, {512, 4096, 4096, TensorType::f32});
}

void bench_attention(Bench& bench) {
    const auto of = [&](const AttentionShape& shape) {
        bench_problem(bench,
                      concat("attention of ", shape.T, " tokens, ", shape.past + shape.T,
                             " slots, ", shape.heads, " heads"),
                      [&] { return attention_problem(shape); });
    };
    if (bench.small()) {
        of({1, 511});
        return of({128, 0});
    }
    for (const Index slots : {Index{512}, Index{2048}, Index{8192}}) of({1, slots - 1});
    // Of Llama-2-7B: a token reads 268 MB.
    of({1, 8191, 32, 32, 128});
    of({128, 0});
    of({512, 0});
}

void bench_norm(Bench& bench) {
    for (const Index R : {Index{1}, Index{4}, Index{512}})
        if (!bench.small() || R == 4)
            bench_problem(bench, concat("norm of ", R, " rows"),
                          [R] { return norm_problem(R, kWidth); });
}

void bench_argmax(Bench& bench) {
    for (const Index count : {Index{4096}, Index{49152}})
        if (!bench.small() || count == 4096)
            bench_problem(bench, concat("argmax of ", count),
                          [count] { return argmax_problem(count); });
}

}  // namespace kvlab::app
