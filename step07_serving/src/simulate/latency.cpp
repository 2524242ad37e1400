#include <kvlab/serving/latency.hpp>

#include <algorithm>
#include <cmath>

namespace kvlab {

// ANCHOR: percentile
double percentile(std::vector<double> samples, double percent) {
    check(!samples.empty(), "percentile: no samples");
    check(percent > 0 && percent <= 100, "percentile: expected more than 0 and at most 100, ",
          "found ", percent);
    const auto count = static_cast<double>(samples.size());
    const auto rank = static_cast<Index>(std::ceil(percent * count / 100)) - 1;
    std::nth_element(samples.begin(), samples.begin() + rank, samples.end());
    return at(samples, rank);
}

// ANCHOR_END: percentile

Percentiles percentiles(std::vector<double> samples) {
    if (samples.empty()) return {};
    std::sort(samples.begin(), samples.end());
    return {percentile(samples, 50), percentile(samples, 95), percentile(samples, 99)};
}

LengthStatistics length_statistics(std::span<const Index> lengths) {
    check(!lengths.empty(), "length statistics: no lengths");
    const auto count = static_cast<double>(lengths.size());
    std::vector<double> numbers;
    LengthStatistics statistics;
    for (const Index length : lengths) {
        check(length > 0, "length statistics: expected positive lengths, found ", length);
        numbers.push_back(static_cast<double>(length));
        statistics.mean += numbers.back() / count;
        statistics.mu += std::log(numbers.back()) / count;
    }
    double squares = 0;
    for (const double number : numbers) {
        const double off = std::log(number) - statistics.mu;
        squares += off * off / count;
    }
    statistics.sigma = std::sqrt(squares);
    statistics.median = percentile(numbers, 50);
    statistics.p90 = percentile(numbers, 90);
    return statistics;
}

// ANCHOR: summarize
ServiceSummary summarize(std::span<const ServedRequest> served, const Deadlines& deadlines) {
    check(!served.empty(), "summary of a service: no requests");
    ServiceSummary summary;
    summary.requests = std::ssize(served);
    double begin = served.front().arrival, end = served.front().last, stays = 0;
    std::vector<double> firsts, per_tokens;
    for (const ServedRequest& request : served) {
        summary.tokens += request.written;
        summary.in_time += deadlines.met_by(request) ? 1 : 0;
        begin = std::min(begin, request.arrival);
        end = std::max(end, request.last);
        stays += request.whole();
        firsts.push_back(request.first_token());
        if (request.written > 1) per_tokens.push_back(request.per_token());
    }
    summary.seconds = end - begin;
    if (summary.seconds > 0) {
        summary.tokens_per_second = static_cast<double>(summary.tokens) / summary.seconds;
        summary.goodput = static_cast<double>(summary.in_time) / summary.seconds;
        summary.in_system = stays / summary.seconds;
    }
    summary.first_token = percentiles(std::move(firsts));
    summary.per_token = percentiles(std::move(per_tokens));
    return summary;
}

// ANCHOR_END: summarize

}  // namespace kvlab
