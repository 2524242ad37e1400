// simulated_steps.hpp - chapter 7: steps that nobody computes. Pages are taken and given back
// as always, a clock is put forward by what a step would cost, and every token is token 0. So
// the scheduler's own code runs at the size of machines that are not here.
#pragma once

#include <memory>
#include <span>

#include <kvlab/serving/costs.hpp>
#include <kvlab/serving/step_model.hpp>

namespace kvlab {

class SimulatedSteps final : public StepModel {
public:
    SimulatedSteps(const ServedModel& model, const StepCost& cost)
        : model_(model), cost_(cost) {}

    // Of a pool for it: pages of these keys and values, which never get memory.
    KvShape kv_shape() const;

    std::unique_ptr<PagedCache> make_cache(PagePool& pool) override;

    Index context() const override { return model_.config.context; }

    View<const float> run(std::span<const StepPart> parts) override;

    double now() const override { return now_; }

    void wait_until(double seconds) override;

    // The part of now() in which steps ran.
    double busy() const { return busy_; }

private:
    ServedModel model_;
    StepCost cost_;
    double now_ = 0, busy_ = 0;
};

}  // namespace kvlab
