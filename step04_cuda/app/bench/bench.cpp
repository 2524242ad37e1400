// bench.cpp - chapter 4: the clock and the yardstick of `step04_cuda bench`, and its report.
#include "bench.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "yardstick.cuh"

namespace kvlab::app {

namespace {

constexpr unsigned kThreads = 256;
constexpr Index kMostRounds = 15, kLeastRounds = 3;
constexpr double kSecondsOfOne = 0.2;  // that all rounds of one call may take together

// Small whole numbers, so that sums of them are exact in any order.
std::vector<float> counting(Index count) {
    std::vector<float> values(usize(count));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 64);
    return values;
}

unsigned yardstick_blocks() {
    constexpr int kBlocksOfOne = 2048 / kThreads;  // as many as a multiprocessor holds
    return static_cast<unsigned>(std::max(2, device_facts().multiprocessors * kBlocksOfOne));
}

double total(const std::vector<float>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

// 13020 is 13.2.
double version(int number) {
    return number / 1000 + number % 1000 / 10 / 10.0;
}

}  // namespace

Yardstick::Yardstick(Index bytes)
    : blocks_(yardstick_blocks()),
      from_(std::span<const float>(counting(bytes / 4)), "yardstick"),
      to_(bytes / 4, "yardstick's copy"),
      sums_(Index{blocks_} * kThreads, "yardstick's sums") {
    copy();
}

void Yardstick::read() const {
    launch(read_all, blocks_, kThreads, 0, from_.get(), sums_.get(), fours());
}

void Yardstick::copy() const {
    launch(copy_all, blocks_, kThreads, 0, from_.get(), to_.get(), fours());
}

bool Yardstick::holds() const {
    const double expected = total(counting(from_.size()));
    read();
    const bool read_all_of_it = total(sums_.to_host()) == expected;
    launch(read_all, blocks_, kThreads, 0, to_.get(), sums_.get(), fours());
    return read_all_of_it && total(sums_.to_host()) == expected;
}

Bench::Bench(const BenchFlags& flags)
    : flags_(flags),
      small_(flags.small || selected_device() == Device::executor),
      flushed_(measures() ? 2 * Index{device_facts().second_level_bytes} : Index{1} << 12) {}

void Bench::leave_out(const std::string& what, const std::string& why) {
    std::printf("  left out: %s: %s\n", what.c_str(), why.c_str());
    left_out_.push_back(concat(what, ": ", why));
}

Index Bench::rounds(double seconds) const {
    if (small_) return 1;
    return static_cast<Index>(std::clamp(kSecondsOfOne / seconds,
                                         static_cast<double>(kLeastRounds),
                                         static_cast<double>(kMostRounds)));
}

CallTimes Bench::times(const std::function<void()>& call) {
    const Index before = launch_count();
    call();
    CallTimes times;
    times.launches = launch_count() - before;
    DeviceStopwatch watch;
    call();
    const Index count = rounds(watch.seconds());
    std::vector<double> cold, warm;
    for (Index round = 0; round < count; ++round) {
        flushed_.copy();
        watch.restart();
        call();
        cold.push_back(watch.seconds());
    }
    const Index in_a_row =
        count == kLeastRounds ? 1 : count;  // a slow call hides the host anyway
    for (Index round = 0; round < std::min<Index>(count, 5); ++round) {
        device_synchronize();
        watch.restart();
        for (Index i = 0; i < in_a_row; ++i) call();
        warm.push_back(watch.seconds() / static_cast<double>(in_a_row));
    }
    times.cold = quartiles(cold);
    times.warm = quartiles(warm);
    return times;
}

Quartiles Bench::gb_per_s(double bytes, const std::function<void()>& call) {
    call();
    std::vector<double> rates;
    for (Index round = 0; round < kMostRounds; ++round) {
        DeviceStopwatch watch;
        call();
        rates.push_back(bytes / watch.seconds() / 1e9);
    }
    return quartiles(rates);
}

void Bench::add_rates(Json& row, double bytes, double seconds) const {
    row["bytes"] = bytes;
    const double rate = bytes / seconds / 1e9;
    row["gb_per_s"] = measured(rate);
    row["share_of_read"] = measured(rate / read_gb_per_s_);
    row["share_of_copy"] = measured(rate / copy_gb_per_s_);
}

Json Bench::measured(double figure) const {
    return measures() ? Json(figure) : Json();
}

void Bench::measure_machine(const std::string& why_no_gpu) {
    const DeviceFacts facts = device_facts();
    constexpr Index kWhole = Index{1} << 30;
    constexpr Index kLittle = (Index{1} << 16) + 77 * 16;  // with a rest, as sizes have
    const Yardstick yardstick(
        small_ ? kLittle : std::min(kWhole, Index{facts.memory_bytes} / 8 / 16 * 16));
    const bool same = yardstick.holds();
    holds_ = holds_ && same;
    machine_["why_no_gpu"] = why_no_gpu;
    machine_["yardstick_bytes"] = yardstick.bytes();
    machine_["yardstick_holds"] = same;
    machine_["compute_capability"] = measured(facts.capability / 10.0);
    machine_["multiprocessors"] = measured(facts.multiprocessors);
    machine_["clock_mhz"] = measured(facts.clock_mhz);
    machine_["memory_clock_mhz"] = measured(facts.memory_clock_mhz);
    machine_["bus_bits"] = measured(facts.bus_bits);
    machine_["second_level_bytes"] = measured(static_cast<double>(facts.second_level_bytes));
    machine_["memory_bytes"] = measured(static_cast<double>(facts.memory_bytes));
    machine_["driver_cuda"] = measured(version(facts.driver_cuda));
    machine_["runtime_cuda"] = measured(version(facts.runtime_cuda));
    machine_["peak_gb_per_s"] = measured(facts.peak_gb_per_s());
    measure_memory(yardstick);
}

void Bench::measure_memory(const Yardstick& yardstick) {
    machine_["read_gb_per_s"] = machine_["copy_gb_per_s"] = Json();
    if (!measures()) return;
    const Quartiles read = gb_per_s(yardstick.bytes(), [&] { yardstick.read(); });
    // Each byte is read and written.
    const Quartiles copy = gb_per_s(2 * yardstick.bytes(), [&] { yardstick.copy(); });
    machine_["read_gb_per_s"] = to_json(read);
    machine_["copy_gb_per_s"] = to_json(copy);
    read_gb_per_s_ = read.median;
    copy_gb_per_s_ = copy.median;
    std::printf(
        "memory: the read kernel gets %.0f GB/s, the copy kernel %.0f, of %.0f by "
        "clock and bus\n",
        read.median, copy.median, device_facts().peak_gb_per_s());
}

void Bench::check_bits(const Json& row) {
    holds_ = holds_ && row.value("same_bits", true);
}

void Bench::add_rung(const Json& row) {
    check_bits(row);
    rungs_.push_back(row);
}

void Bench::add_tokens(const Json& row) {
    check_bits(row);
    tokens_.push_back(row);
}

Json Bench::report(const Json& stopped_by) const {
    Json report = new_report("step04_cuda bench", 1);
    report["measured"] = measures();
    report["device"] = device_name();
    report["small"] = small_;
    report["seconds"] = watch_.seconds();
    report["machine"] = machine_;
    report["rungs"] = rungs_;
    report["tokens"] = tokens_;
    report["left_out"] = left_out_;
    report["stopped_by"] = stopped_by;
    return report;
}

Json microseconds(const Quartiles& seconds) {
    return to_json(Quartiles{seconds.smallest * 1e6, seconds.low * 1e6, seconds.median * 1e6,
                             seconds.high * 1e6, seconds.largest * 1e6, seconds.count});
}

}  // namespace kvlab::app
