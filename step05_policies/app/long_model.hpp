// long_model.hpp - chapter 5: models whose context is longer than what they were trained for.
#pragma once

#include <memory>
#include <string>

#include <kvlab/attention/session.hpp>
#include <kvlab/attention/synthetic.hpp>

namespace kvlab::app {

// What a clock runs on. "tiny-shape", "deep-shape" and "SmolLM2-shape" are random weights of
// these models' shapes with a context of 8192 tokens: time does not depend on the values. All
// other names are files, as in Session, with the context that the file says.
class LongModel {
public:
    static constexpr Index kContext = 8192;

    explicit LongModel(const SessionOptions& options);

    Decoder& decoder() { return *decoder_; }

    const Config& config() const { return model_->config; }

    SimdLevel level() const { return level_; }

    const Engine& engine() const { return *engine_; }

    // Tokens that any run can make again.
    std::vector<Token> random_text(Index length) const;

private:
    std::unique_ptr<Session> session_;
    std::unique_ptr<Engine> own_engine_;
    Engine* engine_ = nullptr;
    std::shared_ptr<const Model> model_;
    SimdLevel level_{};
    std::unique_ptr<Decoder> decoder_;
};

}  // namespace kvlab::app
