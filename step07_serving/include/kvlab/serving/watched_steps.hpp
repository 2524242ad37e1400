// watched_steps.hpp - chapter 7: two models of steps that stand in front of another one: one
// looks on, one changes what time is.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <kvlab/kvcache/work.hpp>
#include <kvlab/serving/step_model.hpp>
#include <kvlab/tensor/measure.hpp>

namespace kvlab {

// The part of each text: what it has seen, what it feeds, whose logits are wanted.
std::vector<StepShape> shapes_of(std::span<const StepPart> parts);

// Remembers the shapes of the last step.
class WatchedSteps : public StepModel {
public:
    // The other one must outlive it.
    explicit WatchedSteps(StepModel& watched) : watched_(watched) {}

    std::unique_ptr<PagedCache> make_cache(PagePool& pool) override {
        return watched_.make_cache(pool);
    }

    Index context() const override { return watched_.context(); }

    Index vocab() const override { return watched_.vocab(); }

    View<const float> run(std::span<const StepPart> parts) override;

    double now() const override { return watched_.now(); }

    void wait_until(double seconds) override { watched_.wait_until(seconds); }

    const std::vector<StepShape>& last() const { return last_; }

    // Called after each step, while its texts still have their pages.
    void set_after_step(std::function<void(std::span<const StepPart>)> after) {
        after_ = std::move(after);
    }

private:
    StepModel& watched_;
    std::vector<StepShape> last_;
    std::function<void(std::span<const StepPart>)> after_;
};

// Time is what the calling thread has used of its processor, and what it would have slept: so
// other programs on the machine do not count, and nobody really sleeps. Right for an engine of
// one thread, since what others compute is not seen.
class CpuTimeSteps final : public WatchedSteps {
public:
    explicit CpuTimeSteps(StepModel& watched)
        : WatchedSteps(watched), start_(thread_cpu_seconds()) {}

    double now() const override { return thread_cpu_seconds() - start_ + slept_; }

    void wait_until(double seconds) override { slept_ += std::max(0.0, seconds - now()); }

private:
    double start_, slept_ = 0;
};

}  // namespace kvlab
