// make_trace.hpp - chapter 7: requests as real services see them, drawn from what was published
// of four traces: Azure's of 2023 (Patel et al. 2024) and Mooncake's (Qin et al. 2025).
//
// Everything is computed in integers and by the contract's arithmetic, so a seed gives the same
// file on every machine.
#pragma once

#include <span>
#include <string>

#include <kvlab/serving/trace.hpp>
#include <kvlab/tensor/random.hpp>

namespace kvlab {

// Numbers of tokens whose logarithm is normal, with one deviation for those below the median
// and another for those above. The published logarithms are not symmetric: with one deviation,
// the mean of Mooncake's synthetic prompts would come out seven times too large.
struct LengthLaw {
    Index median;
    float below, above;  // standard deviations of the natural logarithm
    Index most;          // longer draws are cut: our choice, the longest context of the service

    Index draw(Rng& rng) const;
};

// How prompts begin like earlier ones: of 1000 prompts so many go on from another one. Of
// `tries` earlier requests, drawn with a mean age, the one with the nearest length is taken;
// their beginnings are the same as far as the shorter one goes.
struct ReuseLaw {
    Index per_mille = 0, tries = 1, mean_age = 1;  // age in requests
};

// What the sources say of a trace (tokens; of natural logarithms; seconds). 0: not said.
struct PublishedLengths {
    double mean, median, p90, mu, sigma;
};

struct TraceKind {
    const char* name;
    const char* what;
    Index requests;
    PublishedLengths published_input, published_output;
    LengthLaw input, output;
    double per_second, cv;  // of the times between arrivals: their rate, and deviation by mean
    ReuseLaw reuse;
    double published_hits;  // share of prompt blocks of 512 tokens, with an endless cache
};

std::span<const TraceKind> trace_kinds();

// Throws Error, with all names, if there is none of this name.
const TraceKind& find_trace_kind(const std::string& name);

struct TraceScale {
    Index requests = 0;  // 0: as many as the original
    Index context = 0;   // all lengths shrink by one factor, so that nine of ten prompts with
                         // their answers fit; what still does not is cut. 0: as they are
    std::uint64_t seed = 1;
};

// Throws Error for more requests than 99 999, or a context below 16.
RequestTrace make_trace(const TraceKind& kind, const TraceScale& scale);

// A time with mean 1 that knows nothing of how long it has lasted, in units of 2^-32: a draw
// from the exponential distribution by comparisons alone (von Neumann 1951).
std::uint64_t draw_exponential(Rng& rng);

// Times between arrivals whose deviation is cv >= 1 times their mean: most are drawn around a
// short mean and a few around a long one, so that requests come in bursts (a hyperexponential
// distribution whose two parts have an equal share of the time).
class ArrivalLaw {
public:
    ArrivalLaw(double per_second, double cv);

    // Microseconds until the next one.
    std::int64_t draw(Rng& rng) const;

private:
    std::uint64_t short_share_;             // of 2^32
    std::uint64_t short_mean_, long_mean_;  // microseconds
};

}  // namespace kvlab
