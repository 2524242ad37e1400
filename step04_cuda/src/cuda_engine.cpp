#include <kvlab/cuda/cuda_engine.hpp>

#include <algorithm>

#include <kvlab/attention/pack_tensors.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/device.hpp>
#include <kvlab/cuda/token_pass.hpp>

#include "launch_checks.hpp"

namespace kvlab {

namespace {

class CudaBuffer final : public Buffer {
public:
    explicit CudaBuffer(Index floats) : floats_(floats, "buffer") {
        floats_.copy_from(std::vector<float>(usize(floats)));
    }

    float* data() override { return floats_.get(); }

    Index size() const override { return floats_.size(); }

private:
    DeviceArray<float> floats_;
};

// Small arrays that a step hands to kernels: tokens, and the cosines and sines of its
// positions. All layers of a step ask for the same ones, so they are copied when they change.
template <class T>
class Staged {
public:
    const T* put(std::span<const T> values) {
        if (device_ && std::equal(values.begin(), values.end(), last_.begin(), last_.end()))
            return device_->get();
        if (!device_ || device_->size() < std::ssize(values))
            device_ = std::make_unique<DeviceArray<T>>(std::ssize(values), "staged");
        last_.assign(values.begin(), values.end());
        copy_bytes_to_device(device_->get(), last_.data(),
                             static_cast<Index>(values.size_bytes()));
        return device_->get();
    }

private:
    std::vector<T> last_;
    std::unique_ptr<DeviceArray<T>> device_;
};

class CudaEngine final : public Engine {
public:
    explicit CudaEngine(const KernelChoice& choice);

    std::string name() const override { return "cuda kernels, " + device_name(); }

    ThreadPool& pool() override { return pool_; }

    bool host_memory() const override { return false; }

    std::unique_ptr<Buffer> allocate(Index floats) override {
        return std::make_unique<CudaBuffer>(floats);
    }

    void upload(std::span<const float> from, float* to) override {
        copy_bytes_to_device(to, from.data(), static_cast<Index>(from.size_bytes()));
    }

    void download(const float* from, std::span<float> to) override {
        copy_bytes_to_host(to.data(), from, static_cast<Index>(to.size_bytes()));
    }

    View<const float> host_rows(const View<const float>& rows, Tensor& scratch) override;
    std::unique_ptr<Matrix> load_matrix(std::span<const TensorInfo* const> parts) override;
    void gather(const Matrix& table,
                std::span<const Token> tokens,
                const View<float>& x) override;
    void linear(const Matrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y) override;
    void rms_norm(const View<const float>& x,
                  const float* weight,
                  float eps,
                  const View<float>& y) override;
    void layer_norm(const View<const float>& x,
                    const float* weight,
                    const float* bias,
                    float eps,
                    const View<float>& y) override;
    void rotate(const View<float>& heads,
                const RopeTable* table,
                std::span<const Index> positions,
                float factor) override;
    void add(const View<const float>& x, const View<float>& y) override;
    void swiglu(const View<const float>& gate_up, const View<float>& hidden) override;
    void gelu(const View<const float>& x, const View<float>& y) override;
    const float* forward_token(const Model& model, KvStore& store, Token token) override;

private:
    const LinearRung& linear_for(Index rows, Index outputs) const {
        return linear_ != nullptr ? *linear_ : linear_rung_for(rows, outputs);
    }

