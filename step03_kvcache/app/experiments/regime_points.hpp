// regime_points.hpp - chapter 3: steps of any shape, counted and timed, under
// this machine's roof.
//
// A prefill is a step of one sequence with many tokens, a decode a step of many sequences with
// one token each: one kind of point serves both.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <kvlab/kvcache/counters.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/kvcache/subject.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/roofline.hpp>

#include "speed_passes.hpp"

namespace kvlab::app {

// The two limits of chapter 1.
struct Roof {
    double peak = 0;       // GFLOP/s
    double bandwidth = 0;  // GB/s

    double ridge() const { return peak / bandwidth; }  // FLOP per byte

    // GFLOP/s that a step of this intensity can reach at most.
    double at(double intensity) const { return std::min(peak, intensity * bandwidth); }
};

// Roofs measured between the rounds, with the engine's threads: the machine is not equally fast
// all the time.
class Roofs {
public:
    void measure(Subject& subject) {
        ThreadPool& pool = subject.engine().pool();
        peaks_.push_back(peak_gflops(subject.level(), pool, kSamples));
        bandwidths_.push_back(read_bandwidth(
            subject.level(), pool, memory_levels(pool.threads()).back().bytes, kSamples));
    }

    // A roof is what cannot be exceeded, so the best of the rounds.
    Roof best() const {
        return {*std::max_element(peaks_.begin(), peaks_.end()),
                *std::max_element(bandwidths_.begin(), bandwidths_.end())};
    }

    Index rounds() const { return std::ssize(peaks_); }

    Roof median() const { return {quartiles(peaks_).median, quartiles(bandwidths_).median}; }

private:
    static constexpr Index kSamples = 5;  // a round, of 2 ms each
    std::vector<double> peaks_, bandwidths_;
};

// One step: `batch` sequences take `T` tokens each, behind `past` others.
struct StepPoint {
    Index batch = 1, T = 1, past = 0;
    Work counted, predicted;
    std::vector<double> seconds;  // of the step, one per round

    double flops() const { return static_cast<double>(counted.flops.total()); }

    double bytes() const { return static_cast<double>(counted.bytes()); }

    double intensity() const { return flops() / bytes(); }  // FLOP per byte

    double median_seconds() const { return quartiles(seconds).median; }

    double gflops() const { return flops() * 1e-9 / median_seconds(); }

    double tokens_per_second() const {
        return static_cast<double>(batch * T) / median_seconds();
    }

    double share_of_roof(const Roof& roof) const { return gflops() / roof.at(intensity()); }

    bool memory_bound(const Roof& roof) const { return intensity() < roof.ridge(); }
};

// The closed form of a step, with the weights in the type in which they are held.
inline Work predict_step(const Subject& subject, Index batch, Index T, Index past) {
    const std::vector<StepShape> shapes(usize(batch), StepShape{past, T});
    Work work = CostModel(subject.config()).step(shapes);
    work.weight_bytes = subject.step_weight_bytes();
    return work;
}

// Caches that hold `past` tokens and have room for T more. Points of the same kind share them:
// each pass truncates before it begins.
class FilledCaches {
public:
    explicit FilledCaches(Subject& subject) : subject_(subject) {}

    // The first `batch` of them.
    std::vector<KvStore*> take(Index batch, Index T, Index past) {
        auto& caches = caches_[{T, past}];
        if (caches.empty()) {
            caches.push_back(std::make_unique<KvCache>(subject_.decoder().kv_shape(), past + T,
                                                       subject_.level()));
            if (past > 0)
                prefill(subject_.decoder(), *caches.front(), subject_.random_text(past),
                        kFillChunk);
        }
        // Forks hold the same text in memory of their own, which is all that the clock sees.
        while (std::ssize(caches) < batch) {
            caches.front()->truncate(past);
            caches.push_back(caches.front()->fork());
        }
        std::vector<KvStore*> some;
        for (Index i = 0; i < batch; ++i) some.push_back(at(caches, i).get());
        return some;
    }

private:
    Subject& subject_;
    std::map<std::pair<Index, Index>, std::vector<std::unique_ptr<KvStore>>> caches_;
};

// A point's step, to be run again and again. Only the forward pass is timed.
class StepPass {
public:
    StepPass(Subject& subject, FilledCaches& caches, const StepPoint& point)
        : subject_(subject), past_(point.past), text_(subject.random_text(point.T)) {
        for (KvStore* cache : caches.take(point.batch, point.T, point.past))
            batch_.push_back({cache, text_});
    }

    StepPass(const StepPass&) = delete;  // the batch looks into text_
    StepPass& operator=(const StepPass&) = delete;

    Index tokens() const { return std::ssize(batch_) * std::ssize(text_); }

    double seconds() {
        for (const SequenceStep& sequence : batch_) sequence.store->truncate(past_);
        const Stopwatch watch;
        subject_.decoder().forward(batch_);
        return watch.seconds();
    }

    // What one pass does, counted while it does it.
    Work count() {
        Counters counters(subject_.model());
        subject_.decoder().set_observer(&counters);
        seconds();
        subject_.decoder().set_observer(nullptr);
        return counters.work();
    }

private:
    Subject& subject_;
    Index past_;
    std::vector<Token> text_;
    std::vector<SequenceStep> batch_;
};

// The smallest batch at which a decode step reaches the ridge, 0 if none does. `one` is the
// step of one sequence. The work of a batch is a straight line: the weights W once, then for
// each sequence its FLOPs f and its own bytes b, so  B f >= ridge (W + B b).
inline Index predict_turn(const Work& one, double ridge) {
    const double weights = static_cast<double>(one.weight_bytes);
    const double own = static_cast<double>(one.bytes() - one.weight_bytes);
    const double gain = static_cast<double>(one.flops.total()) - ridge * own;
    return gain > 0 ? static_cast<Index>(std::ceil(ridge * weights / gain)) : 0;
}

// All points, each shape once, and which of them make which table.
struct RegimesPlan {
    std::vector<StepPoint> points;
    std::vector<std::size_t> prefill, decode, contexts;  // indices; decode by batch, 1 first

    std::size_t add(Index batch, Index T, Index past) {
        for (std::size_t i = 0; i < points.size(); ++i)
            if (points[i].batch == batch && points[i].T == T && points[i].past == past)
                return i;
        points.push_back({batch, T, past, {}, {}, {}});
        return points.size() - 1;
    }
};

}  // namespace kvlab::app
