// wrapped_engine.hpp - chapter 2: an engine that hands every operator on to another one. Who
// wants to watch or to change one kind of operator derives from it and writes that one alone.
// (A whole token at once is not handed on: its operators would pass by unseen.)
#pragma once

#include <memory>
#include <utility>

#include <kvlab/attention/engine.hpp>

namespace kvlab {

class WrappedEngine : public Engine {
public:
    // Throws Error without an engine.
    explicit WrappedEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {
        check(engine_ != nullptr, "wrapped engine: no engine");
    }

    std::string name() const override { return engine_->name(); }

    ThreadPool& pool() override { return engine_->pool(); }

    std::unique_ptr<Buffer> allocate(Index floats) override {
        return engine_->allocate(floats);
    }

    void upload(std::span<const float> from, float* to) override { engine_->upload(from, to); }

    void download(const float* from, std::span<float> to) override {
        engine_->download(from, to);
    }

    bool host_memory() const override { return engine_->host_memory(); }

    View<const float> host_rows(const View<const float>& rows, Tensor& copy) override {
        return engine_->host_rows(rows, copy);
    }

    std::unique_ptr<Matrix> load_matrix(std::span<const TensorInfo* const> parts) override {
        return engine_->load_matrix(parts);
    }

    void gather(const Matrix& table,
                std::span<const Token> tokens,
                const View<float>& x) override {
        engine_->gather(table, tokens, x);
    }

    void linear(const Matrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y) override {
        engine_->linear(w, bias, x, y);
    }

    void rms_norm(const View<const float>& x,
                  const float* weight,
                  float eps,
                  const View<float>& y) override {
        engine_->rms_norm(x, weight, eps, y);
    }

    void layer_norm(const View<const float>& x,
                    const float* weight,
                    const float* bias,
                    float eps,
                    const View<float>& y) override {
        engine_->layer_norm(x, weight, bias, eps, y);
    }

    void rotate(const View<float>& heads,
                const RopeTable* table,
                std::span<const Index> positions,
                float factor) override {
        engine_->rotate(heads, table, positions, factor);
    }

    void add(const View<const float>& x, const View<float>& y) override { engine_->add(x, y); }

    void swiglu(const View<const float>& gate_up, const View<float>& hidden) override {
        engine_->swiglu(gate_up, hidden);
    }

    void gelu(const View<const float>& x, const View<float>& y) override {
        engine_->gelu(x, y);
    }

protected:
    Engine& inner() { return *engine_; }

private:
    std::unique_ptr<Engine> engine_;
};

}  // namespace kvlab
