// measure.hpp - chapter 1: how long something takes, said so that another reader can compare.
//
// A single time means nothing on a machine that does other things too. Measure several times,
// report the median and the quartiles, and name the processor and the compiler beside them.
#pragma once

#include <string>
#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Seconds on the wall clock since some fixed moment.
double wall_seconds();

// Seconds of processor time that the calling thread has used: unlike the wall clock it does not
// count the time in which other programs had the core. Sleeping and waiting are not seen by it.
double thread_cpu_seconds();

// No test can say how long something takes. It can say what a program makes of the times it
// measured, once these are known: with KVLAB_CLOCK=counting in the environment neither clock
// above is read. The n-th reading of either, from 0, is then n + n^2 / 1024 seconds, so that
// two readings in a row are a little more than a second apart and no two such pairs are alike.
// The reports of such a run say "clock": "counting"; they measured nothing. Throws Error for
// any other value of KVLAB_CLOCK.
bool counting_clock();

// Seconds on the wall clock since construction or restart().
class Stopwatch {
public:
    Stopwatch() { restart(); }

    void restart() { start_ = wall_seconds(); }

    double seconds() const { return wall_seconds() - start_; }

private:
    double start_ = 0;
};

// Order statistics of some samples; the quartiles are interpolated between neighbours.
struct Quartiles {
    double smallest = 0;  // of seconds the best, of rates the worst
    double low = 0;       // a quarter lie below
    double median = 0;
    double high = 0;  // three quarters lie below
    double largest = 0;
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
        return clock == Clock::thread_cpu ? thread_cpu_seconds() : wall_seconds();
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

// A figure with this many significant digits and no trailing noise:
// "0.0123", "118", "4.25e+09".
std::string format_number(double value, int digits = 3);

}  // namespace kvlab
