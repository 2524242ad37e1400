// bench.hpp - chapter 4: what the parts of `step04_cuda bench` share: how a call is timed, what
// it is held against, and where the figures go.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <kvlab/cuda/device.hpp>
#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

struct BenchFlags {
    std::string device = "auto";  // or gpu, executor
    std::vector<std::string> only;
    std::vector<std::string> models = {"tiny", "deep"};
    std::vector<std::string> synthetic = {"smollm2", "llama2-7b-layer"};
    std::vector<std::string> types = {"F32", "Q8_0"};
    Index seconds = 150;
    bool small = false, list = false;
    std::shared_ptr<OutputFile> json;
};

// Seconds of one call.
struct CallTimes {
    Quartiles cold;  // its operands come from the DRAM
    Quartiles warm;  // calls in a row: what fits stays in the caches, and a slow host shows
    Index launches;
};

// An array that is larger than the second-level cache, and a copy of it. To copy it flushes the
// cache. To time that, and a kernel that only reads, tells what the memory gives.
class Yardstick {
public:
    // Of `bytes` each.
    explicit Yardstick(Index bytes);

    void read() const;
    void copy() const;

    // Whether the copy is one, and both kernels have seen every number.
    bool holds() const;

    double bytes() const { return static_cast<double>(from_.size()) * 4; }

private:
    Index fours() const { return from_.size() / 4; }

    unsigned blocks_;
    DeviceArray<float> from_, to_, sums_;
};

class Bench {
public:
    explicit Bench(const BenchFlags& flags);

    const BenchFlags& flags() const { return flags_; }

    // Sizes of a check, not of a measurement: always under the executor.
    bool small() const { return small_; }

    // False under the executor, whose times say nothing about a GPU.
    bool measures() const { return selected_device() == Device::gpu; }

    // The share of the time that is gone, and whether so much is.
    double time_gone() const { return watch_.seconds() / static_cast<double>(flags_.seconds); }

    bool time_is_up(double share = 1) const { return time_gone() > share; }

    // Notes what there was no time or no memory for.
    void leave_out(const std::string& what, const std::string& why);

    // Times a call whose operands are in DRAM: before each one the second-level cache is filled
    // with something else. That is still going on when the two events and the call are
    // launched, so no gap of the host's lies between the events. A first call, in which the
    // driver compiles, is not timed; slow calls are timed less often.
    CallTimes times(const std::function<void()>& call);

    // How often something is measured that took so many seconds once.
    Index rounds(double seconds) const;

    // A figure of a GPU; null under the executor, which measured none.
    Json measured(double figure) const;

    // Adds GB/s and the shares of the yardsticks for so many bytes in so many seconds.
    void add_rates(Json& row, double bytes, double seconds) const;

    // What the yardsticks gave, in GB/s; 0 before they were measured, and under the executor.
    double read_gb_per_s() const { return read_gb_per_s_; }

    double copy_gb_per_s() const { return copy_gb_per_s_; }

    void measure_machine(const std::string& why_no_gpu);
    void add_rung(const Json& row);
    void add_tokens(const Json& row);

    // The whole, for --json. `stopped_by`: what went wrong, or null.
    Json report(const Json& stopped_by) const;

    bool holds() const { return holds_; }

private:
    void measure_memory(const Yardstick& yardstick);
    Quartiles gb_per_s(double bytes, const std::function<void()>& call);
    void check_bits(const Json& row);

    // Fixed at construction.
    const BenchFlags flags_;
    const bool small_;
    Stopwatch watch_;
    Yardstick flushed_;

    double read_gb_per_s_ = 0, copy_gb_per_s_ = 0;
    bool holds_ = true;
    Json machine_, rungs_ = Json::array(), tokens_ = Json::array(), left_out_ = Json::array();
};

// Microseconds, with their quartiles.
Json microseconds(const Quartiles& seconds);

// What can be measured alone (--only), a row each.
struct Subject {
    const char* name;
    const char* text;
    void (*run)(Bench& bench);
};

void bench_linear(Bench& bench);
void bench_attention(Bench& bench);
void bench_norm(Bench& bench);
void bench_argmax(Bench& bench);
void bench_tokens(Bench& bench);

}  // namespace kvlab::app
