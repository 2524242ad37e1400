// calibration.hpp - chapter 6: what the inputs of the matrix products look like while
// a text runs.
//
// Rounding a weight costs what its input makes of it. So methods that choose how to round
// (GPTQ, AWQ), what to scale (SmoothQuant) or which directions to drop (whitened low rank) ask
// first: how large is each channel of x, and which channels move together?
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

// The inputs x [R, K] that one matrix product has seen, all rows of the text one behind the
// other. Tensors whose product is computed at once (q, k and v; gate and up) share one.
struct InputStatistics {
    std::vector<std::string> tensors;  // the matrices, as the file calls them
    Index channels = 0;                // K
    Index rows = 0;                    // R, so far
    std::vector<float> max_abs;        // [K]
    std::vector<double> sum_abs;       // [K]
    std::vector<double> gram;          // [K, K] x transposed times x; empty unless asked for
    std::vector<float> inputs;         // [R, K] the rows themselves; empty unless asked for

    double mean_abs(Index channel) const {
        return at(sum_abs, channel) / static_cast<double>(rows);
    }
};

// By tensor name: whether something that takes memory or time is wanted of it. Null: of none.
using WantsTensor = std::function<bool(const std::string& tensor)>;

struct CalibrationOptions {
    WantsTensor gram;    // X^T X in double: K^2 numbers and R K^2 operations each
    WantsTensor inputs;  // the rows themselves: R K floats
    bool head = false;   // see the last matrix's input at every token, not only at a text's end
};

class Calibration {
public:
    // Throws Error for a tensor that no product has read.
    const InputStatistics& of(const std::string& tensor) const;

    // Each input once, in the order in which the model was loaded.
    const std::vector<std::shared_ptr<InputStatistics>>& all() const { return all_; }

    // For the engine that records: the statistics of a matrix made of these tensors.
    std::shared_ptr<InputStatistics> open(std::vector<std::string> tensors, Index channels);

private:
    std::vector<std::shared_ptr<InputStatistics>> all_;
    std::map<std::string, std::shared_ptr<InputStatistics>> by_tensor_;
};

// An engine with the bits of `engine` whose linear() also fills `calibration`, which has to
// outlive it. The sums run over the rows in the order in which they come, so that they do not
// depend on the pieces or on threads.
std::unique_ptr<Engine> make_recording_engine(std::unique_ptr<Engine> engine,
                                              Calibration& calibration,
                                              const CalibrationOptions& options = {});

// Runs every window of the text, from nothing and without a cache, and returns what was seen.
Calibration calibrate(const WeightSource& source,
                      const TextWindows& text,
                      const CalibrationOptions& options = {},
                      const CpuOptions& cpu = {});

}  // namespace kvlab
