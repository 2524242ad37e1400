#include <kvlab/serving/make_trace.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

// The deviations follow from the published figures (tests/step07_traces_test.cpp computes them
// again). Of the median m and P90: above = ln(P90 / m) / 1.2816. A mean mu of the logarithm
// then leaves below = above + (ln m - mu) sqrt(2 pi). Where no P90 is known, both follow from
// mu and sigma.
const TraceKind kKinds[] = {
    {.name = "azure-code",
     .what = "Azure 2023, completing code: long prompts, short answers, in bursts",
     .requests = 8819,
     .published_input = {2048, 1469, 5194, 7.00, 1.36},
     .published_output = {28, 13, 0, 2.79, 0.85},
     .input = {1469, 1.718f, 0.985f, 8192},
     .output = {13, 0.551f, 1.115f, 2048},
     .per_second = 2.57,
     .cv = 13.2,
     .reuse = {},
     .published_hits = 0},
    {.name = "azure-conversation",
     .what = "Azure 2023, conversations: middling prompts and answers",
     .requests = 19366,
     .published_input = {1155, 1020, 2735, 6.63, 0.99},
     .published_output = {211, 129, 0, 5.02, 0.86},
     .input = {1020, 1.516f, 0.770f, 16384},
     .output = {129, 0.651f, 1.052f, 1024},
     .per_second = 5.53,
     .cv = 1.09,
     .reuse = {},
     .published_hits = 0},
    {.name = "mooncake-conversation",
     .what = "Mooncake, conversations: prompts that go on from earlier ones",
     .requests = 12031,
     .published_input = {12035, 6909, 27367, 8.74, 1.20},
     .published_output = {343, 350, 0, 5.34, 1.36},
     .input = {6909, 1.326f, 1.074f, 131072},
     .output = {350, 1.952f, 0.653f, 2048},
     .per_second = 3.40,
     .cv = 3.0,
     .reuse = {.per_mille = 590, .tries = 4, .mean_age = 750},
     .published_hits = 0.366},
    {.name = "mooncake-synthetic",
     .what = "Mooncake, synthetic: several questions about the same long documents",
     .requests = 3993,
     .published_input = {15325, 11587, 38615, 7.98, 2.70},
     .published_output = {149, 69, 0, 3.92, 1.77},
     .input = {11587, 4.392f, 0.939f, 131072},
     .output = {69, 2.148f, 1.360f, 2048},
     .per_second = 3.91,
     .cv = 1.01,
     .reuse = {.per_mille = 840, .tries = 8, .mean_age = 600},
     .published_hits = 0.640}};

// Every kind of draw has a generator of its own: what one of them uses up moves no other.
enum Stream : std::uint64_t { kArrivals = 1, kInputs, kOutputs, kReuse };

// All lengths of a trace, and how they shrink.
class Lengths {
public:
    Lengths(const TraceKind& kind, const TraceScale& scale)
        : kind_(kind),
          context_(scale.context),
          inputs_(scale.seed, kInputs),
          outputs_(scale.seed, kOutputs) {
        if (context_ > 0)
            factor_ = static_cast<double>(context_) /
                      (kind.published_input.p90 + kind.published_output.mean);
    }

    // An eighth of the context is left for the answer, at least.
    Index next_prompt() {
        const Index drawn = shrink(kind_.input.draw(inputs_));
        return context_ > 0 ? std::min(drawn, context_ - context_ / 8) : drawn;
    }

    Index next_answer(Index prompt) {
        const Index drawn = shrink(kind_.output.draw(outputs_));
        return context_ > 0 ? std::min(drawn, context_ - prompt) : drawn;
    }

private:
    Index shrink(Index tokens) const {
        return std::max<Index>(1, std::llround(static_cast<double>(tokens) * factor_));
    }

    const TraceKind& kind_;
    Index context_;
    Rng inputs_, outputs_;
    double factor_ = 1;
};

// ANCHOR: beginning
// The first `count` tokens of a prompt.
std::vector<PromptPiece> beginning(const std::vector<PromptPiece>& prompt, Index count) {
    std::vector<PromptPiece> pieces;
    for (const PromptPiece& piece : prompt) {
        if (count == 0) break;
        pieces.push_back({piece.seed, std::min(piece.count, count)});
        count -= pieces.back().count;
    }
    return pieces;
}

