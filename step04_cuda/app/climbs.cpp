// climbs.cpp - chapter 4: all ladders, climbed once: what each rung launched and counted.
#include <algorithm>

#include "problems.hpp"

namespace kvlab::app {

Index RungRun::sectors() const {
    return sum([](const simt::Counters& c) { return c.loads.sectors + c.stores.sectors; });
}

Index RungRun::sum(Index (*of)(const simt::Counters&)) const {
    Index total = 0;
    for (const simt::LaunchRecord& launch : launches) total += of(launch.counters);
    return total;
}

Json RungRun::launches_json() const {
    Json list = Json::array();
    for (const simt::LaunchRecord& launch : launches) {
        Json part;
        part["kernel"] = launch.kernel;
        part["blocks"] = launch.blocks();
        part["threads"] = launch.threads();
        part["dynamic_shared"] = launch.dynamic_shared;
        for (const auto& [counter, count] : simt::counter_lines(launch.counters))
            if (count != 0) part["counted"][counter] = count;
        list.push_back(part);
    }
    return list;
}

bool Ladder::holds() const {
    return std::all_of(runs.begin(), runs.end(),
                       [&](const RungRun& run) { return run.checksum == expected; });
}

namespace {

// The launches of one rung, counted, and its checksum.
RungRun run_rung(const Rung& rung,
                 const std::function<void()>& work,
                 const std::function<std::string()>& result) {
    RungRun run{rung.name, rung.idea, {}, {}};
    simt::Options options = simt::current_options();
    options.records = &run.launches;
    const simt::Use use(options);
    work();
    run.checksum = result();
    return run;
}

Ladder climb(const char* key, const char* operation, const Problem& problem) {
    Ladder ladder;
    ladder.key = key;
    ladder.operation = operation;
    ladder.size = problem.size;
    ladder.least_bytes = problem.bytes;
    ladder.expected = problem.expected;
    ladder.bench_operation = problem.operation;
    ladder.bench_shape = problem.shape;
    problem.each_rung([&](const Rung& rung, const auto& work, const auto& result) {
        ladder.runs.push_back(run_rung(rung, work, result));
    });
    return ladder;
}

// A part of the outputs is enough to count.
Ladder climb_linear(const char* key, const char* operation, Index R, TensorType type) {
    constexpr Index kPart = 64, kWhole = 3072, kDepth = 576;  // gate and up
    const LinearShape whole{R, kWhole, kDepth, type};
    const LinearShape part{R, kPart, kDepth, type};
    Ladder ladder = climb(key, operation, linear_problem(part));
    ladder.copies = kWhole / kPart;
    ladder.whole_bytes = linear_bytes(whole);
    ladder.bench_shape = linear_name(whole);
    return ladder;
}

}  // namespace

std::vector<Ladder> run_ladders() {
    std::vector<Ladder> ladders;
    ladders.push_back(climb_linear("linear_1", "product of one row", 1, TensorType::f32));
    ladders.push_back(climb_linear("linear_1_q4_1", "product of one row, 4-bit weights", 1,
                                   TensorType::q4_1));
    ladders.push_back(climb_linear("linear_64", "product of 64 rows", 64, TensorType::f32));
    ladders.push_back(climb("rms_norm", "RMSNorm", norm_problem(4, 576)));
    ladders.push_back(climb("decode", "attention of one token", attention_problem({1, 511})));
    ladders.push_back(climb("prefill", "attention of a prompt", attention_problem({128, 0})));
    ladders.push_back(climb("argmax", "argmax", argmax_problem(4096)));
    return ladders;
}

}  // namespace kvlab::app
