// measured.hpp - chapter 4: a report of `step04_cuda bench`, for whoever wants to show measured
// times beside predicted ones.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>

#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

class Measured {
public:
    // Nothing was measured.
    Measured() = default;

    // Throws Error, naming the file, unless it is a report of the bench, by this version, with
    // times of a GPU.
    explicit Measured(const std::string& path);

    // The GPU, or "not measured yet".
    const std::string& device() const { return device_; }

    bool empty() const { return microseconds_.empty(); }

    // Of a rung with a cold second-level cache, the median; none if it is not in the report.
    std::optional<double> microseconds(const std::string& operation,
                                       const std::string& shape,
                                       const std::string& rung) const;

private:
    std::string device_ = "not measured yet";
    std::map<std::tuple<std::string, std::string, std::string>, double> microseconds_;
};

}  // namespace kvlab::app