// The prompt of the next request, which may begin like an earlier one.
std::vector<PromptPiece> make_prompt(const std::vector<TracedRequest>& earlier,
                                     const ReuseLaw& reuse,
                                     const PromptPiece& own,
                                     Rng& rng) {
    const bool reuses = rng.below(1000) < reuse.per_mille;
    if (!reuses || earlier.empty()) return {own};
    const TracedRequest* nearest = nullptr;
    const auto distance = [&](const TracedRequest& request) {
        return std::abs(request.prompt_tokens() - own.count);
    };
    for (Index i = 0; i < reuse.tries; ++i) {
        const std::uint64_t drawn =
            draw_exponential(rng) * static_cast<std::uint64_t>(reuse.mean_age) >> 32;
        const Index age = static_cast<Index>(drawn) % std::ssize(earlier) + 1;
        const TracedRequest& request = at(earlier, std::ssize(earlier) - age);
        if (nearest == nullptr || distance(request) < distance(*nearest)) nearest = &request;
    }
    // One token at least is its own, so that no two prompts are the same.
    const Index shared = std::min(nearest->prompt_tokens(), own.count - 1);
    std::vector<PromptPiece> prompt = beginning(nearest->prompt, shared);
    prompt.push_back({own.seed, own.count - shared});
    return prompt;
}

// ANCHOR_END: beginning

}  // namespace

Index LengthLaw::draw(Rng& rng) const {
    const float z = rng.normal();
    const float doublings = z * (z > 0 ? above : below) * kLog2E;
    const double drawn = static_cast<double>(median) * static_cast<double>(exp2(doublings));
    return std::clamp<Index>(std::llround(drawn), 1, most);
}

// ANCHOR: exponential
// Draw numbers while they fall. With a first number x, the run has an odd length with
// probability exp(-x); then x is taken. Otherwise 1 is added and all begins again.
std::uint64_t draw_exponential(Rng& rng) {
    for (std::uint64_t whole = 0;; ++whole) {
        const std::uint32_t first = rng.next();
        bool odd = true;
        std::uint32_t last = first;
        for (std::uint32_t next = rng.next(); next < last; next = rng.next()) {
            last = next;
            odd = !odd;
        }
        if (odd) return whole << 32 | first;
    }
}

// ANCHOR_END: exponential

ArrivalLaw::ArrivalLaw(double per_second, double cv) {
    check(per_second > 0 && per_second <= 1e6,
          "arrivals: expected more than 0 and at most 10^6 ", "in a second, found ",
          per_second);
    check(cv >= 1 && cv <= 100, "arrivals: expected a coefficient of variation from 1 to 100, ",
          "found ", cv);
    const double share = (1 + std::sqrt((cv * cv - 1) / (cv * cv + 1))) / 2,
                 mean = 1e6 / per_second;
    short_share_ = static_cast<std::uint64_t>(share * 0x1p32);
    short_mean_ = static_cast<std::uint64_t>(std::llround(mean / (2 * share)));
    long_mean_ = static_cast<std::uint64_t>(std::llround(mean / (2 * (1 - share))));
}

std::int64_t ArrivalLaw::draw(Rng& rng) const {
    const std::uint64_t mean = rng.next() < short_share_ ? short_mean_ : long_mean_;
    const std::uint64_t drawn = draw_exponential(rng);
    // Whole and fraction apart: the product of all has more than 64 bits.
    return static_cast<std::int64_t>((drawn >> 32) * mean +
                                     ((drawn & 0xffffffffu) * mean >> 32));
}

std::span<const TraceKind> trace_kinds() {
    return kKinds;
}

const TraceKind& find_trace_kind(const std::string& name) {
    std::string names;
    for (const TraceKind& kind : kKinds) {
        if (name == kind.name) return kind;
        names += concat(names.empty() ? "" : ", ", kind.name);
    }
    throw Error(concat("no such trace: '", name, "'; there are ", names));
}

RequestTrace make_trace(const TraceKind& kind, const TraceScale& scale) {
    constexpr Index kMost = 99999;
    check(scale.requests >= 0 && scale.requests <= kMost, "trace: expected 0 to ", kMost,
          " requests, found ", scale.requests);
    check(scale.context == 0 || scale.context >= 16,
          "trace: expected a context of 16 tokens at ", "least, found ", scale.context);
    check(scale.seed < 1'000'000, "trace: expected a seed below 1000000, found ", scale.seed);
    const ArrivalLaw arrivals(kind.per_second, kind.cv);
    Lengths lengths(kind, scale);
    Rng gaps(scale.seed, kArrivals), reuse(scale.seed, kReuse);
    RequestTrace trace{kind.name, {}};
    const Index count = scale.requests > 0 ? scale.requests : kind.requests;
    std::int64_t now = 0;
    for (Index i = 0; i < count; ++i) {
        const PromptPiece own{static_cast<std::int64_t>(scale.seed) * (kMost + 1) + i,
                              lengths.next_prompt()};
        TracedRequest request;
        request.arrival_us = now;
        request.prompt = make_prompt(trace.requests, kind.reuse, own, reuse);
        request.max_tokens = lengths.next_answer(own.count);
        trace.requests.push_back(std::move(request));
        now += arrivals.draw(gaps);
    }
    return trace;
}

}  // namespace kvlab
