// decoder_steps.hpp - chapter 7: steps that a decoder computes, in the time that passes.
#pragma once

#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/serving/step_model.hpp>
#include <kvlab/tensor/measure.hpp>

namespace kvlab {

class DecoderSteps final : public StepModel {
public:
    // The decoder must outlive it.
    explicit DecoderSteps(Decoder& decoder, SimdLevel level = default_simd_level());

    std::unique_ptr<PagedCache> make_cache(PagePool& pool) override;
    Index context() const override;
    Index vocab() const override;
    View<const float> run(std::span<const StepPart> parts) override;
    double now() const override;
    void wait_until(double seconds) override;

private:
    Decoder& decoder_;
    SimdLevel level_;
    Stopwatch watch_;
    std::vector<SequenceStep> batch_;
};

}  // namespace kvlab
