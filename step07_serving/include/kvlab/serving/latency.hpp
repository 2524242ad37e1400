// latency.hpp - chapter 7: what the users of a service notice: how long until the first token,
// how long from token to token, and how many of them were served as promised.
#pragma once

#include <span>
#include <vector>

#include <kvlab/tensor/sizes.hpp>

namespace kvlab {

// The smallest sample that at least `percent` of all samples do not exceed (nearest rank): so
// it is always one that was seen. Throws Error for no samples, or a percentage that is not more
// than 0 and at most 100.
double percentile(std::vector<double> samples, double percent);

struct Percentiles {
    double p50 = 0, p95 = 0, p99 = 0;
};

// All 0 for no samples.
Percentiles percentiles(std::vector<double> samples);

// Of some lengths, as the sources of traces say them; mu and sigma are of natural logarithms.
struct LengthStatistics {
    double mean = 0, median = 0, p90 = 0, mu = 0, sigma = 0;
};

// Throws Error for no lengths, or one that is not positive.
LengthStatistics length_statistics(std::span<const Index> lengths);

// When what happened to a request, in seconds on one clock.
struct ServedRequest {
    double arrival = 0;             // when it came, whether or not anybody looked
    double first = 0, last = 0;     // when its first and its last token were there
    Index prompt = 0, written = 0;  // tokens

    double first_token() const { return first - arrival; }

    double whole() const { return last - arrival; }

    // Time per output token after the first one. 0 for a single token, which has no such time.
    double per_token() const {
        return written > 1 ? (last - first) / static_cast<double>(written - 1) : 0;
    }
};

// What was promised, in seconds.
struct Deadlines {
    double first_token = 1, per_token = 0.1;

    bool met_by(const ServedRequest& request) const {
        return request.first_token() <= first_token && request.per_token() <= per_token;
    }
};

struct ServiceSummary {
    Index requests = 0, tokens = 0;  // tokens: written ones
    double seconds = 0;              // from the first arrival to the last token
    double tokens_per_second = 0;
    Percentiles first_token, per_token;  // per_token: of requests with two tokens or more
    Index in_time = 0;                   // requests that met both deadlines
    double goodput = 0;                  // of these, per second
    double in_system = 0;                // requests that were there on average
};

// Throws Error for no requests.
ServiceSummary summarize(std::span<const ServedRequest> served, const Deadlines& deadlines);

}  // namespace kvlab