    // Fixed at construction.
    const LinearRung* linear_;  // null: what suits the product's size
    const NormRung* norm_;
    const TokenRung* token_;
    ThreadPool pool_{1};
    SoleUse use_;  // of what follows
    Scratch chains_;
    Staged<int> tokens_;
    Staged<float> cosines_, sines_;
    std::vector<int> token_row_;
    std::vector<float> cosine_rows_, sine_rows_;
};

View<const float> CudaEngine::host_rows(const View<const float>& rows, Tensor& scratch) {
    const Index R = rows.dim(0), n = rows.dim(1);
    if (R == 0) return rows;
    if (scratch.size() < R * n) scratch = Tensor({R * n});
    if (rows.contiguous())
        download(rows.data(), scratch.flat().first(usize(R * n)));
    else
        for (Index r = 0; r < R; ++r)
            download(&rows(r, 0), scratch.flat().subspan(usize(r * n), usize(n)));
    return {scratch.data(), {R, n}};
}

std::unique_ptr<Matrix> CudaEngine::load_matrix(std::span<const TensorInfo* const> parts) {
    return std::make_unique<DeviceMatrix>(pack_tensors(parts, pool_), linear_for(1, 1).layout);
}

// ANCHOR: linear
CudaEngine::CudaEngine(const KernelChoice& choice)
    : linear_(choice.linear),
      norm_(choice.norm != nullptr ? choice.norm : &find_rung(norm_rungs(), "vector")),
      token_(choice.token) {
    const bool any_asked =
        choice.linear != nullptr || choice.norm != nullptr || choice.attention != nullptr;
    if (token_ == nullptr) token_ = &find_rung(token_rungs(), any_asked ? "separate" : "fused");
}

void CudaEngine::linear(const Matrix& w,
                        const float* bias,
                        const View<const float>& x,
                        const View<float>& y) {
    const SoleUse::Guard alone(use_, "cuda engine");
    linear_for(x.dim(0), w.outputs()).run({device_matrix(w), bias, x, y, chains_});
}

// ANCHOR_END: linear

void CudaEngine::gather(const Matrix& table,
                        std::span<const Token> tokens,
                        const View<float>& x) {
    const SoleUse::Guard alone(use_, "cuda engine");
    kernels::GatherArgs args = kernels::gather_args(device_matrix(table), tokens, x);
    token_row_.assign(tokens.begin(), tokens.end());
    args.tokens = tokens_.put(token_row_);
    kernels::launch_gather(args);
}

void CudaEngine::rms_norm(const View<const float>& x,
                          const float* weight,
                          float eps,
                          const View<float>& y) {
    norm_->run({x, weight, eps, y});
}

void CudaEngine::layer_norm(const View<const float>& x,
                            const float* weight,
                            const float* bias,
                            float eps,
                            const View<float>& y) {
    kernels::launch_layer_norm(kernels::layer_norm_args({x, weight, eps, y}, bias));
}

// The host's table goes over as the rows of this step's positions alone.
void CudaEngine::rotate(const View<float>& heads,
                        const RopeTable* table,
                        std::span<const Index> positions,
                        float factor) {
    const SoleUse::Guard alone(use_, "cuda engine");
    kernels::RotateArgs args = kernels::rotate_args(heads, table, positions, factor);
    const Index pairs = args.rope_dim / 2;
    cosine_rows_.clear();
    sine_rows_.clear();
    for (const Index position : positions) {
        if (table == nullptr) break;
        cosine_rows_.insert(cosine_rows_.end(), table->cos(position),
                            table->cos(position) + pairs);
        sine_rows_.insert(sine_rows_.end(), table->sin(position), table->sin(position) + pairs);
    }
    if (pairs > 0) {
        args.cosines = cosines_.put(cosine_rows_);
        args.sines = sines_.put(sine_rows_);
    }
    kernels::launch_rotate(args);
}

void CudaEngine::add(const View<const float>& x, const View<float>& y) {
    kernels::launch_add(kernels::elementwise_args(x, y, "add: y"));
}

void CudaEngine::swiglu(const View<const float>& gate_up, const View<float>& hidden) {
    kernels::launch_swiglu(kernels::swiglu_args(gate_up, hidden));
}

void CudaEngine::gelu(const View<const float>& x, const View<float>& y) {
    kernels::launch_gelu(kernels::elementwise_args(x, y, "gelu: y"));
}

// ANCHOR: forward_token
const float* CudaEngine::forward_token(const Model& model, KvStore& store, Token token) {
    auto* const cache = dynamic_cast<CudaCache*>(&store);
    if (token_->launch == nullptr || cache == nullptr || !TokenPass::why_not(model).empty())
        return nullptr;
    return cache->token_pass(model, *token_).forward(token);
}

// ANCHOR_END: forward_token

}  // namespace

std::unique_ptr<Engine> make_cuda_engine(const KernelChoice& choice) {
    return std::make_unique<CudaEngine>(choice);
}

}  // namespace kvlab
