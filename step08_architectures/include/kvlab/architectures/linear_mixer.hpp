// linear_mixer.hpp - chapter 8: what most mixers have in common: one matrix before and one
// after. A mixer derives from it and says what lies between.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include <kvlab/architectures/mixer.hpp>

namespace kvlab {

class LinearMixer : public Mixer {
public:
    Index projected_width() const final { return in_ ? in_->outputs() : width_; }

    Index mixed_width() const final { return out_->depth(); }

    void project(Engine& engine,
                 const View<const float>& x,
                 const View<float>& rows) const final {
        if (in_)
            engine.linear(*in_, nullptr, x, rows);
        else
            std::ranges::copy(x.flat(), rows.data());
    }

    void finish(Engine& engine,
                const View<float>& mixed,
                const View<float>& out) const override {
        engine.linear(*out_, nullptr, mixed, out);
    }

    Index weight_bytes() const override { return (in_ ? in_->bytes() : 0) + out_->bytes(); }

protected:
    // in [N, C]: matrices stacked; out [C, K].
    LinearMixer(std::unique_ptr<Matrix> in, std::unique_ptr<Matrix> out)
        : in_(std::move(in)), out_(std::move(out)) {}

    // Without one before: rows are x itself, [C].
    LinearMixer(Index width, std::unique_ptr<Matrix> out)
        : width_(width), out_(std::move(out)) {}

    const Matrix& out() const { return *out_; }

private:
    Index width_ = 0;
    std::unique_ptr<Matrix> in_, out_;
};

}  // namespace kvlab
