#include <kvlab/tensor/measure.hpp>

#include <kvlab/tensor/text.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string_view>

namespace kvlab {

namespace {

double counted_reading() {
    static std::atomic<Index> readings{0};
    const auto n = static_cast<double>(readings++);
    return n + n * n / 1024;
}

double read_clock(clockid_t clock) {
    if (counting_clock()) return counted_reading();
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

bool counting_clock() {
    static const bool counting = [] {
        const char* const name = std::getenv("KVLAB_CLOCK");
        if (name == nullptr) return false;
        check(std::string_view(name) == "counting", "KVLAB_CLOCK=", quote(name),
              ": the only clock that can be asked for is counting");
        return true;
    }();
    return counting;
}

double wall_seconds() {
    return read_clock(CLOCK_MONOTONIC);
}

double thread_cpu_seconds() {
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

Quartiles quartiles(std::vector<double> samples) {
    check(!samples.empty(), "quartiles: no samples");
    std::sort(samples.begin(), samples.end());
    const auto at = [&](double part) {
        const double place = part * static_cast<double>(samples.size() - 1);
        const auto below = static_cast<std::size_t>(place);
        const std::size_t above = std::min(below + 1, samples.size() - 1);
        return samples[below] +
               (samples[above] - samples[below]) * (place - static_cast<double>(below));
    };
    return {samples.front(), at(0.25),       at(0.5),
            at(0.75),        samples.back(), static_cast<Index>(samples.size())};
}

std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const std::size_t colon = line.find(": ");
        if (line.rfind("model name", 0) == 0 && colon != std::string::npos)
            return line.substr(colon + 2);
    }
    return "unknown processor";
}

std::string compiler_name() {
#if defined(__clang__)
    return concat("Clang ", __clang_major__, ".", __clang_minor__, ".", __clang_patchlevel__);
#elif defined(__GNUC__)
    return concat("GNU ", __GNUC__, ".", __GNUC_MINOR__, ".", __GNUC_PATCHLEVEL__);
#else
    return "unknown compiler";
#endif
}

std::string compiler_flags() {
#ifdef KVLAB_COMPILER_FLAGS
    return KVLAB_COMPILER_FLAGS;
#else
    return "unknown";
#endif
}

std::string format_number(double value, int digits) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    // %g turns 1234 at three digits into 1.23e+03; whole numbers up to a million read better.
    const double size = value < 0 ? -value : value;
    if (size >= 100 && size < 1e6) std::snprintf(text, sizeof text, "%.0f", value);
    return text;
}

}  // namespace kvlab
