// measure.hpp - chapter 1: how long something takes, said so that another reader can compare.
//
// A single time means nothing on a machine that does other things too. Measure several times,
// report the median and the quartiles, and name the processor and the compiler beside them.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Seconds on the wall clock since construction or restart().
class Stopwatch {
public:
    Stopwatch() { restart(); }

    void restart() { start_ = std::chrono::steady_clock::now(); }

    double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

private:
    std::chrono::steady_clock::time_point start_;
};

// Seconds of processor time that the calling thread has used: unlike the wall clock it does not
// count the time in which other programs had the core. Sleeping and waiting are not seen by it.
double thread_cpu_seconds();

// Order statistics of some samples; the quartiles are interpolated between neighbours.
struct Quartiles {
    double best = 0;  // the smallest
    double low = 0;   // a quarter lie below
    double median = 0;
    double high = 0;  // three quarters lie below
    Index count = 0;
};

// Throws Error for no samples.
Quartiles quartiles(std::vector<double> samples);

enum class Clock { wall, thread_cpu };

// Calls `work` until `count` samples are taken, each of at least `seconds` (several calls if
// one is shorter), after one call that is not measured. Returns the seconds per call.
template <class Work>
Quartiles time_calls(Index count, double seconds, Clock clock, Work&& work) {
    const auto now = [&] {
        return clock == Clock::thread_cpu
                   ? thread_cpu_seconds()
                   : std::chrono::duration<double>(
                         std::chrono::steady_clock::now().time_since_epoch())
                         .count();
    };
    const auto sample = [&](Index calls) {
        const double start = now();
        for (Index i = 0; i < calls; ++i) work();
        return now() - start;
    };
    sample(1);
    Index calls = 1;
    while (calls < (Index{1} << 30) && sample(calls) < seconds) calls *= 2;
    std::vector<double> samples;
    for (Index i = 0; i < count; ++i)
        samples.push_back(sample(calls) / static_cast<double>(calls));
    return quartiles(samples);
}

// What a figure has to be read with: "Intel(R) Xeon(R) ...", "GNU 12.2.0", "-O3 ...".
std::string processor_name();
std::string compiler_name();
std::string compiler_flags();

// A figure with this many significant digits and no trailing noise: "0.0123", "118",
// "4.25e+09".
std::string format_number(double value, int digits = 3);

}  // namespace kvlab
