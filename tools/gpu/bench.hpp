// bench.hpp - what the parts of kvlab_gpu_bench share: where figures go, and how a
// call is timed.
#pragma once

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include <kvlab/cuda/cuda_engine.hpp>
#include <kvlab/cuda/device.hpp>
#include <kvlab/tensor/report.hpp>

#include "device_facts.hpp"

namespace kvlab::bench {

// One JSON object a line, there as soon as it is measured: a run that is stopped for its time
// leaves what it had.
class Rows {
public:
    explicit Rows(const std::string& path) : file_(path) {
        check(file_.is_open(), path, ": cannot be written");
    }

    void add(const Json& row) {
        file_ << row.dump() << std::endl;
        check(file_.good(), "figures cannot be written");
    }

private:
    std::ofstream file_;
};

struct Setting {
    bool small;  // sizes and rounds of a check, not of a measurement
    DeviceFacts facts;
    Rows* rows;
};

// Times calls whose operands are in DRAM: before each one the second-level cache is filled
// with something else. The filling is still running when the two events and the call are
// launched, so that no gap of the host's lies between the events.
class ColdClock {
public:
    explicit ColdClock(const Setting& setting)
        : rounds_(setting.small ? 1 : 15),
          columns_(setting.small ? 64 : 4096),
          rows_(std::max<Index>(1, 2 * setting.facts.second_level_bytes / 4 / columns_)),
          engine_(make_cuda_engine()),
          from_(zeros(), "flush"),
          to_(zeros(), "flush") {}

    // The median, in seconds.
    template <class Call>
    double seconds(Call&& call) {
        call();  // the driver compiles
        std::vector<double> samples;
        DeviceStopwatch watch;
        for (int round = 0; round < rounds_; ++round) {
            flush();
            watch.restart();
            call();
            samples.push_back(watch.seconds());
        }
        return quartiles(samples).median;
    }

    // Of one call in a row of calls that wait for nothing: small operands stay in the caches,
    // and a host that launches too slowly shows.
    template <class Call>
    double warm_seconds(Call&& call) const {
        const int calls = rounds_ == 1 ? 1 : 20;
        std::vector<double> samples;
        DeviceStopwatch watch;
        for (int round = 0; round < std::min(rounds_, 5); ++round) {
            device_synchronize();
            watch.restart();
            for (int i = 0; i < calls; ++i) call();
            samples.push_back(watch.seconds() / calls);
        }
        return quartiles(samples).median;
    }

private:
    std::vector<float> zeros() const {
        return std::vector<float>(static_cast<std::size_t>(rows_ * columns_));
    }

    void flush() {
        engine_->add(View<const float>(from_.get(), {rows_, columns_}),
                     View<float>(to_.get(), {rows_, columns_}));
    }

    int rounds_;
    Index columns_, rows_;
    std::unique_ptr<Engine> engine_;
    DeviceArray<float> from_, to_;
};

// A row with the figures that all operations have. `bytes`: what has to be moved at least.
inline Json timed_row(const Setting& setting,
                      const std::string& op,
                      const std::string& shape,
                      const char* rung,
                      double cold,
                      double warm,
                      double bytes) {
    Json row;
    row["op"] = op;
    row["shape"] = shape;
    row["rung"] = rung;
    row["us"] = cold * 1e6;
    row["warm_us"] = warm * 1e6;
    row["bytes"] = bytes;
    const double peak = setting.facts.peak_gb_per_s();
    if (peak > 0) {  // the executor moves nothing
        row["gb_per_s"] = bytes / cold / 1e9;
        row["share_of_peak"] = bytes / cold / 1e9 / peak;
    }
    return row;
}

// Each returns whether every result had the CPU's bits.
bool run_ladders(const Setting& setting);
bool run_decoder(const Setting& setting);

}  // namespace kvlab::bench
